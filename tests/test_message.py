"""The message: what Slack shows of one event, of several, of a flood, of an attack."""

import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import DEFAULT_FIELDS, FIELDS, Alert
from filters import Router, read_filter
from log_types import NAMES
from message import (
    MAX_ATTACHMENTS,
    MAX_BYTES,
    MAX_SINGLE,
    ROOM,
    Message,
    Purpose,
    build_message,
    encode,
)
from tests.events import event

EVERYTHING = Router({"": read_filter("*")[0]})
LOGS = "https://manage.auth0.com/dashboard/eu/acme/logs/"


def alerts(*events: dict[str, Any]) -> list[Alert]:
    return EVERYTHING.route([event["data"] for event in events]).by_channel[""]


def payload(*events: dict[str, Any], **options: Any) -> dict[str, Any]:
    """What Slack gets for these events."""
    return build_message(alerts(*events), **options).payload


def news(*codes: str) -> Purpose:
    """A message of which these log types are news to the channel."""
    return Purpose(news=frozenset(codes))


def text(*events: dict[str, Any], **options: Any) -> str:
    """The headline of the message for these events."""
    headline = payload(*events, **options)["text"]
    assert isinstance(headline, str)
    return headline


def attachments(*events: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """The attachments of the message for these events."""
    built = payload(*events, **options)["attachments"]
    assert isinstance(built, list)
    return built


def attachment(**data: Any) -> dict[str, Any]:
    """The attachment for one event with these data, and all fields."""
    only = {"data": {"log_id": "", **data}}
    (built,) = attachments(only, fields=tuple(FIELDS))
    return built


def field(built: dict[str, Any], title: str) -> str | None:
    values = {field["title"]: field["value"] for field in built.get("fields", [])}
    return values.get(title)


# What arrives in Slack, as whole payloads.

SETTINGS = {"parse": "none", "unfurl_links": False, "unfurl_media": False}
TIME = "<!date^1795341605^{date_short_pretty} {time_secs}|2026-11-22 10:00:05 UTC>"
CLIENT = "`Default App` `aI61p8I8aFjmYRliLWgvM9ev97kCCNDB`"
CONNECTION = "`Username-Password-Authentication`"


def shown(title: str, value: str, short: bool = True) -> dict[str, Any]:
    """A field of an attachment."""
    return {"title": title, "value": value, "short": short}


def test_one_event() -> None:
    assert payload(event(log_id="90020261122")) == {
        "text": "*Failed Login (Incorrect Password)* in acme",
        "attachments": [
            {
                "color": "#e01e5a",
                "fallback": "Wrong email or password. [type: fp]"
                " · 2026-11-22 10:00:05 UTC · User: neo@example.com",
                "title": "Wrong email or password. [type: fp]",
                "title_link": LOGS + "90020261122",
                "text": TIME,
                "fields": [
                    shown("Client", CLIENT),
                    shown("User", "`neo@example.com`"),
                    shown("Connection", CONNECTION),
                    shown("IP", "`203.0.113.9`"),
                ],
                "mrkdwn_in": ["text", "fields"],
            }
        ],
        **SETTINGS,
    }


def test_several_events() -> None:
    failed = event(log_id="1")
    blocked = event(
        log_id="2", type="limit_wc", description="Account blocked", client_name=""
    )
    exchange = event(
        log_id="3", type="fercft", description=None, client_id=None, user_name="trinity"
    )
    assert payload(failed, blocked, exchange, fields=("user", "client")) == {
        "text": "*3 events* in acme: 1 × Blocked Account: Failed Logins,"
        " 1 × Failed Login (Incorrect Password),"
        " 1 × Failed Exchange: Password and MFA Recovery Code",
        "attachments": [
            {
                "color": "#ecb22e",
                "fallback": "Account blocked [type: limit_wc]"
                " · Blocked Account: Failed Logins · 2026-11-22 10:00:05 UTC"
                " · User: neo@example.com",
                "title": "Account blocked [type: limit_wc]",
                "title_link": LOGS + "2",
                "text": f"Blocked Account: Failed Logins · {TIME}",
                "fields": [
                    shown("User", "`neo@example.com`"),
                    shown("Client", "`aI61p8I8aFjmYRliLWgvM9ev97kCCNDB`"),
                ],
                "mrkdwn_in": ["text", "fields"],
            },
            {
                "color": "#e01e5a",
                "fallback": "Wrong email or password. [type: fp]"
                " · Failed Login (Incorrect Password) · 2026-11-22 10:00:05 UTC"
                " · User: neo@example.com",
                "title": "Wrong email or password. [type: fp]",
                "title_link": LOGS + "1",
                "text": f"Failed Login (Incorrect Password) · {TIME}",
                "fields": [
                    shown("User", "`neo@example.com`"),
                    shown("Client", CLIENT),
                ],
                "mrkdwn_in": ["text", "fields"],
            },
            {
                "color": "#e01e5a",
                "fallback": "Failed Exchange: Password and MFA Recovery Code"
                " [type: fercft] · 2026-11-22 10:00:05 UTC · User: trinity",
                "title": "Failed Exchange: Password and MFA Recovery Code"
                " [type: fercft]",
                "title_link": LOGS + "3",
                "text": TIME,
                "fields": [
                    shown("User", "`trinity`"),
                    shown("Client", "`Default App`"),
                ],
                "mrkdwn_in": ["text", "fields"],
            },
        ],
        **SETTINGS,
    }


COMMON = {
    "date": "2026-11-22T10:00:05.696Z",
    "log_id": "900",
    "tenant_name": "acme",
    "environment_name": "prod-eu-1",
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
                shown("Cause", "`the domain is blacklisted`", short=False),
                shown("Email", "`verify_email`"),
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
            [
                shown("Cause", "`Invalid authorization code`", short=False),
                shown("Client", "`aI61`"),
            ],
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
                shown("Cause", "`Unreachable number`", short=False),
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
                shown("Cause", "`Wrong code`", short=False),
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
                shown("Cause", "`x is not a function`", short=False),
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
            "Custom Domain Verification Failed"
            " [type: custom_domain_verification_failed]",
            [
                shown("Cause", "`CNAME not found`", short=False),
                shown("Domain", "`login.acme.example`"),
            ],
        ),
        (
            {
                "type": "f",
                "description": "Callback URL mismatch. https://a.example is not listed",
                "client_id": None,
                "client_name": "",
                "details": {
                    "error": {"message": "Callback URL mismatch."},
                    "qs": {"client_id": "aI61", "redirect_uri": "https://a.example"},
                },
            },
            "Failed Login",
            "Callback URL mismatch. https://a.example is not listed [type: f]",
            [shown("Client", "`aI61`")],  # the description has the cause
        ),
    ],
    ids=lambda data: data["type"] if isinstance(data, dict) else "",
)
def test_an_alert_says_why_and_about_what(
    data: dict[str, Any], headline: str, title: str, fields: list[dict[str, Any]]
) -> None:
    fallback = [title, "2026-11-22 10:00:05 UTC"]
    for field in fields:
        if field["title"] in ("Cause", "User"):
            fallback.append(f"{field['title']}: {field['value'].strip('`')}")
    assert payload({"data": {**COMMON, **data}}) == {
        "text": f"*{headline}* in acme",
        "attachments": [
            {
                "color": "#ecb22e" if data["type"] == "api_limit" else "#e01e5a",
                "fallback": " · ".join(fallback),
                "title": title,
                "title_link": LOGS + "900",
                "text": TIME,
                "fields": fields,
                "mrkdwn_in": ["text", "fields"],
            }
        ],
        **SETTINGS,
    }


