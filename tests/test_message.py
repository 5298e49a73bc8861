"""The message: what stands in Slack for one event, for several, for a flood; and for an attack."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import Alert, read_filter
from message import (
    DEFAULT_FIELDS,
    LABELS,
    MAX_ATTACHMENTS,
    MAX_BYTES,
    MAX_TEXT,
    MAX_TITLE,
    MAX_VALUE,
    build_message,
    encode,
    plain_form,
    read_fields,
)
from tests.events import event

EVERYTHING, _ = read_filter("*")
LOGS = "https://manage.auth0.com/dashboard/eu/acme/logs/"


def alerts(*events: dict[str, Any]) -> list[Alert]:
    return EVERYTHING.alerts([event["data"] for event in events])


def attachment(**data: Any) -> dict[str, Any]:
    """The attachment for one event with these data, and all fields."""
    (built,) = build_message(alerts({"data": {"log_id": "", **data}}), tuple(LABELS))["attachments"]
    assert isinstance(built, dict)
    return built


def field(built: dict[str, Any], title: str) -> str | None:
    values = {field["title"]: field["value"] for field in built.get("fields", [])}
    return values.get(title)


# What arrives in Slack, as whole payloads.


def test_one_event() -> None:
    failed_login = event(log_id="90020261122")
    assert build_message(alerts(failed_login)) == {
        "text": "*Auth0 log alert*",
        "attachments": [
            {
                "color": "#e01e5a",
                "fallback": "Wrong email or password. [type: fp]",
                "title": "Wrong email or password. [type: fp]",
                "title_link": LOGS + "90020261122",
                "text": "Failed Login (Incorrect Password)",
                "fields": [
                    {
                        "title": "Client",
                        "value": "`Default App` `aI61p8I8aFjmYRliLWgvM9ev97kCCNDB`",
                        "short": True,
                    },
                    {"title": "User", "value": "`neo@example.com`", "short": True},
                    {
                        "title": "Connection",
                        "value": "`Username-Password-Authentication`",
                        "short": True,
                    },
                    {"title": "IP", "value": "`203.0.113.9`", "short": True},
                ],
                "mrkdwn_in": ["fields"],
                "footer": "acme",
                "ts": 1795341605,
            }
        ],
    }


def test_several_events() -> None:
    message = build_message(
        alerts(
            event(log_id="1"),
            event(log_id="2", type="limit_wc", description="Account blocked", client_name=""),
            event(log_id="3", type="fercft", description=None, client_id=None, user_name="trinity"),
        ),
        fields=("user", "client"),
    )
    client = "`Default App` `aI61p8I8aFjmYRliLWgvM9ev97kCCNDB`"
    common = {"mrkdwn_in": ["fields"], "footer": "acme", "ts": 1795341605}
    assert message == {
        "text": "*Auth0 log alert* 3 events in acme",
        "attachments": [
            {
                "color": "#e01e5a",
                "fallback": "Wrong email or password. [type: fp]",
                "title": "Wrong email or password. [type: fp]",
                "title_link": LOGS + "1",
                "text": "Failed Login (Incorrect Password)",
                "fields": [
                    {"title": "User", "value": "`neo@example.com`", "short": True},
                    {"title": "Client", "value": client, "short": True},
                ],
                **common,
            },
            {
                "color": "#ecb22e",
                "fallback": "Account blocked [type: limit_wc]",
                "title": "Account blocked [type: limit_wc]",
                "title_link": LOGS + "2",
                "text": "Blocked Account: Failed Logins",
                "fields": [
                    {"title": "User", "value": "`neo@example.com`", "short": True},
                    {
                        "title": "Client",
                        "value": "`aI61p8I8aFjmYRliLWgvM9ev97kCCNDB`",
                        "short": True,
                    },
                ],
                **common,
            },
            {
                "color": "#e01e5a",
                "fallback": "Failed Exchange: Password and MFA Recovery Code [type: fercft]",
                "title": "Failed Exchange: Password and MFA Recovery Code [type: fercft]",
                "title_link": LOGS + "3",
                "fields": [
                    {"title": "User", "value": "`trinity`", "short": True},
                    {"title": "Client", "value": "`Default App`", "short": True},
                ],
                **common,
            },
        ],
    }


def at(second: int) -> str:
    """A date in a log event, so many seconds after ten."""
    return (datetime(2026, 11, 22, 10, tzinfo=UTC) + timedelta(seconds=second)).isoformat()


def test_a_flood() -> None:
    wrong_password = [
        event(log_id=f"1{n:03}", date=at(n), user_name=f"user{n % 37}", ip=f"10.0.0.{n % 2}")
        for n in range(143)
    ]
    blocked = [event(log_id=f"2{n:03}", date=at(n), type="limit_wc") for n in range(8)]
    silent = [event(log_id=f"3{n:03}", date=at(n), type="fsa", description="") for n in range(8)]
    scattered = [
        event(log_id=f"4{n:03}", description=f"Origin {n % 25}", type="fco") for n in range(33)
    ]
    message = build_message(alerts(*scattered, *silent, *blocked, *wrong_password))

    assert message["text"] == "*Auth0 log alert* 192 events in acme"
    assert len(message["attachments"]) == 20
    first, second, third, *_, last = message["attachments"]
    assert first == {
        "color": "#e01e5a",
        "fallback": "Wrong email or password. [type: fp] ×143",
        "title": "Wrong email or password. [type: fp] ×143",
        "title_link": LOGS + "1142",
        "text": "Failed Login (Incorrect Password) · 2026-11-22 10:00:00 to 10:02:22 UTC",
        "fields": [
            {
                "title": "Client",
                "value": "`Default App` `aI61p8I8aFjmYRliLWgvM9ev97kCCNDB`",
                "short": True,
            },
            {
                "title": "Users (37)",
                "value": "`user0`, `user1`, `user2`, `user3`, `user4`, …",
                "short": True,
            },
            {
                "title": "Connection",
                "value": "`Username-Password-Authentication`",
                "short": True,
            },
            {"title": "IPs (2)", "value": "`10.0.0.0`, `10.0.0.1`", "short": True},
        ],
        "mrkdwn_in": ["fields"],
        "footer": "acme",
        "ts": 1795341742,
    }
    assert second["title"] == "Wrong email or password. [type: limit_wc] ×8"  # a limit goes first
    assert third["title"] == "Failed Silent Auth [type: fsa] ×8"
    assert last == {
        "color": "#9e9e9e",
        "fallback": "and 9 more groups, 9 events: 9 × fco",
        "title": "and 9 more groups, 9 events: 9 × fco",
    }


def test_ten_events_are_listed_and_eleven_are_grouped() -> None:
    same = [event() for _ in range(11)]
    assert len(build_message(alerts(*same[:10]))["attachments"]) == 10
    (group,) = build_message(alerts(*same))["attachments"]
    assert group["title"] == "Wrong email or password. [type: fp] ×11"


def test_the_last_attachment_names_the_types_of_what_remains() -> None:
    many = [event(type=f"f{n % 3}", description=f"{n}") for n in range(25)]
    title = build_message(alerts(*many))["attachments"][-1]["title"]
    assert title == "and 6 more groups, 6 events: 2 × f1, 2 × f2, 2 × f0"
    many = [event(type=f"new_{n}_failed", description="") for n in range(40)]
    title = build_message(alerts(*many))["attachments"][-1]["title"]
    assert title.startswith("and 21 more groups, 21 events: 1 × new_19_failed, 1 × ")
    assert title.endswith(", 9 × other types")


def test_ten_thousand_events_make_one_small_message() -> None:
    many = [
        event(description=f"{n % 400} <&> " * 60, user_name="\U0001f600" * 80, ip=f"10.0.{n}")
        for n in range(10_000)
    ]
    message = build_message(alerts(*many), tuple(LABELS))
    assert message["text"] == "*Auth0 log alert* 10000 events in acme"
    assert len(encode(message)) < MAX_BYTES
    assert stands_for(message) == 10_000


@pytest.mark.parametrize(
    ("tenants", "text"),
    [
        (["acme", "acme"], "*Auth0 log alert* 2 events in acme"),
        (["acme", "other"], "*Auth0 log alert* 2 events"),
        (["acme", ""], "*Auth0 log alert* 2 events"),
        (["", ""], "*Auth0 log alert* 2 events"),
    ],
)
def test_the_text_names_the_tenant_that_all_share(tenants: list[str], text: str) -> None:
    events = [event(tenant_name=tenant, hostname="") for tenant in tenants]
    assert build_message(alerts(*events))["text"] == text


# Titles, links, times, fields.


@pytest.mark.parametrize(
    ("data", "title", "text"),
    [
        ({"type": "f", "description": "Test failure"}, "Test failure [type: f]", "Failed Login"),
        ({"type": "f"}, "Failed Login [type: f]", None),
        ({"type": "f", "description": None}, "Failed Login [type: f]", None),
        ({"type": "f", "description": "  "}, "Failed Login [type: f]", None),
        ({"type": "f", "description": {"a": 1}}, "Failed Login [type: f]", None),
        ({"type": "f", "description": 5}, "5 [type: f]", "Failed Login"),
        ({"type": "f", "description": True}, "true [type: f]", "Failed Login"),
        ({"type": "f", "description": ["a", ["b"], 2]}, "a, 2 [type: f]", "Failed Login"),
        ({"type": "fu", "description": "failed login (invalid email/username)!"}, ..., None),
        ({"type": "new_failed"}, "Auth0 log event [type: new_failed]", None),
        ({"type": "new_failed", "description": "No"}, "No [type: new_failed]", None),
    ],
)
def test_title_and_name(data: dict[str, Any], title: Any, text: str | None) -> None:
    built = attachment(**data)
    assert title in (..., built["title"])
    assert built.get("text") == text


@pytest.mark.parametrize(
    ("data", "link"),
    [
        ({"tenant_name": "acme", "environment_name": "prod-au-2"}, "dashboard/au/acme/logs/1"),
        ({"tenant_name": "acme", "hostname": "acme.eu.auth0.com"}, "dashboard/eu/acme/logs/1"),
        ({"hostname": "acme.eu.auth0.com"}, "dashboard/eu/acme/logs/1"),
        ({"hostname": "ACME-2.us.auth0.com"}, "dashboard/us/acme-2/logs/1"),
        ({"hostname": "acme.auth0.com"}, "dashboard/us/acme/logs/1"),
        ({"hostname": "login.acme.example"}, "#/logs/1"),
        ({"tenant_name": "acme", "hostname": "login.acme.example"}, "#/logs/1"),
        ({"tenant_name": "acme", "hostname": "other.eu.auth0.com"}, "#/logs/1"),
        ({"tenant_name": "acme", "environment_name": "layer0"}, "#/logs/1"),
        ({"hostname": ["acme.auth0.com"] * 2}, "#/logs/1"),
        ({"hostname": "x.evil.example/.auth0.com"}, "#/logs/1"),
        ({}, "#/logs/1"),
        ({"log_id": "a/b?c#d<&é"}, "#/logs/a%2Fb%3Fc%23d%3C%26%C3%A9"),
        ({"log_id": "\ud800"}, "#/logs/%EF%BF%BD"),
        (
            {"tenant_name": "a/../b", "environment_name": "prod-eu-1"},
            "#/logs/1",
        ),
        ({"log_id": ""}, None),
        ({"log_id": None}, None),
        ({"log_id": "9" * 400}, None),
    ],
)
def test_title_link(data: dict[str, Any], link: str | None) -> None:
    built = attachment(**{"type": "f", "log_id": "1", **data})
    assert built.get("title_link") == (link and f"https://manage.auth0.com/{link}")


@pytest.mark.parametrize(
    ("date", "ts"),
    [
        ("2026-11-22T10:00:05.696Z", 1795341605),
        ("2026-11-22T12:00:05+02:00", 1795341605),
        ("2026-11-22T10:00:05", 1795341605),
        ("yesterday", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("1969-12-31T23:59:59Z", None),
        (1795341605, None),
        (None, None),
    ],
)
def test_ts(date: object, ts: int | None) -> None:
    assert attachment(type="f", date=date).get("ts") == ts


def test_a_group_spans_days_and_is_linked_to_its_newest_event() -> None:
    days = [event(date=f"2026-11-{n:02}T10:00:00Z", log_id=f"{n}") for n in (12, 20, 13)]
    undated = [event(date=None) for _ in range(9)]
    (group,) = build_message(alerts(*days, *undated))["attachments"]
    assert group["title_link"] == LOGS + "20"
    assert group["text"].endswith(" · 2026-11-12 10:00:00 to 2026-11-20 10:00:00 UTC")
    (group,) = build_message(alerts(*undated, *[event(date="", log_id="7")] * 2))["attachments"]
    assert group["title_link"] == LOGS + "7"
    assert group["text"] == "Failed Login (Incorrect Password)"


@pytest.mark.parametrize(
    ("data", "title", "value"),
    [
        ({"client_name": "App", "client_id": "id"}, "Client", "`App` `id`"),
        ({"client_name": "", "client_id": "id"}, "Client", "`id`"),
        ({"client_name": "App", "client_id": None}, "Client", "`App`"),
        ({"client_name": None, "client_id": ""}, "Client", None),
        ({"user_name": "neo", "user_id": "auth0|1"}, "User", "`neo`"),
        ({"user_name": "", "user_id": "auth0|1"}, "User", "`auth0|1`"),
        ({"user_name": 5}, "User", "`5`"),
        ({"ip": ["10.0.0.1", "10.0.0.2"]}, "IP", "`10.0.0.1, 10.0.0.2`"),
        ({"ip": {"a": 1}}, "IP", None),
        ({"ip": []}, "IP", None),
        ({"user_agent": "Chrome 120"}, "User agent", "`Chrome 120`"),
        ({"hostname": "acme.auth0.com"}, "Hostname", "`acme.auth0.com`"),
        ({"log_id": "900"}, "Log ID", "`900`"),
        ({"connection": "con"}, "Connection", "`con`"),
    ],
)
def test_fields(data: dict[str, Any], title: str, value: str | None) -> None:
    assert field(attachment(type="f", **data), title) == value


def test_without_fields_nothing_is_formatted() -> None:
    (built,) = build_message(alerts(event()), ())["attachments"]
    assert "fields" not in built
    assert "mrkdwn_in" not in built


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("", DEFAULT_FIELDS),
        (" , ", DEFAULT_FIELDS),
        ("none", ()),
        ("ip", ("ip",)),
        ("log_id, Client,ip,client", ("log_id", "client", "ip")),
        (",".join(LABELS), tuple(LABELS)),
    ],
)
def test_slack_fields(value: str, fields: tuple[str, ...]) -> None:
    assert read_fields(value) == fields


@pytest.mark.parametrize("wrong", ["email", "none", "client;ip"])
def test_a_wrong_slack_field_is_quoted(wrong: str) -> None:
    with pytest.raises(ValueError, match="SLACK_FIELDS") as raised:
        read_fields(f"ip,{wrong}")
    assert repr(wrong) in str(raised.value)
    assert "log_id" in str(raised.value)


# Safety: everything an event says may be written by an attacker.


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("<!channel>", "&lt;!channel&gt;"),
        ("<https://evil.example|click here>", "&lt;https://evil.example|click here&gt;"),
        ("&lt;!here&gt;", "&amp;lt;!here&amp;gt;"),
        ("a\r\nb\tc\x00d\x1b[31me", "a b c d [31me"),
        ("a\u2028b\x85c", "a b c"),
        ("user\u202egpj.exe", "usergpj.exe"),
        ("a\u2066b\u2069\u200b\ufeff\u00adc", "abc"),
        ("\ud83d", "\ufffd"),
        ("naïve 日本 \U0001f600", "naïve 日本 \U0001f600"),
    ],
)
def test_what_a_user_typed_is_shown_and_does_nothing(typed: str, shown: str) -> None:
    built = attachment(type="f", description=typed, user_name=typed, client_name=typed)
    assert built["title"] == f"{shown} [type: f]"
    assert built["fallback"] == f"{shown} [type: f]"
    assert field(built, "User") == f"`{shown}`"
    assert field(built, "Client") == f"`{shown}`"


def test_a_backtick_ends_no_code_span() -> None:
    built = attachment(type="f", user_name="`*bold*`", client_name="`a", client_id="b`")
    assert field(built, "User") == "`ˋ*bold*ˋ`"
    assert field(built, "Client") == "`ˋa` `bˋ`"


def test_a_code_is_escaped_and_what_is_no_tenant_is_not_shown() -> None:
    message = build_message(alerts(*[event(tenant_name="<!here>*", hostname="", type="<f&>")] * 2))
    assert message["text"] == "*Auth0 log alert* 2 events"
    assert message["attachments"][0]["title"].endswith("[type: &lt;f&amp;&gt;]")
    assert "footer" not in message["attachments"][0]


@pytest.mark.parametrize("character", ["a", "&", "<", "\U0001f600"])
@pytest.mark.parametrize("shift", range(6))
def test_a_cut_is_marked_and_splits_nothing(character: str, shift: int) -> None:
    long = "." * shift + character * 5000
    built = attachment(type="f", description=long, user_name=long, client_name=long, client_id=long)
    texts = {
        MAX_TITLE: built["title"].removesuffix(" [type: f]"),
        MAX_VALUE: (field(built, "User") or "").strip("`"),
    }
    for limit, text in texts.items():
        assert limit - 15 < len(text) <= limit
        assert text.endswith("…")
        assert re.fullmatch(r"\.*(a*|(&amp;)*|(&lt;)*|\U0001f600*)…", text)
    client = field(built, "Client") or ""
    assert len(client) <= MAX_VALUE
    assert re.fullmatch(r"`[^`]+…` `[^`]+…`", client)


# Properties: for anything that JSON can hold.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
long_texts = st.builds(
    lambda text, times: text * times,
    st.text(st.characters(codec=None, categories=None), min_size=1, max_size=12),
    st.sampled_from([1, 1, 40, 500]),
)
keys = [
    "description", "date", "client_id", "client_name", "user_id", "user_name", "connection", "ip",
    "user_agent", "hostname", "tenant_name", "environment_name", "log_id",
]  # fmt: skip
real = st.sampled_from(["acme", "prod-eu-1", "acme.eu.auth0.com", "2026-11-22T10:00:05.696Z"])
values = json_values | long_texts | real | st.sampled_from(["<!channel>", "`&`"])
codes = st.sampled_from(["f", "fp", "limit_wc", "s"]) | long_texts
any_data = st.builds(
    lambda code, data: {"log_id": None, **data, "type": code},
    codes,
    st.dictionaries(st.sampled_from(keys), values),
)
few = st.lists(any_data, min_size=1, max_size=12)
floods = st.builds(
    lambda seeds, times: seeds * times,
    st.lists(any_data, min_size=1, max_size=25),
    st.integers(2, 12),
)


def stands_for(message: dict[str, Any]) -> int:
    """How many events a message says it stands for, added up over its attachments."""
    total = 0
    for built in message["attachments"]:
        remainder = re.match(r"and \d+ more groups, (\d+) events: ", built["title"])
        if remainder and built["color"] == "#9e9e9e":
            total += int(remainder[1])
            counts = re.findall(r"(?:: |, )(\d+) × ", built["title"])
            assert sum(map(int, counts)) == int(remainder[1])
        else:
            count = re.search(r"\] ×(\d+)$", built["title"])
            total += int(count[1]) if count else 1
    return total


def texts(message: Any) -> list[str]:
    """All strings in a message but the links, which the service makes itself."""
    if isinstance(message, dict):
        return [t for key, value in message.items() if key != "title_link" for t in texts(value)]
    if isinstance(message, list):
        return [text for value in message for text in texts(value)]
    return [message] if isinstance(message, str) else []


def check(message: dict[str, Any], events: int) -> None:
    encoded = encode(message)
    assert json.loads(encoded) == message
    assert len(encoded) <= MAX_BYTES
    assert 1 <= len(message["attachments"]) <= MAX_ATTACHMENTS
    assert stands_for(message) == events
    headline = re.match(r"\*Auth0 log alert\*(?: (\d+) events)?", message["text"])
    assert headline
    assert int(headline[1] or 1) == events
    for text in texts(message):
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text)
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e]", text)
    for built in message["attachments"]:
        assert len(built["title"]) <= MAX_TITLE
        assert len(built.get("text", "")) <= MAX_TEXT
        assert len(built.get("footer", "")) <= MAX_VALUE
        assert len(built["fallback"]) <= MAX_VALUE
        assert re.fullmatch(r"https://manage\.auth0\.com/[!-~]+", built.get("title_link", LOGS))
        for shown in built.get("fields", []):
            assert len(shown["value"]) <= MAX_VALUE
            assert shown["value"].count("`") % 2 == 0


@given(few | floods, st.permutations(sorted(LABELS)).map(tuple))
def test_any_events_make_a_safe_bounded_message_that_counts_them(
    events: list[dict[str, Any]], fields: tuple[str, ...]
) -> None:
    message = build_message(alerts(*({"data": data} for data in events)), fields)
    check(message, len(events))


@given(few | floods)
def test_the_plain_form_of_any_message_is_safe_and_bounded(events: list[dict[str, Any]]) -> None:
    plain = plain_form(build_message(alerts(*({"data": data} for data in events))))
    assert len(plain["text"]) <= MAX_TEXT
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", plain["text"])
    assert json.loads(encode(plain)) == plain


def test_a_long_plain_form_ends_between_two_events() -> None:
    message = build_message(alerts(*[event(description="x" * 500) for _ in range(10)]))
    text = plain_form(message)["text"]
    assert MAX_TEXT - 500 < len(text) <= MAX_TEXT
    assert text.endswith("\n…")
    for line in text.splitlines()[1:-1]:
        assert line.startswith(("• xxx", LOGS))


def test_the_plain_form_says_the_same() -> None:
    message = build_message(alerts(event(log_id="1"), event(log_id="2", type="f", description="")))
    assert plain_form(message) == {
        "text": "Auth0 log alert 2 events in acme\n"
        "• Wrong email or password. [type: fp] · Failed Login (Incorrect Password)"
        " · Client: `Default App` `aI61p8I8aFjmYRliLWgvM9ev97kCCNDB` · User: `neo@example.com`"
        " · Connection: `Username-Password-Authentication` · IP: `203.0.113.9`\n"
        f"{LOGS}1\n"
        "• Failed Login [type: f]"
        " · Client: `Default App` `aI61p8I8aFjmYRliLWgvM9ev97kCCNDB` · User: `neo@example.com`"
        " · Connection: `Username-Password-Authentication` · IP: `203.0.113.9`\n"
        f"{LOGS}2",
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }
