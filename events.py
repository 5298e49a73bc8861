"""Events: the bytes of a delivery, read as the log events that Auth0 put in it.

Auth0 sends one of three content formats, and the Content-Type header does not say which
(https://auth0.com/docs/customize/log-streams/custom-log-streams): a JSON array, JSON Lines,
or one JSON object. Each event in them is ``{"log_id": "...", "data": {"type": "fp", ...}}``.
"""

import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any

# An event as the rest of the service knows it: Auth0's `data` object, with its `log_id`.
Event = dict[str, Any]

# Lenient in what no alert depends on: NaN and Infinity, which are no JSON, become None, and raw
# control characters in strings pass.
_LENIENT: dict[str, Any] = {"strict": False, "parse_constant": lambda _constant: None}
_DECODER = json.JSONDecoder(**_LENIENT)
_DECODER_OF_HUGE_NUMBERS = json.JSONDecoder(**_LENIENT, parse_int=Decimal)
_BAD_LINE = object()
MAX_BAD_LINES = 1000  # first lines that are all no JSON: then the body is something else
MAX_DEPTH = 100  # levels of nesting that are read; Auth0's own events have about ten
_BRACKETS_AND_STRINGS = re.compile(r'[\[\]{}]|"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


class UnreadableDelivery(ValueError):
    """A body that holds no event at all; the message says why, and quotes nothing of it."""


def read_events(body: bytes) -> tuple[list[Event], Counter[str]]:
    """Read a delivery's body, whatever its content format.

    Returns the readable events, and for the items that are none, how many there were of each
    problem. Raises UnreadableDelivery where nothing is readable, except for an empty list.
    """
    # One bad byte costs one character, not the delivery: Auth0 would repeat it for days.
    items = _items(body.decode(errors="replace").removeprefix("\ufeff"))
    events: list[Event] = []
    problems: Counter[str] = Counter()
    for item in items:
        event = item.get("data") if isinstance(item, dict) else None
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            problems[_problem(item)] += 1
            continue
        if not event.get("log_id"):
            event["log_id"] = item.get("log_id")
        events.append(event)
    if items and not events:
        first = next(iter(problems))
        raise UnreadableDelivery(f"no readable event in {len(items)} item(s): {first}")
    return events, problems


def _items(text: str) -> list[Any]:
    """What should be events in a text, and _BAD_LINE for each line that is not JSON."""
    try:
        return _unwrap(_parse(text))
    except ValueError as not_json:
        # Not splitlines(): that splits at U+2028 too, which JSON allows within a string.
        lines = [line for line in text.split("\n") if line.strip()]
        if not lines:
            raise UnreadableDelivery("the body is empty; send Auth0 log events as JSON") from None
        if len(lines) == 1:
            raise UnreadableDelivery(f"the body is not JSON: {not_json}") from None
        return _items_of_lines(lines)


def _items_of_lines(lines: list[str]) -> list[Any]:
    items: list[Any] = []
    for number, line in enumerate(lines, start=1):
        try:
            items += _unwrap(_parse(line))
        except ValueError:
            items.append(_BAD_LINE)
        if number == MAX_BAD_LINES and items == [_BAD_LINE] * number:
            raise UnreadableDelivery("the body is not JSON, nor are its lines")
    return items


def _unwrap(value: Any) -> list[Any]:
    """The items in a parsed value: a list of events, `{"logs": [...]}`, or one event."""
    if isinstance(value, dict) and isinstance(value.get("logs"), list):
        value = value["logs"]
    return value if isinstance(value, list) else [value]


def _parse(text: str, decoder: json.JSONDecoder = _DECODER) -> Any:
    """Parse JSON; raises ValueError where it is none."""
    try:
        return decoder.decode(text)
    except RecursionError:
        return _parse(_prune(text), decoder)
    except json.JSONDecodeError:
        raise
    except ValueError:  # int() refuses more than 4,300 digits, Decimal does not
        return _parse(text, _DECODER_OF_HUGE_NUMBERS)


def _prune(text: str) -> str:
    """Replace whatever is nested deeper than MAX_DEPTH by null.

    So one event that somebody filled with brackets cannot hold up all that follow it.
    """
    kept, depth, resume = [], 0, 0
    for token in _BRACKETS_AND_STRINGS.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept.append(text[resume : token.start()])
        elif token[0] in "]}":
            if depth == MAX_DEPTH + 1:
                kept.append("null")
                resume = token.end()
            depth -= 1
    if depth > MAX_DEPTH:
        return "".join(kept)  # the brackets never close, so this is not JSON either way
    return "".join(kept) + text[resume:]


def _problem(item: Any) -> str:
    """Why an item is no event."""
    if item is _BAD_LINE:
        return "a line is not JSON"
    if not isinstance(item, dict):
        return "an item is not an object"
    if not isinstance(item.get("data"), dict):
        return "an item has no object `data`"
    return "an item has no string `type` in `data`"