def at(second: int) -> str:
    """A date in a log event, so many seconds after ten."""
    ten = datetime(2026, 11, 22, 10, tzinfo=UTC)
    return (ten + timedelta(seconds=second)).isoformat()


def span(first: int, last: int) -> str:
    """How Slack is given the time from one second after ten to another."""
    start = datetime(2026, 11, 22, 10, tzinfo=UTC)
    seconds = int(start.timestamp())
    began = f"2026-11-22 {start + timedelta(seconds=first):%H:%M:%S}"
    ended = f"{start + timedelta(seconds=last):%H:%M:%S} UTC"
    return (
        f"<!date^{seconds + first}^{{date_short_pretty}} {{time_secs}}|{began}>"
        f" to <!date^{seconds + last}^{{time_secs}}|{ended}>"
    )


def test_a_credential_attack_is_one_attachment_with_its_totals() -> None:
    attack = [
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
    ]
    users = "user0@example.com, user1@example.com, user2@example.com"
    users += ", user3@example.com, user4@example.com"
    title = "Blocked Account: Failed Logins [type: limit_wc] ×200"
    assert payload(*attack) == {
        "text": "*200 events* in acme: 200 × Blocked Account: Failed Logins",
        "attachments": [
            {
                "color": "#ecb22e",
                "fallback": f"{title} · 2026-11-22 10:00:00 to 10:03:19 UTC"
                f" · Users (200): {users}, 195 more",
                "title": title,
                "title_link": LOGS + "199",
                "text": span(0, 199),
                "fields": [
                    shown(
                        "Latest description",
                        "`User (user199@example.com) attempted 10 consecutive logins`",
                        short=False,
                    ),
                    shown("Client", CLIENT),
                    shown(
                        "Users (200)",
                        f"`{users.replace(', ', '`, `')}`, 195 more",
                        short=False,
                    ),
                    shown("Connection", CONNECTION),
                    shown(
                        "IPs (7)",
                        "`203.0.113.0` ×29, `203.0.113.1` ×29, `203.0.113.2` ×29,"
                        " `203.0.113.3` ×29, `203.0.113.4` ×28, 2 more",
                        short=False,
                    ),
                ],
                "mrkdwn_in": ["text", "fields"],
            }
        ],
        **SETTINGS,
    }


