"""Events: every content format, and everything that can be wrong with a body."""

import gzip
import json
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import (
    MAX_ITEMS,
    MAX_TOKENS,
    CompressedDelivery,
    Event,
    EventReader,
    UnreadableDelivery,
)
from tests.events import event, success

ONE, OTHER = event(), success()
FIRST, LAST = json.dumps(ONE), json.dumps(OTHER)


def read(body: str | bytes) -> tuple[list[Event], int]:
    """The events of a body, and how many items were skipped."""
    if isinstance(body, str):
        body = body.encode()
    reader = EventReader(body)
    events = list(reader)
    assert reader.read == len(events)
    return events, reader.skipped


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([ONE, OTHER]),
        json.dumps([ONE, OTHER], indent=2),
        f"[{FIRST},{LAST}]",
        f" \r\n[ {FIRST} , {LAST} ] \r\n",
        f"{FIRST}\n{LAST}",
        f"{FIRST}\r\n\r\n{LAST}\r\n",
        json.dumps({"logs": [ONE, OTHER]}),
        json.dumps({"logs": [ONE, OTHER]}, indent=2),
        "\ufeff" + json.dumps([ONE, OTHER]),
    ],
)
def test_reads_every_content_format(body: str) -> None:
    assert read(body) == ([ONE["data"], OTHER["data"]], 0)


@pytest.mark.parametrize("indent", [None, 2])
def test_reads_one_event_as_an_object(indent: int | None) -> None:
    assert read(json.dumps(ONE, indent=indent)) == ([ONE["data"]], 0)


@pytest.mark.parametrize("body", [b"[]", b'{"logs": []}', b"\n[]\n", b"[ \n ]"])
def test_an_empty_list_is_no_events_and_no_error(body: bytes) -> None:
    assert read(body) == ([], 0)


@pytest.mark.parametrize(
    ("top", "data", "log_id"),
    [
        ({"log_id": "top"}, {"log_id": "data"}, "data"),
        ({"log_id": "top"}, {}, "top"),
        ({"log_id": "top"}, {"log_id": ""}, "top"),
        ({}, {"log_id": "data"}, "data"),
        ({}, {}, None),
    ],
)
def test_the_log_id_stands_in_data_at_the_top_or_nowhere(
    top: dict[str, str], data: dict[str, str], log_id: str | None
) -> None:
    events, _ = read(json.dumps({**top, "data": {"type": "f", **data}}))
    assert events[0]["log_id"] == log_id


# Auth0's other streams.

EVENTBRIDGE = {
    "id": "107cfa03-0000-0000-0000-000000000000",
    "detail-type": "Auth0 log",
    "detail": {"log_id": "900", "data": {"type": "fs", "user_name": "neo"}},
}
EVENT_GRID = {
    "id": "107cfa03",
    "type": "auth0.log",
    "data": {"log_id": "900", "type": "fs", "user_name": "neo"},
}


@pytest.mark.parametrize("envelope", [EVENTBRIDGE, EVENT_GRID])
def test_reads_an_event_in_an_envelope(envelope: dict[str, Any]) -> None:
    neo = {"log_id": "900", "type": "fs", "user_name": "neo"}
    text = json.dumps(envelope)
    assert read(text) == ([neo], 0)
    assert read(f"[{text}, {text}]") == ([neo, neo], 0)
    assert read(f"{text}\n{text}") == ([neo, neo], 0)


def test_an_envelope_hides_no_event_and_costs_itself_alone() -> None:
    assert read(json.dumps({**ONE, "detail": OTHER})) == ([ONE["data"]], 0)
    details: list[Any] = [None, 5, [], {}, {"data": {}}, {"data": 5}]
    for detail in details:
        text = json.dumps({**EVENTBRIDGE, "detail": detail})
        assert read(f"[{FIRST}, {text}]") == ([ONE["data"]], 1)


# Where nothing is an event, or the body was cut off.

