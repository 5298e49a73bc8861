"""The message: one Slack message for any number of alerts, readable, bounded and safe.

It has attachments rather than blocks, because every Slack-compatible webhook knows them
(https://api.slack.com/reference/messaging/attachments). What it looks like is in
tests/test_message.py, as whole payloads, and in docs/message.svg.

The order is the same everywhere: what is news to the channel, then limits, then the
rest, and the most frequent first.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import markup
from alerts import DEFAULT_FIELDS, FIELDS, Alert, Value

MAX_HEADLINE = 200  # characters of the headline's counts
MAX_SINGLE = 3  # events that get an attachment each; of more, like events share one
MAX_ATTACHMENTS = 10  # that a person reads; Slack recommends 20 and refuses over 100
MAX_OF_A_KIND = 3  # attachments; events that need more are grouped more coarsely
# Characters of the last attachment's counts. Slack takes 3000 in a section's text, and
# documents no limit for an attachment's.
MAX_REST = 2900
# Bytes of a whole message, so that a flood stays readable and quick to post.
MAX_BYTES = 30_000
MAX_SHORT = 60  # characters of a footer, and of a value that has room beside another
MAX_SHOWN = 5  # values of a field that are shown for a group of events

# Characters of a title, a log_id, and a field's values (of several sentences, twice as
# many); less where MAX_BYTES are not enough. Slack folds texts of over 700 characters
# behind "Show more"; some clients cut them.
ROOM = 250
LESS_ROOM = 120
LEAST_ROOM = 80  # and then without other fields than descriptions
SENTENCE_SHARE = 0.4  # each of several sentences has this share of the room

COLOURS = {
    "failure": "#e01e5a",
    "limit": "#ecb22e",
    "": "#1d9bd1",
}
GREY = "#9e9e9e"
EPOCH = datetime.fromtimestamp(0, UTC)
DETAILS_REFUSED = (
    "Slack refused the details: see Auth0's own logs, <https://manage.auth0.com/#/logs>"
)
# Slack is asked to make no links and no previews by itself.
AS_WRITTEN = {"parse": "none", "unfurl_links": False, "unfurl_media": False}
# Labels of fields: those of alerts.FIELDS, and Description.
SENTENCES = ("Description", "Cause", "User agent")  # one a line
IN_FALLBACK = ("Description", "Cause", "User")
PLURALS = {"Strategy": "Strategies"}  # an "s" makes all others
NONE: Value = ("",)  # of an event that says nothing under a label
# A word with which a description quotes: an address, an id, a number, a URL.
QUOTE = re.compile(r"(?<!\S)[^\s\d@/|]*+[\d@/|]\S*")

Group = list[Alert]  # alerts that are alike in some way; at least one
Json = dict[str, Any]  # a message, an attachment, or a field, as Slack takes it


@dataclass(frozen=True)
class Message:
    """What Slack's webhook takes, as JSON, and the codes of the log types it names.

    Only the log types that a message names count as shown to the channel. In one of
    mere counts all do: otherwise news that Slack refuses would go out again and again.
    """

    payload: Json
    named: frozenset[str]


@dataclass(frozen=True)
class Purpose:
    """What a message is for."""

    # Slack called the full message malformed: say only how many events there are, and
    # nothing that anyone typed.
    only_counts: bool = False
    is_digest: bool = False  # it carries what was collected
    # Codes of the log types that the channel has not been shown for an hour.
    news: frozenset[str] = frozenset()
    # For each log type that surges, the most that a message of the last hour had of it.
    surges: Mapping[str, int] = field(default_factory=dict)


ORDINARY = Purpose()


@dataclass(frozen=True)
class Layout:
    """What the attachments of a message have in common."""

    labels: list[str]  # of the fields that they show
    shared_names: Collection[str]  # of clients: each stands for several ids
    room: int  # characters of a title, a log_id, and a field's values
    has_names: bool  # whether they say the log type's name
    has_footers: bool  # whether they say the tenant


def build_message(
    alerts: Sequence[Alert],
    fields: Sequence[str] = DEFAULT_FIELDS,
    purpose: Purpose = ORDINARY,
) -> Message:
    """The message that stands for all the alerts, of which there is at least one.

    `fields` are those of SLACK_FIELDS. Never raises for any alert; never larger than
    MAX_BYTES, as encoded.
    """
    codes = frozenset(map(_code, alerts))
    if codes.issubset(purpose.news):  # then none of them stands out
        purpose = replace(purpose, news=frozenset())
    counts, named = _counts(alerts, purpose, MAX_HEADLINE)
    headline = _headline(alerts, counts, purpose)
    if purpose.only_counts:
        text = f"{headline}\n{DETAILS_REFUSED}"
        return Message({"text": text, **AS_WRITTEN}, named=codes)
    groups, rest = _shown_and_rest(_groups(alerts, purpose))
    counts_of_rest, named_in_rest = _counts(rest, purpose, MAX_REST)
    named += named_in_rest
    for group in groups:
        named.append(group[0].code)
    for layout in _layouts(alerts, fields):  # pragma: no branch - the last always fits
        attachments = []
        for group in groups:
            attachments.append(_attachment(group, layout))
        if rest:
            attachments.append(_rest(rest, counts_of_rest))
        payload = {"text": headline, "attachments": attachments, **AS_WRITTEN}
        message = Message(payload, frozenset(named))
        if len(encode(message)) <= MAX_BYTES:
            break
    return message


def encode(message: Message) -> bytes:
    """The message as Slack takes it: JSON in UTF-8, which is shorter than in ASCII."""
    text = json.dumps(message.payload, ensure_ascii=False)
    return text.encode()


# What there is, in words.


def _headline(alerts: Sequence[Alert], counts: str, purpose: Purpose) -> str:
    """The message's `text`, which is the phone's notification too."""
    what = f"*{len(alerts):,} events*"
    details = f": {counts}"
    if len(alerts) == 1:
        what = f"*{_name(alerts[0])}*"
        details = ""
    place = _tenant_of_all(alerts)
    if place:
        place = f" in {place}"
    headline = what + place + details
    if purpose.is_digest:
        headline += ", digest"
        times = _times(alerts)
        if times:
            since = _in_utc(min(times))
            headline += f" since {since} UTC"
    return headline


def _counts(
    alerts: Sequence[Alert], purpose: Purpose, room: int
) -> tuple[str, list[str]]:
    """The log types with their counts, those that have room, and the others in one.

    Returns the text, and the codes of the log types that it names.
    """
    texts = []
    named = []
    others = 0
    log_types = _split(alerts, _code)
    for group in _in_order(log_types, purpose):
        text = _count(group, purpose)
        if len(text) <= room:
            texts.append(text)
            named.append(group[0].code)
            room -= len(text) + len(", ")
        else:
            others += len(group)
    if others:
        texts.append(f"{others:,} × other types")
    return ", ".join(texts), named


def _count(group: Group, purpose: Purpose) -> str:
    """How many events there are of a log type, and what is special about that."""
    count = len(group)
    name = _name(group[0])
    text = f"{count:,} × {name}"
    code = group[0].code
    if code in purpose.news:
        text += " (new)"
    if code in purpose.surges:
        before = purpose.surges[code]
        text += f", at most {before:,} in a message before"
    return text


def _name(alert: Alert) -> str:
    return alert.name or alert.code


def _place(alert: Alert) -> str:
    """The tenant, or the host where the event does not tell it."""
    (hostname,) = alert.values.get("Hostname", NONE)
    return alert.tenant or hostname


def _tenant_of_all(alerts: Sequence[Alert]) -> str:
    """The tenant that all the alerts are of, or nothing."""
    tenants = {alert.tenant for alert in alerts}
    if len(tenants) > 1:
        return ""
    return tenants.pop()


# Which events share an attachment.


def _code(alert: Alert) -> str:
    return alert.code


def _kind(alert: Alert) -> object:
    """What events in one attachment must share: what it shows of its newest event."""
    return alert.code, _place(alert)


def _client(alert: Alert) -> object:
    return alert.values.get("Client")


def _sentence(alert: Alert) -> object:
    return _without_quotes(alert.description)


@lru_cache(maxsize=1000)
def _without_quotes(description: str) -> str:
    return QUOTE.sub("…", description)


def _client_and_sentence(alert: Alert) -> object:
    return _client(alert), _sentence(alert)


# The ways to split events of one kind into groups, the finest first: by what the events
# of a group share.
WAYS = (
    _client_and_sentence,
    _client,
    _kind,
)


def _groups(alerts: Sequence[Alert], purpose: Purpose) -> list[Group]:
    """The alerts, each for itself while they are few, else like with like."""
    groups = [[alert] for alert in alerts]
    if len(alerts) > MAX_SINGLE:
        groups = _like_with_like(alerts)
    return _in_order(groups, purpose)


def _in_order(groups: list[Group], purpose: Purpose) -> list[Group]:
    """News first, then limits, then the largest group."""

    def rank(group: Group) -> tuple[bool, bool, int]:
        is_news = group[0].code in purpose.news
        is_limit = group[0].group == "limit"
        return not is_news, not is_limit, -len(group)

    return sorted(groups, key=rank)


def _like_with_like(alerts: Sequence[Alert]) -> list[Group]:
    """Each kind split as finely as it stays readable, and as all have room."""
    kinds = _split(alerts, _kind)
    for most in range(MAX_OF_A_KIND, 0, -1):
        groups = []
        for kind in kinds:
            groups += _split_kind(kind, most)
        if len(groups) <= MAX_ATTACHMENTS:
            break
    return groups


def _shown_and_rest(groups: list[Group]) -> tuple[list[Group], list[Alert]]:
    """The groups that get an attachment each, and all alerts that share the last."""
    if len(groups) <= MAX_ATTACHMENTS:
        return groups, []
    shown = groups[: MAX_ATTACHMENTS - 1]
    rest: list[Alert] = []
    for group in groups[MAX_ATTACHMENTS - 1 :]:
        rest += group
    return shown, rest


def _split_kind(kind: Group, most: int) -> list[Group]:
    """Events of one kind, split in the finest way that makes no more groups."""
    for way in WAYS:  # pragma: no branch - the last way makes one group
        groups = _split(kind, way)
        if len(groups) <= most:
            break
    return groups


def _split(alerts: Sequence[Alert], likeness: Callable[[Alert], object]) -> list[Group]:
    """The alerts in groups, each of those that are alike."""
    groups: dict[object, Group] = {}
    for alert in alerts:
        group = groups.setdefault(likeness(alert), [])
        group.append(alert)
    return list(groups.values())


# The attachments.


def _layouts(alerts: Sequence[Alert], fields: Sequence[str]) -> Iterator[Layout]:
    """How the attachments may look, from the fullest to what fits in any case."""
    labels = ["Description"]
    for name in fields:
        labels += FIELDS[name]
    fullest = Layout(
        labels=labels,
        shared_names=_shared_names(alerts),
        room=ROOM,
        has_names=len(alerts) > 1,  # a lone event's stands in the headline
        has_footers=not _tenant_of_all(alerts),  # which stands there too
    )
    yield fullest
    yield replace(fullest, room=LESS_ROOM)
    yield replace(fullest, room=LEAST_ROOM, labels=["Description"])


def _shared_names(alerts: Sequence[Alert]) -> list[str]:
    """The names of clients that several ids have."""
    clients = {alert.values.get("Client", NONE) for alert in alerts}
    names = Counter(client[0] for client in clients if len(client) > 1)
    return [name for name, ids in names.items() if ids > 1]


def _attachment(group: Group, layout: Layout) -> Json:
    """One attachment, for one event or for a group of like events."""
    shared = _shared_description(group)
    # Of those with the same time, or with none, the last to come.
    newest = max(reversed(group), key=lambda alert: alert.time or EPOCH)
    words = replace(newest, description=shared).words
    title = _title(words, newest.code, len(group), layout.room)
    texts = []
    if layout.has_names and newest.name.lower() not in words.lower():
        texts.append(_name(newest))
    texts.append(_when(group))
    if newest.log_id and not newest.link:
        texts.append(f"log_id {markup.code(newest.log_id, layout.room)}")
    fields = _fields(group, shared, layout)
    attachment: Json = {
        "color": COLOURS[newest.group],
        "fallback": _fallback(title, texts, fields),
        "title": markup.without_emoji(title),
        "title_link": newest.link,
        "text": _joined(texts),
        "fields": list(fields.values()),
        "mrkdwn_in": ["text", "fields"],  # Slack shows dates only where it formats
    }
    if layout.has_footers:
        place = markup.fit(_place(newest), MAX_SHORT)
        attachment["footer"] = markup.without_emoji(place)
    return {key: value for key, value in attachment.items() if value}


def _rest(alerts: list[Alert], counts: str) -> Json:
    """The last attachment, when there are too many kinds of events: counts of them."""
    title = f"and {len(alerts):,} more events"
    return {
        "color": GREY,
        "fallback": f"{title}: {counts}",
        "title": title,
        "text": counts,
    }


def _title(words: str, code: str, count: int, room: int) -> str:
    """What happened, the log type, and how often: `Wrong password. [type: fp] ×4`."""
    code = markup.fit(code, room // 2)
    ending = f" [type: {code}]"
    if count > 1:
        ending += f" ×{count:,}"
    return markup.fit(words, room - len(ending)) + ending


def _fallback(title: str, texts: list[str], fields: dict[str, Json]) -> str:
    """The attachment as plain text, for what shows none: screen readers, some phones.

    Bridges to IRC mostly take the message's `text` instead.
    """
    details = list(texts)
    for label in IN_FALLBACK:
        if label in fields:
            shown = fields[label]
            details.append(f"{shown['title']}: {shown['value']}")
    plain = markup.plain(_joined(details))
    plain = plain.replace("`", "").replace("\n", ", ")
    return _joined([title, plain])


def _joined(parts: list[str]) -> str:
    return " · ".join(filter(None, parts))


# Times.


def _times(alerts: Sequence[Alert]) -> list[datetime]:
    return [alert.time for alert in alerts if alert.time]


def _when(group: Group) -> str:
    """When the events were, or from when to when."""
    times = _times(group)
    if not times:
        return ""
    first = min(times)
    last = max(times)
    began = _in_utc(first)
    ended = _in_utc(last)
    if began == ended:
        return markup.date(first, markup.DAY_AND_TIME, f"{began} UTC")
    words = markup.DAY_AND_TIME
    if first.date() == last.date():  # then the time alone says which day it is on
        words = markup.TIME
        ended = f"{last:%H:%M:%S}"
    start = markup.date(first, markup.DAY_AND_TIME, began)
    end = markup.date(last, words, f"{ended} UTC")
    return f"{start} to {end}"


def _in_utc(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


# The fields.


def _fields(group: Group, shared: str, layout: Layout) -> dict[str, Json]:
    """What the events say under each label.

    The title says the description that they share, and a cause that stands in it.
    """
    fields = {}
    for label in layout.labels:
        if label == "Description" and shared:
            continue
        values = _values(group, label, layout)
        silent = values.pop(NONE, 0)
        for value in list(values):
            text = value[0].strip(" .!").lower()
            if label == "Cause" and text in shared.lower():
                del values[value]
        if values:
            title = label
            if len(values) > 1:
                plural = PLURALS.get(label, f"{label}s")
                title = f"{plural} ({len(values):,})"
            shown = _counted(label, values, silent, len(group), layout.room)
            is_short = label not in SENTENCES and len(shown) <= MAX_SHORT
            fields[label] = {"title": title, "value": shown, "short": is_short}
    return fields


def _values(group: Group, label: str, layout: Layout) -> Counter[Value]:
    """What the events say under a label, and how many of them say it, or NONE."""
    if label == "Description":
        return _descriptions(group)
    values = Counter(alert.values.get(label, NONE) for alert in group)
    shown = Counter[Value]()
    for value, count in values.items():
        name_is_enough = label == "User"
        if label == "Client" and len(group) > 1:
            name_is_enough = value[0] not in layout.shared_names
        if name_is_enough:
            value = value[:1]
        shown[value] += count
    return shown


def _descriptions(group: Group) -> Counter[Value]:
    """What the events say happened: once where they differ only in what they quote."""
    descriptions = Counter[Value]()
    for alike in _split(group, _sentence):
        description = _in_common(alike)
        descriptions[(description,)] += len(alike)
    return descriptions


def _shared_description(group: Group) -> str:
    """What all the events say happened, or nothing where they differ in more."""
    if len(_split(group, _sentence)) > 1:
        return ""
    return _in_common(group)


def _in_common(alike: Group) -> str:
    """The description of events that differ only in what they quote.

    That is `User … attempted 10 consecutive logins` for a hundred users.
    """
    different = {alert.description for alert in alike}
    word_by_word = zip(*(text.split(" ") for text in different), strict=False)
    sentence = []
    for words in word_by_word:
        is_same = len(set(words)) == 1
        sentence.append(words[0] if is_same else "…")
    return " ".join(sentence)


def _counted(
    label: str, values: Counter[Value], silent: int, events: int, room: int
) -> str:
    """The most frequent values, each with how many of the events say it, unless all do.

    Then come how many more values there are, and how many events say nothing.
    """
    most_frequent = values.most_common(MAX_SHOWN)
    share = 1 / len(most_frequent)
    separator = ", "
    if label in SENTENCES:
        share = max(share, SENTENCE_SHARE)
        separator = "\n"
    room = int(room * share) - len(separator)
    counted = []
    for value, count in most_frequent:
        counted.append((_value(label, value, room), count))
    others = values - Counter(dict(most_frequent))
    if others:
        counted.append((f"{len(others):,} more", others.total()))
    if silent:
        counted.append(("none", silent))
    texts = []
    for text, count in counted:
        if count < events:
            text += f" ×{count:,}"
        texts.append(text)
    return separator.join(texts)


def _value(label: str, value: Value, room: int) -> str:
    """A value as code; as two, which share the room, for a client's name and its id."""
    if label != "Client":
        value = (" ".join(value),)
    room = room // len(value)
    return " ".join(markup.code(text, room) for text in value)
