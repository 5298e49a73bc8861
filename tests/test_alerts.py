"""Alerts: what is kept of an event, whatever it says and wherever it says it."""

import csv
import re
from typing import Any

import pytest

from alerts import (
    DEFAULT_FIELDS,
    FIELDS,
    MAX_CODE,
    MAX_KEPT,
    MAX_LISTED,
    MAX_LOG_ID,
    MAX_MARKS,
    MAX_READ,
    MIN_TOKEN_HEADER,
    Alert,
    clean,
    read_alert,
    read_fields,
)
from filters import Router, read_ignore, read_types
from log_types import NAMES
from tests.events import fixture


def alert(**data: Any) -> Alert:
    return read_alert({"type": "f", "log_id": "", **data}, "failure")


def value(label: str, **data: Any) -> tuple[str, ...] | None:
    """What stands under a label in Slack for an event with these data."""
    return alert(**data).values.get(label)


# Why.

NAMELESS = {"title": "ti", "type": "t"}
CODES = {"failure_details": {"errorCode": "e"}, "provider_error": {"errorCode": "p"}}


@pytest.mark.parametrize(
    ("details", "cause"),
    [
        ({"error": {"message": "a", "type": "b"}, "errorMsg": "c"}, "a"),
        ({"error": {"message": ""}, "errorMsg": "c", "reason": "d"}, "c"),
        ({"error": {**NAMELESS, "oauthError": "o", "detail": "d"}}, "d"),
        ({"error": {"payload": {"message": "p"}, "oauthError": "o"}}, "p"),
        ({"error": NAMELESS}, "ti"),
        ({"error": {"type": "t", "code": "c"}}, "t"),
        ({**CODES, "failure_details": {"message": "m", "errorCode": "e"}}, "m"),
        ({**CODES, "provider_error": {"message": "m"}}, "m"),
        (CODES, "e"),
        ({"action_error": {"message": "m", "name": "TypeError"}}, "m"),
        ({"client_authentication_error": "bad", "reason": "why"}, "bad"),
        ({"reason": "why", "response": "no"}, "why"),
        ({"client_authentoication_error": "bad"}, "bad"),  # so in feccft's schema
        ({"errors": ["a", "b"]}, "a, b"),
        ({"errors": [{"message": "a"}, {"message": "b"}]}, "a"),
        ({"response": "Too Many Requests"}, "Too Many Requests"),
        ({"response": {"message": "m", "statusCode": 502}}, "m"),
        ({"response": {"statusCode": 400}}, "400"),
        ({"response": {"statusCode": 399}}, None),
        ({"response": {"statusCode": "204", "body": {"message": "why"}}}, "why"),
        ({"response": {"body": {"message": "m", "error": "e"}}}, "m"),
        ({"response": {"statusCode": 404, "body": {"error": "e"}}}, "e"),
        ({"response": {"body": [{"message": "Too short"}, "Too long"]}}, "Too short"),
        ({"response": {"statusCode": 404, "body": "Not Found"}}, "Not Found"),
        ({"error": 204}, "204"),
        ("all of it is a text", "all of it is a text"),
        ([{"error": "in a list"}], "in a list"),
        ({"error": {"message": {"message": "nested otherwise"}}}, None),
        ({"error": ["a", {"b": 1}, ["c"]]}, "a"),
        ({"prompts": [{"error": "of a step"}]}, None),
        (None, None),
        (0, "0"),
    ],
)
def test_the_cause(details: Any, cause: str | None) -> None:
    assert value("Cause", details=details) == (cause and (cause,))


# The alert types that have a public schema, and in it the fields beyond the common
# ones, which all may have (https://auth0.com/docs/tenant-logs, August 2026).
SCHEMAS = dict(csv.reader(fixture("alert_fields.csv").splitlines()[1:]))
# Of these the schema has nothing beyond the common fields that says whom or what.
ONLY_COMMON = {
    *("fcph", "fcpro", "fdecc", "federated_logout_failed", "fens", "fp", "fpar"),
    *("fpurh", "fsa", "fu", "kms_key_management_failure", "limit_delegation"),
    *("limit_sul", "limit_wc", "passkey_challenge_failed", "pwd_leak"),
    *("reset_pwd_leak", "universal_logout_failed"),
}


