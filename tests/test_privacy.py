"""Privacy: who is hidden from a channel that may not show them, and what is not."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import CUT, DEFAULT_FIELDS, FIELDS, MAX_KEPT, Alert, read_alert
from privacy import MIN_NAME, mask_alert

NO_USER = ("cause", "subject", "ip")
NO_IP = ("cause", "subject", "user")
NEITHER = ("cause", "subject")


def alert(**data: Any) -> Alert:
    return read_alert({"type": "f", "log_id": "", **data}, "failure")


def masked(text: str, fields: tuple[str, ...] = NEITHER, **data: Any) -> str:
    """A description as a channel with these fields shows it."""
    return mask_alert(alert(description=text, **data), fields).description


# Which fields hide what, and where.


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (NO_USER, "[user]: [email], [phone] and 203.0.113.9"),
        (NO_IP, "auth0|63f1: neo@example.com, +1 555 010 9999 and [ip]"),
        ((), "[user]: [email], [phone] and [ip]"),
    ],
)
def test_each_field_hides_its_own(fields: tuple[str, ...], shown: str) -> None:
    text = "auth0|63f1: neo@example.com, +1 555 010 9999 and 203.0.113.9"
    original = alert(description=text)
    result = mask_alert(original, fields)
    assert (result.description, result.title) == (shown, f"{shown} [type: f]")
    assert original.description == text
    assert mask_alert(original, DEFAULT_FIELDS) is original


def test_causes_and_subjects_are_masked_and_recipients_left_out() -> None:
    original = alert(details={"to": "Neo"})
    labels = [*FIELDS["cause"], *FIELDS["subject"]]
    original.values.update(dict.fromkeys(labels, ("GET", "/users/a%40b.example")))
    others = dict.fromkeys(labels, ("GET", "/users/[email]"))
    del others["Recipient"]
    assert mask_alert(original, NO_USER).values == others
    assert "Recipient" in mask_alert(original, NO_IP).values


def test_what_a_channel_asks_for_by_name_is_left() -> None:
    original = alert(
        user_name="neo@example.com",
        ip="203.0.113.9",
        client_name="Shop of neo@example.com",
        user_agent="Agent/1.2.3.4",
        date="2026-11-22T10:00:05.696Z",
        hostname="acme.eu.auth0.com",
    )
    assert mask_alert(original, NEITHER) == original


# Each text, and how a channel that shows neither users nor addresses has it, as it came
# if that is None.
TEXTS = [
    # As Auth0 writes.
    ("User (john@example.org) attempted 10", "User ([email]) attempted 10"),
    ("the IP: 2001:db8:9702:ee80:0000:1f55:93a7:e970 at", "the IP: [ip] at"),
    ("http://192.0.2.1:3000/?u=neo%40example.com is", "http://[ip]:3000/?u=[email] is"),
    ("535-5.7.8 Username and Password not accepted. 100% wrong", None),
    ("", None),
    # E-mail addresses.
    ('{"email":"o\'neo.x+tag@mail.example.co.uk"}', '{"email":"[email]"}'),
    ("mailto:neo@example.com?subject=x", "mailto:[email]?subject=x"),
    ("neo@localhost, root@host and neo@163.com", "[email], [email] and [email]"),
    ("neo@[192.0.2.1] a@[IPv6:2001:db8::1] neo@192.0.2.1", "[email] [email] [email]"),
    ("jürgen@exämple.de 用户@例子.广告 संसार@उदाहरण.भारत", "[email] [email] [email]"),
    ("“neo@xn--exmple-cua.de”, „a@b.example“", "“[email]”, „[email]“"),
    ("a@b@c.example neo＠example.com", "[email]@c.example [email]"),
    ("https://neo:secret@db.example:1/", "https://neo:[email]:1/"),
    ("@neo, # @ 5, neo@ example.com, https://medium.example/@neo", None),
    ("'lodash@4.17.21', node@18, npm@v9.1, auth0@5.0.0-beta.1, x@1.x", None),
    ("express@latest @types/node@^18.0.0 nginx@sha256:de5ad", None),
    ("postgres://svc@db.internal:5432, https://svc@db.internal/x", None),
    # Telephone numbers.
    ("+1.555.010.9999, +[49] 151 2345678", "[phone], [phone]"),
    ("+(49)1512345678; (+49 30/12345678)", "[phone]; ([phone])"),
    ("+1\u2011555\u2013010\u20119999 +155501099+155501098", "[phone] [phone][phone]"),
    ("+١٢٣٤٥٦٧٨٩ +123456789 10:00:05", "[phone] [phone] 10:00:05"),
    ("offset +12345678 +1234567890123456 1 + 123456789", None),
    ("15550109999, 00 1 555 010 9999, (555) 010-9999", None),
    ("2026-11-22T10:00:05+01:00, 10:00:05 +0100 2026-11-22", None),
    # Ids of users.
    ("user_id: ad|Acme-AD|tanderson", "user_id: [user]"),
    ("patch /api/v2/users/auth0%7C63f1a2/roles", "patch /api/v2/users/[user]/roles"),
    ('"samlp|acme|neo@example.com", google-oauth2|1.', '"[user]", [user].'),
    ("sms|5f7c8e email|5f7c8e", "[user] [user]"),
    ("code|token GET|POST email|sms|push x-ad|x", None),
    # IP addresses.
    ("203.0.113.9, 10.0.0.1. 203.000.113.009", "[ip], [ip]. [ip]"),
    ("203.0.113.9:8080 and 10.0.0.0/8", "[ip]:8080 and [ip]/8"),
    ("ip_1.2.3.4_x 来自203.0.113.9的请求", "ip_[ip]_x 来自[ip]的请求"),
    (r"10:00:203.0.113.9 blocked:\n203.0.113.9", r"10:00:[ip] blocked:\n[ip]"),
    ("::ffff:203.0.113.9:80 64:ff9b::192.0.2.33", "[ip]:80 [ip]"),
    ("fe80::1%eth0 [fe80::1%25en1]:80 2001:db8::/32", "[ip] [ip]:80 [ip]/32"),
    ("https://[2001:db8::1]:443/ [2001:db8::1", "https://[ip]:443/ [[ip]"),
    ("2001:db8::1: refused, IP:2001:db8::1:refused", "[ip]: refused, IP:[ip]:refused"),
    ("[2001:db8:0:0:0:0:0:1:443]", "[[ip]:443]"),
    ("1.2.3 v1.2.3.4 1.2.3.4.5 Chrome/120.0.6099.109", None),
    ("1.3.6.1.4.1.311.20 9.9.9.999 256.1.1.1 5.7.8x", None),
    ("203.0.113.9x x203.0.113.9 2001:db8::1x", None),
    ("a::b, ACE::Bad, std::vector a :: b, ::abs x[1::2]", None),
    ("00:1b:44:11:3a:b7 10:00:05 con_1234567890 1,234.56", None),
    # However they are written.
    ("?to=a%253Fhint%253Dneo%252540example.com%26", "?to=a?hint=[email]&"),
    (
        "neo&commat;example.com neo&#x40;a.example &#43;15551234567",
        "[email] [email] [phone]",
    ),
    (
        r"ip\u003d203.0.113.9 to neo\u0040example.com neo\\u0040a.b",
        "ip=[ip] to [email] [email]",
    ),
    (r"neo\x40a.example a%u0040b.example \\\\x2B155512345", "[email] [email] [phone]"),
    ("%2B1%20555%20123%204567 %2B1+(415)+555+0100", "[phone] [phone]"),
    ("%252540 a%20b &amp; %4a 50%", None),
    # Decoded they do no more harm than before.
    ("a@b.c%0A\\u202E\\ud83d|&#101;yJhbGciOiJIUzI1NiJ9.e", "[email] \ufffd|[token]"),
    # An escape that stops short is the end of a text that was cut.
    ("It is john.doe%4", "It is …"),
    (r"It is john.doe\u00", "It is …"),
]


@pytest.mark.parametrize(("text", "shown"), TEXTS)
def test_what_is_hidden_in_a_text(text: str, shown: str | None) -> None:
    assert masked(text) == (text if shown is None else shown)


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("Trin", "Trin, 'Trin'.", "[user], '[user]'."),
        ("Neo Anderson", "u=Neo%20Anderson", "u=[user]"),
        ("auth0|63f1 a2", "for auth0|63f1 a2", "for [user]"),
        ("CN=neo,OU=x", "for CN=neo,OU=x", "for [user]"),
        ("Trin", "Trinity or xTrin", None),
        ("x" * MIN_NAME, "x" * MIN_NAME, "[user]"),
        ("x" * (MIN_NAME - 1), "x" * (MIN_NAME - 1), None),
        ("email", "wrong email", None),
    ],
)
def test_the_events_own_user_is_hidden(name: str, text: str, shown: str | None) -> None:
    assert masked(text, user_name=name) == (text if shown is None else shown)
    assert masked(text, NO_IP, user_name=name) == text


# Texts that were cut.


@pytest.mark.parametrize(
    "address",
    [
        "john.doe@example.com",
        "john.doe%2540example.com",
        r"john.doe\u0040example.com",
        "john.doe&#64;example.com",
        "ad|Acme-AD|tanderson",
        "+1 (555) 010-9999",
        "203.0.113.19",
        "2001:db8:85a3:8d3:1319:8a2e:370:7348",
    ],
)
def test_an_address_is_hidden_wherever_it_was_cut(address: str) -> None:
    for length in range(1, len(address) + 1):
        start = "x" * (MAX_KEPT - length - 2) + " "
        result = masked(start + address + " and more").removeprefix(start)
        assert re.fullmatch(rf"(\[(email|phone|user|ip)\])?[ .:-]*{CUT}", result)


def test_what_else_stands_at_the_end_stays() -> None:
    assert masked(f"a=1 (see thomas.a{CUT}") == f"a=1 (see {CUT}"
    for end in ("1.2.3", "+1 555", "2001:db8:85a3", "node@18"):
        assert masked(f"It ended with {end}") == f"It ended with {end}"


# Any text.

V4 = st.ip_addresses(v=4).map(str)
V6 = st.sampled_from(["2000::/3", "fe80::/64", "::ffff:0:0/96"]).flatmap(
    lambda network: st.ip_addresses(network=network)
)
IPS = V4 | V6.map(str) | V6.map(lambda address: address.exploded)
AROUND = [("from ", "."), ("(", ")"), ("ip=", "&x=1"), ("href=//", "/x"), ('"', '"')]


@given(IPS, st.sampled_from(AROUND))
def test_any_ip_address_is_hidden_and_nothing_else(
    address: str, around: tuple[str, str]
) -> None:
    before, after = around
    for spelling in (address, quote(address, safe=""), quote(quote(address, safe=""))):
        assert masked(before + spelling + after) == before + "[ip]" + after
    port = f"[{address}]:443"
    shown = "[ip]:443" if ":" in address else "[[ip]]:443"
    assert masked(before + port + after) == before + shown + after


# Addresses may hold the delimiters of URLs and begin with a quote, but nobody has one.
REAL_EMAILS = st.emails().filter(lambda text: not re.search("^'|[%&/=?{|}`]", text))


@given(REAL_EMAILS, st.sampled_from(AROUND))
def test_any_email_address_is_hidden(address: str, around: tuple[str, str]) -> None:
    before, after = around
    quoted = quote(address)
    for spelling in (address, address.replace("@", "%40"), quoted, quote(quoted)):
        assert masked(before + spelling + after, NO_USER) == before + "[email]" + after


@given(st.from_regex(r"\+[(]?[1-9]([ .()-]{0,2}[0-9]){8,14}", fullmatch=True))
def test_any_phone_number_is_hidden(number: str) -> None:
    assert masked(f"SMS to {number}, failed") == "SMS to [phone], failed"


HOSTILE = (
    r"a a. +1 1. 1: :: [1: %25 %3A 'a a@[1 0 \ &# &a; :// ://a@ auth0|. ad| 1)+( [::"
)


@pytest.mark.parametrize("piece", [*HOSTILE.split(), "+1 ", "neo1"])
def test_a_hostile_text_takes_no_more_than_its_length(piece: str) -> None:
    # Patterns that took the square of it would hold this test up for minutes.
    original = alert(user_name="neo1")
    original.values["Cause"] = ("@ % + ! " + piece * 50_000 + "!",)
    (shown,) = mask_alert(original, NEITHER).values["Cause"]
    assert "@ % + ! " in shown
