"""The message: one Slack message for any number of alerts, readable, bounded and safe.

Attachments rather than blocks, because every Slack-compatible webhook knows them
(https://api.slack.com/reference/messaging/attachments). What it looks like is in
tests/test_message.py, as whole payloads, and in docs/message.svg.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any
from urllib.parse import quote

from events import Event
from filters import Alert

Message = dict[str, Any]  # what Slack's webhook takes, as JSON

MAX_SINGLE = 10  # events that get an attachment each; past it, like events share one
MAX_ATTACHMENTS = 20  # what Slack recommends; it refuses over 100 (slack_sdk, Message)
MAX_TITLE = 1024  # characters; what Alertmanager cuts at, notify/slack/slack.go
MAX_VALUE = 300  # characters of a field; Slack folds longer texts behind "Show more"
MAX_TEXT = 3000  # characters of a text; Slack's limit for the text of a section
MAX_BYTES = 30_000  # of a whole message, so that a flood stays readable and quick to post
ROOMS = (MAX_TITLE, 250, 120, 60)  # characters of a title, tried until MAX_BYTES are enough
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
SOURCES = {"client": ("client_name", "client_id"), "user": ("user_name", "user_id")}
DEFAULT_FIELDS = ("client", "user", "connection", "ip")

_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Characters that show nothing or turn the text around them, and can so disguise it: soft hyphen,
# bidirectional marks, overrides and isolates, zero-width spaces, fillers, tags.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb\U00013430-\U00013438"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_TENANT = re.compile(r"[a-z0-9-]{1,63}")  # so a tenant's name needs no escaping anywhere
_AUTH0_HOST = re.compile(r"([a-z0-9-]{1,63})(?:\.([a-z]{2}))?\.auth0\.com")
_ENVIRONMENT = re.compile(r"[a-z]+-([a-z]{2})-\d+")


def read_fields(value: str = "") -> tuple[str, ...]:
    """Read SLACK_FIELDS: the fields to show, in order. Raises ValueError, quoting a wrong one."""
    names = [name for name in re.split(r"[,\s]+", value.lower()) if name]
    if names == ["none"]:
        return ()
    for name in names:
        if name not in LABELS:
            raise ValueError(
                f"SLACK_FIELDS has the field {name!r}: give none alone, or a comma-separated list"
                f" of {', '.join(LABELS)}"
            )
    return tuple(dict.fromkeys(names)) or DEFAULT_FIELDS


def build_message(alerts: Sequence[Alert], fields: Sequence[str] = DEFAULT_FIELDS) -> Message:
    """The message that stands for all the alerts, of which there is at least one.

    Never raises for any event that JSON can hold; never larger than MAX_BYTES, as encoded.
    """
    groups, headline = _groups(alerts), _headline(alerts)
    shown = MAX_ATTACHMENTS if len(groups) <= MAX_ATTACHMENTS else MAX_ATTACHMENTS - 1
    for room in ROOMS:  # pragma: no branch - in the last, any message fits
        used = fields if room > ROOMS[-1] else ()
        attachments = [_attachment(group, used, room) for group in groups[:shown]]
        if groups[shown:]:
            attachments.append(_remainder(groups[shown:]))
        message = {"text": headline, "attachments": attachments}
        if len(encode(message)) <= MAX_BYTES:
            break
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
    return {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}


def _headline(alerts: Sequence[Alert]) -> str:
    """The message's `text`, which is the phone's notification too."""
    if len(alerts) == 1:
        return "*Auth0 log alert*"
    headline = f"*Auth0 log alert* {len(alerts)} events"
    tenants = {_tenant(alert.event)[0] for alert in alerts}
    shared = tenants.pop() if len(tenants) == 1 else ""
    return f"{headline} in {shared}" if shared else headline


def _groups(alerts: Sequence[Alert]) -> list[list[Alert]]:
    """The alerts, each for itself while they are few, else like with like, largest group first."""
    if len(alerts) <= MAX_SINGLE:
        return [[alert] for alert in alerts]
    groups: dict[tuple[str, ...], list[Alert]] = {}
    for alert in alerts:
        event = alert.event
        key = (event["type"], _clean(event.get("description")), *_value("client", event))
        groups.setdefault(key, []).append(alert)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0].group != "limit"))


def _attachment(alerts: Sequence[Alert], fields: Sequence[str], room: int) -> dict[str, Any]:
    """One attachment, for one event or for a group of like events."""
    newest, span = _newest(alerts)
    event, name, limit = newest.event, newest.name, min(room, MAX_VALUE)
    count = f" ×{len(alerts)}" if len(alerts) > 1 else ""
    ending = f" [type: {_text(event['type'], min(100, room // 2))}]{count}"
    words = _clean(event.get("description")) or name or "Auth0 log event"
    title = _cut(_escape(words), max(room - len(ending), 1)) + ending
    adds = name.lower() not in words.lower()
    shown = [field for key in fields if (field := _field(key, alerts, limit))]
    time = _time(event)
    attachment = {
        "color": COLOURS[newest.group],
        "fallback": _cut(title, limit),
        "title": title,
        "title_link": _link(event),
        "text": " · ".join(filter(None, [name if adds else "", span])),
        "fields": shown,
        "mrkdwn_in": ["fields"] if shown else [],
        "footer": _tenant(event)[0],
        "ts": int(time.timestamp()) if time else None,
    }
    return {key: value for key, value in attachment.items() if value}


def _remainder(groups: list[list[Alert]]) -> dict[str, Any]:
    """The last attachment of a flood: what there was no room for, counted by log type."""
    types = Counter(alert.event["type"] for group in groups for alert in group)
    named = types.most_common(MAX_TYPES)
    counts = [f"{count} × {_text(code, 40)}" for code, count in named]
    if others := types.total() - sum(count for _, count in named):
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
    try:
        time = datetime.fromisoformat(event["date"])
        time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return time if time.year >= 1970 else None  # Slack's `ts` counts from there


def _field(key: str, alerts: Sequence[Alert], limit: int) -> dict[str, Any] | None:
    """A field of an attachment: the one value, or how many distinct ones and the first few."""
    values = [*filter(None, dict.fromkeys(_value(key, alert.event) for alert in alerts))]
    if not values:
        return None
    label, shown = LABELS[key], values[:MAX_SHOWN]
    if len(values) > 1:
        label = f"{label}s ({len(values)})"
        limit = limit // len(shown) - len(", …")
    text = ", ".join(_code(value, limit) for value in shown)
    more = ", …" if len(values) > len(shown) else ""
    return {"title": label, "value": text + more, "short": key != "user_agent"}


def _value(key: str, event: Event) -> tuple[str, ...]:
    """What an event says in a field: nothing, or one text, or a client's name and id."""
    names = SOURCES.get(key, (key,))
    texts = tuple(filter(None, (_clean(event.get(name)) for name in names)))
    return texts[:1] if key == "user" else texts