def test_the_attacker_and_the_victim_stand_first() -> None:
    scattered = [
        event(ip=f"198.51.100.{n}", user_name=f"user{n}@example.com", date=at(n))
        for n in range(7)
    ]
    attack = [event(ip="203.0.113.66", log_id="9", date=at(59)) for _ in range(53)]
    title = "Wrong email or password. [type: fp] ×60"
    assert payload(*scattered, *attack) == {
        "text": "*60 events* in acme: 60 × Failed Login (Incorrect Password)",
        "attachments": [
            {
                "color": "#e01e5a",
                "fallback": f"{title} · Failed Login (Incorrect Password)"
                " · 2026-11-22 10:00:00 to 10:00:59 UTC"
                " · Users (8): neo@example.com ×53, user0@example.com,"
                " user1@example.com, user2@example.com, user3@example.com, 3 more",
                "title": title,
                "title_link": LOGS + "9",
                "text": f"Failed Login (Incorrect Password) · {span(0, 59)}",
                "fields": [
                    shown("Client", CLIENT),
                    shown(
                        "Users (8)",
                        "`neo@example.com` ×53, `user0@example.com`,"
                        " `user1@example.com`, `user2@example.com`,"
                        " `user3@example.com`, 3 more",
                        short=False,
                    ),
                    shown("Connection", CONNECTION),
                    shown(
                        "IPs (8)",
                        "`203.0.113.66` ×53, `198.51.100.0`, `198.51.100.1`,"
                        " `198.51.100.2`, `198.51.100.3`, 3 more",
                        short=False,
                    ),
                ],
                "mrkdwn_in": ["text", "fields"],
            }
        ],
        **SETTINGS,
    }


def test_a_digest_with_news_a_limit_and_a_surge() -> None:
    many = [event(date=at(n), log_id="1") for n in range(430)]
    blocked = [event(type="limit_wc", date=at(9), log_id="2") for _ in range(12)]
    new = event(
        type="gd_recovery_failed",
        date=at(440),
        log_id="3",
        description="Recovery code rejected",
    )
    message = build_message(
        alerts(*many, *blocked, new),
        ("user",),
        Purpose(
            is_digest=True, news=frozenset(["gd_recovery_failed"]), surges={"fp": 43}
        ),
    )
    user = [shown("User", "`neo@example.com`")]
    failed = "Wrong email or password."
    assert message.payload == {
        "text": "*443 events* in acme: 1 × Recovery failed (new),"
        " 12 × Blocked Account: Failed Logins,"
        " 430 × Failed Login (Incorrect Password), 43 before,"
        " digest since 2026-11-22 10:00:00 UTC",
        "attachments": [
            {
                "color": "#e01e5a",
                "fallback": "Recovery code rejected [type: gd_recovery_failed]"
                " · Recovery failed · 2026-11-22 10:07:20 UTC · User: neo@example.com",
                "title": "Recovery code rejected [type: gd_recovery_failed]",
                "title_link": LOGS + "3",
                "text": "Recovery failed · <!date^1795342040^{date_short_pretty}"
                " {time_secs}|2026-11-22 10:07:20 UTC>",
                "fields": user,
                "mrkdwn_in": ["text", "fields"],
            },
            {
                "color": "#ecb22e",
                "fallback": f"{failed} [type: limit_wc] ×12"
                " · Blocked Account: Failed Logins · 2026-11-22 10:00:09 UTC"
                " · User: neo@example.com",
                "title": f"{failed} [type: limit_wc] ×12",
                "title_link": LOGS + "2",
                "text": "Blocked Account: Failed Logins · <!date^1795341609^"
                "{date_short_pretty} {time_secs}|2026-11-22 10:00:09 UTC>",
                "fields": user,
                "mrkdwn_in": ["text", "fields"],
            },
            {
                "color": "#e01e5a",
                "fallback": f"{failed} [type: fp] ×430"
                " · Failed Login (Incorrect Password)"
                " · 2026-11-22 10:00:00 to 10:07:09 UTC · User: neo@example.com",
                "title": f"{failed} [type: fp] ×430",
                "title_link": LOGS + "1",
                "text": f"Failed Login (Incorrect Password) · {span(0, 429)}",
                "fields": user,
                "mrkdwn_in": ["text", "fields"],
            },
        ],
        **SETTINGS,
    }
    assert message.named == {"gd_recovery_failed", "limit_wc", "fp"}


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
    failed = event(type="f", description=description)
    first, _ = attachments(failed, event())
    assert first["text"] == (f"{text} · {TIME}" if text else TIME)


