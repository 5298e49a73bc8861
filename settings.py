"""Settings: the environment variables, read and checked once, at start-up."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urldefrag, urlsplit

import requests

from alerts import read_fields
from filters import AlertFilter, read_filter
from logs import LEVELS

DIGEST_SECONDS = 60  # between two digests of what a storm repeats
MAX_DIGEST_SECONDS = 3600
CONSOLE = "console:"  # the webhook URL that means: print the messages
MIN_TOKEN = 16  # characters
EXAMPLE_TOKEN = "AUTH0_LOG_STREAM_TOKEN_VALUE"  # noqa: S105 - what .env.example has, to be replaced


@dataclass(frozen=True)
class Settings:
    """All that can be configured. repr() shows neither the webhook's URL nor the token."""

    webhook_url: str = field(repr=False)
    token: str = field(repr=False)  # empty: the endpoint is open
    alert_filter: AlertFilter
    fields: tuple[str, ...]
    digest_seconds: int  # 0: no digest
    log_level: str
    warnings: tuple[str, ...]  # what is allowed but hardly meant

    @property
    def secrets(self) -> set[str]:
        """What no output may contain: the webhook's URL, its path, the token as others quote it."""
        as_latin_1 = os.fsencode(self.token).decode("latin-1")  # so HTTP servers read headers
        tokens = {self.token, as_latin_1, repr(self.token)[1:-1], repr(as_latin_1)[1:-1]}
        if self.webhook_url == CONSOLE:
            return tokens
        return tokens | {
            self.webhook_url,
            requests.Request("POST", self.webhook_url).prepare().path_url,
        }


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises ValueError, whose message names the variable and says what to put there.
    """

    def variable(name: str) -> str:
        return environ.get(name, "").strip()

    token = variable("AUTH0_LOG_STREAM_TOKEN")
    warnings = []
    if not token:
        warnings.append(
            "AUTH0_LOG_STREAM_TOKEN is not set: anyone can post to /api/logs; set it to a long"
            " random value, and to the same as the stream's Authorization Token in Auth0"
        )
    elif token == EXAMPLE_TOKEN:
        warnings.append(
            "AUTH0_LOG_STREAM_TOKEN still has the value from .env.example, which everyone knows:"
            " replace it"
        )
    elif len(token) < MIN_TOKEN:
        warnings.append(
            f"AUTH0_LOG_STREAM_TOKEN has fewer than {MIN_TOKEN} characters: make it a long random"
            " one, or it can be guessed"
        )
    alert_filter, unmatched = read_filter(variable("ALERT_TYPES"), variable("ALERT_IGNORE"))
    fields = read_fields(variable("SLACK_FIELDS"))
    warnings += [
        f"ALERT_TYPES has {entry!r}, which matches no log type known today: is it mistyped?"
        for entry in unmatched
    ]
    digest = variable("ALERT_DIGEST_SECONDS") or str(DIGEST_SECONDS)
    if not re.fullmatch("[0-9]{1,4}", digest) or int(digest) > MAX_DIGEST_SECONDS:
        raise ValueError(
            f"ALERT_DIGEST_SECONDS is {digest!r}: give whole seconds, {MAX_DIGEST_SECONDS} at most,"
            " or 0 for no digest"
        )
    log_level = variable("LOG_LEVEL") or "INFO"
    if log_level.upper() not in LEVELS:
        raise ValueError(f"LOG_LEVEL is {log_level!r}: give one of {', '.join(LEVELS)}")
    url = _webhook_url(variable("SLACK_WEBHOOK_URL"))
    return Settings(
        url, token, alert_filter, fields, int(digest), log_level.upper(), tuple(warnings)
    )


def _webhook_url(value: str) -> str:
    """The webhook's URL as it is sent, checked, and never quoted: it is a credential."""
    what_to_do = (
        "set it to your Slack incoming webhook's URL (https://hooks.slack.com/services/...),"
        f" or to {CONSOLE} to print the messages in the terminal instead"
    )
    if not value:
        raise ValueError(f"SLACK_WEBHOOK_URL is not set: {what_to_do}")
    if value == CONSOLE:
        return value
    try:
        sent = urldefrag(requests.Request("POST", value).prepare().url or "").url
        url = urlsplit(sent)
        secure = url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.hostname))
    except ValueError:  # requests' own are ValueErrors too
        secure = False
    if not secure or re.search(r"\s|\\|\.\.\.$", value):
        raise ValueError(f"SLACK_WEBHOOK_URL is no https:// URL: {what_to_do}")
    return sent


def _is_loopback(host: str | None) -> bool:
    """Whether plain HTTP stays on this machine; the tests post to a stub there."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False
