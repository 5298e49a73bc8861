"""Filters: which log types are alerts, today's and tomorrow's, and what the user can change."""

import csv
from pathlib import Path
from typing import Any

import pytest

from events import Event
from filters import MAX_NEW, group_of, read_filter
from log_types import NAMES

# All codes that Auth0 documents (August 2026), their official names, and the group that reading
# the name puts each in: failure, limit, or none.
LOG_TYPES = list(
    csv.DictReader((Path(__file__).parent / "log_types.csv").read_text().splitlines())
)


def alert_types(types: str = "", ignore: str = "") -> set[str]:
    """The documented codes that are alerts under a filter."""
    chosen, _ = read_filter(types, ignore)
    events: list[Event] = [{"type": row["code"]} for row in LOG_TYPES]
    return {alert.code for alert in chosen.alerts(events)}


def is_alert(event: Event, types: str = "", ignore: str = "") -> bool:
    chosen, _ = read_filter(types, ignore)
    return bool(chosen.alerts([event]))


def test_by_default_the_failures_and_limits_are_alerts_and_nothing_else() -> None:
    assert alert_types() == {row["code"] for row in LOG_TYPES if row["group"]}


@pytest.mark.parametrize("row", LOG_TYPES, ids=[row["code"] for row in LOG_TYPES])
def test_the_rule_alone_judges_every_documented_code(row: dict[str, str]) -> None:
    assert group_of(row["code"]) == row["group"]


@pytest.mark.parametrize(
    ("code", "group"),
    [
        ("passkey_enrollment_failed", "failure"),
        ("fapp", "failure"),
        ("fe2e", "failure"),
        ("failed_device_posture_check", "failure"),
        ("gd_send_whatsapp_failure", "failure"),
        ("token_vault_access_error", "failure"),
        ("consent_rejected", "failure"),
        ("login_denied", "failure"),
        ("invitation_expired", "failure"),
        ("export_aborted", "failure"),
        ("device_flow_canceled", "failure"),
        ("ldap_agent_offline", "failure"),
        ("signup_unsuccessful", "failure"),
        ("organization_not_found", "failure"),
        ("import_not_completed", "failure"),
        ("token_exchange_success_failed", "failure"),
        ("success_page_error", "failure"),
        ("payment_declined", "failure"),
        ("limit_organizations", "limit"),
        ("sms_rate_limit_exceeded", "limit"),
        ("mfa_pwd_leak", "limit"),
        ("too_many_sessions", "limit"),
        ("account_blocked", "limit"),
        ("brute_force_detected", "limit"),
        ("login_throttled", "limit"),
        ("account_lockout", "limit"),
        ("account_locked", "limit"),
        ("bot_detected", "limit"),
        ("quota_exhausted", "limit"),
        ("agents_execution_completed", ""),
        ("forms_rendering_succeeded", ""),
        ("federation_sync_started", ""),
        ("federation", ""),
        ("account_unlocked", ""),
        ("failover_completed", ""),
        ("failed_logins_report_succeeded", ""),
        ("rate_limit_reset_completed", ""),
        ("kms_rotation_success", ""),
        ("gd_start_something", ""),
        ("feature_flag_changed", ""),
        ("flows_vault_created", ""),
        ("account_unblocked", ""),
        ("spk", ""),
        ("", ""),
    ],
)
def test_the_rule_judges_codes_that_auth0_may_add(code: str, group: str) -> None:
    assert group_of(code) == group
    assert is_alert({"type": code}) == bool(group)


def test_every_code_has_its_official_name_and_no_two_share_one() -> None:
    assert len(set(NAMES.values())) == len(NAMES)
    assert NAMES.keys() == {row["code"] for row in LOG_TYPES}
    for row in LOG_TYPES:
        name = NAMES[row["code"]]
        assert name == row["name"] or name.startswith(row["name"] + ": ")


def test_an_alert_says_its_group_and_its_name() -> None:
    chosen, _ = read_filter()
    failed, limited, unknown = chosen.alerts(
        [
            {"type": "fepotpft"},
            {"type": "limit_wc"},
            {"type": "new_thing_failed"},
            {"type": "s"},
        ]
    )
    assert (failed.group, failed.name) == (
        "failure",
        "Failed Exchange: Passwordless OTP",
    )
    assert (limited.group, limited.name) == ("limit", "Blocked Account: Failed Logins")
    assert (unknown.group, unknown.name) == ("failure", "")


@pytest.mark.parametrize(
    ("types", "alerts"),
    [
        ("limit", {row["code"] for row in LOG_TYPES if row["group"] == "limit"}),
        ("failure,limit", alert_types()),
        ("failure, limit,", alert_types()),
        ("failure,limit,w", alert_types() | {"w"}),
        ("!fsa,!fco", alert_types() - {"fsa", "fco"}),
        (
            "failure,!f*",
            {code for code in alert_types("failure") if not code.startswith("f")},
        ),
        ("fp", {"fp"}),
        ("FP", {"fp"}),
        ("f?", {code for code in NAMES if len(code) == 2 and code.startswith("f")}),
        ("kms_*,!*_success", {"kms_key_management_failure", "kms_key_state_changed"}),
        ("[!a-z]*,sapi", {"sapi"}),
        ("*", set(NAMES)),
    ],
)
def test_alert_types(types: str, alerts: set[str]) -> None:
    assert alert_types(types) == alerts