def test_without_fields_there_is_still_what_and_when() -> None:
    (built,) = attachments(event(), fields=())
    assert "fields" not in built
    assert built["title"] == "Wrong email or password. [type: fp]"
    assert built["text"] == TIME


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
            "Callback URL mismatch. https://a.example/{} is not in the list",
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
    built = message.payload["attachments"]
    assert len(built) == (3 if clients == 3 else 1)
    assert stands_for(message) == 200
    for label in ("Users", "IPs"):
        counts = re.findall(rf"'{label} \((\d+)\)'", str(built))
        assert sum(map(int, counts)) == 200


def test_three_events_are_listed_and_four_are_grouped() -> None:
    same = [event() for _ in range(MAX_SINGLE + 1)]
    assert len(attachments(*same[:MAX_SINGLE])) == MAX_SINGLE
    (group,) = attachments(*same)
    assert group["title"] == "Wrong email or password. [type: fp] ×4"


def grouped(*events: dict[str, Any]) -> list[str]:
    return [built["title"] for built in attachments(*events)]


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
    (group,) = attachments(*many)
    causes = "`no such user` ×10, `wrong realm` ×10"
    assert group["fields"][0] == shown("Causes (2)", causes, short=False)
    assert "Causes (2): no such user ×10, wrong realm ×10" in group["fallback"]


def test_a_group_whose_newest_has_no_description_shows_none() -> None:
    many = [
        event(type="f", description=f"{n}" if n < 9 else "", details=None)
        for n in range(10)
    ]
    (group,) = attachments(*many)
    assert group["title"] == "Failed Login [type: f] ×10"
    assert group["fields"][0]["title"] == "Client"


def types(*events: dict[str, Any], **options: Any) -> list[str]:
    """The log types of a message's attachments, in their order."""
    titles = [built["title"] for built in attachments(*events, **options)]
    return re.findall(r"\[type: (\w+)\]", " ".join(titles))


def test_limits_stand_before_more_failures() -> None:
    wrong = [event(type="fp") for _ in range(143)]
    blocked = [event(type="limit_wc")] * 12
    assert types(*wrong, *blocked) == ["limit_wc", "fp"]
    few = [event(type="f"), event(type="pwd_leak"), event(type="fs")]
    assert types(*few) == ["pwd_leak", "f", "fs"]


def test_news_stands_before_limits_even_among_the_few() -> None:
    few = [event(type="f"), event(type="pwd_leak"), event(type="fs")]
    assert types(*few, purpose=news("fs")) == ["fs", "pwd_leak", "f"]
    few.reverse()
    assert types(*few, purpose=news("fs", "pwd_leak")) == ["pwd_leak", "fs", "f"]
    few.reverse()
    assert text(*few, purpose=news("fs")) == (
        "*3 events* in acme: 1 × Failed Signup (new), 1 × Breached password,"
        " 1 × Failed Login"
    )


def test_where_all_is_news_none_stands_out() -> None:
    few = [event(type="f"), event(type="pwd_leak"), event(type="fs")]
    everything = payload(*few, purpose=news("f", "pwd_leak", "fs"))
    assert everything == payload(*few)
    assert "(new)" not in str(everything)


def test_news_is_shown_in_full_however_much_else_there_is() -> None:
    many = [event(type=f"f{n}") for n in range(30) for _ in range(9)]
    new = event(type="gd_recovery_failed", log_id="new", description="Wrong code")
    first = attachments(*many, new, purpose=news("gd_recovery_failed"))[0]
    assert first["title"] == "Wrong code [type: gd_recovery_failed]"
    assert first["title_link"] == LOGS + "new"
    assert field(first, "User") == "`neo@example.com`"


def test_what_one_attachment_shows_is_of_one_tenant() -> None:
    prod = [event(tenant_name="acme-prod", log_id="1") for _ in range(5)]
    dev = event(tenant_name="acme-dev", log_id="2", date="2026-11-23T00:00:00Z")
    first, second = attachments(*prod, dev)
    assert first["title"] == "Wrong email or password. [type: fp] ×5"
    assert first["footer"] == "acme-prod"
    assert "/acme-prod/logs/1" in first["title_link"]
    assert second["title"] == "Wrong email or password. [type: fp]"
    assert second["footer"] == "acme-dev"
    assert "/acme-dev/logs/2" in second["title_link"]


def test_events_of_unnamed_tenants_are_split_by_their_host() -> None:
    hosts = ["a.example", "b.example"]
    many = [event(tenant_name="", hostname=hosts[n % 2]) for n in range(6)]
    assert [built["footer"] for built in attachments(*many)] == hosts
    assert grouped(*many) == ["Wrong email or password. [type: fp] ×3"] * 2


