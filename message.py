"""The message: one Slack message for any number of alerts, readable, bounded and safe.

It has attachments rather than blocks, because every Slack-compatible webhook knows them
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
# What a message looks like; and what it looks like where Slack calls that malformed:
# only counts, with nothing that anyone typed.
FORMS = ("full", "counts")

MAX_SINGLE = 3  # events that get an attachment each; of more, like events share one
MAX_ATTACHMENTS = 10  # that a person reads; Slack recommends 20 and refuses over 100
MAX_OF_A_TYPE = 3  # attachments; a type that needs more is grouped more coarsely
MAX_TEXT = 3000  # characters of a text; Slack's limit for the text of a section
# Bytes of a whole message, so that a flood stays readable and quick to post.
MAX_BYTES = 30_000
MAX_SHORT = 60  # characters of a value that has room beside another
MAX_SHOWN = 5  # values of a field that are shown for a group of events
MAX_COUNTED = 3  # log types that the headline counts by name
MAX_REST = 40  # log types that the last attachment counts by name

# Characters of a title and of a field's value, and whether there are fields: tried one
# after the other until MAX_BYTES are enough. Slack folds texts of over 700 characters
# behind "Show more", and some clients cut them.
ATTEMPTS = ((250, True), (120, True), (60, False))

COLOURS = {"failure": "#e01e5a", "limit": "#ecb22e", "": "#1d9bd1"}
GREY = "#9e9e9e"
EPOCH = datetime.fromtimestamp(0, UTC)
ALL_LOGS = "see Auth0's own logs, https://manage.auth0.com/#/logs"
WIDE = ("Cause", "User agent")  # labels whose values are sentences
LABELS = {name: label for labels in FIELDS.values() for name, label in labels.items()}

Field = dict[str, Any]  # of an attachment, as Slack takes it
Attachment = dict[str, Any]


def build_message(
    alerts: Sequence[Alert],
    fields: Sequence[str] = DEFAULT_FIELDS,
    form: str = "full",
    digest: bool = False,
) -> Message:
    """The message that stands for all the alerts, of which there is at least one.

    Never raises for any alert; never larger than MAX_BYTES, as encoded. `fields` are
    those of SLACK_FIELDS; `digest` has it say that it is one, and since when.
    """
    if form == "counts":
        return _counts_only(alerts, digest)
    headline = _headline(alerts, digest)
    groups = _groups(alerts)
    labels = [label for field in fields for label in FIELDS[field]]
    for room, with_fields in ATTEMPTS:  # pragma: no branch - the last always fits
        attachments = _attachments(groups, labels if with_fields else [], room)
        if len(alerts) == 1:
            attachments[0].pop("text", None)  # the headline has it
        message = {"text": headline, "attachments": attachments}
        if len(encode(message)) <= MAX_BYTES:
            break
    return message


def encode(message: Message) -> bytes:
    """The message as JSON in UTF-8; escaped to ASCII it would be longer."""
    return json.dumps(message, ensure_ascii=False).encode()


def _counts_only(alerts: Sequence[Alert], digest: bool) -> Message:
    """The message that says how many events there were of which log types."""
    known = []
    for alert in alerts:
        if not alert.name:
            alert = replace(alert, code="unknown type")
        known.append(alert)
    headline = _headline(known, digest)
    return {"text": f"{headline}\nSlack refused the details: {ALL_LOGS}"}


def _headline(alerts: Sequence[Alert], digest: bool) -> str:
    """The message's `text`, which is the phone's notification too."""
    place = ""
    tenants = {alert.tenant for alert in alerts}
    if len(tenants) == 1 and alerts[0].tenant:
        place = f" in {alerts[0].tenant}"
    if digest:
        place += ", digest"
        since = _first_and_last(alerts)[:1]
        if since:
            place += f" since {_span(since)}"
    if len(alerts) == 1:
        return f"*Auth0 log alert* {_escape(alerts[0].name or alerts[0].code)}{place}"
    counts = _counts(Counter(alert.code for alert in alerts), MAX_COUNTED)
    return f"*Auth0 log alert* {len(alerts):,} events{place}: {counts}"


def _counts(types: Counter[str], most: int) -> str:
    """The most frequent log types with their counts, and the count of the others."""
    counts = []
    others = types.total()
    for code, count in types.most_common(most):
        counts.append(f"{count:,} × {_text(code, 60)}")
        others -= count
    if others:
        counts.append(f"{others:,} × other types")
    return ", ".join(counts)


# Which events share an attachment.


def _client(alert: Alert) -> Value | None:
    return alert.values.get("Client")


def _client_and_description(alert: Alert) -> object:
    return _client(alert), alert.description


def _nothing(alert: Alert) -> None:
    return None


# The ways to split the events of a log type into groups, the finest first: by what is
# alike in the events of a group.
WAYS: tuple[Callable[[Alert], object], ...] = (
    _client_and_description,
    _client,
    _nothing,
)


def _groups(alerts: Sequence[Alert]) -> list[list[Alert]]:
    """The alerts, each for itself while they are few, else like with like.

    The largest group comes first, and of two that are as large a limit. Each type is
    split as finely as it stays readable, and as all types fit in a message.
    """
    if len(alerts) <= MAX_SINGLE:
        return [[alert] for alert in alerts]
    types = _split(alerts, lambda alert: alert.code)
    splits = [_split_type(of_type, MAX_OF_A_TYPE) for of_type in types]
    while sum(map(len, splits)) > max(MAX_ATTACHMENTS, len(types)):
        sizes = [len(split) for split in splits]
        largest = sizes.index(max(sizes))
        splits[largest] = _split_type(types[largest], max(sizes) - 1)
    groups = [group for split in splits for group in split]
    return sorted(groups, key=lambda group: (-len(group), group[0].group != "limit"))


def _split_type(alerts: Sequence[Alert], most: int) -> list[list[Alert]]:
    """Alerts of one type, split in the finest way that makes no more groups."""
    for way in WAYS:  # pragma: no branch - the last way makes one group
        groups = _split(alerts, way)
        if len(groups) <= most:
            break
    return groups


def _split(
    alerts: Sequence[Alert], likeness: Callable[[Alert], object]
) -> list[list[Alert]]:
    groups: dict[object, list[Alert]] = {}
    for alert in alerts:
        groups.setdefault(likeness(alert), []).append(alert)
    return list(groups.values())


# The attachments.


def _attachments(
    groups: list[list[Alert]], labels: Sequence[str], room: int
) -> list[Attachment]:
    """An attachment for each group; of too many, the last counts the rest."""
    shown = groups
    rest: list[list[Alert]] = []
    if len(groups) > MAX_ATTACHMENTS:
        shown = groups[: MAX_ATTACHMENTS - 1]
        rest = groups[MAX_ATTACHMENTS - 1 :]
    attachments = [_attachment(group, labels, room) for group in shown]
    if rest:
        attachments.append(_rest(rest))
    return attachments


def _attachment(group: list[Alert], labels: Sequence[str], room: int) -> Attachment:
    """One attachment, for one event or for a group of like events."""
    newest = max(reversed(group), key=lambda alert: alert.time or EPOCH)
    alike = all(alert.description == newest.description for alert in group)
    words = newest.words
    if newest.name and not alike:
        words = newest.name
    title = _title(words, newest.code, len(group), room)
    texts = []
    if newest.name.lower() not in words.lower():
        texts.append(_escape(newest.name))
    if len(group) > 1:
        texts.append(_span(_first_and_last(group)))
    fields = _fields(group, newest, alike, labels, room)
    hostname = " ".join(newest.values.get("Hostname", ()))
    attachment = {
        "color": COLOURS[newest.group],
        "fallback": title,
        "title": title,
        "title_link": newest.link,
        "text": " · ".join(filter(None, texts)),
        "fields": fields,
        "mrkdwn_in": ["fields"] if fields else [],
        "footer": newest.tenant or _text(hostname, 100),
        "ts": int(newest.time.timestamp()) if newest.time else None,
    }
    return {key: value for key, value in attachment.items() if value}


def _title(words: str, code: str, count: int, room: int) -> str:
    """What happened, the log type, and how often: `Wrong password. [type: fp] ×4`."""
    ending = f" [type: {_text(code, min(100, room // 2))}]"
    if count > 1:
        ending += f" ×{count:,}"
    return _text(words, max(room - len(ending), 1)) + ending


def _rest(groups: list[list[Alert]]) -> Attachment:
    """The last attachment, when there are too many types: the rest of them, counted."""
    types = Counter(alert.code for group in groups for alert in group)
    title = f"and {len(types)} more types, {types.total():,} events"
    return {
        "color": GREY,
        "fallback": title,
        "title": title,
        "text": _counts(types, MAX_REST),
    }


def _first_and_last(alerts: Sequence[Alert]) -> list[datetime]:
    """The times of the first and of the last event, where any has a time."""
    times = [alert.time for alert in alerts if alert.time]
    if not times:
        return []
    return [min(times), max(times)]


def _span(times: Sequence[datetime]) -> str:
    """The time that events span, in words, to the second."""
    if not times:
        return ""
    first = f"{times[0]:%Y-%m-%d %H:%M:%S}"
    last = f"{times[-1]:%Y-%m-%d %H:%M:%S}"
    if first == last:
        return f"{first} UTC"
    day = first[: len("2026-11-22 ")]
    return f"{first} to {last.removeprefix(day)} UTC"


# Their fields.


def _fields(
    group: list[Alert], newest: Alert, alike: bool, labels: Sequence[str], room: int
) -> list[Field]:
    """The fields of a group: what its events say under each label, where they do."""
    fields = []
    for label in labels:
        values = _distinct(label, group)
        if label == "Cause" and alike:
            values = _not_said(values, newest.description)
        if values:
            fields.append(_field(label, values, room))
        elif label == "Cause" and newest.description and not alike:
            description = _code((newest.description,), room)
            fields.append(
                {"title": "Latest description", "value": description, "short": False}
            )
    return fields


def _distinct(label: str, group: list[Alert]) -> list[Value]:
    """The different values under a label, in the order in which they first came."""
    values: dict[Value, None] = {}
    for alert in group:
        if label in alert.values:
            values[alert.values[label]] = None
    return list(values)


def _not_said(causes: list[Value], description: str) -> list[Value]:
    """The causes that the description, which is the title, does not say already."""
    said = description.lower()
    return [cause for cause in causes if cause[0].lower().strip(" .!") not in said]


def _field(label: str, values: list[Value], room: int) -> Field:
    """A field: the one value, or how many there are and the first few of them."""
    title = label
    shown = values[:MAX_SHOWN]
    if len(values) > 1:
        title = f"{LABELS[label].plural} ({len(values):,})"
        room = room // len(shown) - len(", …")
    if label != "Client":  # a client's name and id are two things, others' texts one
        shown = [(" ".join(value),) for value in shown]
    text = ", ".join([_code(value, room) for value in shown])
    if len(values) > len(shown):
        text += ", …"
    short = label not in WIDE and len(text) <= MAX_SHORT
    return {"title": title, "value": text, "short": short}


def _code(value: Value, room: int) -> str:
    """A value as code, in which Slack reads nothing as formatting.

    All its texts share the room: with 100 characters, each of two has 47, as in
    "`47 characters` `47 characters`", because the backticks and the space take 5.
    """
    spaces = len(value) - 1
    room_of_each = (room - spaces) // len(value) - len("``")
    texts = []
    for text in value:
        text = text.replace("`", "ˋ")  # it would end the code
        texts.append(f"`{_text(text, room_of_each)}`")
    return " ".join(texts)


# Texts.


def _text(text: str, room: int) -> str:
    return _cut(_escape(text), room)


def _cut(escaped: str, room: int) -> str:
    """At most so many characters of an escaped text, never half an entity."""
    if len(escaped) <= room:
        return escaped
    return re.sub("&[a-z]*$", "", escaped[: room - 1]) + "…"


def _escape(text: str) -> str:
    """Escape Slack's three control characters.

    https://api.slack.com/reference/surfaces/formatting
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