TOO_MANY_ITEMS = f"the body holds over {MAX_ITEMS} items"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty; send Auth0 log events as JSON"),
        (b" \r\n\t", "the body is empty; send Auth0 log events as JSON"),
        (b"event", "the body is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xfe[\x00]\x00", "the body is not JSON"),
        (b'[{"data"', "the body is not JSON"),
        (b"5", "none of the 1 item(s) in the body is a log event"),
        (b'{"logs": 1}', "none of the 1 item(s)"),
        (b'{"data": {"type": 5}}', "none of the 1 item(s)"),
        (b"{}\n5\n", "none of the 2 item(s) in the body is a log event"),
        (b'{"data": {"type": "f"}}\n' + b"x\n" * MAX_ITEMS, TOO_MANY_ITEMS),
        (b"[" + b"5," * MAX_ITEMS + b"5]", TOO_MANY_ITEMS),
        (b"[" * 200_000, "the body is not JSON: its array has no end"),
        (b'{"data":' * 50_000, "the body is not JSON"),
    ],
)
def test_says_why_nothing_is_readable(body: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDelivery) as raised:
        read(body)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_as_many_items_as_are_allowed_are_read() -> None:
    events, skipped = read(f"[{FIRST}" + ",5" * (MAX_ITEMS - 1) + "]")
    assert len(events) + skipped == MAX_ITEMS


@pytest.mark.parametrize(
    "body",
    [
        f'[{FIRST},{{"data": "]',
        f'[{FIRST},{{"data": "a\\"]}}]',
        f'[{FIRST},{{"data": [}}]',
        f"[{FIRST}]]",
        f"[{FIRST}] {LAST}",
        f"[{FIRST}]\n[{LAST}",
        f'{{"logs": [{FIRST}]]',
        f'{{"logs": [{FIRST}]}}}}',
        f"{FIRST}\n{LAST[:-1]}",
        f"{FIRST}\n[{LAST}",
        FIRST[:-1],
    ],
)
def test_a_delivery_that_was_cut_off_is_none(body: str) -> None:
    with pytest.raises(UnreadableDelivery, match=r"^the body is not JSON: "):
        read(body)


@pytest.mark.parametrize("form", ["[{}]", '{{"logs": [{}]}}', "[\n{}\n]\n"])
@pytest.mark.parametrize("comma", [", ", ",\n", "\n,"])
@pytest.mark.parametrize("first", [FIRST, "x", '{"data": ]}', "{}}", "x] y"])
def test_no_beginning_of_an_array_is_a_delivery(
    form: str, comma: str, first: str
) -> None:
    odd = '{"data": {"type": "f", "n": "}],\\"{[" }}'
    body = form.format(comma.join([first, odd, LAST])).strip()
    for end in range(1, len(body)):
        with pytest.raises(UnreadableDelivery):
            read(body[:end])


@pytest.mark.parametrize("odd", ["[2026-11-22] proxy", '{"logs": [x]} y', "[5]", "[]"])
def test_a_line_that_begins_like_an_array_costs_itself_alone(odd: str) -> None:
    expected = ([ONE["data"], OTHER["data"]], 1)
    for lines in ((odd, FIRST, LAST), (FIRST, odd, LAST), (FIRST, LAST, odd)):
        assert read("\n".join(lines)) == expected
        assert read("\r\n\r\n".join(lines) + "\n") == expected


@pytest.mark.parametrize("body", [b"[]", FIRST.encode(), b""])
def test_a_compressed_body_is_told(body: bytes) -> None:
    with pytest.raises(CompressedDelivery, match="compressed"):
        EventReader(gzip.compress(body))


# One event costs itself alone.


NESTED = '{"a":[' * 50_000 + "]}" * 50_000
DIGITS = '{"data": {"type": "f", "number": ' + "9" * 4301 + "}}"
TOO_MUCH = {"nested": NESTED, "digits": DIGITS}
BROKEN = {
    "key": '{"data": {type: "f"}}',
    "comma": '{"data": {"type": "f",}}',
    "colon": '{"data" {"type": "f"}}',
    "escape": r'{"data": "\x"}',
    "brackets in strings": r'{"data": {"]}": "\"]}\\", "b": x "[{"}}',
    "word": "undefined",
    "two": f"{LAST} {LAST}",
}
NO_EVENTS = {"5": "5", "null": "null", "no type": '{"data": {}}', "data": '{"data": 5}'}
ODD = TOO_MUCH | BROKEN | NO_EVENTS


@pytest.mark.parametrize(
    "form", ["[{},{},{}]", "[{}\n,{},\n{}]", "{}\n{}\n{}", '{{"logs": [{},{},{}]}}']
)
@pytest.mark.parametrize("item", ODD)
def test_what_is_no_event_costs_itself_alone(form: str, item: str) -> None:
    odd = ODD[item]
    for items in ((odd, FIRST, LAST), (FIRST, odd, LAST), (FIRST, LAST, odd)):
        assert read(form.format(*items)) == ([ONE["data"], OTHER["data"]], 1)


