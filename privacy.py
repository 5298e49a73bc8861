"""Privacy: what an alert says of people, masked for a channel that may not show it.

SLACK_FIELDS says what a channel shows. Texts that Auth0 or a user wrote can still name
somebody, for instance "User (neo@example.com) attempted 10 consecutive logins". So
without `user` in SLACK_FIELDS this module hides e-mail addresses and telephone numbers
in them, and without `ip` it hides IP addresses.

Users can type any text, so each pattern reads a text once from left to right: what a
repeat can take is disjoint from what may follow it, or the repeat is bounded.
"""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import replace
from functools import partial

from alerts import CUT, FIELDS, Alert

MASKED_LABELS = frozenset([*FIELDS["cause"], *FIELDS["subject"]])
RECIPIENT = "Recipient"  # this label holds nothing but an address or a number

# Paths and URLs have these characters percent-encoded, and a URL within a URL has them
# encoded twice: "%40", "%2540". A text can be cut after "%4". JSON within JSON has
# "\\u0040", and HTML "&#64;".
_AT = r"(?:@|＠|\\u0040|&\#64;|%(?:25)*4(?:0|\Z))"
_PLUS = r"(?:\+|\\u002[Bb]|&\#43;|%(?:25)*2[Bb])"
_COLON = r"(?::|%(?:25)*3[Aa])"

# An e-mail address may have any letter of any script, so its characters are all but
# those that stand around addresses in texts, URLs and JSON. Percent-encoded are the
# bytes of other scripts and ! # $ ' * + - . ^ _
_DELIMITER = r"""\s%@＠<>()\[\]{}"`,;:=/?&|\\…“”„«»（）「」，：；"""
_ENCODED = r"%(?:25)*(?:2[1347ABDEabde]|5[EFef]|[89A-Fa-f][0-9A-Fa-f])"
# A word matches even when no @ follows it: otherwise the search would begin again at
# its second letter, and a long word would cost the square of its length. The same is
# why a percent-encoded delimiter matches: no word begins inside it.
_EMAIL = re.compile(
    rf"""
    (?: [^'{_DELIMITER}]++ | {_ENCODED} )   # a quote opens a text, not an address
    (?: [^{_DELIMITER}]++ | {_ENCODED} )*+
    (?: {_AT} (?P<domain>
        \[ (?:IPv6:)? [0-9A-Fa-f:.]{{2,45}} \]
        | (?: \.? (?: [^.'{_DELIMITER}] | {_ENCODED} ) )*+   # without a last dot
    ) )?
    | %(?:25)*[2-7][0-9A-Fa-f]
    """,
    re.VERBOSE,
)
_MAY_HAVE_AT = re.compile(r"[@＠%]|\\u0040|&#64;")
_MAY_HAVE_PLUS = re.compile(r"[+%]|\\u002|&#43;")
# The end of a text that was cut: it may be the beginning of an address.
_CUT_WORD = re.compile(
    rf"(?<![^{_DELIMITER}])[^{_DELIMITER}]*[^\W\d_][^{_DELIMITER}]*\Z"
)
_VERSION = re.compile(r"v?[0-9]+(?:\.[0-9]+){0,2}")  # as in "lodash@4.17.21"

_BETWEEN_DIGITS = r"(?:[ .()\[\]/\u2010-\u2015-]|%20)*+"
_NEXT_DIGIT = rf"(?! \d\d?:){_BETWEEN_DIGITS}\d"  # the time after a number is not of it
_PHONE = re.compile(rf"{_PLUS}[(\[]?\d(?:{_NEXT_DIGIT}){{6,14}}(?!\d)")
_CUT_PHONE = re.compile(rf"{_PLUS}[(\[]?\d(?:{_NEXT_DIGIT}){{0,5}}{_BETWEEN_DIGITS}\Z")

