"""Events: every content format, and everything that can be wrong with a body."""

import json

import pytest

from events import UnreadableDelivery, read_events
from tests.events import event, fixture, success

ONE, OTHER = event(), success()


def types(body: bytes) -> list[str]:
    events, _ = read_events(body)
    return [event["type"] for event in events]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([ONE, OTHER]),
        json.dumps([ONE, OTHER], indent=2),
        json.dumps(ONE) + "\n" + json.dumps(OTHER),
        json.dumps(ONE) + "\r\n\r\n" + json.dumps(OTHER) + "\r\n",
        json.dumps({"logs": [ONE, OTHER]}),
        "\ufeff" + json.dumps([ONE, OTHER]),
        json.dumps([ONE]) + "\n" + json.dumps([OTHER]),
    ],
    ids=[
        "array",
        "indented",
        "lines",
        "lines-crlf-blank",
        "object",
        "byte-order-mark",
        "batches",
    ],
)
def test_reads_every_content_format(body: str) -> None:
    events, skipped = read_events(body.encode())
    assert events == [ONE["data"], OTHER["data"]]
    assert not skipped


def test_reads_one_event_as_an_object() -> None:
    assert types(json.dumps(ONE).encode()) == ["fp"]


@pytest.mark.parametrize("name", ["failed_login.json", "limits.jsonl", "mixed.json"])
def test_reads_the_fixtures(name: str) -> None:
    events, skipped = read_events(fixture(name).encode())
    assert events
    assert not skipped


@pytest.mark.parametrize("body", [b"[]", b'{"logs": []}', b"\n[]\n"])
def test_an_empty_list_is_no_events_and_no_error(body: bytes) -> None:
    assert read_events(body) == ([], 0)


@pytest.mark.parametrize(
    ("top", "data", "read"),
    [
        ({"log_id": "top"}, {"log_id": "data"}, "data"),
        ({"log_id": "top"}, {}, "top"),
        ({"log_id": "top"}, {"log_id": ""}, "top"),
        ({}, {"log_id": "data"}, "data"),
        ({}, {}, None),
    ],
)
def test_the_log_id_stands_in_data_at_the_top_or_nowhere(
    top: dict[str, str], data: dict[str, str], read: str | None
) -> None:
    events, _ = read_events(json.dumps({**top, "data": {"type": "f", **data}}).encode())
    assert events[0]["log_id"] == read


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty; send Auth0 log events as JSON"),
        (b" \r\n\t", "the body is empty; send Auth0 log events as JSON"),
        (b"event", "the body is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"\x00", "the body is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xfe[\x00]\x00", "the body is not JSON"),
        (b'[{"data"', "the body is not JSON"),
        (b"5", "no event in 1 item(s): an event is a JSON object"),
        (b"NaN", "no event in 1 item(s)"),
        (b"null", "no event in 1 item(s)"),
        (b"[[]]", "no event in 1 item(s)"),
        (b"{}", "no event in 1 item(s)"),
        (b'{"logs": 1}', "no event in 1 item(s)"),
        (b'{"data": []}', "no event in 1 item(s)"),
        (b'{"data": {}}', "no event in 1 item(s)"),
        (b'{"data": {"type": 5}}', "no event in 1 item(s)"),
        (b'{"data": {"type": null}}', "no event in 1 item(s)"),
        (b"{}\n5\n", "no event in 2 item(s): an event is a JSON object"),
        (b"one\ntwo\n", "no event in 2 item(s)"),
        (
            b'{"data": {"type": "f"}}\n' + b"x\n" * 500_000,
            "the body is not JSON: Extra data",
        ),
        (b"[" + b"5," * 50_000 + b"5]", "the body holds over 50000 items"),
        (b"[" * 200_000, "the body is not JSON: it is nested too deeply"),
        (
            b"[" * 200_000 + b"]" * 200_000,
            "the body is not JSON: it is nested too deeply",
        ),
        (
            b'{"data":' * 50_000,
            "the body is not JSON",
        ),  # too deep, or too short: by the Python
        (
            b'{"data": {"type": "f", "n": ' + b"9" * 5000 + b"}}",
            "the body is not JSON: Exceeds",
        ),
    ],
)
def test_says_why_nothing_is_readable(body: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDelivery) as raised:
        read_events(body)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unreadable_item_does_not_cost_the_others() -> None:
    events, skipped = read_events(
        json.dumps([ONE, 5, {"data": {}}, {"data": None}, None, OTHER]).encode()
    )
    assert [event["type"] for event in events] == ["fp", "s"]
    assert skipped == 4


def test_an_unreadable_line_does_not_cost_the_others() -> None:
    body = json.dumps(ONE) + "\n{broken\n" + json.dumps(OTHER)
    events, skipped = read_events(body.encode())
    assert [event["type"] for event in events] == ["fp", "s"]
    assert skipped == 1


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
        (b"1e999", float("inf")),
        (b"null", None),
    ],
)
def test_reads_what_is_odd_in_a_field(raw: bytes, description: object) -> None:
    line = b'{"data": {"type": "f", "description": ' + raw + b"}}"
    for body in (line, b"[" + line + b"]", line + b"\n" + line):
        events, skipped = read_events(body)
        assert all(event["description"] == description for event in events)
        assert not skipped