def _code(texts: Sequence[str], limit: int) -> str:
    """Texts as code spans, in which Slack reads nothing as formatting, and nothing as a link."""
    limit = (limit - len(texts) + 1) // len(texts) - len("``")
    return " ".join(f"`{_cut(_escape(text.replace('`', 'ˋ')), limit)}`" for text in texts)


def _tenant(event: Event) -> tuple[str, str]:
    """The tenant's name and its region, each empty where the event does not tell."""
    tenant, environment = _clean(event.get("tenant_name")), _clean(event.get("environment_name"))
    tenant = tenant if _TENANT.fullmatch(tenant) else ""
    if tenant and (region := _ENVIRONMENT.fullmatch(environment)):
        return tenant, region[1]
    if host := _AUTH0_HOST.fullmatch(_clean(event.get("hostname")).lower()):
        return tenant or host[1], host[2] or "us" if tenant in ("", host[1]) else ""
    return tenant, ""


def _link(event: Event) -> str:
    """The event's page in Auth0's Dashboard, or an empty string."""
    log_id, tenant, region = _clean(event.get("log_id")), *_tenant(event)
    page = f"dashboard/{region}/{quote(tenant, safe='')}" if region else "#"
    link = f"https://manage.auth0.com/{page}/logs/{quote(log_id, safe='')}"
    return link if log_id and len(link) <= MAX_LINK else ""


def _text(value: object, limit: int) -> str:
    return _cut(_escape(_clean(value)), limit)


def _clean(value: object) -> str:
    """A value as one line of text that shows all it has; empty for what is no text or number."""
    if isinstance(value, list):
        return ", ".join(filter(None, (_clean(item) for item in value if type(item) is not list)))
    if isinstance(value, int | float | Decimal):  # also a bool, which JSON writes in lower case
        return str(value).lower()
    if not isinstance(value, str):
        return ""
    if value.isascii() and value.isprintable():
        return value.strip()
    return _INVISIBLE.sub("", _CONTROL.sub(" ", _SURROGATE.sub("\ufffd", value))).strip()


def _escape(text: str) -> str:
    """Slack's three control characters, https://api.slack.com/reference/surfaces/formatting."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(escaped: str, limit: int) -> str:
    """At most so many characters of an escaped text, never half an entity."""
    if len(escaped) <= limit:
        return escaped
    return re.sub(r"&[a-z]*$", "", escaped[: limit - 1]) + "…"
