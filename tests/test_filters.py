"""Filters: which events are alerts, in which channels, and what is silenced."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from alerts import MAX_KEPT, Alert
from events import Event
from filters import MAX_NEW, Router, group_of, read_filter
from log_types import NAMES

# All codes that Auth0 documents (August 2026), their official names, and the group that
# reading the name puts each in: failure, limit, or none.
LOG_TYPES = list(
    csv.DictReader((Path(__file__).parent / "log_types.csv").read_text().splitlines())
)


def alerts(events: list[Event], types: str = "", ignore: str = "") -> list[Alert]:
    """The alerts among the events under one filter."""
    chosen, _ = read_filter(types, ignore)
    routed = Router({"": chosen}).route(events)
    return routed.by_channel.get("", [])


def alert_types(types: str = "", ignore: str = "") -> set[str]:
    """The documented codes that are alerts under a filter."""
    events: list[Event] = [{"type": row["code"]} for row in LOG_TYPES]
    return {alert.code for alert in alerts(events, types, ignore)}


def is_alert(event: Event, types: str = "", ignore: str = "") -> bool:
    return bool(alerts([event], types, ignore))


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
    failed, limited, unknown = alerts(
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
    (alert,) = alerts([{"type": "w"}, {"type": "f"}], "w")
    assert (alert.group, alert.name) == ("", "Warning During Login")


@pytest.mark.parametrize(
    ("types", "code", "alerted"),
    [
        ("new_thing_created,fp", "new_thing_created", True),
        ("new_*,fp", "new_thing_created", True),
        ("new_*,fp", "New_Thing_Created", True),
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
    router = Router({"first": read_filter()[0], "SECURITY": read_filter("limit")[0]})
    codes = ("fp", "new_thing_failed", "New.thing", "x" * 999)
    for _ in range(3):
        router.route([{"type": code} for code in codes])
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [
        "log type 'new_thing_failed' is unknown: its code reads as failure, so it is an"
        " alert. To change that, add !new_thing_failed to ALERT_TYPES (failure,limit by"
        " default)",
        "log type 'New.thing' is unknown: its code reads as neither failure nor limit,"
        " so it is no alert. To change that, add new?thing to ALERT_TYPES"
        " (failure,limit by default)",
    ]


def test_no_flood_of_new_log_types_fills_the_memory_or_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = alerts([{"type": f"new_{n}_failed"} for n in range(2 * MAX_NEW)])
    assert len(found) == 2 * MAX_NEW
    assert len(caplog.records) == MAX_NEW


def test_tells_entries_that_match_nothing_known() -> None:
    _, warnings = read_filter("failure,wm,f*,!fsaa,!fsa,brand_new_thing")
    assert warnings == [
        "ALERT_TYPES has 'wm', which matches no log type known today (did you mean"
        " wum?)",
        "ALERT_TYPES has 'brand_new_thing', which matches no log type known today: is"
        " it mistyped?",
        "ALERT_TYPES has 'fsaa', which matches no log type known today (did you mean"
        " fsa?)",
    ]


@pytest.mark.parametrize(
    ("types", "meant"),
    [
        ("failures,limit", "failure"),
        ("Failures,limit", "failure"),
        ("failure,limits", "limit"),
        ("fp,!limts", "limit"),
        ("failure*,fp", "failure"),
    ],
)
def test_a_mistyped_group_is_an_error(types: str, meant: str) -> None:
    with pytest.raises(ValueError, match="ALERT_TYPES has") as raised:
        read_filter(types)
    assert f"did you mean {meant}?" in str(raised.value)


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


REFRESH = r"^Unknown or invalid refresh token.*\[type: ferrt\]$"


@pytest.mark.parametrize(
    ("event", "ignore", "alerted"),
    [
        (
            {"type": "ferrt", "description": "Unknown or invalid refresh token."},
            REFRESH,
            False,
        ),
        (
            {
                "type": "ferrt",
                "description": "Unknown or invalid refresh token: " + "x" * 5000,
            },
            REFRESH,
            False,
        ),
        ({"type": "ferrt", "description": "Refresh token is expired."}, REFRESH, True),
        (
            {"type": "fertft", "description": "Unknown or invalid refresh token."},
            REFRESH,
            True,
        ),
        ({"type": "fs"}, r"^Failed Signup \[type: fs\]$", False),
        ({"type": "fs", "description": "a\nb"}, r"^a b \[type: fs\]$", False),
        ({"type": "f", "description": "<b> & co"}, r"^<b> & co \[type: f\]$", False),
        ({"type": "fs"}, "^$|x", True),
    ],
)
def test_alert_ignore_sees_the_title_as_slack_shows_it(
    event: Event, ignore: str, alerted: bool
) -> None:
    assert is_alert(event, ignore=ignore) == alerted


@pytest.mark.parametrize(
    "ignore",
    ["(", "*", "[", "a{2,1}", "(?P<n>", f"a{{{2**64}}}", "(" * 2000 + ")" * 2000],
)
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


# Several channels.


def test_each_event_goes_to_every_channel_whose_filter_takes_it() -> None:
    router = Router(
        {
            "usual": read_filter()[0],
            "limits": read_filter("limit,s")[0],
            "warnings": read_filter("w")[0],
        }
    )
    codes = ["fp", "limit_wc", "s", "depnote", "sce"]
    routed = router.route({"type": code} for code in codes)
    found = {}
    for channel, taken in routed.by_channel.items():
        found[channel] = [alert.code for alert in taken]
    assert found == {"usual": ["fp", "limit_wc"], "limits": ["limit_wc", "s"]}
    assert (routed.counts.total(), routed.ignored) == (3, 0)


def test_an_event_is_read_once_for_all_channels() -> None:
    both = Router({"first": read_filter()[0], "second": read_filter()[0]})
    routed = both.route([{"type": "fp"}])
    (first,) = routed.by_channel["first"]
    (second,) = routed.by_channel["second"]
    assert first is second


def test_ignored_is_what_no_channel_takes_because_of_alert_ignore() -> None:
    quiet, _ = read_filter("failure", "^Noise")
    limits, _ = read_filter("limit", "^Noise")
    others, _ = read_filter("fu,w")
    router = Router({"quiet": quiet, "limits": limits, "others": others})
    routed = router.route(
        [
            {"type": "fp", "description": "Noise"},
            {"type": "limit_wc", "description": "Noise"},
            {"type": "fu", "description": "Noise"},
            {"type": "s", "description": "Noise"},
            {"type": "fp", "description": "News"},
        ]
    )
    assert set(routed.by_channel) == {"quiet", "others"}
    assert [alert.description for alert in routed.by_channel["quiet"]] == ["News"]
    assert [alert.code for alert in routed.by_channel["others"]] == ["fu"]
    assert (routed.counts.total(), routed.ignored) == (2, 2)


def test_a_filter_says_its_types_as_they_are_written() -> None:
    assert read_filter()[0].types == "failure,limit"
    assert read_filter("!fsa, w")[0].types == "w,!fsa"


def test_what_is_wrong_is_said_of_the_channels_own_variables() -> None:
    names = ("ALERT_TYPES_SECURITY", "ALERT_IGNORE_SECURITY")
    for types, ignore, name in (
        ("fp;fu", "", names[0]),
        ("failures", "", names[0]),
        ("!*", "", names[0]),
        ("", "(", names[1]),
        ("", ".", names[1]),
    ):
        with pytest.raises(ValueError, match=f"{name} "):
            read_filter(types, ignore, names)
    assert read_filter("limit,zz", "(a+)+b", names)[1][0].startswith(f"{names[0]} has")
    assert read_filter("limit,zz", "(a+)+b", names)[1][1].startswith(f"{names[1]} rep")


# Silence by who.

LOGIN = {
    "type": "fp",
    "description": "Wrong email or password.",
    "tenant_name": "acme-dev",
    "client_name": "Default App",
    "client_id": "aI61p8I8aFjm",
    "user_name": "probe@example.com",
    "connection": "Users",
    "ip": "203.0.113.9",
}


@pytest.mark.parametrize(
    ("ignore", "silenced"),
    [
        ("^Tenant: acme-dev$", True),
        ("^Tenant: acme$", False),
        (r"^Client: Default App aI61", True),
        (r"^User: probe@example\.com$", True),
        (r"^User: .*@example\.org$", False),
        (r"^Connection: Users$", True),
        (r"^IP: 203\.0\.113\.", True),
        (r"(?s)\[type: fp\].*^Client: Default", True),
        (r"(?s)\[type: fu\].*^Client: Default", False),
        (r"^Wrong email.*(?s:.*)^User: probe", True),
        (
            r"\[type: fp\]\nTenant: acme-dev\nClient: Def.*\nUser: .*\nConn.*\nIP: 203",
            True,
        ),
        # Those that name nobody see the title alone.
        ("probe@example", False),
        ("acme-dev", False),
        (r"\[type: fp\]$", True),
        (r"\[type: fp\]\n", False),
        ("^(?!Wrong)", False),
        ("^(?!Other)", True),
        ("^Users$|User : ", False),
    ],
)
def test_alert_ignore_silences_by_who(ignore: str, silenced: bool) -> None:
    assert is_alert(LOGIN, ignore=ignore) != silenced


def test_what_an_event_does_not_have_has_no_line() -> None:
    ignore = "Tenant:|Client:|User:|Connection:|IP:"
    chosen = replace(read_filter()[0], ignore=re.compile(ignore, re.MULTILINE))
    routed = Router({"": chosen}).route([{"type": "fp"}, {"type": "fp", "ip": "::1"}])
    assert (routed.counts.total(), routed.ignored) == (1, 1)


@pytest.mark.parametrize("field", ["description", "user_name", "client_name"])
def test_a_text_forges_no_line(field: str) -> None:
    forged = {**LOGIN, field: "x\nTenant: acme-prod\n\u2028Tenant: acme-prod\rIP: 1"}
    assert is_alert(forged, ignore="^Tenant: acme-prod$")


def test_alert_ignore_sees_the_start_of_long_texts_and_the_whole_code() -> None:
    code = "limit_" + "x" * 90
    long = {"type": code, "description": "d" * 900, "user_name": "u" * 900}
    shown = f"^d{{{MAX_KEPT - 1}}}… \\[type: {code}\\]$"
    assert not is_alert(long, ignore=shown)
    assert not is_alert(long, ignore=f"^User: u{{{MAX_KEPT - 1}}}…$")


@pytest.mark.parametrize(
    "ignore",
    [
        "(a+)+$",
        r"(\w+\s?)+!",
        r"^User: .*-.*-.*-.*-.*@qa\.example\.com$",
        r"(\S*-\S*-)\S*-\S*@",
        "([a-z]*)*x",
        "(.*,){11}P",
        "(a{1,5}){20}b",
        "(?:x+?y?)+?z",
        "^User: (.+)+@",
        r"(.|\s)*x",
        "(a?){40}b",
    ],
)
def test_warns_of_a_repeat_inside_a_repeat(ignore: str) -> None:
    (warning,) = read_filter("", ignore)[1]
    assert warning.startswith("ALERT_IGNORE repeats what can itself match in several")


@pytest.mark.parametrize(
    "ignore",
    [
        "^Password is too common",
        r"(?s)\[type: fapi\].*^Client: Terraform",
        r"^IP: (10\.(\d{1,3}\.){2}\d{1,3}|::1)$",
        r"^IP: ([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$",
        "(?:abc)+d+e*f",
        "(a{2})*b",
        "(a|b|c)+d",
        "x{1,300}y",
        "(a+)++b",
        "(Unknown|Invalid) .*token",
    ],
)
def test_does_not_warn_of_what_cannot_hang(ignore: str) -> None:
    assert read_filter("", ignore)[1] == []


@pytest.mark.parametrize(
    ("types", "ignore"),
    [
        ("", "^Tenant: "),
        ("", "^(?!Tenant: acme-prod$)"),
        ("", "^User: |^IP: "),
        ("fp,fu", r"\[type: f.\]"),
        ("limit", r"\[type: (limit_|.*pwd_leak|api_|gd_|too_)"),
    ],
)
def test_a_filter_that_can_never_take_an_event_is_an_error(
    types: str, ignore: str
) -> None:
    with pytest.raises(ValueError, match="ALERT_IGNORE is") as raised:
        read_filter(types, ignore)
    assert "never be an alert" in str(raised.value)


@pytest.mark.parametrize(
    ("types", "ignore"),
    [
        ("", "^(?!Wrong)"),
        ("", r"(?i)^(?!WRONG|unknown or invalid refresh token\.)"),
        ("fp", "^Failed Login"),
        ("", "^A"),
        ("", "^Tenant: acme-dev$"),
        ("", r"^User: probe@example\.com$"),
        ("fp,w", r"\[type: fp\]"),
    ],
)
def test_a_filter_that_takes_some_events_is_none(types: str, ignore: str) -> None:
    assert read_filter(types, ignore)[1] == []


@pytest.mark.parametrize(
    ("ignore", "warned"),
    [
        ("^Failed Logout [type: flo]$", True),
        (r"^Failed Logout \[type: flo\]$", False),
        ("^Noise", False),
    ],
)
def test_warns_of_a_type_without_backslashes(ignore: str, warned: bool) -> None:
    _, warnings = read_filter("", ignore)
    assert any(r"write \[type: CODE\]" in warning for warning in warnings) == warned


@pytest.mark.parametrize("ignore", [r"(\w+\s?)*$", "(.*)*", "(a+)*", "(?:.*,?)*$"])
def test_what_may_hang_and_matches_everything_stops_the_start(ignore: str) -> None:
    with pytest.raises(ValueError, match="the empty text"):
        read_filter("", ignore)


@pytest.mark.parametrize("ignore", ["^a.*b.*c$|^d.*e.*f$|^g.*h.*i$", "(.*a){2}.*b"])
def test_a_few_repeats_in_a_row_are_no_reason_to_warn(ignore: str) -> None:
    assert read_filter("", ignore)[1] == []


@pytest.mark.parametrize("entry", ["fail", "failed", "error", "errors"])
def test_a_word_for_failure_is_no_way_to_switch_failures_off(entry: str) -> None:
    with pytest.raises(ValueError, match=r"did you mean failure\?"):
        read_filter(f"{entry},limit")