@pytest.mark.parametrize("lines", ["{0}\n{1}\n{2}", "{1}\n{0}\n{2}", "{0}\n{2}\n{1}\n"])
def test_a_broken_line_costs_itself_alone(lines: str) -> None:
    """Only a last line without an end of line can be one that was cut off."""
    body = lines.format(FIRST, '{"broken', LAST)
    assert read(body) == ([ONE["data"], OTHER["data"]], 1)


def test_empty_places_in_an_array_cost_themselves_alone() -> None:
    assert read(f"[,{FIRST},,{LAST},]") == ([ONE["data"], OTHER["data"]], 3)


@pytest.mark.parametrize("form", ["[{}]", "{}", "{}\n{}"])
@pytest.mark.parametrize("item", TOO_MUCH)
def test_an_event_that_is_too_much_is_not_to_be_sent_again(
    form: str, item: str
) -> None:
    body = form.format(TOO_MUCH[item], TOO_MUCH[item])
    assert read(body) == ([], form.count("{"))
    with pytest.raises(UnreadableDelivery, match=r"none of the 2 item\(s\)"):
        read(f"[{TOO_MUCH[item]}, 5]")  # this is, for what is no event


@given(st.lists(st.sampled_from([FIRST, "x", "5", DIGITS, '"]"']), min_size=1))
def test_every_format_says_the_same_of_the_same_items(items: list[str]) -> None:
    results: set[tuple[int, int] | str] = set()
    for body in (f"[{','.join(items)}]", "\n".join(items)):
        try:
            events, skipped = read(body)
            results.add((len(events), skipped))
        except UnreadableDelivery as error:
            results.add(str(error))
    assert len(results) == 1


@given(st.text(alphabet='[]{}",:\\x5\n ', max_size=40))
def test_whatever_comes_each_event_is_read_or_the_delivery_is_none(text: str) -> None:
    """What stands before a good event cannot hide it, unless it opens a bracket."""
    try:
        events, skipped = read(f"[{text},{LAST}]")
    except UnreadableDelivery:
        return
    assert len(events) + skipped > 1
    assert events[-1] == OTHER["data"]


# Large deliveries.


def peak(body: bytes) -> float:
    """The most memory in MiB that reading a body took, beside the body."""
    tracemalloc.start()
    with suppress(UnreadableDelivery):
        list(EventReader(body))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1024**2


@pytest.mark.parametrize("form", ["[%s]", '{"logs":[%s]}', "%s", "[x,%s]"])
def test_memory_stays_flat(form: str) -> None:
    items = b'{"":{}},' * 20_000 + b"{}"
    if form == "%s":
        items = items.replace(b",", b"\n")
    body = form.encode() % items
    assert peak(body) < 3 * len(body) / 1024**2


def test_what_is_read_is_let_go() -> None:
    size = 1024**2
    tracemalloc.start()
    reader = EventReader(f"[{FIRST},{LAST}{' ' * size}]".encode())
    events = iter(reader)
    next(events)
    during, _ = tracemalloc.get_traced_memory()
    list(events)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert during < 1.5 * size
    assert after < 0.5 * size


def test_a_large_delivery_is_searched_to_its_end_for_what_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tenth of what is allowed, to save time: 1 MiB."""
    monkeypatch.setattr("events.MAX_TOKENS", MAX_TOKENS // 10)
    count = 1024**2 // len(FIRST)
    events, skipped = read(f"[{DIGITS}" + f",{FIRST}" * count + "]")
    assert (len(events), skipped) == (count, 1)


def test_a_body_of_brackets_is_not_searched_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = f"[{{{'[]' * 500}}}, {LAST}]"
    assert read(body)[1] == 1
    monkeypatch.setattr("events.MAX_TOKENS", 1000)
    with pytest.raises(UnreadableDelivery, match="no end"):
        read(body)


# Fields.


@pytest.mark.parametrize(
    ("raw", "description"),
    [
        (rb'"\ud800"', "\ud800"),
        (b'"\xff"', "\ufffd"),
        (b'"a\x00b"', "a\x00b"),
        (b'"a\xe2\x80\xa8b"', "a\u2028b"),
        (b'"first", "description": "second"', "second"),
        (b"NaN", None),
        (b"-Infinity", None),
        (b"null", None),
    ],
)
def test_reads_what_is_odd_in_a_field(raw: bytes, description: object) -> None:
    line = b'{"data": {"type": "f", "description": ' + raw + b"}}"
    for body in (line, b"[" + line + b"]", line + b"\n" + line, b"[x," + line + b"]"):
        events, _ = read(body)
        assert events
        assert all(event["description"] == description for event in events)
