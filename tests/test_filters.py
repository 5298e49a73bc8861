"""Filters: which events are alerts, in which channels, and what is silenced."""

from itertools import count

import pytest

from alerts import MAX_CODE, MAX_KEPT, Alert
from events import Event
from filters import (
    MAX_NEW,
    MAX_SEARCHES,
    SEARCHES_WITHIN,
    AlertFilter,
    Router,
    group_by_spelling,
    group_of,
    read_ignore,
    read_types,
)
from log_types import FAILURES, LIMITS, NAMES, OTHERS
from logs import HOUR

DEFAULT = {*FAILURES, *LIMITS}
Log = pytest.LogCaptureFixture


def chosen(types: str = "", ignore: str = "") -> AlertFilter:
    return read_ignore(ignore, read_types(types)[0])[0]


def alerts(events: list[Event], types: str = "", ignore: str = "") -> list[Alert]:
    """The alerts among the events under one filter."""
    routed = Router({"": chosen(types, ignore)}).route(events)
    return routed.by_channel.get("", [])


def is_alert(event: Event, types: str = "", ignore: str = "") -> bool:
    return bool(alerts([event], types, ignore))


# Groups.


def test_the_rule_by_spelling_agrees_with_the_table() -> None:
    for group, codes in (("failure", FAILURES), ("limit", LIMITS), ("", OTHERS)):
        assert {code for code in codes if group_by_spelling(code) != group} == set()
        assert {code for code in codes if group_of(code) != group} == set()


NEW_CODES = {  # each for something in the rule that no code in the table spells
    "failure": "fapp fe2e login_denied payment_declined device_flow_canceled"
    " export_aborted invitation_expired ldap_agent_offline signup_unsuccessful"
    " organization_not_found import_incomplete login_refused token_invalid api_timeout"
    " token_exchange_success_failed import_not_completed success_page_error",
    "limit": "login_throttled account_blocked account_lockout account_locked"
    " brute_force_detected bot_detected size_exceeded over_quota pool_exhausted"
    " data_breach replay_attack suspicious_ip",
    "": "agents_execution_completed forms_rendering_succeeded federation spk"
    " federation_sync_started account_unlocked account_unblocked failover_completed"
    " failed_logins_report_succeeded rate_limit_reset_completed feature_flag_changed",
}


@pytest.mark.parametrize("group", NEW_CODES)
def test_codes_that_auth0_may_add_are_judged_by_spelling(group: str) -> None:
    codes = NEW_CODES[group] + " " + NEW_CODES[group].upper()
    assert {code for code in codes.split() if group_of(code) != group} == set()
    found = alerts([{"type": code} for code in codes.split()])
    assert len(found) == len(codes.split()) * bool(group)


def test_each_code_is_in_one_group_and_no_two_share_a_name() -> None:
    assert len(NAMES) == len(FAILURES) + len(LIMITS) + len(OTHERS)
    assert len(set(NAMES.values())) == len(NAMES)


def test_an_alert_says_its_group_and_its_name() -> None:
    (alert,) = alerts([{"type": "fepotpft"}])
    assert (alert.group, alert.name) == ("failure", "Failed Exchange: Passwordless OTP")
    # Only because the filter asks for it.
    (alert,) = alerts([{"type": "w"}], "w")
    assert (alert.group, alert.name) == ("", "Warning During Login")


# ALERT_TYPES.


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("", DEFAULT),
        ("limit", LIMITS.keys()),
        ("failure,limit,w", DEFAULT | {"w"}),
        ("!fsa,!fco", DEFAULT - {"fsa", "fco"}),
        ("failure,!f*", {code for code in FAILURES if code[0] != "f"}),
        ("FP", {"fp"}),
        ("f?", {code for code in NAMES if len(code) == 2 and code[0] == "f"}),
        ("kms_*,!*_success", {"kms_key_management_failure", "kms_key_state_changed"}),
        ("[!a-z]*,sapi", {"sapi"}),
    ],
)
def test_alert_types(types: str, expected: set[str]) -> None:
    found = alerts([{"type": code} for code in NAMES], types)
    assert {alert.code for alert in found} == expected


