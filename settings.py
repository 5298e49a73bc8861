"""Settings: the environment variables, read and checked once, at start-up.

`SLACK_WEBHOOK_URL` and the variables of a channel may be given again with a name at the
end: `SLACK_WEBHOOK_URL_SECURITY` makes a channel, and `ALERT_TYPES_SECURITY` is its
own. Anything it leaves out is inherited from the first channel. The token and each
webhook may stand in a file: `AUTH0_LOG_STREAM_TOKEN_FILE` is then its path.

A parser gets a value, and returns what it means and warnings. What it raises or warns
of continues after the variable's name ("is 'x': give ..."), which is added here. All
wrong variables are told at once.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import Any

import requests

from alerts import read_fields
from filters import CLOSE, AlertFilter, read_ignore, read_types
from logs import LEVELS

# The variables, and what holds for one that is not set or empty.
CHANNEL_DEFAULTS = {
    "SLACK_WEBHOOK_URL": "",
    "ALERT_TYPES": "",
    "ALERT_IGNORE": "",
    "SLACK_FIELDS": "",
    "ALERT_DIGEST_SECONDS": "600",
}
TOKEN = "AUTH0_LOG_STREAM_TOKEN"  # noqa: S105
DEFAULTS = {**CHANNEL_DEFAULTS, TOKEN: "", "LOG_LEVEL": "INFO"}
OF_CHANNELS = tuple(f"{variable}_" for variable in CHANNEL_DEFAULTS)
MAX_DIGEST_SECONDS = 3600
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
NO_CHANNEL = (
    "belongs to no channel: a channel NAME has a SLACK_WEBHOOK_URL_NAME, and NAME is of"
    " capital letters, digits and _, but neither FILE nor something that ends in _FILE"
)
NEARLY_SET = (
    "is not set, but something like it is, which nothing reads: rename or remove that"
)

# The webhook of a named channel, and what names a secret's file. No channel is called
# FILE or X_FILE, because SLACK_WEBHOOK_URL_X_FILE names the file of the channel X.
_NAMED_WEBHOOK = re.compile(r"SLACK_WEBHOOK_URL_([A-Z0-9_]+)(?<!_FILE)")
_SECRET_FILE = re.compile(f"({TOKEN}|SLACK_WEBHOOK_URL(_[A-Z0-9_]+)?)_FILE")
_LIKE_OURS = re.compile("(?i)^(ALERT|SLACK)_|SLACK_WEBHOOK|AUTH0_LOG")
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_OF_KUBERNETES = re.compile("_SERVICE_HOST$|_PORT(_|$)")
# Straight quotes, and the curly ones that chats make of them.
_QUOTES = {
    """(?s)["'“”„‟‘’‚‛].*["'“”„‟‘’‚‛]$""": "starts and ends with a quote",
}
# How the URL of a webhook that can never work begins, and what is wrong with it.
_NO_WEBHOOK = {
    "(?i)console$": "is console without its colon",
    r".*(\.\.\.|…)": "is the example's, which ends in dots",
    r"(?i)http://(?!(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?([/?#]|$))": (
        "is an http:// URL, and plain HTTP goes to this machine only (localhost)"
    ),
    r"(?i)(?!https?://)|.*\\": "is not an https:// URL",
    "[^/]*//[^/?#]*/?(#|$)": "is a host without a path",
    ".*[${}<>]": "is a placeholder, in which something is still to be filled in",
    r"(?i)https://([^/]*\.)?slack(-gov)?\.com(:[0-9]+)?/(triggers|workflows)/": (
        "is a workflow's URL, which takes no messages"
    ),
    r"(?i)https://([^/]*\.)?slack(-gov)?\.com(:[0-9]+)?/(archives|client)/": (
        "is a channel's address for people, which takes no messages"
    ),
    # https://api.slack.com/messaging/webhooks
    r"(?i)https://hooks\.slack(-gov)?\.com(:[0-9]+)?[/?](?!services(/[^/]+){3}$)": (
        "is incomplete, or holds several URLs"
    ),
}
# A token is visible ASCII without quotes and backslashes, so that it looks the same in
# a log and in a repr, and can be redacted.
_NO_TOKEN = {
    r"(?i)bearer\s": "begins with Bearer, which only Auth0 may send",
    r"(?i)(\$\{.*\}|<.*>|change[-_ ]?me.*|[.…]+)$": "is a placeholder",
    r".*[^!#-&(-\[\]-~]": (
        "holds a space, a quote, a backslash or a letter that is not ASCII"
    ),
}

