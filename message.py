"""The message: one Slack message for any number of alerts, readable, bounded and safe.

Attachments rather than blocks, because every Slack-compatible webhook knows them
(https://api.slack.com/reference/messaging/attachments). What it looks like is in
tests/test_message.py, as whole payloads, and in docs/message.svg.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from alerts import DEFAULT_FIELDS, FIELDS, Alert, Value

Message = dict[str, Any]  # what Slack's webhook takes, as JSON
# What a message looks like, and looks like next where Slack calls that malformed: the same facts
# as text only, then nothing that anyone typed.
FORMS = ("full", "plain", "counts")

MAX_SINGLE = 3  # events that get an attachment each; past it, like events share one
MAX_ATTACHMENTS = 10  # that a person reads; Slack recommends 20 and refuses over 100
MAX_OF_A_TYPE = 3  # attachments; a type that needs more is grouped more coarsely
MAX_TEXT = 3000  # characters of a text; Slack's limit for the text of a section
MAX_BYTES = (
    30_000  # of a whole message, so that a flood stays readable and quick to post
)
# Characters of a title and of a field's value, tried until MAX_BYTES are enough; Slack folds texts
# of over 700 behind "Show more", and some clients cut them.
ROOMS = (250, 120, 60)
MAX_LINE = 1000  # characters of an attachment as text only
MAX_SHORT = 60  # characters of a value that has room beside another
MAX_SHOWN = 5  # values of a field that are shown for a group of events
MAX_COUNTED = 3  # log types that the headline counts by name
MAX_REST = 40  # log types that the last attachment counts by name

COLOURS = {"failure": "#e01e5a", "limit": "#ecb22e", "": "#1d9bd1"}
GREY = "#9e9e9e"
EPOCH = datetime.fromtimestamp(0, UTC)
ALL_LOGS = "see Auth0's own logs, https://manage.auth0.com/#/logs"
WIDE = (
    "Cause",
    "Latest description",
    "User agent",
)  # labels whose values are sentences


def build_message(
    alerts: Sequence[Alert],
    fields: Sequence[str] = DEFAULT_FIELDS,
    form: str = FORMS[0],
    digest: bool = False,
) -> Message:
    """The message that stands for all the alerts, of which there is at least one.

    Never raises for any alert; never larger than MAX_BYTES, as encoded. `digest`: says that it
    is one, and since when.
    """
    if form == "counts":
        known = [
            alert if alert.name else replace(alert, code="unknown type")
            for alert in alerts
        ]
        return {
            "text": f"{_headline(known, digest)}\nSlack refused the details: {ALL_LOGS}"
        }
    groups, headline = _groups(alerts), _headline(alerts, digest)
    shown = MAX_ATTACHMENTS if len(groups) <= MAX_ATTACHMENTS else MAX_ATTACHMENTS - 1
    labels = [label for field in fields for label in FIELDS[field]]
    for room in ROOMS:  # pragma: no branch - in the last, any message fits
        used = labels if room > ROOMS[-1] else []
        attachments = [_attachment(group, used, room) for group in groups[:shown]]
        if len(alerts) == 1:
            attachments[0].pop("text", None)  # the headline has it
        message = {"text": headline, "attachments": attachments + _rest(groups[shown:])}
        if len(encode(message)) <= MAX_BYTES:
            break
    return _plain(message) if form == "plain" else message


def encode(message: Message) -> bytes:
    """The message as Slack takes it: JSON in UTF-8, not escaped to ASCII, which is longer."""
    return json.dumps(message, ensure_ascii=False).encode()


def _plain(message: Message) -> Message:
    """The same facts as text only."""
    text = message["text"].replace("*", "")
    for attachment in message["attachments"]:
        time = (
            [datetime.fromtimestamp(attachment["ts"], UTC)]
            if "ts" in attachment
            else []
        )
        parts = [attachment["title"], attachment.get("text")]
        parts += [
            f"{field['title']}: {field['value']}"
            for field in attachment.get("fields", ())
        ]
        parts += [attachment.get("footer"), _span(time)]
        line = _cut(" · ".join(filter(None, parts)).replace("`", ""), MAX_LINE)
        more = "\n".join(filter(None, [f"\n• {line}", attachment.get("title_link")]))
        if len(text + more) > MAX_TEXT - len("\n…"):
            text += "\n…"
            break
        text += more
    return {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}


def _headline(alerts: Sequence[Alert], digest: bool) -> str:
    """The message's `text`, which is the phone's notification too."""
    tenants = {alert.tenant for alert in alerts}
    place = f" in {alerts[0].tenant}" if len(tenants) == 1 and alerts[0].tenant else ""
    if digest:
        first = _span(_times(alerts)[:1])
        place += f", digest since {first}" if first else ", digest"
    if len(alerts) == 1:
        return f"*Auth0 log alert* {_escape(alerts[0].name or alerts[0].code)}{place}"
    counts = _counts(Counter(alert.code for alert in alerts), MAX_COUNTED)
    return f"*Auth0 log alert* {len(alerts):,} events{place}: {counts}"


def _groups(alerts: Sequence[Alert]) -> list[list[Alert]]:
    """The alerts, each for itself while they are few, else like with like, largest group first.

    Each type is grouped as finely as it stays readable, and as all types fit in a message.
    """
    if len(alerts) <= MAX_SINGLE:
        return [[alert] for alert in alerts]
    types = []  # for each, its groups: the finest first, then more and more coarsely
    for of_type in _split(alerts, lambda alert: alert.code):
        coarser = [_split(of_type, _client), [of_type]]
        finest = _split(of_type, lambda alert: (_client(alert), alert.description))
        types.append(
            [groups for groups in [finest, *coarser] if len(groups) <= MAX_OF_A_TYPE]
        )
    while sum(len(groups[0]) for groups in types) > max(MAX_ATTACHMENTS, len(types)):
        max(types, key=lambda groups: len(groups[0])).pop(0)
    groups = [group for of_type in types for group in of_type[0]]
    return sorted(groups, key=lambda group: (-len(group), group[0].group != "limit"))


def _split(
    alerts: Sequence[Alert], likeness: Callable[[Alert], object]
) -> list[list[Alert]]:
    groups: dict[object, list[Alert]] = {}
    for alert in alerts:
        groups.setdefault(likeness(alert), []).append(alert)
    return list(groups.values())


def _client(alert: Alert) -> Value | None:
    return alert.values.get("Client")


def _attachment(group: list[Alert], labels: Sequence[str], room: int) -> dict[str, Any]:
    """One attachment, for one event or for a group of like events."""
    newest = max(reversed(group), key=lambda alert: alert.time or EPOCH)
    alike = all(alert.description == newest.description for alert in group)
    words = newest.words if alike or not newest.name else newest.name
    count = f" ×{len(group):,}" if len(group) > 1 else ""
    ending = f" [type: {_text(newest.code, min(100, room // 2))}]{count}"
    title = _text(words, max(room - len(ending), 1)) + ending
    name = newest.name if newest.name.lower() not in words.lower() else ""
    span = _span(_times(group)) if len(group) > 1 else ""
    fields = [_field(label, group, newest, alike, room) for label in labels]
    attachment = {
        "color": COLOURS[newest.group],
        "fallback": title,
        "title": title,
        "title_link": newest.link,
        "text": " · ".join(filter(None, [_escape(name), span])),
        "fields": [field for field in fields if field],
        "mrkdwn_in": ["fields"] if any(fields) else [],
        "footer": newest.tenant
        or _text(" ".join(newest.values.get("Hostname", ())), 100),
        "ts": int(newest.time.timestamp()) if newest.time else None,
    }
    return {key: value for key, value in attachment.items() if value}


def _rest(groups: list[list[Alert]]) -> list[dict[str, Any]]:
    """The last attachment, when there are too many types: the rest of them, counted."""
    if not groups:
        return []
    types = Counter(alert.code for group in groups for alert in group)
    title = f"and {len(types)} more types, {types.total():,} events"
    return [
        {
            "color": GREY,
            "fallback": title,
            "title": title,
            "text": _counts(types, MAX_REST),
        }
    ]


def _counts(types: Counter[str], most: int) -> str:
    """The most frequent log types with their counts, and the count of the others."""
    counts = [
        f"{count:,} × {_text(code, 60)}" for code, count in types.most_common(most)
    ]
    others = sum(sorted(types.values())[:-most])
    return ", ".join([*counts, f"{others:,} × other types"] if others else counts)


def _times(alerts: Sequence[Alert]) -> list[datetime]:
    return sorted(alert.time for alert in alerts if alert.time)


def _span(times: list[datetime]) -> str:
    """The time that events span, in words, to the second."""
    if not times:
        return ""
    first, last = (f"{time:%Y-%m-%d %H:%M:%S}" for time in (times[0], times[-1]))
    if first == last:
        return f"{first} UTC"
    return f"{first} to {last.removeprefix(first[:11])} UTC"


def _field(
    label: str, group: list[Alert], newest: Alert, alike: bool, room: int
) -> dict[str, Any] | None:
    """A field of an attachment: the one value, or how many distinct ones and the first few."""
    values = [
        *dict.fromkeys(alert.values[label] for alert in group if label in alert.values)
    ]
    if label == "Cause" and alike:
        said = newest.description.lower()
        values = [
            value for value in values if value[0].lower().strip(" .!") not in said
        ]
    elif label == "Cause" and not values and newest.description:
        label, values = "Latest description", [(newest.description,)]
    if not values:
        return None
    shown, short = values[:MAX_SHOWN], label not in WIDE
    if label != "Client":  # whose name and id are two things
        shown = [(" ".join(value),) for value in shown]
    if len(values) > 1:
        label = f"{re.sub('y$', 'ie', label)}s ({len(values):,})"
        room = room // len(shown) - len(", …")
    text = ", ".join(_code(value, room) for value in shown)
    text += ", …" if len(values) > len(shown) else ""
    return {"title": label, "value": text, "short": short and len(text) <= MAX_SHORT}


def _code(value: Value, room: int) -> str:
    """A value as code, in which Slack reads nothing as formatting, and nothing as a link."""
    room = (room - len(value) + 1) // len(value) - len("``")
    return " ".join(f"`{_text(text.replace('`', 'ˋ'), room)}`" for text in value)


def _text(text: str, room: int) -> str:
    return _cut(_escape(text), room)


def _cut(escaped: str, room: int) -> str:
    """At most so many characters of an escaped text, never half an entity."""
    return (
        escaped
        if len(escaped) <= room
        else re.sub("&[a-z]*$", "", escaped[: room - 1]) + "…"
    )


def _escape(text: str) -> str:
    """Slack's three control characters, https://api.slack.com/reference/surfaces/formatting."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
