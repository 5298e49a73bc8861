"""The message: what stands in Slack for one event, for several, for a flood; and for an attack."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import DEFAULT_FIELDS, FIELDS, Alert
from filters import read_filter
from message import (
    ATTEMPTS,
    MAX_ATTACHMENTS,
    MAX_BYTES,
    MAX_SINGLE,
    MAX_TEXT,
    build_message,
    encode,
)
from tests.events import event

EVERYTHING, _ = read_filter("*")
ROOM = ATTEMPTS[0][0]  # characters of a title, and of a value
LOGS = "https://manage.auth0.com/dashboard/eu/acme/logs/"


def alerts(*events: dict[str, Any]) -> list[Alert]:
    return EVERYTHING.alerts([event["data"] for event in events])


def attachment(**data: Any) -> dict[str, Any]:
    """The attachment for one event with these data, and all fields."""
    (built,) = build_message(alerts({"data": {"log_id": "", **data}}), tuple(FIELDS))[
        "attachments"
    ]
    assert isinstance(built, dict)
    return built


def field(built: dict[str, Any], title: str) -> str | None:
    values = {field["title"]: field["value"] for field in built.get("fields", [])}
    return values.get(title)


# What arrives in Slack, as whole payloads.


def test_one_event() -> None:
    failed_login = event(log_id="90020261122")
    assert build_message(alerts(failed_login)) == {
        "text": "*Auth0 log alert* Failed Login (Incorrect Password) in acme",
        "attachments": [
            {
                "color": "#e01e5a",
                "fallback": "Wrong email or password. [type: fp]",
                "title": "Wrong email or password. [type: fp]",
                "title_link": LOGS + "90020261122",
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
            event(
                log_id="2",
                type="limit_wc",
                description="Account blocked",
                client_name="",
            ),
            event(
                log_id="3",
                type="fercft",
                description=None,
                client_id=None,
                user_name="trinity",
            ),
        ),
        fields=("user", "client"),
    )
    client = "`Default App` `aI61p8I8aFjmYRliLWgvM9ev97kCCNDB`"
    common = {"mrkdwn_in": ["fields"], "footer": "acme", "ts": 1795341605}
    assert message == {
        "text": "*Auth0 log alert* 3 events in acme: 1 × fp, 1 × limit_wc, 1 × fercft",
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


COMMON = {
    "date": "2026-11-22T10:00:05.696Z",
    "log_id": "900",
    "tenant_name": "acme",
    "environment_name": "prod-eu-1",
}


def shown(title: str, value: str) -> dict[str, Any]:
    return {
        "title": title,
        "value": value,
        "short": title not in ("Cause", "User agent"),
    }


@pytest.mark.parametrize(
    ("data", "headline", "title", "fields"),
    [
        (
            {
                "type": "fn",
                "description": "To: neo@example.com",
                "details": {
                    "email_type": "verify_email",
                    "error": "the domain is blacklisted",
                    "to": "neo@example.com",
                },
            },
            "Failed Sending Notification",
            "To: neo@example.com [type: fn]",
            [
                shown("Cause", "`the domain is blacklisted`"),
                shown("Recipient", "`neo@example.com`"),
            ],
        ),
        (
            {
                "type": "feacft",
                "description": "",
                "client_id": "aI61",
                "details": {"error": {"message": "Invalid authorization code"}},
            },
            "Failed Exchange: Authorization Code",
            "Failed Exchange: Authorization Code [type: feacft]",
            [shown("Cause", "`Invalid authorization code`"), shown("Client", "`aI61`")],
        ),
        (
            {"type": "fc", "connection": "ad-acme", "ip": "203.0.113.9"},
            "Failed by Connector",
            "Failed by Connector [type: fc]",
            [shown("Connection", "`ad-acme`"), shown("IP", "`203.0.113.9`")],
        ),
        (
            {
                "type": "gd_send_sms_failure",
                "description": "",
                "user_id": "auth0|1",
                "details": {
                    "authenticator": {"type": "sms"},
                    "provider_error": {
                        "message": "Unreachable number",
                        "errorCode": "30003",
                    },
                },
            },
            "Error Sending MFA SMS",
            "Error Sending MFA SMS [type: gd_send_sms_failure]",
            [
                shown("Cause", "`Unreachable number`"),
                shown("Factor", "`sms`"),
                shown("User", "`auth0|1`"),
            ],
        ),
        (
            {
                "type": "gd_auth_failed",
                "description": "Multi-factor authentication failed",
                "user_name": "neo@example.com",
                "details": {
                    "authenticator": {"type": "otp"},
                    "failure_details": {
                        "message": "Wrong code",
                        "errorCode": "invalid_otp",
                    },
                },
            },
            "MFA Auth failed",
            "Multi-factor authentication failed [type: gd_auth_failed]",
            [
                shown("Cause", "`Wrong code`"),
                shown("Factor", "`otp`"),
                shown("User", "`neo@example.com`"),
            ],
        ),
        (
            {
                "type": "actions_execution_failed",
                "details": {
                    "action_name": "enrich-profile",
                    "action_error": {
                        "name": "TypeError",
                        "message": "x is not a function",
                    },
                },
            },
            "Actions Execution Failed",
            "Actions Execution Failed [type: actions_execution_failed]",
            [
                shown("Cause", "`x is not a function`"),
                shown("Action", "`enrich-profile`"),
            ],
        ),
        (
            {
                "type": "api_limit",
                "description": "You have exceeded the rate limit",
                "details": {
                    "request": {"method": "PUT", "path": "/api/v2/users"},
                    "limit": {"bucket": "management_api", "size": 50, "global": True},
                },
            },
            "Rate Limit on the Authentication or Management APIs",
            "You have exceeded the rate limit [type: api_limit]",
            [
                shown("Request", "`PUT /api/v2/users`"),
                shown("Rate limit", "`management_api`"),
            ],
        ),
        (
            {
                "type": "custom_domain_verification_failed",
                "details": {
                    "domain": "login.acme.example",
                    "errorMsg": "CNAME not found",
                },
            },
            "Custom Domain Verification Failed",
            "Custom Domain Verification Failed [type: custom_domain_verification_failed]",
            [
                shown("Cause", "`CNAME not found`"),
                shown("Domain", "`login.acme.example`"),
            ],
        ),
        (
            {
                "type": "f",
                "description": "Callback URL mismatch. https://a.example is not in the list",
                "client_id": None,
                "client_name": "",
                "details": {
                    "error": {"message": "Callback URL mismatch."},
                    "qs": {"client_id": "aI61", "redirect_uri": "https://a.example"},
                },
            },
            "Failed Login",
            "Callback URL mismatch. https://a.example is not in the list [type: f]",
            [shown("Client", "`aI61`")],  # the description has the cause
        ),
    ],
    ids=lambda data: data["type"] if isinstance(data, dict) else "",
)
def test_an_alert_says_why_and_about_what(
    data: dict[str, Any], headline: str, title: str, fields: list[dict[str, Any]]
) -> None:
    assert build_message(alerts({"data": {**COMMON, **data}})) == {
        "text": f"*Auth0 log alert* {headline} in acme",
        "attachments": [
            {
                "color": "#ecb22e" if data["type"] == "api_limit" else "#e01e5a",
                "fallback": title,
                "title": title,
                "title_link": LOGS + "900",
                "fields": fields,
                "mrkdwn_in": ["fields"],
                "footer": "acme",
                "ts": 1795341605,
            }
        ],
    }


def at(second: int) -> str:
    """A date in a log event, so many seconds after ten."""
    return (
        datetime(2026, 11, 22, 10, tzinfo=UTC) + timedelta(seconds=second)
    ).isoformat()


def test_a_credential_attack_is_one_attachment_with_its_totals() -> None:
    message = build_message(
        alerts(
            *(
                event(
                    type="limit_wc",
                    log_id=f"{n}",
                    date=at(n),
                    description=f"User (user{n}@example.com) attempted 10 consecutive logins",
                    user_name=f"user{n}@example.com",
                    ip=f"203.0.113.{n % 7}",
                    details=None,
                )
                for n in range(200)
            )
        )
    )
    title = "Blocked Account: Failed Logins [type: limit_wc] ×200"
    assert message == {
        "text": "*Auth0 log alert* 200 events in acme: 200 × limit_wc",
        "attachments": [
            {
                "color": "#ecb22e",
                "fallback": title,
                "title": title,
                "title_link": LOGS + "199",
                "text": "2026-11-22 10:00:00 to 10:03:19 UTC",
                "fields": [
                    {
                        "title": "Latest description",
                        "value": "`User (user199@example.com) attempted 10 consecutive logins`",
                        "short": False,
                    },
                    {
                        "title": "Client",
                        "value": "`Default App` `aI61p8I8aFjmYRliLWgvM9ev97kCCNDB`",
                        "short": True,
                    },
                    {
                        "title": "Users (200)",
                        "value": "`user0@example.com`, `user1@example.com`, `user2@example.com`,"
                        " `user3@example.com`, `user4@example.com`, …",
                        "short": False,
                    },
                    {
                        "title": "Connection",
                        "value": "`Username-Password-Authentication`",
                        "short": True,
                    },
                    {
                        "title": "IPs (7)",
                        "value": "`203.0.113.0`, `203.0.113.1`, `203.0.113.2`, `203.0.113.3`,"
                        " `203.0.113.4`, …",
                        "short": False,
                    },
                ],
                "mrkdwn_in": ["fields"],
                "footer": "acme",
                "ts": 1795341799,
            }
        ],
    }


# Titles, links, times, fields.


@pytest.mark.parametrize(
    ("data", "title"),
    [
        ({"type": "f", "description": "Test failure"}, "Test failure [type: f]"),
        ({"type": "f"}, "Failed Login [type: f]"),
        ({"type": "f", "description": None}, "Failed Login [type: f]"),
        ({"type": "f", "description": "  "}, "Failed Login [type: f]"),
        ({"type": "f", "description": {"a": 1}}, "Failed Login [type: f]"),
        ({"type": "f", "description": 5}, "5 [type: f]"),
        ({"type": "f", "description": ["a", ["b"], 2]}, "a, 2 [type: f]"),
        ({"type": "new_failed"}, "Auth0 log event [type: new_failed]"),
        ({"type": "new_failed", "description": "No"}, "No [type: new_failed]"),
    ],
)
def test_the_title(data: dict[str, Any], title: str) -> None:
    assert attachment(**data)["title"] == title


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ("Test failure", "Failed Login"),
        ("failed login (of a test)!", None),
        (None, None),
    ],
)
def test_the_name_stands_once(description: str | None, text: str | None) -> None:
    first, _ = build_message(alerts(event(type="f", description=description), event()))[
        "attachments"
    ]
    assert first.get("text") == text


def test_without_fields_nothing_is_formatted() -> None:
    (built,) = build_message(alerts(event()), ())["attachments"]
    assert "fields" not in built
    assert "mrkdwn_in" not in built


# Like with like.


@pytest.mark.parametrize(
    ("code", "description"),
    [
        (
            "limit_wc",
            "User (user{}@example.com) attempted 10 consecutive logins unsuccessfully.",
        ),
        ("limit_mu", "IP 10.0.0.{} attempted to log in with 100 user names"),
        (
            "pwd_leak",
            "Someone behind the IP address: 10.0.0.{} attempted to login with a leak",
        ),
        ("fn", "To: user{}@example.com"),
        (
            "f",
            "Callback URL mismatch. https://a.example/{} is not in the list of allowed URLs",
        ),
        ("fsa", "Callback URL mismatch. URL https://a.example/{} is not in the list"),
        ("fp", "Wrong email or password."),
    ],
)
@pytest.mark.parametrize("clients", [1, 3, 50])
def test_200_that_differ_in_whom_they_name_are_three_attachments_at_most(
    code: str, description: str, clients: int
) -> None:
    many = [
        event(
            type=code,
            description=description.format(n),
            user_name=f"user{n}@example.com",
            ip=f"10.0.0.{n}",
            client_id=f"client{n % clients}",
        )
        for n in range(200)
    ]
    message = build_message(alerts(*many))
    assert len(message["attachments"]) == (3 if clients == 3 else 1)
    assert stands_for(message) == 200
    totals = [
        sum(
            int((re.search(rf"{label}s \((\d+)\)", str(built)) or "0")[1])
            for built in message["attachments"]
        )
        for label in ("User", "IP")
    ]
    assert totals == [200, 200]


def test_three_events_are_listed_and_four_are_grouped() -> None:
    same = [event() for _ in range(MAX_SINGLE + 1)]
    assert len(build_message(alerts(*same[:MAX_SINGLE]))["attachments"]) == MAX_SINGLE
    (group,) = build_message(alerts(*same))["attachments"]
    assert group["title"] == "Wrong email or password. [type: fp] ×4"


def grouped(*events: dict[str, Any]) -> list[str]:
    return [built["title"] for built in build_message(alerts(*events))["attachments"]]


def test_the_finest_grouping_that_stays_readable() -> None:
    def logins(clients: int, descriptions: int) -> list[dict[str, Any]]:
        return [
            event(
                type="f",
                client_id=f"{n % clients}",
                description=f"Cause {n % descriptions}",
            )
            for n in range(60)
        ]

    assert grouped(*logins(1, 3)) == [f"Cause {n} [type: f] ×20" for n in range(3)]
    assert grouped(*logins(3, 1)) == ["Cause 0 [type: f] ×20"] * 3
    assert grouped(*logins(3, 2)) == ["Failed Login [type: f] ×20"] * 3
    assert grouped(*logins(1, 4)) == ["Failed Login [type: f] ×60"]
    assert grouped(*logins(4, 1)) == ["Cause 0 [type: f] ×60"]


def test_the_causes_of_a_group_are_counted() -> None:
    errors = ["no such user", "wrong realm"]
    many = [
        event(type="f", description=f"{n}", details={"error": errors[n % 2]})
        for n in range(20)
    ]
    (group,) = build_message(alerts(*many))["attachments"]
    assert group["fields"][0] == {
        "title": "Causes (2)",
        "value": "`no such user`, `wrong realm`",
        "short": False,
    }


def test_a_group_whose_newest_has_no_description_shows_none() -> None:
    many = [
        event(type="f", description=f"{n}" if n < 9 else "", details=None)
        for n in range(10)
    ]
    (group,) = build_message(alerts(*many))["attachments"]
    assert group["title"] == "Failed Login [type: f] ×10"
    assert group["fields"][0]["title"] == "Client"


def test_a_limit_goes_before_as_many_failures() -> None:
    failed, limited = [event(type="f") for _ in range(4)], [event(type="pwd_leak")] * 4
    assert [title.split()[-2] for title in grouped(*failed, *limited)] == [
        "pwd_leak]",
        "f]",
    ]


def test_types_are_grouped_more_coarsely_before_one_of_them_is_hidden() -> None:
    codes = ["f", "fp", "fu", "fs", "fsa", "fn", "limit_wc", "limit_mu", "pwd_leak"]
    many = [event(type=code, client_id=f"{n % 3}") for code in codes for n in range(6)]
    titles = grouped(*many)
    assert len(titles) == MAX_ATTACHMENTS - 1  # one more would need two
    assert {title.split("type: ")[1].split("]")[0] for title in titles} == set(codes)
    many.append(event(type="api_limit"))
    assert len(grouped(*many)) == MAX_ATTACHMENTS
    assert not any(title.startswith("and ") for title in grouped(*many))


def test_more_types_than_attachments_are_counted_in_the_last() -> None:
    many = [
        event(type=f"new_{n}_failed") for n in range(60) for _ in range(1 + (n == 50))
    ]
    message = build_message(alerts(*many))
    assert len(message["attachments"]) == MAX_ATTACHMENTS
    assert (
        message["attachments"][0]["title"]
        == "Wrong email or password. [type: new_50_failed] ×2"
    )
    last = message["attachments"][-1]
    assert last["title"] == last["fallback"] == "and 51 more types, 51 events"
    assert last["text"].startswith("1 × new_8_failed, 1 × new_9_failed, 1 × ")
    assert last["text"].endswith(", 11 × other types")
    assert last["color"] == "#9e9e9e"


def test_ten_thousand_events_make_one_small_message() -> None:
    many = [
        event(
            description=f"{n % 400} <&> " * 60,
            user_name="\U0001f600" * 80,
            ip=f"10.0.{n}",
        )
        for n in range(10_000)
    ]
    message = build_message(alerts(*many), tuple(FIELDS))
    assert message["text"] == "*Auth0 log alert* 10,000 events in acme: 10,000 × fp"
    assert len(encode(message)) < MAX_BYTES
    assert stands_for(message) == 10_000


def test_long_texts_are_cut_shorter_until_the_message_fits() -> None:
    long = "\U0001f600" * 900
    wordy = dict.fromkeys(
        ["description", "user_name", "client_name", "connection", "ip"], long
    )
    many = [event(type=f"f{n}", **wordy) for n in range(MAX_ATTACHMENTS)]
    for fields in (DEFAULT_FIELDS, tuple(FIELDS)):
        message = build_message(alerts(*many), fields)
        check(message, MAX_ATTACHMENTS)
        assert 250 > len(message["attachments"][0]["title"]) > 50


# The notification.


@pytest.mark.parametrize(
    ("tenants", "text"),
    [
        (["acme", "acme"], "2 events in acme: 2 × fp"),
        (["acme", "other"], "2 events: 2 × fp"),
        (["acme", ""], "2 events: 2 × fp"),
        (["", ""], "2 events: 2 × fp"),
        (["acme"], "Failed Login (Incorrect Password) in acme"),
        ([""], "Failed Login (Incorrect Password)"),
    ],
)
def test_the_text_names_the_tenant_that_all_share(
    tenants: list[str], text: str
) -> None:
    events = [event(tenant_name=tenant, hostname="") for tenant in tenants]
    assert build_message(alerts(*events))["text"] == f"*Auth0 log alert* {text}"


def test_the_text_counts_the_most_frequent_types_and_the_others() -> None:
    counts = {"fp": 1100, "fu": 120, "limit_wc": 23, "f": 2, "fs": 1}
    many = [event(type=code) for code, count in counts.items() for _ in range(count)]
    assert build_message(alerts(*many))["text"] == (
        "*Auth0 log alert* 1,246 events in acme:"
        " 1,100 × fp, 120 × fu, 23 × limit_wc, 3 × other types"
    )


def test_the_text_of_an_unknown_type_has_its_code() -> None:
    text = build_message(alerts(event(type="new_<thing>_failed")))["text"]
    assert text == "*Auth0 log alert* new_&lt;thing&gt;_failed in acme"


# Times and places.


def test_without_a_tenant_the_footer_is_the_hostname() -> None:
    assert (
        attachment(type="f", hostname="login.acme.example")["footer"]
        == "login.acme.example"
    )
    assert attachment(type="f", hostname="<" * 300)["footer"] == "&lt;" * 24 + "…"
    assert "footer" not in attachment(type="f")


def test_a_span_within_a_second_is_one_time() -> None:
    many = [event(date=f"2026-11-22T10:00:05.{n}00Z") for n in range(5)]
    (group,) = build_message(alerts(*many))["attachments"]
    assert (
        group["text"] == "Failed Login (Incorrect Password) · 2026-11-22 10:00:05 UTC"
    )


def test_a_group_spans_days_and_is_linked_to_its_newest_event() -> None:
    days = [
        event(date=f"2026-11-{n:02}T10:00:00Z", log_id=f"{n}") for n in (12, 20, 13)
    ]
    undated = [event(date=None) for _ in range(9)]
    (group,) = build_message(alerts(*days, *undated))["attachments"]
    assert group["title_link"] == LOGS + "20"
    assert group["text"].endswith(" · 2026-11-12 10:00:00 to 2026-11-20 10:00:00 UTC")
    (group,) = build_message(alerts(*undated, *[event(date="", log_id="7")] * 2))[
        "attachments"
    ]
    assert group["title_link"] == LOGS + "7"
    assert group["text"] == "Failed Login (Incorrect Password)"


# Safety: everything an event says may be written by an attacker.


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("<!channel>", "&lt;!channel&gt;"),
        (
            "<https://evil.example|click here>",
            "&lt;https://evil.example|click here&gt;",
        ),
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
    message = build_message(
        alerts(*[event(tenant_name="<!here>*", hostname="", type="<f&>")] * 2)
    )
    assert message["text"] == "*Auth0 log alert* 2 events: 2 × &lt;f&amp;&gt;"
    assert message["attachments"][0]["title"].endswith("[type: &lt;f&amp;&gt;]")
    assert "footer" not in message["attachments"][0]


@pytest.mark.parametrize("character", ["a", "&", "<", "\U0001f600"])
@pytest.mark.parametrize("shift", range(6))
def test_a_cut_is_marked_and_splits_nothing(character: str, shift: int) -> None:
    long = "." * shift + character * 5000
    built = attachment(
        type="f", description=long, user_name=long, client_name=long, client_id=long
    )
    for limit, text in (
        (ROOM - len(" [type: f]"), built["title"].removesuffix(" [type: f]")),
        (ROOM - len("``"), (field(built, "User") or "").strip("`")),
    ):
        assert limit - 15 < len(text) <= limit
        assert text.endswith("…")
        assert re.fullmatch(r"\.*(a*|(&amp;)*|(&lt;)*|\U0001f600*)…", text)
    client = field(built, "Client") or ""
    assert len(client) <= ROOM
    assert re.fullmatch(r"`[^`]+…` `[^`]+…`", client)


HOSTILE = [
    "<!channel>",
    "&lt;!here&gt;",
    "`*x*`",
    "\ud800",
    "x" * 9000,
    5,
    ["<!here>"],
    {"a": 1},
]


@pytest.mark.parametrize("typed", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_value_does_nothing_in_any_field(typed: Any) -> None:
    nested = dict.fromkeys(
        ["message", "method", "path", "bucket", "client_id", "email", "type"], typed
    )
    details = dict.fromkeys(
        ["error", "request", "limit", "qs", "body", "authenticator", "failure_details"],
        nested,
    )
    details |= dict.fromkeys(
        ["action_name", "domain", "to", "origin", "flow_id"], typed
    )
    top = dict.fromkeys(
        ["organization_name", "audience", "strategy", "user_agent"], typed
    )
    location = dict.fromkeys(["city_name", "country_name"], typed)
    data = {"type": "f", "log_id": "1", **top, "location_info": location}
    for each in (details, typed, {"error": typed}, [typed], [details]):
        message = build_message(
            alerts({"data": {**data, "details": each}}), tuple(FIELDS)
        )
        check(message, 1)
        assert "{" not in str(
            [shown["value"] for shown in message["attachments"][0].get("fields", [])]
        )


# Properties: for anything that JSON can hold.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)
long_texts = st.builds(
    lambda text, times: text * times,
    st.text(st.characters(codec=None, categories=None), min_size=1, max_size=12),
    st.sampled_from([1, 1, 40, 500]),
)
keys = [
    "description", "date", "client_id", "client_name", "user_id", "user_name", "connection", "ip",
    "user_agent", "hostname", "tenant_name", "environment_name", "log_id", "details", "audience",
    "location_info", "organization_name",
]  # fmt: skip
details = st.dictionaries(
    st.sampled_from(
        ["error", "errorMsg", "request", "limit", "qs", "body", "to", "failure_details"]
    ),
    json_values
    | long_texts
    | st.dictionaries(
        st.sampled_from(["message", "method", "path", "bucket", "client_id", "email"]),
        long_texts,
    ),
)
real = st.sampled_from(
    ["acme", "prod-eu-1", "acme.eu.auth0.com", "2026-11-22T10:00:05.696Z"]
)
values = (
    json_values | long_texts | details | real | st.sampled_from(["<!channel>", "`&`"])
)
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
        rest = re.match(r"and [\d,]+ more types, ([\d,]+) events$", built["title"])
        if rest and built["color"] == "#9e9e9e":
            counts = re.findall(r"(?:^|, )([\d,]+) × ", built["text"])
            assert sum(map(number, counts)) == number(rest[1])
            total += number(rest[1])
        else:
            count = re.search(r"\] ×([\d,]+)$", built["title"])
            total += number(count[1]) if count else 1
    return total


def number(text: str) -> int:
    return int(text.replace(",", ""))


def texts(message: Any) -> list[str]:
    """All strings in a message but the links, which the service makes itself."""
    if isinstance(message, dict):
        return [
            t
            for key, value in message.items()
            if key != "title_link"
            for t in texts(value)
        ]
    if isinstance(message, list):
        return [text for value in message for text in texts(value)]
    return [message] if isinstance(message, str) else []


def check(message: dict[str, Any], events: int) -> None:
    encoded = encode(message)
    assert json.loads(encoded) == message
    assert len(encoded) <= MAX_BYTES
    assert 1 <= len(message["attachments"]) <= MAX_ATTACHMENTS
    assert stands_for(message) == events
    headline = re.match(r"\*Auth0 log alert\* (?:([\d,]+) events)?", message["text"])
    assert headline
    assert number(headline[1] or "1") == events
    for text in texts(message):
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text)
        assert not re.search(
            "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e]", text
        )
    for built in message["attachments"]:
        assert len(built["title"]) <= ROOM
        assert len(built.get("text", "")) <= MAX_TEXT
        assert len(built.get("footer", "")) <= 100
        assert len(built["fallback"]) <= ROOM
        assert re.fullmatch(
            r"https://manage\.auth0\.com/[!-~]+", built.get("title_link", LOGS)
        )
        for shown in built.get("fields", []):
            assert len(shown["value"]) <= ROOM
            assert shown["value"].count("`") % 2 == 0


@given(few | floods, st.permutations(sorted(FIELDS)).map(tuple))
def test_any_events_make_a_safe_bounded_message_that_counts_them(
    events: list[dict[str, Any]], fields: tuple[str, ...]
) -> None:
    message = build_message(alerts(*({"data": data} for data in events)), fields)
    check(message, len(events))


def test_the_counts_hold_nothing_that_anyone_typed() -> None:
    typed = dict.fromkeys(
        ["description", "user_name", "client_name", "hostname"], "typed"
    )
    many = alerts(event(**typed), event(**typed), event(type="typed_failed", **typed))
    assert build_message(many, tuple(FIELDS), form="counts") == {
        "text": "*Auth0 log alert* 3 events in acme: 2 × fp, 1 × unknown type\n"
        "Slack refused the details: see Auth0's own logs, https://manage.auth0.com/#/logs"
    }
    (one,) = alerts(event(type="typed_failed", tenant_name="<typed>", **typed))
    assert build_message([one], form="counts")["text"].startswith(
        "*Auth0 log alert* unknown type\n"
    )


# The digest.


@pytest.mark.parametrize(
    ("dates", "text"),
    [
        ([9, 3, 7], "3 events in acme, digest since 2026-11-22 10:00:03 UTC: 3 × fp"),
        (
            [9],
            "Failed Login (Incorrect Password) in acme, digest since 2026-11-22 10:00:09 UTC",
        ),
        ([None, None], "2 events in acme, digest: 2 × fp"),
    ],
)
def test_a_digest_says_that_it_is_one_and_since_when(
    dates: list[int | None], text: str
) -> None:
    many = [event(date=None if second is None else at(second)) for second in dates]
    message = build_message(alerts(*many), digest=True)
    assert message["text"] == f"*Auth0 log alert* {text}"
