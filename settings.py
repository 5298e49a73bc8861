"""Settings: the environment variables, read and checked once, at start-up.

`SLACK_WEBHOOK_URL` and the variables of a channel may be given again with a name at the
end: `SLACK_WEBHOOK_URL_SECURITY` makes a channel, and `ALERT_TYPES_SECURITY` is its
own. What a channel is not given is as for the first one.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import SplitResult, urlsplit

import requests

from alerts import read_fields
from filters import CLOSE, AlertFilter, read_filter
from logs import LEVELS

# The variables, and what holds for one that is not set or empty.
CHANNEL_DEFAULTS = {
    "SLACK_WEBHOOK_URL": "",
    "ALERT_TYPES": "",
    "ALERT_IGNORE": "",
    "SLACK_FIELDS": "",
    "ALERT_DIGEST_SECONDS": "600",
}
DEFAULTS = {**CHANNEL_DEFAULTS, "AUTH0_LOG_STREAM_TOKEN": "", "LOG_LEVEL": "INFO"}
MAX_DIGEST_SECONDS = 3600
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # hosts to which plain HTTP is safe
CONSOLE = "console:"  # the webhook URL that means: print the messages
MIN_TOKEN = 16  # characters
# What .env.example has, to be replaced.
EXAMPLE_TOKEN = "AUTH0_LOG_STREAM_TOKEN_VALUE"  # noqa: S105
SET_WEBHOOK = (
    "set it to the URL of your Slack incoming webhook"
    " (https://hooks.slack.com/services/..., made at https://api.slack.com/apps), or to"
    f" {CONSOLE} to print the messages in the terminal"
)
LOCALLY = (
    ". To try it on your own machine: cp .env.example .env, then flask run, which reads"
    " .env (gunicorn does not)"
)
SET_BOTH = (
    "set it to a long random value, and set the stream's Authorization Token in Auth0"
    " to the same value"
)
MIN_PREFIX = 8  # letters of ours that make another name look like a mistake
QUOTES = "\"'“”„‟‘’‚‛"  # straight ones, and the curly ones that chats make of them

_NAME = re.compile("[A-Z0-9_]+")
# Of a Slack incoming webhook: https://api.slack.com/messaging/webhooks.
_SLACK_PATH = re.compile("/services/[^/,]+/[^/,]+/[^/,]+")
# Visible ASCII without quotes and backslashes: such a token looks the same in a log and
# in a repr, so it can be redacted.
_TOKEN = re.compile(r"[!#-&(-\[\]-~]+")


@dataclass(frozen=True)
class ChannelSettings:
    """What can be configured for a channel. repr() does not show the webhook's URL."""

    name: str  # empty for the first channel, that of SLACK_WEBHOOK_URL
    label: str  # in answers and the log; empty for an only channel
    webhook_url: str = field(repr=False)
    alert_filter: AlertFilter
    fields: tuple[str, ...]
    digest_seconds: int  # 0: no digest

    @property
    def webhook_variable(self) -> str:
        """The environment variable that has the webhook's URL."""
        return _variable("SLACK_WEBHOOK_URL", self.name)

    @property
    def is_console(self) -> bool:
        """Whether its messages are printed, instead of posted to Slack."""
        return self.webhook_url == CONSOLE