def test_values_of_a_group_have_how_often_they_are_there() -> None:
    def users(*names: str | None) -> str | None:
        many = [event(user_name=name, user_id=None) for name in names]
        (group,) = attachments(*many, fields=("user",))
        return field(group, "User") or field(group, "Users (2)")

    assert users("neo", "neo", "neo", "neo") == "`neo`"  # as the title says already
    assert users("neo", "neo", None, None) == "`neo` ×2"
    assert users("trinity", "neo", "neo", "neo") == "`neo` ×3, `trinity`"
    assert users("trinity", "neo", None, None) == "`trinity`, `neo`"


def test_types_are_grouped_more_coarsely_before_one_of_them_is_hidden() -> None:
    nine = ["f", "fp", "fu", "fs", "fsa", "fn", "limit_wc", "limit_mu", "pwd_leak"]
    many = [event(type=code, client_id=f"{n % 3}") for code in nine for n in range(6)]
    titles = grouped(*many)
    assert len(titles) == MAX_ATTACHMENTS - 1  # one more would need two
    assert {title.split("type: ")[1].split("]")[0] for title in titles} == set(nine)
    many.append(event(type="api_limit"))
    assert len(grouped(*many)) == MAX_ATTACHMENTS
    assert not any(title.startswith("and ") for title in grouped(*many))


def test_the_largest_type_is_grouped_more_coarsely_and_no_other() -> None:
    many = [
        event(type=code, client_id=f"{n % clients}")
        for code, clients in (("f", 2), ("fp", 3), ("fu", 3), ("fs", 3))
        for n in range(6)
    ]
    assert sorted(types(*many)) == ["f", "f", *["fp"], *["fs"] * 3, *["fu"] * 3]


def test_no_type_is_grouped_more_coarsely_than_it_must() -> None:
    def split(others: int) -> int:
        """How many attachments a type gets beside so many others."""
        some = [event(type="fp", client_id=client) for client in "aab"]
        some[0]["data"]["description"] = "Another"
        many = [event(type=f"f{n}") for n in range(others)]
        return types(*some, *many).count("fp")

    assert [split(others) for others in (7, 8, 9)] == [3, 2, 1]


def test_more_types_than_attachments_are_counted_in_the_last() -> None:
    many = [event(type=f"new_{n}_failed") for n in range(200)]
    twice = event(type="new_50_failed")
    message = build_message(alerts(*many, twice))
    built = message.payload["attachments"]
    assert len(built) == MAX_ATTACHMENTS
    title = "Wrong email or password. [type: new_50_failed] ×2"
    assert built[0]["title"] == title
    last = built[-1]
    assert last["title"] == "and 191 more events"
    assert last["fallback"] == f"and 191 more events: {last['text']}"
    assert last["text"].startswith("1 × new_8_failed, 1 × new_9_failed, 1 × ")
    others = re.search(r", (\d+) × other types$", last["text"])
    assert others
    assert last["color"] == "#9e9e9e"
    assert 2800 < len(last["text"]) < 3000
    assert len(message.named) == 200 - int(others[1])  # what it names, and no more
    assert {f"new_{n}_failed" for n in (0, 8, 9, 50)} <= message.named
    assert "new_199_failed" not in message.named


def test_what_an_attachment_names_counts_though_the_headline_had_no_room() -> None:
    many = [event(type=f"{'long_' * 15}{n}") for n in range(MAX_ATTACHMENTS)]
    message = build_message(alerts(*many))
    assert message.payload["text"].endswith(", 8 × other types")
    assert message.named == {alert.code for alert in alerts(*many)}


def test_the_last_attachment_has_the_order_of_all() -> None:
    many = [event(type=f"f{n}") for n in range(9) for _ in range(5)]
    late = [
        event(type="fp"),
        event(type="fs"),
        event(type="fs"),
        event(type="limit_wc"),
    ]
    last = attachments(*many, *late, *late)[-1]
    assert last["text"] == (
        "5 × f8, 4 × Failed Signup, 2 × Failed Login (Incorrect Password)"
    )


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
    assert message.payload["text"] == (
        "*10,000 events* in acme: 10,000 × Failed Login (Incorrect Password)"
    )
    assert len(encode(message)) < MAX_BYTES
    assert stands_for(message) == 10_000


def test_the_last_resort_fits_whatever_it_shows() -> None:
    long = "\U0001f600" * 900
    typed = {
        "description": ":\U0001f600" * 900,
        "tenant_name": "",
        "user_name": long,
        "client_name": long,
        "connection": long,
        "audience": long,
        "strategy": long,
        "user_agent": long,
        "organization_name": long,
    }
    many = [
        event(
            type=f"{'x' * 90}{n}",
            date=at(second),
            hostname=f"{n}" + ":\U0001f600" * 900,
            **typed,
        )
        for n in range(99)
        for second in range(2)
    ]
    message = build_message(alerts(*many), tuple(FIELDS))
    check(message, len(many))
    assert "fields" not in message.payload["attachments"][0]


