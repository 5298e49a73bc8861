"""Settings: the environment variables, read and checked once, at start-up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urldefrag, urlsplit

import requests

from alerts import read_fields
from filters import AlertFilter, read_filter
from logs import LEVELS

# All variables, and what holds for one that is not set or empty.
DEFAULTS = {
    "SLACK_WEBHOOK_URL": "",
    "AUTH0_LOG_STREAM_TOKEN": "",
    "ALERT_TYPES": "",
    "ALERT_IGNORE": "",
    "SLACK_FIELDS": "",
    "ALERT_DIGEST_SECONDS": "60",
    "LOG_LEVEL": "INFO",
}
MAX_DIGEST_SECONDS = 3600
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # hosts to which plain HTTP is safe
CONSOLE = "console:"  # the webhook URL that means: print the messages
MIN_TOKEN = 16  # characters
# What .env.example has, to be replaced.
EXAMPLE_TOKEN = "AUTH0_LOG_STREAM_TOKEN_VALUE"  # noqa: S105
SET_WEBHOOK = (
    "set it to your Slack incoming webhook's URL"
    f" (https://hooks.slack.com/services/...), or to {CONSOLE} to print the messages in"
    " the terminal instead"
)
SET_BOTH = (
    "set it to a long random value, and in Auth0 the stream's Authorization Token to"
    " the same"
)

# Visible ASCII without quotes and backslashes, so that whoever quotes the token, in a
# log or a repr, writes it in one way only, and it can be redacted.
_TOKEN = re.compile(r"[!#-&(-\[\]-~]+")
_QUOTED = re.compile(r"""(["'`]).*\1""")


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
        """What no output may contain: the webhook's URL and its path, the token."""
        secrets = {self.token}
        if self.webhook_url != CONSOLE:
            path = requests.Request("POST", self.webhook_url).prepare().path_url
            secrets |= {self.webhook_url, path}
        return secrets


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises ValueError, whose message names the variable and says what to put there.
    """
    given = {}
    for name, default in DEFAULTS.items():
        given[name] = environ.get(name, "").strip() or default
    token = given["AUTH0_LOG_STREAM_TOKEN"]
    warnings = _check_token(token)
    alert_filter, unmatched = read_filter(given["ALERT_TYPES"], given["ALERT_IGNORE"])
    for entry in unmatched:
        warnings.append(
            f"ALERT_TYPES has {entry!r}, which matches no log type known today: is it"
            " mistyped?"
        )
    return Settings(
        webhook_url=_read_webhook_url(given["SLACK_WEBHOOK_URL"]),
        token=token,
        alert_filter=alert_filter,
        fields=read_fields(given["SLACK_FIELDS"]),
        digest_seconds=_read_digest_seconds(given["ALERT_DIGEST_SECONDS"]),
        log_level=_read_log_level(given["LOG_LEVEL"]),
        warnings=tuple(warnings),
    )


def _check_token(token: str) -> list[str]:
    """Warn of a token that opens the door; raise ValueError for one we cannot redact."""
    if not token:
        return [
            "AUTH0_LOG_STREAM_TOKEN is not set: anyone can post to /api/logs; "
            + SET_BOTH
        ]
    if not _TOKEN.fullmatch(token):
        reason = "holds a space, a quote, a backslash or a letter that is not ASCII"
        if _QUOTED.fullmatch(token):
            reason = "is in quotes, which were taken literally: leave them out"
        raise ValueError(
            f"AUTH0_LOG_STREAM_TOKEN {reason}; {SET_BOTH}, of letters, digits and signs"
            " (visible ASCII), without quotes, backslashes and a leading Bearer"
        )
    if token == EXAMPLE_TOKEN or len(token) < MIN_TOKEN:
        guessed = f"the example's or under {MIN_TOKEN} characters, so can be guessed"
        return [f"AUTH0_LOG_STREAM_TOKEN is {guessed}; {SET_BOTH}"]
    return []


def _read_digest_seconds(value: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", value) or int(value) > MAX_DIGEST_SECONDS:
        raise ValueError(
            f"ALERT_DIGEST_SECONDS is {value!r}: give whole seconds,"
            f" {MAX_DIGEST_SECONDS} at most, or 0 for no digest"
        )
    return int(value)


def _read_log_level(value: str) -> str:
    level = value.upper()
    if level not in LEVELS:
        raise ValueError(f"LOG_LEVEL is {value!r}: give one of {', '.join(LEVELS)}")
    return level


def _read_webhook_url(value: str) -> str:
    """The webhook's URL as it is sent, checked, and never quoted: it is a credential."""
    if value == CONSOLE:
        return value
    if not value:
        raise ValueError(f"SLACK_WEBHOOK_URL is not set: {SET_WEBHOOK}")
    try:
        sent = urldefrag(requests.Request("POST", value).prepare().url or "").url
        url = urlsplit(sent)
    except ValueError:  # requests' own are ValueErrors too
        raise ValueError(
            f"SLACK_WEBHOOK_URL is no https:// URL: {SET_WEBHOOK}"
        ) from None
    plain = url.scheme == "http" and url.hostname in LOOPBACK
    if not (url.scheme == "https" or plain) or re.search(r"\s|\\|\.\.\.$", value):
        raise ValueError(f"SLACK_WEBHOOK_URL is no https:// URL: {SET_WEBHOOK}")
    return sent
