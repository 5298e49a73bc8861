"""Events: the bytes of a delivery, read as the log events that Auth0 put in it.

Auth0 sends one of three content formats, and the Content-Type header does not say which
(https://auth0.com/docs/customize/log-streams/custom-log-streams): a JSON array,
JSON Lines, or one JSON object. Each event in them is
``{"log_id": "...", "data": {"type": "fp", ...}}``.

Events are read one by one, so that only one is in memory at a time. One that cannot be
read is skipped, and the others are not: if we refused the delivery, Auth0 would repeat
it for days, and would then pause the stream.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

# An event as the rest of the service knows it: Auth0's `data`, with its `log_id`.
Event = dict[str, Any]

Token = re.Match[str]

MAX_BODY = 10 * 1024 * 1024  # bytes; Auth0 documents no limit of its own
# What a client is told, whether the server or the application notices it.
TOO_LARGE = f"the body is over {MAX_BODY} bytes (10 MiB)"
TOO_MANY = "too many large deliveries at once; please send it again"
# Items of a body. Auth0's events have 300 bytes at least, so 10 MiB hold fewer; without
# a bound, 10 MiB of the smallest ones would become half a million alerts.
MAX_ITEMS = 50_000
# Tokens by which the ends of elements are looked for: 10 MiB of events hold fewer.
MAX_TOKENS = 2_000_000
NO_EVENT = 'a log event is a JSON object such as {"data": {"type": "fp"}}'
GZIP = b"\x1f\x8b"  # how each gzip file starts: RFC 1952, section 2.3.1

# NaN and Infinity are no JSON, and raw control characters must not stand in a string.
# No alert depends on either, so the first become None, and the second pass.
_DECODER = json.JSONDecoder(strict=False, parse_constant=lambda _constant: None)
# A "+" behind a repeat: nothing is tried twice, so that no body takes long.
_LINE = re.compile(r"\S.*+")
_ARRAY = re.compile(r'\s*+(\{\s*+"logs"\s*+:\s*+)?\[\s*+')
# What follows an element: a comma, or the end of the array and of the body.
_AFTER = re.compile(r"\s*+(?:(,)\s*+|\]\s*+\Z)")
_AFTER_IN_OBJECT = re.compile(r"\s*+(?:(,)\s*+|\]\s*+\}\s*+\Z)")
# What decides where an element ends: strings, brackets and commas. A quote that starts
# no string is a string without an end.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},"]', re.DOTALL)


class UnreadableDelivery(ValueError):
    """A body that was cut off, or is not from Auth0.

    The message says why, and quotes nothing of the body.
    """


class CompressedDelivery(UnreadableDelivery):
    """A body that is compressed."""


class TooMuch(ValueError):
    """An item that may be JSON, but nested too deeply or with too long a number."""


class EventReader:
    """The events of a delivery, whatever its content format. It can be iterated once.

    Iterating raises UnreadableDelivery, at the latest at the end: for a body that was
    cut off, and where nothing is an event, except for an empty list and for items that
    are too much. So nothing may be done about an event before all of them are read.
    """

    def __init__(self, body: bytes, takes_bare: bool = False) -> None:
        """Raises CompressedDelivery.

        `takes_bare` is for events without an envelope, as Auth0's Management API and
        CLI give them.
        """
        if body.startswith(GZIP):
            raise CompressedDelivery("the body is compressed (gzip): send it as it is")
        self.read = 0  # how many events
        self.skipped = 0  # how many items that are none, or cannot be read
        self._body = body
        self._takes_bare = takes_bare

    def __iter__(self) -> Iterator[Event]:
        # A bad byte costs one character, not the delivery.
        text = self._body.decode(errors="replace")
        text = text.removeprefix("\ufeff")
        self._body = b""
        item = None
        unreadable = 0
        for item in _items(text):
            event = _event(item, self._takes_bare)
            if event:
                self.read += 1
                yield event
            else:
                self.skipped += 1
                # Resending will not help where an item is too much.
                if not isinstance(item, TooMuch):
                    unreadable += 1
            if self.read + self.skipped > MAX_ITEMS:
                raise UnreadableDelivery(f"the body holds over {MAX_ITEMS} items")
        if unreadable and not self.read:
            raise UnreadableDelivery(_reason(item, self.skipped))


def _reason(last: Any, count: int) -> str:
    """Why there is no event in so many items, of which the last one is given."""
    if count == 1 and isinstance(last, ValueError):
        return f"the body is not JSON: {last}"
    return f"none of the {count} item(s) in the body is a log event: {NO_EVENT}"


def _event(item: Any, takes_bare: bool) -> Event | None:
    """The event in an item of a delivery; None where it is no event."""
    if not isinstance(item, dict):
        return None
    # Amazon EventBridge puts what Auth0 sends into an envelope:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
    if "data" not in item and isinstance(item.get("detail"), dict):
        item = item["detail"]
    event = item.get("data", item if takes_bare else None)
    if not isinstance(event, dict):
        return None
    if not isinstance(event.get("type"), str):
        return None
    event["log_id"] = event.get("log_id") or item.get("log_id")
    return event


def _items(text: str) -> Iterator[Any]:
    """What should be events in a text; for each that cannot be read, the ValueError."""
    array = _ARRAY.match(text)
    if array and not _are_lines(text):
        yield from _elements(text, array)
    elif _LINE.search(text):
        yield from _lines(text)
    else:
        raise UnreadableDelivery("the body is empty; send Auth0 log events as JSON")


def _are_lines(text: str) -> bool:
    """Whether a text that begins like an array is JSON Lines.

    So it is if its first line is closed, such as `[2026-11-22] proxy warning`, and the
    next one does not go on with an array.
    """
    lines = _LINE.finditer(text)
    first = next(lines)[0].rstrip()
    second = next(lines, None)
    if second is None or _is_open(first):
        return False
    return not first.endswith(",") and text[second.start()] not in ",]}"


def _lines(text: str) -> Iterator[Any]:
    """The items in JSON Lines, or the one in a JSON object of one line or of many."""
    only = _decode(text)
    if not isinstance(only, ValueError):
        yield only
        return
    # Not splitlines(): it splits at U+2028 too, which JSON allows in a string.
    for line in _LINE.finditer(text):
        item = _decode(line[0])
        # A last line without an end was cut off.
        is_last = line.end() == len(text)
        if is_last and isinstance(item, ValueError) and _is_open(line[0]):
            raise UnreadableDelivery(f"the body is not JSON: {item}")
        yield item


def _is_open(line: str) -> bool:
    """Whether a bracket or a string is still open at the end of a line.

    If nothing is open, a `]` behind the line ends it, as it ends an array's element.
    """
    return _end_of_element(_tokens(line + "]")) is None


def _elements(text: str, array: re.Match[str]) -> Iterator[Any]:
    """The elements of the array that a text is, perhaps within `{"logs": ...}`."""
    after = _AFTER_IN_OBJECT if array[1] else _AFTER
    position = array.end()
    following = after.match(text, position)
    if following and not following[1]:
        return  # the array is empty
    while True:
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            break
        following = after.match(text, end)
        if following is None:
            break
        yield value
        if not following[1]:
            return
        position = following.end()
    yield from _doubtful_elements(text, position, after)


def _doubtful_elements(
    text: str, position: int, after: re.Pattern[str]
) -> Iterator[Any]:
    """The elements from a position on, once one cannot be read.

    It looks for the end of each first, and reads it from a text of its own, because an
    error counts the lines before it: thousands of errors in a long text would take
    minutes.
    """
    tokens = _tokens(text, position)
    while True:
        end = _end_of_element(tokens)
        if end is None:
            raise UnreadableDelivery("the body is not JSON: its array has no end")
        yield _decode(text[position : end.start()])
        following = after.match(text, end.start())
        if following is None:
            raise UnreadableDelivery("the body is not JSON: it goes on after its array")
        if not following[1]:
            return
        position = following.end()


def _tokens(text: str, position: int = 0) -> Iterator[Token]:
    """What decides where elements end, from a position on."""
    return islice(_TOKEN.finditer(text, position), MAX_TOKENS)


def _end_of_element(tokens: Iterator[Token]) -> Token | None:
    """The `,` or `]` that ends an element of an array; None where it has no end."""
    depth = 0
    for token in tokens:
        kind = token[0]
        if kind in ("[", "{"):
            depth += 1
        elif kind == '"':
            return None
        elif depth and kind in ("]", "}"):
            depth -= 1
        elif depth == 0 and kind in (",", "]"):
            return token
    return None


def _decode(text: str) -> Any:
    """The value of a JSON text; for one that cannot be read, the ValueError.

    Python's int() takes 4,300 digits:
    https://docs.python.org/3/library/stdtypes.html#int-max-str-digits
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        return error
    except (RecursionError, ValueError):
        return TooMuch("it is more than can be read")