def test_the_work_grows_with_the_types_and_not_with_their_square() -> None:
    (alert,) = alerts(event())

    def calls(types: int) -> int:
        """How many functions are called for a message of three events of each type."""
        many = [replace(alert, code=f"f{n % types}") for n in range(3 * types)]
        count = 0

        def called(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(called)
        try:
            build_message(many)
        finally:
            sys.setprofile(None)
        return count

    assert calls(2000) < 2.1 * calls(1000)


def test_long_texts_are_cut_shorter_until_the_message_fits() -> None:
    long = "\U0001f600" * 900
    wordy = dict.fromkeys(
        ["description", "user_name", "client_name", "connection", "ip"], long
    )
    many = [event(type=f"f{n}", **wordy) for n in range(MAX_ATTACHMENTS)]
    for fields in (DEFAULT_FIELDS, tuple(FIELDS)):
        message = build_message(alerts(*many), fields)
        check(message, MAX_ATTACHMENTS)
        assert 250 > len(message.payload["attachments"][0]["title"]) > 50


# The notification.

FAILED = "Failed Login (Incorrect Password)"


@pytest.mark.parametrize(
    ("tenants", "headline"),
    [
        (["acme", "acme"], f"*2 events* in acme: 2 × {FAILED}"),
        (["acme", "other"], f"*2 events*: 2 × {FAILED}"),
        (["acme", ""], f"*2 events*: 2 × {FAILED}"),
        (["", ""], f"*2 events*: 2 × {FAILED}"),
        (["acme"], f"*{FAILED}* in acme"),
        ([""], f"*{FAILED}*"),
    ],
)
def test_the_headline_names_the_tenant_that_all_share(
    tenants: list[str], headline: str
) -> None:
    events = [event(tenant_name=tenant, hostname="") for tenant in tenants]
    assert text(*events) == headline


def test_the_headline_names_limits_first_and_then_the_most_frequent() -> None:
    many = [event(type="fp") for _ in range(143)]
    many += [event(type="limit_wc") for _ in range(12)]
    assert text(*many) == (
        "*155 events* in acme: 12 × Blocked Account: Failed Logins,"
        " 143 × Failed Login (Incorrect Password)"
    )
    four = [event(type=code) for code in ("f", "fs", "fepft", "api_limit")]
    assert text(*four) == (
        "*4 events* in acme: 1 × Rate Limit on the Authentication or Management APIs,"
        " 1 × Failed Login, 1 × Failed Signup, 1 × Failed Exchange: Password"
    )


def test_the_headline_names_as_many_types_as_fit_and_counts_the_others() -> None:
    many = [event(type=f"{'long_' * 11}{n:03}") for n in range(4)]
    short = event(type="x")
    names = [f"2 × {'long_' * 11}{n:03}" for n in range(3)]
    assert len(", ".join(names)) == 190  # a fourth has no room, but a short one has
    message = build_message(alerts(*many, short, *many))
    assert message.payload["text"] == (
        f"*9 events* in acme: {', '.join(names)}, 1 × x, 2 × other types"
    )


def test_the_headline_is_filled_to_the_last_character() -> None:
    first, second = event(type="x" * 96), event(type="y" * 94)
    counts = f"1 × {'x' * 96}, 1 × {'y' * 94}"
    assert len(counts) == 200
    assert text(first, second) == f"*2 events* in acme: {counts}"
    longer = event(type="y" * 95)
    assert text(first, longer) == (
        f"*2 events* in acme: 1 × {'x' * 96}, 1 × other types"
    )


def test_a_surge_has_what_there_was_before() -> None:
    many = [event() for _ in range(430)]
    surged = text(*many, event(type="f"), purpose=Purpose(surges={"fp": 1043}))
    assert surged == (
        f"*431 events* in acme: 430 × {FAILED}, 1,043 before, 1 × Failed Login"
    )


def test_a_log_types_code_is_letters_digits_and_the_like() -> None:
    odd = event(type="_new_<thing>*failed*_:sos:_")
    assert text(odd) == "*new_thingfailed_sos* in acme"
    assert text(event(type="<>")) == "*unknown* in acme"
    (built, _) = attachments(odd, odd)
    assert built["title"].endswith(" [type: new_thingfailed_sos]")


# Times and places.


def test_the_footer_stands_only_where_the_headline_does_not_name_the_tenant() -> None:
    assert "footer" not in attachment(type="f", tenant_name="acme")
    two = [event(tenant_name=tenant) for tenant in ("acme", "other")]
    assert [built["footer"] for built in attachments(*two)] == ["acme", "other"]


def test_without_a_tenant_the_footer_is_the_hostname() -> None:
    assert (
        attachment(type="f", hostname="login.acme.example")["footer"]
        == "login.acme.example"
    )
    assert attachment(type="f", hostname="<" * 300)["footer"] == "&lt;" * 24 + "…"
    assert attachment(type="f", hostname="a:sos:b")["footer"] == "a:\u2060sos:b"
    assert "footer" not in attachment(type="f")


def test_a_lone_alert_says_when_in_the_readers_time_zone() -> None:
    built = attachment(type="f", date="2026-11-22T10:00:05.696Z")
    assert built["text"] == TIME
    assert "ts" not in built
    assert built["fallback"] == "Failed Login [type: f] · 2026-11-22 10:00:05 UTC"
    undated = attachment(type="f")
    assert "text" not in undated
    assert undated["fallback"] == "Failed Login [type: f]"


def test_a_span_within_a_second_is_one_time() -> None:
    many = [event(date=f"2026-11-22T10:00:05.{n}00Z") for n in range(5)]
    (group,) = attachments(*many)
    assert group["text"] == f"{FAILED} · {TIME}"


def test_a_group_spans_days_and_is_linked_to_its_newest_event() -> None:
    days = [
        event(date=f"2026-11-{n:02}T10:00:00Z", log_id=f"{n}") for n in (12, 20, 13)
    ]
    undated = [event(date=None) for _ in range(9)]
    (group,) = attachments(*days, *undated)
    assert group["title_link"] == LOGS + "20"
    assert group["text"] == (
        f"{FAILED} · <!date^1794477600^{{date_short_pretty}} {{time_secs}}"
        "|2026-11-12 10:00:00> to <!date^1795168800^{date_short_pretty} {time_secs}"
        "|2026-11-20 10:00:00 UTC>"
    )
    assert " · 2026-11-12 10:00:00 to 2026-11-20 10:00:00 UTC" in group["fallback"]
    (group,) = attachments(*undated, *[event(date="", log_id="7")] * 2)
    assert group["title_link"] == LOGS + "7"
    assert group["text"] == FAILED


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
    assert built["fallback"] == f"{shown} [type: f] · User: {shown}"
    assert field(built, "User") == f"`{shown}`"
    assert field(built, "Client") == f"`{shown}`"


def test_the_names_that_stand_where_slack_formats_hold_no_markup() -> None:
    for name in NAMES.values():
        assert not re.search(r"[*_~`<>&]|:\S+:", name)


def test_a_backtick_ends_no_code_span() -> None:
    built = attachment(type="f", user_name="`*bold*`", client_name="`a", client_id="b`")
    assert field(built, "User") == "`ˋ*bold*ˋ`"
    assert field(built, "Client") == "`ˋa` `bˋ`"


def test_a_title_has_no_emoji_but_its_fallback_is_as_it_was_typed() -> None:
    typed = "2001:18:a:b:100::1 :sos:"
    built = attachment(type="f", description=typed, user_name=typed)
    shown = "2001:18:\u2060a:\u2060b:\u2060100::1 :\u2060sos:"
    assert built["title"] == f"{shown} [type: f]"
    assert built["fallback"] == f"{typed} [type: f] · User: {typed}"
    assert field(built, "User") == f"`{typed}`"


def test_a_json_web_token_is_masked_in_every_field() -> None:
    token = f"eyJ{'a' * 40}.eyJ{'b' * 900}.{'c' * 300}"
    built = attachment(
        type="flo",
        description=f"To {token}",
        user_name=token[:99],
        details={"return_to": f"https://a.example/?error={token}", "reason": token},
    )
    assert built["title"] == "To [token]… [type: flo]"
    assert field(built, "Return URL") == "`https://a.example/?error=[token]…`"
    assert field(built, "User") == "`[token]`"
    assert "eyJ" not in str(built)


def test_what_is_no_tenant_is_not_shown() -> None:
    odd = event(tenant_name="<!here>*", hostname="")
    message = payload(odd, odd)
    assert message["text"] == f"*2 events*: 2 × {FAILED}"
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
        only = alerts({"data": {**data, "details": each}})
        message = build_message(only, tuple(FIELDS))
        check(message, 1)
        (built,) = message.payload["attachments"]
        assert "{" not in str([shown["value"] for shown in built.get("fields", [])])


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
    "description",
    "date",
    "client_id",
    "client_name",
    "user_id",
    "user_name",
    "connection",
    "ip",
    "user_agent",
    "hostname",
    "tenant_name",
    "environment_name",
    "log_id",
    "details",
    "audience",
    "location_info",
    "organization_name",
]
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