# What a parser returns: what a value means, and warnings.
Parsed = tuple[Any, list[str]]
Parser = Callable[[str], Parsed]


@dataclass(frozen=True)
class ChannelSettings:
    """What can be configured for a channel. repr() does not show the webhook's URL."""

    label: str  # in answers and the log; empty for an only channel
    webhook_variable: str  # the environment variable that has the webhook's URL
    webhook_url: str = field(repr=False)
    alert_filter: AlertFilter
    fields: tuple[str, ...]
    digest_seconds: int  # 0: no digest

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


class _Variables:
    """The variables that are set, and what is wrong or doubtful with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.given = {name: value.strip() for name, value in environ.items()}
        self.problems: dict[str, str] = {}  # by the variable's name
        self.warnings: list[str] = []
        self._read_files()

    def _read_files(self) -> None:
        """Replace each variable that names a secret's file by the secret."""
        for name, path in list(self.given.items()):
            if not _SECRET_FILE.fullmatch(name):
                continue
            del self.given[name]
            secret = name.removesuffix("_FILE")
            if not self.given.get(secret):
                # console: stands in for what is missing, so that this is told once.
                self.given[secret] = self._parse(_read_file, name, path) or CONSOLE
            elif path:
                self.problems[name] = "is set, and the one without _FILE too: keep one"

    def read(self, parser: Parser, variable: str, channel: str = "") -> Any:
        """What the variable says that holds for a channel: its own, or the first's.

        None if its value is wrong, which is then among the problems.
        """
        name = _variable(variable, channel)
        if name not in self.given:
            name = variable
        return self._parse(parser, name, self.given.get(name) or DEFAULTS[variable])

    def _parse(self, parser: Parser, name: str, value: str) -> Any:
        """What the parser returns; its warnings and what it raises are kept."""
        try:
            # A shell would have taken quotes off; `docker --env-file` does not.
            _refuse(value, _QUOTES, 'remove both (one of a pattern is written as ["])')
            parsed, warnings = parser(value)
        except ValueError as error:
            self.problems[name] = str(error)
            return None
        for warning in warnings:
            self.warnings.append(f"{name} {warning}")
        return parsed


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises ValueError, whose message has a line for each variable that is wrong: its
    name, and what to put there.
    """
    variables = _Variables(environ)
    names = _channel_names(variables.given)
    strays = _check_names(variables, names)
    channels = []
    for name in names:
        label = "" if len(names) == 1 else name or "first"
        channels.append(_read_channel(variables, name, label))
    _check_webhooks_differ(channels, variables.problems)
    token = variables.read(_read_token, TOKEN)
    log_level = variables.read(_read_log_level, "LOG_LEVEL")
    if variables.problems:
        lines = [f"{name} {wrong}" for name, wrong in variables.problems.items()]
        raise ValueError(".\n".join(lines + strays))
    # A variable that two channels share has been read twice: it warns once.
    warnings = tuple(dict.fromkeys(strays + variables.warnings))
    return Settings(tuple(channels), token, log_level, warnings)


def _channel_names(given: Mapping[str, str]) -> list[str]:
    """The names of the channels: the first one's is empty, the others are sorted."""
    names = {""}
    for variable in given:
        match = _NAMED_WEBHOOK.fullmatch(variable)
        if match:
            names.add(match[1])
    return sorted(names)


def _variable(variable: str, channel: str) -> str:
    """A variable's name for a channel: SLACK_FIELDS, or SLACK_FIELDS_SECURITY."""
    if channel:
        return f"{variable}_{channel}"
    return variable


def _check_names(variables: _Variables, channels: list[str]) -> list[str]:
    """A warning of all names that look like ours, but that nothing reads.

    Those of a channel without a webhook are problems. So is what may be meant for the
    token, if that is not set. No value is quoted, because it may be secret.
    """
    ours = list(DEFAULTS)
    for channel in channels:
        ours += [_variable(variable, channel) for variable in CHANNEL_DEFAULTS]
    strays = []
    for name in sorted(variables.given.keys() - ours):
        if name.startswith(OF_CHANNELS):
            # And goes on: a misspelt name gets a suggestion too.
            variables.problems[name] = NO_CHANNEL
        elif _OF_KUBERNETES.search(name):
            continue
        close = get_close_matches(name.upper(), ours, 1, CLOSE)
        if close:
            strays.append(f"{name} (did you mean {close[0]}?)")
        elif _LIKE_OURS.search(name) and name not in variables.problems:
            strays.append(name)
    if not strays:
        return []
    unread = "nothing reads these variables: " + ", ".join(strays)
    # Also where the sentence only suggests the token's name.
    if "AUTH0_LOG" in unread and not variables.given.get(TOKEN):
        variables.problems[TOKEN] = NEARLY_SET
    return [unread]