@dataclass(frozen=True)
class Settings:
    """All that can be configured. repr() shows neither webhook URLs nor the token."""

    channels: tuple[ChannelSettings, ...]  # at least one
    token: str = field(repr=False)  # empty: the endpoint is open
    log_level: str
    warnings: tuple[str, ...]  # what is allowed but hardly meant

    @property
    def secrets(self) -> set[str]:
        """What no output may contain: each webhook's URL and its path, the token."""
        secrets = {self.token}
        for channel in self.channels:
            if not channel.is_console:
                sent = requests.Request("POST", channel.webhook_url).prepare()
                secrets |= {channel.webhook_url, sent.path_url}
        return secrets


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises ValueError, whose message names the variable and says what to put there.
    """
    given = {name: value.strip() for name, value in environ.items()}
    names = _channel_names(given)
    warnings = _check_variables(given, names)
    if not given.get("SLACK_WEBHOOK_URL"):
        # A misspelt name is the likeliest reason, so it comes first.
        reasons = [*warnings, f"SLACK_WEBHOOK_URL is not set: {SET_WEBHOOK}{LOCALLY}"]
        raise ValueError("; ".join(reasons))
    channels = []
    for name in names:
        label = "" if len(names) == 1 else name or "first"
        channel, said = _read_channel(given, name, label)
        channels.append(channel)
        warnings += said
    _check_webhooks_differ(channels)
    token = given.get("AUTH0_LOG_STREAM_TOKEN", "")
    warnings += _check_token(token)
    return Settings(
        channels=tuple(channels),
        token=token,
        log_level=_read_log_level(*_lookup(given, "LOG_LEVEL")),
        # A variable that two channels share has been read twice: it warns once.
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _channel_names(given: Mapping[str, str]) -> list[str]:
    """The names of the channels: the first one's is empty, the others are sorted."""
    prefix = "SLACK_WEBHOOK_URL_"
    names = [""]
    for variable in sorted(given):
        if variable.startswith(prefix):
            names.append(variable.removeprefix(prefix))
            if not _NAME.fullmatch(names[-1]):
                raise ValueError(
                    f"{variable} has no channel's name at its end: write capital"
                    f" letters, digits and _ after {prefix}, for instance SECURITY"
                )
    return names


def _variable(variable: str, channel: str) -> str:
    """A variable's name for a channel: SLACK_FIELDS, or SLACK_FIELDS_SECURITY."""
    if channel:
        return f"{variable}_{channel}"
    return variable


def _check_variables(given: Mapping[str, str], channels: list[str]) -> list[str]:
    """Warn of names that look like ours. No value is quoted, because it may be secret.

    Raises ValueError for the variable of a channel that has no webhook, and for a value
    in quotes.
    """
    ours = list(DEFAULTS)
    for channel in channels:
        ours += [_variable(variable, channel) for variable in CHANNEL_DEFAULTS]
    warnings = []
    for name, value in sorted(given.items()):
        if name in ours:
            _check_quotes(name, value)
            continue
        hint = ""
        close = get_close_matches(name.upper(), ours, 1, CLOSE)
        if len(name) >= MIN_PREFIX:
            close += [variable for variable in ours if variable.startswith(name)]
        if close:
            hint = f" (did you mean {close[0]}?)"
            warnings.append(f"{name} is set, but nothing reads it{hint}")
        for variable in CHANNEL_DEFAULTS:
            if name.startswith(f"{variable}_"):
                webhook = name.replace(variable, "SLACK_WEBHOOK_URL", 1)
                raise ValueError(
                    f"{name} belongs to no channel{hint}: set {webhook} too, or remove"
                    f" {name}"
                )
    return warnings


def _check_quotes(name: str, value: str) -> None:
    """Raise ValueError for a value in quotes, which a shell would have taken off.

    `docker --env-file` does not, nor does any platform's form.
    """
    if len(value) < 2 or value[0] not in QUOTES or value[-1] not in QUOTES:
        return
    reason = f"the value of {name} starts and ends with a quote: remove both quotes"
    if name.startswith("ALERT_IGNORE"):
        reason += ' (write a quote that belongs to the pattern as ["])'
    raise ValueError(reason)


def _lookup(
    given: Mapping[str, str], variable: str, channel: str = ""
) -> tuple[str, str]:
    """The variable that holds for a channel, its own or the first's, and its value."""
    name = _variable(variable, channel)
    if name not in given:
        name = variable
    return name, given.get(name) or DEFAULTS[variable]


def _read_channel(
    given: Mapping[str, str], channel: str, label: str
) -> tuple[ChannelSettings, list[str]]:
    """A channel's settings, and warnings of what is allowed but hardly meant."""
    types_name, types = _lookup(given, "ALERT_TYPES", channel)
    ignore_name, ignore = _lookup(given, "ALERT_IGNORE", channel)
    alert_filter, warnings = read_filter(types, ignore, (types_name, ignore_name))
    fields_name, fields = _lookup(given, "SLACK_FIELDS", channel)
    settings = ChannelSettings(
        name=channel,
        label=label,
        webhook_url=_read_webhook_url(*_lookup(given, "SLACK_WEBHOOK_URL", channel)),
        alert_filter=alert_filter,
        fields=read_fields(fields, fields_name),
        digest_seconds=_read_digest(*_lookup(given, "ALERT_DIGEST_SECONDS", channel)),
    )
    return settings, warnings