def stands_for(message: Message) -> int:
    """How many events a message says it stands for, added up over its attachments."""
    total = 0
    for built in message.payload["attachments"]:
        rest = re.match(r"and ([\d,]+) more events$", built["title"])
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
    if isinstance(message, str):
        return [message]
    values: list[Any] = []
    if isinstance(message, list):
        values = message
    if isinstance(message, dict):
        values = [value for key, value in message.items() if key != "title_link"]
    found = []
    for value in values:
        found += texts(value)
    return found


def check(message: Message, events: int) -> None:
    encoded = encode(message)
    assert json.loads(encoded) == message.payload
    assert len(encoded) <= MAX_BYTES
    built = message.payload["attachments"]
    assert 1 <= len(built) <= MAX_ATTACHMENTS
    assert stands_for(message) == events
    headline = message.payload["text"]
    count = re.match(r"\*([\d,]+) events\*(?: in [a-z0-9-]+)?: ", headline)
    assert number(count[1] if count else "1") == events
    for text in texts(message.payload):
        text = re.sub(r"<!date\^\d+\^[a-z_{} ]+\|[\d :-]+(UTC)?>", "", text)
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text)
        assert not re.search(
            "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e]", text
        )
        assert not re.search("eyJ[A-Za-z0-9_-]{12,}[.]", text)
    for attachment in built:
        for outside_code in ("title", "footer"):
            shown = attachment.get(outside_code, "")
            assert not re.search(r":(100|1234|\w*[a-z]\w*):", shown)
        assert len(attachment["title"].replace("\u2060", "")) <= ROOM
        assert len(attachment.get("text", "")) < 3000
        assert len(attachment.get("footer", "").replace("\u2060", "")) <= 100
        link = attachment.get("title_link", LOGS)
        assert re.fullmatch(r"https://manage\.auth0\.com/[!-~]+", link)
        for field in attachment.get("fields", []):
            without_counts = re.sub("` ×[0-9,]+", "`", field["value"])
            assert len(without_counts) <= ROOM + len(", 1,000 more")
            assert field["value"].count("`") % 2 == 0


