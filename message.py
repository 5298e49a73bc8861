"""The message: one Slack message for any number of alerts, readable, bounded and safe.

Attachments rather than blocks, because every Slack-compatible webhook knows them
(https://api.slack.com/reference/messaging/attachments). What it looks like is in
tests/test_message.py, as whole payloads, and in docs/message.svg.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple
from urllib.parse import quote

from events import Event
from filters import Alert

Message = dict[str, Any]  # what Slack's webhook takes, as JSON

MAX_SINGLE = 10  # events that get an attachment each; past it, like events share one
MAX_ATTACHMENTS = 20  # Slack recommends no more and refuses 100, api.slack.com/changelog/2018-04
MAX_TITLE = 1024  # characters; what Alertmanager cuts at, notify/slack/slack.go
MAX_VALUE = 300  # characters of a field; Slack folds longer texts behind "Show more"
MAX_TEXT = 3000  # characters of a text; Slack's limit for the text of a section
MAX_BYTES = 30_000  # of a whole message, so that a flood stays readable and quick to post
MAX_LINK = 300  # characters; a real one has about 150
MAX_SHOWN = 5  # values of a field that are shown for a group of events
MAX_TYPES = 12  # log types that the last attachment counts by name

COLOURS = {"failure": "#e01e5a", "limit": "#ecb22e", "": "#1d9bd1"}
GREY = "#9e9e9e"
LABELS = {
    "client": "Client",
    "user": "User",
    "connection": "Connection",
    "ip": "IP",
    "user_agent": "User agent",
    "hostname": "Hostname",
    "log_id": "Log ID",
}
DEFAULT_FIELDS = ("client", "user", "connection", "ip")

_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Characters that show nothing or turn the text around them, and can so disguise it: soft hyphen,
# bidirectional marks, overrides and isolates, zero-width spaces, fillers, tags.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_AUTH0_HOST = re.compile(r"([a-z0-9-]+)(?:\.([a-z]{2}))?\.auth0\.com")
_ENVIRONMENT = re.compile(r"[a-z]+-([a-z]{2})-\d+")


class _Size(NamedTuple):
    """How much of each text there is room for."""

    title: int
    value: int
    fields: bool


# Tried in this order until a message fits MAX_BYTES; with the last one, any does.
_SIZES = (
    _Size(MAX_TITLE, MAX_VALUE, True),
    _Size(256, 120, True),
    _Size(120, 60, True),
    _Size(60, 30, False),
)


def read_fields(value: str = "") -> tuple[str, ...]:
    """Read SLACK_FIELDS: the fields to show, in order. Raises ValueError, quoting a wrong one."""
    names = [name for name in re.split(r"[,\s]+", value.lower()) if name]
    if names == ["none"]:
        return ()
    for name in names:
        if name not in LABELS:
            raise ValueError(
                f"SLACK_FIELDS has the field {name!r}: give none, or a comma-separated list of"
                f" {', '.join(LABELS)}"
            )
    return tuple(dict.fromkeys(names)) or DEFAULT_FIELDS


def build_message(alerts: Sequence[Alert], fields: Sequence[str] = DEFAULT_FIELDS) -> Message:
    """The message that stands for all the alerts, of which there is at least one.

    Never raises for any event that JSON can hold; never larger than MAX_BYTES, as encoded.
    """
    groups, headline = _groups(alerts), _headline(alerts)
    messages = (
        {"text": headline, "attachments": _attachments(groups, fields if size.fields else (), size)}
        for size in _SIZES
    )
    message = next(messages)
    while len(encode(message)) > MAX_BYTES:
        message = next(messages)
    return message


def encode(message: Message) -> bytes:
    """The message as Slack takes it: JSON in UTF-8, not escaped to ASCII, which is longer."""
    return json.dumps(message, ensure_ascii=False).encode()


def plain_form(message: Message) -> Message:
    """The same facts as text only, for when Slack refuses a message as malformed."""
    lines = [message["text"].replace("*", "")]
    for attachment in message["attachments"]:
        parts = [attachment["title"], attachment.get("text", "")]
        parts += [f"{field['title']}: {field['value']}" for field in attachment.get("fields", ())]
        line = _cut(" · ".join(filter(None, parts)), MAX_VALUE)
        lines.append("\n".join(filter(None, ["• " + line, attachment.get("title_link")])))
    text = "\n".join(lines)
    if len(text) > MAX_TEXT:
        text = _cut(text[: text.rindex("\n•", 0, MAX_TEXT)] + "\n…", MAX_TEXT)
    return {"text": text, "mrkdwn": False, "unfurl_links": False}


def _headline(alerts: Sequence[Alert]) -> str:
    """The message's `text`, which is the phone's notification too."""
    if len(alerts) == 1:
        return "*Auth0 log alert*"
    headline = f"*Auth0 log alert* {len(alerts)} events"
    tenants = {_tenant(alert.event)[0] for alert in alerts}
    shared = _text(tenants.pop(), MAX_VALUE) if len(tenants) == 1 else ""
    return f"{headline} in {shared}" if shared else headline


def _groups(alerts: Sequence[Alert]) -> list[list[Alert]]:
    """The alerts, each for itself while they are few, else like with like, largest group first."""
    if len(alerts) <= MAX_SINGLE:
        return [[alert] for alert in alerts]
    groups: dict[tuple[str, ...], list[Alert]] = {}
    for alert in alerts:
        event = alert.event
        key = (event["type"], _clean(event.get("description")), *_field("client", event))
        groups.setdefault(key, []).append(alert)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0].group != "limit"))


def _attachments(
    groups: list[list[Alert]], fields: Sequence[str], size: _Size
) -> list[dict[str, Any]]:
    if len(groups) <= MAX_ATTACHMENTS:
        return [_attachment(group, fields, size) for group in groups]
    shown, rest = groups[: MAX_ATTACHMENTS - 1], groups[MAX_ATTACHMENTS - 1 :]
    return [*(_attachment(group, fields, size) for group in shown), _remainder(rest)]


def _attachment(alerts: Sequence[Alert], fields: Sequence[str], size: _Size) -> dict[str, Any]:
    """One attachment, for one event or for a group of like events."""
    newest, span = _newest(alerts)
    event, name = newest.event, newest.name
    count = f" ×{len(alerts)}" if len(alerts) > 1 else ""
    ending = f" [type: {_text(event['type'], min(100, size.title // 2))}]{count}"
    description = _clean(event.get("description"))
    words = description or name or "Auth0 log event"
    title = _cut(_escape(words), size.title - len(ending)) + ending
    attachment: dict[str, Any] = {
        "color": COLOURS[newest.group],
        "fallback": _cut(title, size.value),
        "title": title,
    }
    if link := _link(event):
        attachment["title_link"] = link
    notes = [name if name.lower() not in words.lower() else "", span]
    if text := " · ".join(filter(None, notes)):
        attachment["text"] = text
    if shown := list(filter(None, (_shown_field(name, alerts, size.value) for name in fields))):
        attachment["fields"] = shown
        attachment["mrkdwn_in"] = ["fields"]
    if tenant := _text(_tenant(event)[0], size.value):
        attachment["footer"] = tenant
    if time := _time(event):
        attachment["ts"] = int(time.timestamp())
    return attachment


def _remainder(groups: list[list[Alert]]) -> dict[str, Any]:
    """The last attachment of a flood: what there was no room for, counted by log type."""
    types = Counter(alert.event["type"] for group in groups for alert in group)
    counts = [f"{count} × {_text(code, 40)}" for code, count in types.most_common(MAX_TYPES)]
    if others := types.total() - sum(count for _, count in types.most_common(MAX_TYPES)):
        counts.append(f"{others} × other types")
    title = f"and {len(groups)} more groups, {types.total()} events: {', '.join(counts)}"
    return {"color": GREY, "fallback": title, "title": title}


def _newest(alerts: Sequence[Alert]) -> tuple[Alert, str]:
    """The newest alert, and for several the time that they span, in words."""
    timed = [(time, alert) for alert in alerts if (time := _time(alert.event))]
    if not timed:
        return alerts[-1], ""
    first, _ = min(timed, key=itemgetter(0))
    last, newest = max(timed, key=itemgetter(0))
    if len(alerts) == 1:
        return newest, ""
    until = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return newest, f"{first:%Y-%m-%d %H:%M:%S} to {until} UTC"


def _time(event: Event) -> datetime | None:
    date = event.get("date")
    if not isinstance(date, str):
        return None
    try:
        time = datetime.fromisoformat(date.replace("Z", "+00:00"))
        time = time.replace(tzinfo=time.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
    return time if time.year >= 1970 else None  # Slack's `ts` counts from there


def _shown_field(name: str, alerts: Sequence[Alert], limit: int) -> dict[str, Any] | None:
    """A field of an attachment: the one value, or how many distinct ones and the first few."""
    values = list(dict.fromkeys(_field(name, alert.event) for alert in alerts))
    values = [value for value in values if any(value)]
    if not values:
        return None
    label, shown = LABELS[name], values[:MAX_SHOWN]
    if len(values) > 1:
        label = f"{label}s ({len(values)})"
        limit = limit // len(shown) - len(", …")
    text = ", ".join(_format(*value, limit) for value in shown)
    more = ", …" if len(values) > len(shown) else ""
    return {"title": label, "value": text + more, "short": name != "user_agent"}


def _field(name: str, event: Event) -> tuple[str, str]:
    """What an event says in a field: what stands in plain text, and what stands as code."""
    if name == "client":
        return _clean(event.get("client_name")), _clean(event.get("client_id"))
    if name == "user":
        return "", _clean(event.get("user_name")) or _clean(event.get("user_id"))
    return "", _clean(event.get(name))


def _format(plain: str, code: str, limit: int) -> str:
    """Slack's formatting for a field. In a code span nothing is read as formatting or a link."""
    span = f"`{_cut(_escape(code.replace('`', 'ˋ')), limit // 2 if plain else limit - 2)}`"
    if not plain:
        return span
    name = _cut(_escape(plain.replace("`", "ˋ")), limit - len(span) - 1 if code else limit)
    return f"{name} {span}" if code else name