def test_what_only_the_user_asked_for_belongs_to_no_group() -> None:
    chosen, _ = read_filter("w")
    (alert,) = chosen.alerts([{"type": "w"}, {"type": "f"}])
    assert (alert.group, alert.name) == ("", "Warning During Login")


@pytest.mark.parametrize(
    ("types", "code", "alerted"),
    [
        ("new_thing_created,fp", "new_thing_created", True),
        ("new_*,fp", "new_thing_created", True),
        ("!new_*", "new_thing_failed", False),
        ("!limit", "new_thing_failed", True),
        ("!limit", "new_limit", False),
        ("limit", "New_Limit", True),
    ],
)
def test_alert_types_judges_unknown_codes_too(
    types: str, code: str, alerted: bool
) -> None:
    assert is_alert({"type": code}, types) == alerted


def test_a_code_of_any_length_is_judged() -> None:
    assert not is_alert({"type": "_succe" * 200_000 + "!"}, "f*,*_a*_b*_c*")
    assert is_alert({"type": "failed_" * 200_000})


def test_a_log_type_newer_than_the_list_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen, _ = read_filter()
    for _ in range(3):
        chosen.alerts(
            [
                {"type": code}
                for code in ("fp", "new_thing_failed", "New.thing", "x" * 999)
            ]
        )
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [
        "log type 'new_thing_failed' is newer than this version: its code reads as failure, so it"
        " is an alert; to change that, add !new_thing_failed to ALERT_TYPES (failure,limit"
        " by default)",
        "log type 'New.thing' is newer than this version: its code reads as neither failure nor"
        " limit, so it is no alert; to change that, add new?thing to ALERT_TYPES ("
        "failure,limit by default)",
    ]


def test_no_flood_of_new_log_types_fills_the_memory_or_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen, _ = read_filter()
    alerts = chosen.alerts([{"type": f"new_{n}_failed"} for n in range(2 * MAX_NEW)])
    assert len(alerts) == 2 * MAX_NEW
    assert len(caplog.records) == MAX_NEW


def test_tells_entries_that_match_nothing_known() -> None:
    assert read_filter("failure,wm,f*,!fsaa,!fsa")[1] == ["wm", "fsaa"]


@pytest.mark.parametrize(
    "entry", ["fp;fu", "!", "!!fp", "f/", "(f)", "[fp", "fp:fu", "f'"]
)
def test_a_malformed_entry_is_quoted_with_what_is_allowed(entry: str) -> None:
    with pytest.raises(ValueError, match="_") as raised:
        read_filter(f"limit,{entry}")
    assert repr(entry) in str(raised.value)
    assert "failure, limit" in str(raised.value)
    assert "gd_*" in str(raised.value)


@pytest.mark.parametrize(
    "types", ["failures", "!*", "!failure,!limit", "fp,!f?", "no_such_*"]
)
def test_a_filter_that_matches_no_known_type_is_an_error(types: str) -> None:
    with pytest.raises(ValueError, match="_") as raised:
        read_filter(types)
    assert repr(types) in str(raised.value)


@pytest.mark.parametrize(
    ("description", "alerted"),
    [
        ("Password is too common", False),
        ("The Password is too common.", False),
        ("password is too common", True),
        ("Wrong email or password.", True),
        ("", True),
        (None, True),
        (5, True),
        (["Password is too common"], False),
    ],
)
def test_alert_ignore_silences_by_description(
    description: object, alerted: bool
) -> None:
    event = {"type": "fs", "description": description}
    assert is_alert(event, ignore="Password is too common") == alerted


@pytest.mark.parametrize(
    ("event", "ignore", "alerted"),
    [
        (
            {"type": "ferrt", "description": "Unknown or invalid refresh token."},
            ...,
            False,
        ),
        (
            {
                "type": "ferrt",
                "description": "Unknown or invalid refresh token: " + "x" * 5000,
            },
            ...,
            False,
        ),
        ({"type": "ferrt", "description": "Refresh token is expired."}, ..., True),
        (
            {"type": "fertft", "description": "Unknown or invalid refresh token."},
            ...,
            True,
        ),
        ({"type": "fs"}, r"^Failed Signup \[type: fs\]$", False),
        ({"type": "fs", "description": "a\nb"}, r"^a b \[type: fs\]$", False),
        ({"type": "f", "description": "<b> & co"}, r"^<b> & co \[type: f\]$", False),
        ({"type": "fs"}, "^$|x", True),
    ],
)
def test_alert_ignore_sees_the_title_as_slack_shows_it(
    event: Event, ignore: Any, alerted: bool
) -> None:
    refresh = r"^Unknown or invalid refresh token.*\[type: ferrt\]$"
    assert is_alert(event, ignore=refresh if ignore is ... else ignore) == alerted


@pytest.mark.parametrize("ignore", ["(", "*", "[", "a{2,1}", "(?P<n>"])
def test_a_malformed_expression_is_quoted(ignore: str) -> None:
    with pytest.raises(ValueError, match="_") as raised:
        read_filter("", ignore)
    assert repr(ignore) in str(raised.value)
    assert "regular expression" in str(raised.value)


@pytest.mark.parametrize("ignore", [".*", ".", "common|", "(?s).+", r"\[type: "])
def test_an_expression_that_matches_everything_is_an_error(ignore: str) -> None:
    with pytest.raises(ValueError, match="_") as raised:
        read_filter("", ignore)
    assert repr(ignore) in str(raised.value)
    assert "every title" in str(raised.value)