def filled_in(schema: str) -> dict[str, Any]:
    """An event with something in each field of a schema."""
    event: dict[str, Any] = {}
    for field in schema.split():
        path, _, kind = field.partition(":")
        *above, key = path.split(".")
        place = event
        for each in above:
            place = place.setdefault(each, {})
        if not isinstance(place.get(key), dict):
            some = {"string": path, "array": [path], "boolean": True, "object": {}}
            place[key] = some.get(kind.partition("|")[0], 500)
    return event


@pytest.mark.parametrize("code", SCHEMAS)
def test_each_type_says_why_and_about_whom_wherever_there_is_something(
    code: str,
) -> None:
    assert code in NAMES
    values = alert(**filled_in(SCHEMAS[code]), type=code).values
    says_why = re.search(r"error|reason|response|desc|title|s\.details", SCHEMAS[code])
    assert ("Cause" in values) == bool(says_why)
    labels = {label for name in DEFAULT_FIELDS for label in FIELDS[name]} - {"Cause"}
    assert bool(labels & values.keys()) == (code not in ONLY_COMMON)


# To whom or what.


@pytest.mark.parametrize(
    ("label", "data", "said"),
    [
        ("Client", {"client_name": "App", "client_id": "id"}, ("App", "id")),
        ("Client", {"client_name": "", "client_id": "id"}, ("id",)),
        ("Client", {"client_id": "id", "details": {"qs": {"client_id": "q"}}}, ("id",)),
        ("User", {"user_name": "neo", "user_id": "auth0|1"}, ("neo", "auth0|1")),
        ("User", {"user_id": "1", "details": {"body": {"email": "typed"}}}, ("1",)),
        ("User", {"user_id": "1", "details": {"body": {"login_hint": "t"}}}, ("1",)),
        ("User", {"details": {"body": {"email": "neo@a.example"}}}, ("neo@a.example",)),
        ("IP", {"ip": ["10.0.0.1", "10.0.0.2"]}, ("10.0.0.1, 10.0.0.2",)),
        ("IP", {"ip": {"a": 1}, "client_ip": "10.0.0.3"}, ("10.0.0.3",)),
        ("Organization", {"organization_name": "a", "organization_id": "o"}, ("a",)),
        ("Location", {"location_info": {"country_code": "NO"}}, ("NO",)),
        ("Location", {"location_info": "Oslo"}, None),
        ("Request", {"details": {"request": {"method": "a", "path": "b"}}}, ("a", "b")),
        ("Request", {"details": {"request": {"backchannel_logout_uri": "u"}}}, ("u",)),
        ("Rate limit", {"details": {"limit": {"bucket": "b", "size": 5}}}, ("b",)),
        ("Action", {"details": {"action_id": "i", "action_name": "n"}}, ("n",)),
        ("Action", {"details": {"action_id": "i"}}, ("i",)),
        ("Flow", {"details": {"flow_id": "i", "flow": "n"}}, ("n",)),
        ("Client", {"details": {"requested_client_id": "r"}}, ("r",)),
        ("Factor", {"details": {"authenticator": {"type": "sms"}}}, ("sms",)),
        ("Connection", {"details": {"body": {"connection": "con"}}}, ("con",)),
    ],
)
def test_what_an_event_says(
    label: str, data: dict[str, Any], said: tuple[str, ...] | None
) -> None:
    assert value(label, **data) == said


def test_who_called_the_management_api_has_a_name_an_address_and_an_id() -> None:
    user = {"name": "Trinity", "email": "trinity@example.com"}
    details = {"request": {"auth": {"user": user}}, "body": {"email": "typed"}}
    data = {"type": "sapi", "user_id": "auth0|1", "details": details}
    assert value("User", **data) == ("Trinity", "trinity@example.com", "auth0|1")
    for name in ("auth0.1", "Trinity", "trinity@example.com", "typed"):
        ignore = rf"(?s)\[type: sapi\].*^User: {name}$"
        chosen, _ = read_ignore(ignore, read_types("*")[0])
        routed = Router({"": chosen}).route([data])
        assert bool(routed.ignored) == (name != "typed")
    del user["name"]
    assert value("User", **data) == ("trinity@example.com", "auth0|1")


