"""Settings: the environment variables, read and checked once, at start-up."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urldefrag, urlsplit

import requests

from alerts import read_fields
from filters import AlertFilter, read_filter
from logs import LEVELS

MAX_DIGEST_SECONDS = 3600
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # hosts to which plain HTTP is safe
CONSOLE = "console:"  # the webhook URL that means: print the messages
MIN_TOKEN = 16  # characters
EXAMPLE_TOKEN = "AUTH0_LOG_STREAM_TOKEN_VALUE"  # noqa: S105 - what .env.example has, to be replaced
SET_IT = "set it to a long random value, and in Auth0 the stream's Authorization Token to the same"


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
        as_latin_1 = os.fsencode(self.token).decode(
            "latin-1"
        )  # so HTTP servers read headers
        tokens = {
            self.token,
            as_latin_1,
            repr(self.token)[1:-1],
            repr(as_latin_1)[1:-1],
        }
        if self.webhook_url == CONSOLE:
            return tokens
        path = requests.Request("POST", self.webhook_url).prepare().path_url
        return tokens | {self.webhook_url, path}


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises ValueError, whose message names the variable and says what to put there.
    """

    def variable(name: str, default: str = "") -> str:
        return environ.get(name, "").strip() or default

    token, warnings = variable("AUTH0_LOG_STREAM_TOKEN"), []
    if not token:
        warnings.append(
            f"AUTH0_LOG_STREAM_TOKEN is not set: anyone can post to /api/logs; {SET_IT}"
        )
    elif token == EXAMPLE_TOKEN or len(token) < MIN_TOKEN:
        guessed = f"the example's or under {MIN_TOKEN} characters, so can be guessed"
        warnings.append(f"AUTH0_LOG_STREAM_TOKEN is {guessed}; {SET_IT}")
    alert_filter, unmatched = read_filter(
        variable("ALERT_TYPES"), variable("ALERT_IGNORE")
    )
    warnings += [
        f"ALERT_TYPES has {entry!r}, which matches no log type known today: is it mistyped?"
        for entry in unmatched
    ]
    digest = variable("ALERT_DIGEST_SECONDS", "60")
    if not re.fullmatch("[0-9]{1,4}", digest) or int(digest) > MAX_DIGEST_SECONDS:
        raise ValueError(
            f"ALERT_DIGEST_SECONDS is {digest!r}: give whole seconds, {MAX_DIGEST_SECONDS} at most,"
            " or 0 for no digest"
        )
    level = variable("LOG_LEVEL", "INFO").upper()
    if level not in LEVELS:
        raise ValueError(
            f"LOG_LEVEL is {variable('LOG_LEVEL')!r}: give one of {', '.join(LEVELS)}"
        )
    fields = read_fields(variable("SLACK_FIELDS"))
    url = _webhook_url(variable("SLACK_WEBHOOK_URL"))
    return Settings(
        url, token, alert_filter, fields, int(digest), level, tuple(warnings)
    )


def _webhook_url(value: str) -> str:
    """The webhook's URL as it is sent, checked, and never quoted: it is a credential."""
    if value == CONSOLE:
        return value
    try:
        sent = urldefrag(requests.Request("POST", value).prepare().url or "").url
        url = urlsplit(sent)
        secure = url.scheme == "https" or (
            url.scheme == "http" and url.hostname in LOOPBACK
        )
    except ValueError:  # requests' own are ValueErrors too
        secure = False
    if not secure or re.search(r"\s|\\|\.\.\.$", value):
        raise ValueError(
            f"SLACK_WEBHOOK_URL is {'no https:// URL' if value else 'not set'}: set it to your"
            " Slack incoming webhook's URL (https://hooks.slack.com/services/...), or to"
            f" {CONSOLE} to print the messages in the terminal instead"
        )
    return sent