# An IP address begins after anything but a letter or a digit, or after an encoded
# character: "ip%3D203.0.113.9". Letters of other scripts may touch it.
_START = (
    r"(?:(?<![0-9A-Za-z])|(?<=%[0-9A-Fa-f]{2})|(?<=%25[0-9A-Fa-f]{2})"
    r"|(?<=\\[nrt])|(?<=\\u00[0-9A-Fa-f]{2}))"
)
_NO_WORD = r"(?![0-9A-Za-z])"
_HEX = "[0-9A-Fa-f]"
_FOUR_NUMBERS = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_IPV4 = re.compile(rf"{_START}(?<![0-9]\.){_FOUR_NUMBERS}{_NO_WORD}(?!\.[0-9])")
# `end` matches where no word goes on. `short` is all but the last colon and what
# follows it: a port, or the rest of a sentence ("2001:db8::1: connection refused").
_IPV6 = re.compile(
    rf"""
    (?P<open> \[ )?
    {_START}
    (?P<address>
        (?P<short>
            (?: {_HEX}{{1,4}} | (?= {_COLON}{_COLON}{_HEX} ) )
            (?: {_COLON}{_HEX}{{0,4}} )+
        )
        {_COLON} (?: {_FOUR_NUMBERS} | {_HEX}{{1,4}} )?
    )
    (?: %(?:25)?[A-Za-z][0-9A-Za-z]*+ )?   # the zone of fe80::1%eth0
    (?P<end> {_NO_WORD} )?
    (?(open) \] )
    """,
    re.VERBOSE,
)
# What is left of an address that was cut: three numbers of four, or three groups and
# more, but not those of a time ("10:00:05").
_CUT_IPV4 = re.compile(rf"{_START}(?<![0-9]\.)[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{2}}\.?\Z")
_CUT_IPV6 = re.compile(
    rf"{_START}(?!(?:[0-9]{{1,2}}:){{1,7}}[0-9]{{0,2}}\Z)"
    rf"{_HEX}{{1,4}}(?:{_COLON}{_HEX}{{0,4}}){{2,7}}\Z"
)


def mask_alert(alert: Alert, fields: Collection[str]) -> Alert:
    """The alert as a channel with these SLACK_FIELDS may show it.

    With `user` and `ip` in the fields this is the very same alert. The values of other
    labels than causes and subjects stay, because a channel shows them by name only.
    """
    shows_user = "user" in fields
    shows_ip = "ip" in fields
    if shows_user and shows_ip:
        return alert
    values = {}
    for label, texts in alert.values.items():
        if label == RECIPIENT and not shows_user:
            continue
        if label in MASKED_LABELS:
            texts = tuple(_mask(text, shows_user, shows_ip) for text in texts)
        values[label] = texts
    description = _mask(alert.description, shows_user, shows_ip)
    return replace(alert, description=description, values=values)


def _mask(text: str, shows_user: bool, shows_ip: bool) -> str:
    # Where a text was cut, an address may be cut too.
    end = CUT if text.endswith(CUT) else ""
    text = text.removesuffix(CUT)
    if not shows_user:
        text = _mask_contacts(text, is_cut=bool(end))
    if not shows_ip:
        text = _mask_ips(text, is_cut=bool(end))
    if end and not shows_user:
        text = _CUT_WORD.sub("", text)
    return text + end


def _mask_contacts(text: str, is_cut: bool) -> str:
    """The text with [email] for e-mail addresses and [phone] for telephone numbers."""
    if _MAY_HAVE_AT.search(text):
        text = _EMAIL.sub(partial(_mask_email, is_cut), text)
    if _MAY_HAVE_PLUS.search(text):
        text = _PHONE.sub("[phone]", text)
        if is_cut:
            text = _CUT_PHONE.sub("[phone]", text)
    return text


def _mask_email(is_cut: bool, match: re.Match[str]) -> str:
    domain = match["domain"]
    if domain is None:
        return match[0]
    ends_the_text = match.string[match.end() :] in ("", ".")
    if not domain and not ends_the_text:
        return match[0]
    may_be_cut = is_cut and ends_the_text
    if _VERSION.fullmatch(domain) and not may_be_cut:
        return match[0]
    return "[email]"


def _mask_ips(text: str, is_cut: bool) -> str:
    """The text with [ip] for IPv4 and IPv6 addresses."""
    if text.count(":") >= 2 or "%" in text:
        text = _IPV6.sub(_mask_ipv6, text)
    if text.count(".") >= 3:
        text = _IPV4.sub(_mask_ipv4, text)
    if is_cut:
        text = _CUT_IPV4.sub("[ip]", text)
        text = _CUT_IPV6.sub("[ip]", text)
    return text


def _mask_ipv6(match: re.Match[str]) -> str:
    if match["end"] is not None and _is_ipv6(match["address"]):
        return "[ip]"
    if _is_ipv6(match["short"]):
        return match[0].replace(match["short"], "[ip]", 1)
    return match[0]


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(re.sub(_COLON, ":", text))
    except ValueError:
        return False
    return True


def _mask_ipv4(match: re.Match[str]) -> str:
    numbers = [int(number) for number in match[0].split(".")]
    try:
        # Without the zeros that some write before a number: 203.000.113.009.
        ipaddress.IPv4Address(".".join(map(str, numbers)))
    except ValueError:
        return match[0]
    return "[ip]"
