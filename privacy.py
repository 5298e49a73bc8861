"""Privacy: what an alert says of people, masked for a channel that may not show it.

SLACK_FIELDS says what a channel shows. Texts that Auth0 or a user wrote can still name
somebody, for instance "User (neo@example.com) attempted 10 consecutive logins". So
without `user` in SLACK_FIELDS this module hides e-mail addresses, telephone numbers,
users' ids and the event's own user in them, and without `ip` it hides IP addresses.

A text is decoded first, so that the patterns see what a person would read. Users can
type any text, so each pattern reads it once from left to right: what a repeat can take
is disjoint from what may follow it, or the repeat is bounded.
"""

import html
import ipaddress
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from urllib.parse import unquote

from alerts import CUT, FIELDS, Alert, Value, clean

MASKED_LABELS = frozenset([*FIELDS["cause"], *FIELDS["subject"]])
RECIPIENT = "Recipient"  # this label holds nothing but an address or a number
MASKS = "[user] [email] [phone] [ip] [token]"
MIN_NAME = 4  # characters; shorter names are words too often
MAX_DECODED = 3  # times: a URL within a URL within JSON

# With what a user's id begins, before a bar: Auth0's connection strategies, without
# common words such as `line` (https://auth0.com/docs/api/management/v2/connections).
PROVIDERS = (
    "auth0|auth0-adldap|auth0-oidc|ad|adfs|amazon|apple|bitbucket|custom|dropbox"
    "|facebook|fitbit|github|google-apps|google-oauth2|instagram|linkedin|oauth1|oauth2"
    "|office365|oidc|okta|paypal|pingfederate|salesforce|samlp|sharepoint|shopify"
    "|twitter|vkontakte|waad|weibo|windowslive|wordpress|yahoo|yammer|yandex"
)
_ESCAPED = re.compile(r"[%&\\＠]")
_ENTITY = re.compile(r"&#?\w{1,31};")
_HEX_ESCAPE = re.compile(r"(?<![\\%])[\\%]+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
# The end of a text that was cut within an escape.
_CUT_ESCAPE = re.compile(rf"(?:%[0-9A-Fa-f]|\\u[0-9A-Fa-f]{{0,3}}|&#\w{{0,6}}){CUT}?\Z")

_ID_ENDS = r"""\s"'`<>()\[\]{},;/?&…"""
# `email|` and `sms|` begin ids too, but also lists: "email|sms|push".
_USER_ID = re.compile(
    rf"(?<![\w-])(?:{PROVIDERS}|(?:email|sms)(?=\|\w*\d))"
    rf"\|[^{_ID_ENDS}]*[^{_ID_ENDS}.:!]"
)

# An e-mail address may have any letter of any script, so its characters are all but
# those that stand around addresses in texts, URLs and JSON.
_DELIMITER = r"""\s@<>()\[\]{}"`,;:=/?&|\\…“”„«»（）「」，：；"""
# A word matches even when no @ follows it: otherwise the search would begin again at
# its second letter, and a long word would cost the square of its length.
_EMAIL = re.compile(
    rf"""
    ://[^\s@/?#:]*@[^\s@/?#:]+[:/]   # left as it is: who logs in at a host
    | [^'{_DELIMITER}][^{_DELIMITER}]*+   # a quote opens a text, not an address
    (?: @ (?P<domain>
        \[[0-9A-Za-z:.]+\]
        | (?: \.?[^.'{_DELIMITER}] )++   # without a last dot
    ) )?
    """,
    re.VERBOSE,
)
# What stands behind the @ of a package: "lodash@4.17.21", "express@latest".
_VERSION = re.compile(
    r"[~^]?v?[0-9]+(?:\.(?:[0-9]+|x)){0,2}|[~^]?v?[0-9]+(?:\.[0-9]+){2}[-+].+"
    "|latest|next|alpha|beta|rc|canary|nightly|stable|lts|sha256"
)

# A form's + stands for a blank: "+1+(415)+555+0100".
_BETWEEN_DIGITS = r"(?:[ .()\[\]/\u2010-\u2015-]|(?<=[\d)])\+(?=[\d(]))*+"
_NEXT_DIGIT = rf"(?! \d\d?:){_BETWEEN_DIGITS}\d"  # the time after a number is not of it
_PHONE = re.compile(rf"\+[(\[]?(?!0)\d(?:{_NEXT_DIGIT}){{8,14}}(?!\d)")

# An IP address begins after anything but a letter or a digit. Letters of other scripts
# may touch it, and those of "\n".
_START = r"(?:(?<![0-9A-Za-z])|(?<=\\[nrt]))"
_NO_WORD = r"(?![0-9A-Za-z])"
_HEX = "[0-9A-Fa-f]"
# Some write zeros before a number: 203.000.113.009.
_NUMBER = "0{0,2}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
_FOUR_NUMBERS = rf"{_NUMBER}(?:\.{_NUMBER}){{3}}"
_IPV4 = re.compile(rf"{_START}(?<![0-9]\.){_FOUR_NUMBERS}{_NO_WORD}(?!\.[0-9])")
# `end` matches where no word goes on. `short` is all but the last colon and what
# follows it: a port, or the rest of a sentence ("2001:db8::1: connection refused").
_IPV6 = re.compile(
    rf"""
    (?P<open> \[ )?
    {_START}
    (?P<address>
        (?P<short> (?:{_HEX}{{1,4}})? (?: :{_HEX}{{0,4}} )+ )
        : (?: {_FOUR_NUMBERS} | {_HEX}{{1,4}} )?
    )
    (?: %[A-Za-z][0-9A-Za-z]*+ )?   # the zone of fe80::1%eth0
    (?P<end> {_NO_WORD} )?
    (?(open) \] )
    """,
    re.VERBOSE,
)
# Two words of a program, and no machine: "a::b", "ACE::Bad", "x[1::2]".
_TWO_WORDS = re.compile(r"(?:\w{1,3}|[A-Za-z]+)::\w*|::[A-Za-z]*")

# The end of a text that was cut may be the beginning of an address or a number.
_WORD_ENDS = r"""\s"'<>()\[\]{}/=,;"""
_CUT_WORD = re.compile(
    rf"(?:\+[0-9 .()\[\]-]*|(?<![^{_WORD_ENDS}])[^{_WORD_ENDS}{CUT}]*){CUT}\Z"
)


def _mask_email(match: re.Match[str]) -> str:
    domain = match["domain"]
    if domain is None or _VERSION.fullmatch(domain):
        return match[0]
    return "[email]"


def _mask_ipv6(match: re.Match[str]) -> str:
    if match["end"] is not None and _is_ipv6(match["address"]):
        return "[ip]"
    if _is_ipv6(match["short"]):
        return match[0].replace(match["short"], "[ip]", 1)
    return match[0]


def _is_ipv6(text: str) -> bool:
    if _TWO_WORDS.fullmatch(text):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


# What is hidden: a sign that the text has then, how it looks, and what is shown.
Kind = tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]]
USERS: list[Kind] = [
    ("|", _USER_ID, "[user]"),
    ("@", _EMAIL, _mask_email),
    ("+", _PHONE, "[phone]"),
]
IPS: list[Kind] = [(":", _IPV6, _mask_ipv6), (".", _IPV4, "[ip]")]


