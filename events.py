"""Events: the bytes of a delivery, read as the log events that Auth0 put in it.

Auth0 sends one of three content formats, and the Content-Type header does not say which
(https://auth0.com/docs/customize/log-streams/custom-log-streams): a JSON array,
JSON Lines, or one JSON object. Each event in them is
``{"log_id": "...", "data": {"type": "fp", ...}}``.
"""

import json
from typing import Any

# An event as the rest of the service knows it: Auth0's `data`, with its `log_id`.
Event = dict[str, Any]

# Items of a body. Auth0's events have 300 bytes at least, so 10 MiB hold fewer.
MAX_BODY = 10 * 1024 * 1024  # bytes; Auth0 documents no limit of its own
MAX_ITEMS = 50_000
NO_EVENT = "an event is a JSON object with an object `data` that has a string `type`"
# NaN and Infinity are no JSON, and raw control characters must not stand in a string.
# No alert depends on either, so the first become None, and the second pass.
_DECODER = json.JSONDecoder(strict=False, parse_constant=lambda _constant: None)


class UnreadableDelivery(ValueError):
    """A body that holds no event; the message says why, and quotes nothing of it."""


def read_events(body: bytes) -> tuple[list[Event], int]:
    """Read a delivery's body, whatever its content format.

    Returns the readable events, and how many items were none. Raises UnreadableDelivery
    where nothing is readable, except for an empty list.
    """
    # A bad byte costs one character, not the delivery: Auth0 would repeat it for days.
    text = body.decode(errors="replace").removeprefix("\ufeff")
    try:
        items = _parse(text)
    except ValueError as not_json:
        items = _lines(text, not_json)
    if len(items) > MAX_ITEMS:
        raise UnreadableDelivery(f"the body holds over {MAX_ITEMS} items")
    events = []
    for item in items:
        event = _event(item)
        if event:
            events.append(event)
    if items and not events:
        raise UnreadableDelivery(f"no event in {len(items)} item(s): {NO_EVENT}")
    return events, len(items) - len(events)


def _event(item: Any) -> Event | None:
    """The event in an item of a delivery; None where it is no event."""
    if not isinstance(item, dict):
        return None
    event = item.get("data")
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return None
    event["log_id"] = event.get("log_id") or item.get("log_id")
    return event


def _lines(text: str, not_json: ValueError) -> list[Any]:
    """The items in a text of several lines; None for each line that is not JSON."""
    # Not splitlines(): that splits at U+2028 too, which JSON allows within a string.
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise UnreadableDelivery("the body is empty; send Auth0 log events as JSON")
    if len(lines) == 1 or len(lines) > MAX_ITEMS:
        raise UnreadableDelivery(f"the body is not JSON: {not_json}")
    items: list[Any] = []
    for line in lines:
        try:
            items += _parse(line)
        except ValueError:
            items.append(None)
    return items


def _parse(text: str) -> list[Any]:
    """The items in a JSON text: a list of events, `{"logs": [...]}`, or one event."""
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if isinstance(value, dict) and isinstance(value.get("logs"), list):
        value = value["logs"]
    if isinstance(value, list):
        return value
    return [value]