def _read_file(path: str) -> Parsed:
    """What a file says. Its path is not quoted: it may be the secret by mistake."""
    try:
        text = Path(path).read_text("utf-8", "replace").strip()
    except OSError as error:
        raise ValueError(
            f"names no file that can be read ({error.strerror}): correct its path, or"
            " let this service's user read it"
        ) from None
    if not text:
        raise ValueError("names an empty file: write the value into it")
    return text, []


def _read_channel(variables: _Variables, name: str, label: str) -> ChannelSettings:
    # read() gives None for what is wrong. The rest is checked all the same, so that all
    # is told at once: ALERT_IGNORE against every type, and the console as a webhook.
    chosen = variables.read(read_types, "ALERT_TYPES", name) or AlertFilter(["*"])
    return ChannelSettings(
        label=label,
        webhook_variable=_variable("SLACK_WEBHOOK_URL", name),
        webhook_url=variables.read(_read_webhook_url, "SLACK_WEBHOOK_URL", name)
        or CONSOLE,
        alert_filter=variables.read(
            lambda value: read_ignore(value, chosen), "ALERT_IGNORE", name
        ),
        fields=variables.read(_read_fields, "SLACK_FIELDS", name),
        digest_seconds=variables.read(_read_digest, "ALERT_DIGEST_SECONDS", name),
    )


def _read_webhook_url(value: str) -> Parsed:
    """The webhook's URL as it is sent. It is a credential, and so is never quoted."""
    if value == CONSOLE:
        return value, []
    if not value:
        raise ValueError("is not set: " + SET_WEBHOOK + LOCALLY)
    strange = re.search("[^!-~…]", value)
    if strange:
        raise ValueError(
            f"has U+{ord(strange[0]):04X}, where only visible ASCII may be, no space: "
            + SET_WEBHOOK
        )
    _refuse(value, _NO_WEBHOOK, SET_WEBHOOK)
    try:
        request = requests.Request("POST", value.partition("#")[0]).prepare()
    except ValueError:  # requests' own, which quote the URL
        raise ValueError("is not a valid URL: " + SET_WEBHOOK) from None
    return re.sub("^(https://[^/]*):443/", r"\1/", request.url or ""), []


def _refuse(value: str, reasons: Mapping[str, str], advice: str) -> None:
    """Raise ValueError for what begins as one of these patterns says."""
    for pattern, reason in reasons.items():
        if re.match(pattern, value):
            raise ValueError(f"{reason}: {advice}")


def _check_webhooks_differ(
    channels: list[ChannelSettings], problems: dict[str, str]
) -> None:
    """Note two channels with one webhook, which would show each alert twice."""
    for first, second in combinations(channels, 2):
        if first.webhook_url == second.webhook_url and not first.is_console:
            problems[second.webhook_variable] = (
                f"is the same webhook as {first.webhook_variable}: make another one for"
                " another Slack channel, or give one channel the ALERT_TYPES of both"
            )


def _read_token(value: str) -> Parsed:
    """The token, which is never quoted, and a warning if it can be guessed."""
    if not value:
        return "", ["is not set, so anyone can post to /api/logs: " + SET_BOTH]
    _refuse(value, _NO_TOKEN, SET_BOTH)
    if value == EXAMPLE_TOKEN:
        reason = "is .env.example's, which everybody knows: for real use, "
        return value, [reason + SET_BOTH]
    if len(value) < MIN_TOKEN:
        reason = f"has fewer than {MIN_TOKEN} characters, so somebody could guess it: "
        return value, [reason + SET_BOTH]
    return value, []


def _read_fields(value: str) -> Parsed:
    return read_fields(value), []


def _read_digest(value: str) -> Parsed:
    if not re.fullmatch("[0-9]{1,4}", value) or int(value) > MAX_DIGEST_SECONDS:
        raise ValueError(
            f"is {value!r}: give whole seconds, {MAX_DIGEST_SECONDS} at most, or 0 for"
            " no digest"
        )
    return int(value), []


def _read_log_level(value: str) -> Parsed:
    level = value.upper()
    if level not in LEVELS:
        raise ValueError(f"is {value!r}: give one of {', '.join(LEVELS)}")
    return level, []