def test_an_alert_keeps_no_more_of_an_event_than_a_message_shows() -> None:
    kept = alert(
        description="x" * 9000, details={"error": "y" * 9000, "prompts": ["z"] * 9000}
    )
    assert len(kept.description) == len(kept.values["Cause"][0]) == MAX_KEPT
    assert "z" not in repr(kept)


# Where to look next, and when.

EU = {"environment_name": "prod-eu-2"}
DASHBOARD = "dashboard/eu/acme/logs/1"


@pytest.mark.parametrize(
    ("data", "link"),
    [
        ({"tenant_name": "acme", **EU}, DASHBOARD),
        ({"tenant_name": "acme", "hostname": "acme.eu.auth0.com"}, DASHBOARD),
        ({"hostname": "ACME.eu.auth0.com"}, DASHBOARD),
        ({"hostname": "acme-2.auth0.com"}, "dashboard/us/acme-2/logs/1"),
        ({"hostname": "login.acme.example"}, "#/logs/1"),
        ({"tenant_name": "acme", "hostname": "other.eu.auth0.com"}, "#/logs/1"),
        ({"tenant_name": "acme", "environment_name": "layer0"}, "#/logs/1"),
        ({"tenant_name": "a/../b", **EU}, "#/logs/1"),
        ({"hostname": ["acme.auth0.com"] * 2}, ""),
        ({"tenant_name": "a", **EU, "hostname": "a.space.auth0.com"}, ""),  # private
        ({"hostname": "x.evil.example/.auth0.com"}, ""),
        ({}, "#/logs/1"),
        ({"log_id": "a/b?c#d<&"}, "#/logs/a%2Fb%3Fc%23d%3C%26"),
    ],
)
def test_link(data: dict[str, Any], link: str) -> None:
    assert alert(**{"log_id": "1", **data}).link == (
        link and f"https://manage.auth0.com/{link}"
    )


@pytest.mark.parametrize(
    "log_id",
    ["", None, 5, ["1"], "9" * (MAX_LOG_ID + 1), "900A\u200b", "x\ty", "\ud800"],
)
def test_an_id_is_taken_as_it_is_or_not_at_all(log_id: object) -> None:
    assert alert(log_id=log_id).log_id == ""
    assert alert(log_id=log_id).link == ""
    for taken in ("eyJpZCI6MTIzNDU2Nzg5MH0", "9" * MAX_LOG_ID):
        assert alert(log_id=taken).log_id == taken


@pytest.mark.parametrize(
    ("date", "ts"),
    [
        ("2026-11-22T10:00:05.696Z", 1795341605),
        ("2026-11-22T12:00:05+02:00", 1795341605),
        ("2026-11-22T10:00:05", 1795341605),
        ("yesterday", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59Z", None),
        ("2100-01-01T00:00:00Z", None),
        (1795341605, None),
    ],
)
def test_time(date: object, ts: int | None) -> None:
    time = alert(date=date).time
    assert (time and int(time.timestamp())) == ts


# What a text may hold.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  a\r\nb\tc ", "a b c"),
        ("a\x00d\x1b[31me", "a d [31me"),
        ("a\u2028b\x85c", "a b c"),
        ("user\u202egpj.exe", "usergpj.exe"),
        ("a\u2066b\u2069\u200b\ufeff\u00adc", "abc"),
        ("\ud83d", "\ufffd"),
        ("naïve 日本 \U0001f600", "naïve 日本 \U0001f600"),
        (1.5, "1.5"),
        (True, "true"),
        (["a", ["b"], 2, None], "a, 2"),
        (["a"] * (MAX_LISTED + 1), ", ".join(["a"] * MAX_LISTED)),
        (" " * MAX_READ + "a", "…"),
        ({"a": 1}, ""),
        (None, ""),
    ],
)
def test_clean(value: object, text: str) -> None:
    assert clean(value) == text