def _tenant(event: Event) -> tuple[str, str]:
    """The tenant's name and its region, each empty where the event does not tell."""
    tenant, environment = _clean(event.get("tenant_name")), _clean(event.get("environment_name"))
    if tenant and (region := _ENVIRONMENT.fullmatch(environment)):
        return tenant, region[1]
    if host := _AUTH0_HOST.fullmatch(_clean(event.get("hostname")).lower()):
        return tenant or host[1], host[2] or "us" if tenant in ("", host[1]) else ""
    return tenant, ""


def _link(event: Event) -> str:
    """The event's page in Auth0's Dashboard, or an empty string."""
    log_id = _quote(event.get("log_id"))
    tenant, region = _tenant(event)
    if region:
        link = f"https://manage.auth0.com/dashboard/{region}/{_quote(tenant)}/logs/{log_id}"
    else:
        link = f"https://manage.auth0.com/#/logs/{log_id}"
    return link if log_id and len(link) <= MAX_LINK else ""


def _quote(value: object) -> str:
    return quote(_clean(value), safe="")


def _text(value: object, limit: int) -> str:
    return _cut(_escape(_clean(value)), limit)


def _clean(value: object) -> str:
    """A value as one line of text that shows all it has; empty for what is no text or number."""
    if isinstance(value, list):
        return ", ".join(filter(None, (_clean(item) for item in value if not _nested(item))))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return str(value)
    if not isinstance(value, str):
        return ""
    if value.isascii() and value.isprintable():
        return value.strip()
    return _INVISIBLE.sub("", _CONTROL.sub(" ", _SURROGATE.sub("\ufffd", value))).strip()


def _nested(value: object) -> bool:
    return isinstance(value, list | dict)


def _escape(text: str) -> str:
    """Slack's three control characters, https://api.slack.com/reference/surfaces/formatting."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(escaped: str, limit: int) -> str:
    """At most so many characters of an escaped text, never half an entity."""
    if len(escaped) <= limit:
        return escaped
    return re.sub(r"&[a-z]*$", "", escaped[: limit - 1]) + "…"
