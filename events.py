"""Events: the bytes of a delivery, read as the log events that Auth0 put in it.

Auth0 sends one of three content formats, and the Content-Type header does not say which
(https://auth0.com/docs/customize/log-streams/custom-log-streams): a JSON array, JSON Lines,
or one JSON object. Each event in them is ``{"log_id": "...", "data": {"type": "fp", ...}}``.
"""

import json
from collections import Counter
from typing import Any

# An event as the rest of the service knows it: Auth0's `data` object, with its `log_id`.
Event = dict[str, Any]

MAX_ITEMS = 50_000  # of a body; Auth0's events have 300 bytes at least, so 10 MiB hold fewer
BAD_LINE = object()
# Lenient in what no alert depends on: NaN and Infinity, which are no JSON, become None, and raw
# control characters in strings pass.
_DECODER = json.JSONDecoder(strict=False, parse_constant=lambda _constant: None)


class UnreadableDelivery(ValueError):
    """A body that holds no event at all; the message says why, and quotes nothing of it."""


def read_events(body: bytes) -> tuple[list[Event], Counter[str]]:
    """Read a delivery's body, whatever its content format.

    Returns the readable events, and for the items that are none, how many there were of each
    problem. Raises UnreadableDelivery where nothing is readable, except for an empty list.
    """
    # One bad byte costs one character, not the delivery: Auth0 would repeat it for days.
    items = _items(body.decode(errors="replace").removeprefix("\ufeff"))
    if len(items) > MAX_ITEMS:
        raise UnreadableDelivery(f"the body holds over {MAX_ITEMS} items")
    events: list[Event] = []
    problems: Counter[str] = Counter()
    for item in items:
        if problem := _problem(item):
            problems[problem] += 1
        else:
            event = item["data"]
            event["log_id"] = event.get("log_id") or item.get("log_id")
            events.append(event)
    if items and not events:
        first = next(iter(problems))
        raise UnreadableDelivery(f"no readable event in {len(items)} item(s): {first}")
    return events, problems


def _items(text: str) -> list[Any]:
    """What should be events in a text, and BAD_LINE for each line that is not JSON."""
    try:
        return _parse(text)
    except ValueError as not_json:
        # Not splitlines(): that splits at U+2028 too, which JSON allows within a string.
        lines = [line for line in text.split("\n") if line.strip()]
        if not lines:
            raise UnreadableDelivery("the body is empty; send Auth0 log events as JSON") from None
        if len(lines) == 1 or len(lines) > MAX_ITEMS:
            raise UnreadableDelivery(f"the body is not JSON: {not_json}") from None
    items: list[Any] = []
    for line in lines:
        try:
            items += _parse(line)
        except ValueError:
            items.append(BAD_LINE)
    return items


def _parse(text: str) -> list[Any]:
    """The items in a JSON text: a list of events, `{"logs": [...]}`, or one event."""
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if isinstance(value, dict) and isinstance(value.get("logs"), list):
        value = value["logs"]
    return value if isinstance(value, list) else [value]


def _problem(item: Any) -> str:
    """Why an item is no event; empty for an event."""
    if item is BAD_LINE:
        return "a line is not JSON"
    if not isinstance(item, dict):
        return "an item is not an object"
    if not isinstance(item.get("data"), dict):
        return "an item has no object `data`"
    return "" if isinstance(item["data"].get("type"), str) else "an item has no string `type`"