def _read_webhook_url(name: str, value: str) -> str:
    """The webhook's URL as it is sent. It is a credential, and so is never quoted."""
    if value == CONSOLE:
        return value
    url = urlsplit("")
    with suppress(ValueError):  # requests' own are ValueErrors too, and quote the URL
        url = urlsplit(requests.Request("POST", value).prepare().url or "")
    wrong = _wrong_with(value, url)
    if wrong:
        raise ValueError(f"{name} is {wrong}: {SET_WEBHOOK}")
    return url._replace(fragment="").geturl()


def _wrong_with(value: str, url: SplitResult) -> str:
    """What is wrong with a webhook's URL, as given and as sent; "" for nothing."""
    if not value:
        return "not set"
    if value.lower() == CONSOLE.removesuffix(":"):
        return f"{value}, without the colon of {CONSOLE}"
    if "..." in value or "…" in value:
        return "the example's, which ends in dots"
    host = url.hostname or ""
    plain = url.scheme == "http" and host in LOOPBACK
    if not (url.scheme == "https" or plain) or re.search(r"\s|\\", value):
        return "no https:// URL"
    if url.path in ("", "/") and not url.query:
        return "a host without a path"
    if re.search(r"[${}<>]", value):
        return "a placeholder, in which something is still to be filled in"
    if host == "slack.com" or host.endswith(".slack.com"):
        if url.path.startswith(("/triggers/", "/workflows/")):
            return "a workflow's URL, which takes no messages"
        if url.path.startswith(("/archives/", "/client/")):
            return "a channel's address for people, which takes no messages"
    if host == "hooks.slack.com" and not _SLACK_PATH.fullmatch(url.path):
        return "not whole, or more than one URL"
    return ""


def _check_webhooks_differ(channels: list[ChannelSettings]) -> None:
    """Raise ValueError for two channels with one webhook, which alerts twice."""
    seen: dict[str, str] = {}
    for channel in channels:
        name = channel.webhook_variable
        url = channel.webhook_url
        if url in seen and not channel.is_console:
            raise ValueError(
                f"{name} is the same webhook as {seen[url]}: make another one for"
                " another Slack channel, or give one channel the ALERT_TYPES of both"
            )
        seen[url] = name


def _check_token(token: str) -> list[str]:
    """Warn of a token that can be guessed; raise ValueError for a malformed one."""
    if not token:
        return [
            "AUTH0_LOG_STREAM_TOKEN is not set, so anyone can post to /api/logs: "
            + SET_BOTH
        ]
    if re.match(r"bearer\s", token, re.IGNORECASE):
        raise ValueError(
            "AUTH0_LOG_STREAM_TOKEN begins with Bearer: leave that word out here (Auth0"
            " may send it)"
        )
    if not _TOKEN.fullmatch(token):
        raise ValueError(
            "AUTH0_LOG_STREAM_TOKEN holds a space, a quote, a backslash or a letter"
            f" that is not ASCII: {SET_BOTH}"
        )
    if token == EXAMPLE_TOKEN:
        return [
            "AUTH0_LOG_STREAM_TOKEN is still the one of .env.example, which everybody"
            f" knows. That will do for trying out. For real use, {SET_BOTH}"
        ]
    if len(token) < MIN_TOKEN:
        return [
            f"AUTH0_LOG_STREAM_TOKEN has fewer than {MIN_TOKEN} characters, so somebody"
            f" could guess it: {SET_BOTH}"
        ]
    return []


def _read_digest(name: str, value: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", value) or int(value) > MAX_DIGEST_SECONDS:
        raise ValueError(
            f"{name} is {value!r}: give whole seconds, {MAX_DIGEST_SECONDS} at most, or"
            " 0 for no digest"
        )
    return int(value)


def _read_log_level(name: str, value: str) -> str:
    level = value.upper()
    if level not in LEVELS:
        raise ValueError(f"{name} is {value!r}: give one of {', '.join(LEVELS)}")
    return level