def mask_alert(alert: Alert, fields: Collection[str]) -> Alert:
    """The alert as a channel with these SLACK_FIELDS may show it.

    With `user` and `ip` in the fields this is the very same alert. The values of other
    labels than causes and subjects stay: SLACK_FIELDS says of each whether it is shown.
    """
    kinds = []
    names: Value = ()
    if "user" not in fields:
        kinds += USERS
        names = alert.values.get("User", ())
    if "ip" not in fields:
        kinds += IPS
    if not kinds:
        return alert
    values = {}
    for label, texts in alert.values.items():
        if label == RECIPIENT and "user" not in fields:
            continue
        if label in MASKED_LABELS:
            texts = tuple(_mask(text, kinds, names) for text in texts)
        values[label] = texts
    description = _mask(alert.description, kinds, names)
    return replace(alert, description=description, values=values)


def _mask(text: str, kinds: list[Kind], names: Value) -> str:
    """The text as it came, or decoded and masked if there is something to hide."""
    decoded = _decode(text)
    masked = _mask_kinds(decoded, kinds)
    for name in names:
        # The name is looked for as the text stands now.
        masked = _mask_name(masked, _mask_kinds(_decode(name), kinds))
    masked = _CUT_WORD.sub(CUT, masked)
    if masked == decoded:
        return text
    return masked


def _mask_kinds(text: str, kinds: list[Kind]) -> str:
    for sign, pattern, mask in kinds:
        if sign in text:
            text = pattern.sub(mask, text)
    return text


def _decode(text: str) -> str:
    """The text without the escapes of URLs, HTML and JSON."""
    if not _ESCAPED.search(text):
        return text
    text = text.replace("＠", "@")
    for _ in range(MAX_DECODED):
        text = unquote(text)
        text = _HEX_ESCAPE.sub(r"&#x\1\2;", text)  # an entity, decoded below
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return clean(_CUT_ESCAPE.sub(CUT, text))


def _mask_name(text: str, name: str) -> str:
    """The text with [user] where the name stands that is not a part of a word."""
    if len(name) < MIN_NAME or name in MASKS:
        return text
    masked, *parts = text.split(name)
    for part in parts:
        is_part = masked[-1:].isalnum() or part[:1].isalnum()
        masked += name if is_part else "[user]"
        masked += part
    return masked