STACK = "\u0301" * MAX_MARKS
MIXED = "\u0301\u0e49\u200d" * 99


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("\u200d\u200c\ufe0f", "Failed Login"),  # joiners only
        ("\u0301 \u0301", "Failed Login"),
        ("👩🏽‍❤️‍💋‍👨🏽", "👩🏽‍❤️‍💋‍👨🏽"),
        ("क्‍ष và Việt", "क्‍ष và Việt"),
        (f"a{STACK}b", f"a{STACK}b"),
        (f"a{STACK}\u0301b", f"a{STACK}b"),
        (f"a{MIXED}", f"a{MIXED[:MAX_MARKS]}"),
        ("a" + "\u0301\u200b" * 99, f"a{STACK}"),  # with spaces of no width
    ],
)
def test_joiners_and_accents_are_writing_and_no_more(
    description: str, words: str
) -> None:
    assert alert(description=description).words == words


HEADER = "eyJhbGciOiJIUzI1NiJ9"
TOKEN = f"{HEADER}.eyJzdWIiOiJuZW8ifQ.c2ln-bmF0_dXJl"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (TOKEN, "[token]"),
        (f"https://a.example/?error={TOKEN}&b", "https://a.example/?error=[token]&b"),
        (f"https://a/%3Ferror%3D{TOKEN}", "https://a/%3Ferror%3D[token]"),
        (f"Bearer {TOKEN}, {TOKEN}", "Bearer [token], [token]"),
        (TOKEN.replace("hbG", "hb\u200bG"), "[token]"),
        (f"{HEADER}.", "[token]"),
        (f"{HEADER}..AAAA.BBBB.CCCC", "[token]"),  # encrypted
        ("x" * (MAX_KEPT - 25) + f" {TOKEN}", "x" * (MAX_KEPT - 25) + " [token]"),
        ("eyJ" + "a" * MIN_TOKEN_HEADER, "[token]"),
        ("eyJ" + "a" * (MIN_TOKEN_HEADER - 1), "eyJ" + "a" * (MIN_TOKEN_HEADER - 1)),
        ("eyJan@example.com", "eyJan@example.com"),
        ("aI61p8IeyJYRliLWgvM9ev97kCCNDB", "aI61p8IeyJYRliLWgvM9ev97kCCNDB"),
        ([TOKEN, "b"], "[token], b"),
    ],
)
def test_a_json_web_token_is_masked(text: object, masked: str) -> None:
    assert clean(text) == masked
    assert alert(description=text).description == masked
    assert value("User", user_name=text) == (masked,)


@pytest.mark.parametrize(
    ("log_type", "code"),
    [
        ("fp", "fp"),
        ("new_<thing>_failed", "new_thing_failed"),
        ("*_a-B:sos:*_", "a-Bsos"),
        ("日本 <!>", "unknown"),
        (":fp:", "unknown"),
        ("x" * 999, "x" * MAX_CODE),
    ],
)
def test_a_code_has_nothing_that_does_anything(log_type: str, code: str) -> None:
    assert alert(type=log_type).code == code


# SLACK_FIELDS


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("", DEFAULT_FIELDS),
        (" , ", DEFAULT_FIELDS),
        ("none", ()),
        ("log_id, Client,ip,client", ("log_id", "client", "ip")),
        (",".join(FIELDS), tuple(FIELDS)),
    ],
)
def test_slack_fields(value: str, fields: tuple[str, ...]) -> None:
    assert read_fields(value) == fields


@pytest.mark.parametrize("wrong", ["email", "none", "client;ip"])
def test_a_wrong_slack_field_is_quoted(wrong: str) -> None:
    with pytest.raises(ValueError, match="has ") as raised:
        read_fields(f"ip,{wrong}")
    assert repr(wrong) in str(raised.value)
    assert "log_id" in str(raised.value)