@given(few | floods, st.permutations(sorted(FIELDS)).map(tuple))
def test_any_events_make_a_safe_bounded_message_that_counts_them(
    events: list[dict[str, Any]], fields: tuple[str, ...]
) -> None:
    message = build_message(alerts(*({"data": data} for data in events)), fields)
    check(message, len(events))


@given(few | floods, st.sets(st.sampled_from(["f", "fp", "s", "limit_wc"])))
def test_a_message_names_what_it_shows_and_news_first(
    events: list[dict[str, Any]], news: set[str]
) -> None:
    many = alerts(*({"data": data} for data in events))
    message = build_message(many, purpose=Purpose(news=frozenset(news)))
    assert message.named <= {alert.code for alert in many}
    shown = str(message.payload)
    for alert in many:
        if alert.code in message.named:
            assert (alert.name or alert.code) in shown
    attachments = message.payload["attachments"]
    codes = re.findall(r"\[type: (\w+)\]", " ".join(a["title"] for a in attachments))
    if {alert.code for alert in many} - news:
        is_news = [
            code in news for code in codes if code in ("f", "fp", "s", "limit_wc")
        ]
        assert is_news == sorted(is_news, reverse=True)


# The message of mere counts.


def test_the_counts_hold_nothing_that_anyone_typed() -> None:
    typed = dict.fromkeys(
        ["description", "user_name", "client_name", "hostname"], "typed"
    )
    many = alerts(event(**typed), event(**typed), event(type="typed_failed", **typed))
    message = build_message(many, tuple(FIELDS), purpose=Purpose(only_counts=True))
    assert message.payload == {
        "text": f"*3 events* in acme: 2 × {FAILED}, 1 × unknown type\n"
        "Slack refused the details: see Auth0's own logs,"
        " <https://manage.auth0.com/#/logs>",
        **SETTINGS,
    }
    (one,) = alerts(event(type="typed_failed", tenant_name="<typed>", **typed))
    counts = build_message([one], purpose=Purpose(only_counts=True)).payload
    assert counts["text"].startswith("*unknown type*\n")


def test_the_counts_count_as_having_shown_all_their_types() -> None:
    many = alerts(*[event(type=f"new_{n}_failed") for n in range(99)], event())
    message = build_message(
        many, purpose=Purpose(only_counts=True, is_digest=True, news=frozenset(["fp"]))
    )
    assert message.named == {alert.code for alert in many}
    assert message.payload["text"].startswith(
        f"*100 events* in acme: 1 × {FAILED} (new), 99 × unknown type, digest since "
    )


# The digest.


@pytest.mark.parametrize(
    ("dates", "headline"),
    [
        (
            [9, 3, 7],
            f"*3 events* in acme: 3 × {FAILED}, digest since 2026-11-22 10:00:03 UTC",
        ),
        ([9], f"*{FAILED}* in acme, digest since 2026-11-22 10:00:09 UTC"),
        ([None, None], f"*2 events* in acme: 2 × {FAILED}, digest"),
    ],
)
def test_a_digest_says_that_it_is_one_and_since_when(
    dates: list[int | None], headline: str
) -> None:
    many = [event(date=None if second is None else at(second)) for second in dates]
    assert text(*many, purpose=Purpose(is_digest=True)) == headline