@pytest.mark.parametrize(
    ("types", "code", "alerted"),
    [
        ("new_*,fp", "New_Thing_Created", True),
        ("!new_*", "new_thing_failed", False),
        ("!limit", "new_limit", False),
        ("f*,*_a*_b*_c*", "_succe" * 200_000 + "!", False),
        ("", "failed_" * 200_000, True),
    ],
)
def test_alert_types_judges_unknown_codes_of_any_length(
    types: str, code: str, alerted: bool
) -> None:
    assert is_alert({"type": code}, types) == alerted


def test_tells_entries_that_match_nothing_known() -> None:
    taken, doubts = read_types("failure, wm,f*,!fsaa,!fsa,brand_new_thing,")
    assert taken.types == "failure,wm,f*,!fsaa,!fsa,brand_new_thing"
    assert doubts == [
        "has 'wm', which matches no log type known today (did you mean wum?)",
        "has 'fsaa', which matches no log type known today (did you mean fsa?)",
        "has 'brand_new_thing', which matches no log type known today: is it mistyped?",
    ]


@pytest.mark.parametrize(
    "types", ["limit,fp;fu", "limit,!", "w,!!fp", "(f)", "[fp", "f'"]
)
def test_a_malformed_entry_is_quoted(types: str) -> None:
    with pytest.raises(ValueError, match=r"^has the entry .+: give .*failure,.*gd_\*"):
        read_types(types)


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ("failures,w", "^has 'failures', .*did you mean failure"),
        ("FAILED,w", "^has 'failed', .*did you mean failure"),
        ("fail,w", "^has 'fail', .*did you mean failure"),
        ("errors", "^has 'errors', .*did you mean failure"),
        ("fp,!limts", "^has 'limts', .*did you mean limit"),
        ("!*", r"^is '!\*', which matches no log type.*never be an alert"),
        ("!failure,!limit", "never be an alert"),
        ("no_such_*", "never be an alert"),
    ],
)
def test_a_filter_that_is_mistyped_or_takes_nothing(types: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_types(types)


# New log types.


def test_a_log_type_newer_than_the_list_is_named_once(caplog: Log) -> None:
    router = Router({"first": chosen(), "SECURITY": chosen("limit")})
    codes = ("fp", "new_thing_failed", "New.thing", "x" * 999)
    for _ in range(3):
        router.route([{"type": code} for code in codes])
    assert caplog.messages == [
        "log type 'new_thing_failed' is unknown: its code reads as failure, so it is an"
        " alert. To change that, add !new_thing_failed to ALERT_TYPES (failure,limit by"
        " default)",
        "log type 'New.thing' is unknown: its code reads as neither failure nor limit,"
        " so it is no alert. To change that, add new?thing to ALERT_TYPES"
        " (failure,limit by default)",
    ]


def test_no_flood_of_new_log_types_fills_the_memory_or_the_log(caplog: Log) -> None:
    found = alerts([{"type": f"new_{n}_failed"} for n in range(2 * MAX_NEW)])
    assert len(found) == 2 * MAX_NEW
    assert len(caplog.records) == MAX_NEW


# Several channels.


def test_each_event_goes_to_every_channel_whose_filter_takes_it() -> None:
    filters = {"usual": chosen(), "limits": chosen("limit,s"), "w": chosen("w")}
    codes = ["fp", "limit_wc", "s", "depnote", "sce"]
    routed = Router(filters).route({"type": code} for code in codes)
    found = {}
    for channel, taken in routed.by_channel.items():
        found[channel] = [alert.code for alert in taken]
    assert found == {"usual": ["fp", "limit_wc"], "limits": ["limit_wc", "s"]}
    assert routed.counts == {"fp": 1, "limit_wc": 1, "s": 1}
    assert not routed.ignored
    # It is read once for all of them.
    assert routed.by_channel["usual"][1] is routed.by_channel["limits"][0]


def test_ignored_is_what_no_channel_takes_because_of_alert_ignore() -> None:
    quiet, limits = chosen("failure", "^Noise"), chosen("limit", "^Noise")
    router = Router({"quiet": quiet, "limits": limits, "others": chosen("fu,w")})
    codes = ("fp", "limit_wc", "fu", "s")
    noise = [{"type": code, "description": "Noise"} for code in codes]
    routed = router.route([*noise, {"type": "fp", "description": "News"}])
    assert set(routed.by_channel) == {"quiet", "others"}
    assert [alert.description for alert in routed.by_channel["quiet"]] == ["News"]
    assert [alert.code for alert in routed.by_channel["others"]] == ["fu"]
    assert routed.counts == {"fp": 1, "fu": 1}
    assert routed.ignored == {"fp": 1, "limit_wc": 1}


# ALERT_IGNORE.

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
BARE = dict.fromkeys(LOGIN, "") | {"type": "fp"}


@pytest.mark.parametrize(
    ("ignore", "event", "silenced"),
    [
        # The title, as Slack shows it.
        ("Password is too", {"description": "The Password is too common."}, True),
        ("Password is too", {"description": "password is too common"}, False),
        ("Password is too", {"description": None}, False),
        (r"^Unknown x+… \[type: fp\]$", {"description": "Unknown " + "x" * 900}, True),
        (r"^Failed Signup \[type: fs\]$", {"type": "fs", "description": ""}, True),
        (r"^<b> & co \[type: fp\]$", {"description": "<b> & co"}, True),
        ("^$|x", {"description": ""}, False),
        # The lines, for a pattern that names one of them.
        ("^Tenant: acme-dev$", {}, True),
        ("^Client: Default App aI61", {}, True),
        ("^(User|Client): Default", {}, True),
        (r"^(?:User|IP): 203\.", {}, True),
        ("(?i)^user: PROBE", {}, True),
        ("^(?i:user): PROBE", {"user_name": "PROBE"}, True),
        (r"\[type: fp\]\nTenant: .*\nClient: .*\nUser: .*\nConn.*\nIP: 203", {}, True),
        ("Tenant:|Client:|User:|Connection:|IP: (?!::1)", BARE, False),
        # No other sees them: a stranger can type what stands there.
        ("probe@example", {}, False),
        ("unknown user: ", {"user_name": "unknown user: x"}, False),
        (r"\[type: fp\]\n", {}, False),
        ("^Users$|Superuser:", {}, False),
        # No text forges a line or is too long for its line.
        ("^Tenant: x$", {"description": "x\nTenant: x\n\u2028Tenant: x"}, False),
        ("^Tenant: x$", {"user_name": "x\nTenant: x\n\u2028Tenant: x"}, False),
        (f"^User: u{{{MAX_KEPT - 1}}}…$", {"user_name": "u" * 900}, True),
        (r"type: limit_x+\]$", {"type": "limit_".ljust(MAX_CODE, "x")}, True),
    ],
)
def test_alert_ignore(ignore: str, event: Event, silenced: bool) -> None:
    assert is_alert({**LOGIN, **event}, ignore=ignore) != silenced


@pytest.mark.parametrize(
    "ignore",
    # Only the package regex refuses the last one.
    ["(", "*", f"a{{{2**64}}}", "(" * 2000, "a{id}"],
)
def test_a_malformed_expression_is_quoted(ignore: str) -> None:
    with pytest.raises(ValueError, match="which is no regular expression") as raised:
        read_ignore(ignore, chosen())
    assert str(raised.value).startswith(f"is {ignore!r}, ")


@pytest.mark.parametrize(
    ("types", "ignore"),
    [
        ("", ".*"),
        ("", "common|"),
        ("", "^User: |^IP: "),
        ("fp,fu", r"\[type: f.\]"),
        ("limit", r"\[type: (limit_|.*pwd_leak|api_|gd_|too_)"),
        ("", "(a+)*"),
    ],
)
def test_an_expression_that_matches_everything_is_an_error(
    types: str, ignore: str
) -> None:
    with pytest.raises(
        ValueError, match=r"matches every title.*never be an alert"
    ) as e:
        read_ignore(ignore, chosen(types))
    assert str(e.value).startswith(f"is {ignore!r}, ")


# For each what the warning says, and nothing for what is as it should be.
@pytest.mark.parametrize(
    ("ignore", "said"),
    [
        ("fp", "ALERT_TYPES=!fp"),
        ("^(FP, !fu)$", "ALERT_TYPES=!fp,!fu"),
        ("^User: auth0|507f1f77", r"write \|"),
        ("/^Failed Logout/i", "(?i)"),
        ("^Failed Logout # a comment", "leave it out"),
        ("^Failed Logout [type: flo]$", r"write \[type: CODE\]"),
        ("Failed{1<=e<=2}", r"write \{"),
        ("^[[:alpha:]]+ x", "a-z for"),
        # What silences by what is missing, the samples cannot tell for sure.
        ("^(?!.*neo[0-9])", "would never be an alert"),
        # All is well.
        ("^Password is too common", ""),
        (r"^Failed Logout \[type: flo\]$", ""),
        (r"^User: auth0\|507f1f77|^User: (email|sms)", ""),
        (r"^User: (auth0|samlp)\|", ""),
        ("(?x) ^Failed # a comment", ""),
        (r"a{2} b{,3} c{1,2} \{e\} [:x]", ""),
        (r"(?i)^(?!WRONG|unknown or invalid refresh token\.)", ""),
        (r"^(?!unknown or invalid refresh token\.)", ""),
        ("(?s)^(?!.*^Tenant: acme-prod$)", ""),
        (r"^(?!\?{9})|^(\?|\?\?)+ \[[^t]", ""),  # hangs for a sample
    ],
)
def test_warns_of_what_does_something_else_than_was_typed(
    ignore: str, said: str
) -> None:
    _, warnings = read_ignore(ignore, chosen())
    assert bool(warnings) == bool(said)
    for warning in warnings:
        assert warning.startswith(f"is {ignore!r}, ")
        assert said in warning


# Searches that take long.

FRAGILE = r"^(Quiet|(a|aa)+) \["  # it splits "aaaa!" in 5 ways, "aaaaaaaa!" in 34
HOSTILE = {"type": "fp", "description": "a" * 290 + "!"}
PLAIN = {"type": "fp", "description": "Quiet"}
QUIET = chosen("", "^Quiet")


def test_what_is_not_found_in_time_is_shown_and_the_pattern_rests(caplog: Log) -> None:
    now = [1000.0]
    filters = {"first": chosen("", FRAGILE), "LIMITS": chosen("", "^.u|^aa")}
    router = Router(filters, clock=lambda: now[0])
    routed = router.route([PLAIN, HOSTILE, PLAIN])
    assert len(routed.by_channel["first"]) == 2
    assert "LIMITS" not in routed.by_channel
    (said,) = caplog.messages
    assert said.startswith("ALERT_IGNORE of channel first takes too long")
    # Nor do the next deliveries wait; later ones do. The log says so once an hour.
    assert router.route([PLAIN]).counts == {"fp": 1}
    for wait, lines in ((1, 1), (HOUR, 2)):
        now[0] += wait + SEARCHES_WITHIN
        assert router.route([PLAIN]).counts == {}
        router.route([HOSTILE])
        assert len(caplog.messages) == lines


def test_all_searches_together_end_in_time(caplog: Log) -> None:
    step = MAX_SEARCHES / 8  # each look at this clock takes so long
    for filters, searches in (({"": QUIET}, 8), ({"first": QUIET, "OPS": QUIET}, 4)):
        router = Router(filters, lambda: 1000.0, stopwatch=count(1, step).__next__)
        routed = [router.route([PLAIN]) for _ in range(100)]
        assert sum(one.ignored.total() for one in routed) == searches
        assert sum(one.counts.total() for one in routed) == 100 - searches
    assert [said[:21] for said in caplog.messages] == [
        "ALERT_IGNORE takes to",
        "ALERT_IGNORE of chann",
        "ALERT_IGNORE of chann",
    ]
