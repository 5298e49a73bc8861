"""Dry run: which of some events each channel would show, and how; and why not others.

Nothing is posted. The events are judged by the filters and rendered by the console that
the service itself uses.
"""

import json
from collections.abc import Mapping
from typing import Any

import console
from alerts import Alert, read_alert
from channels import Channel, in_channel
from events import NO_EVENT, EventReader
from filters import Router, group_of


def run(body: bytes, channels: Mapping[str, Channel]) -> None:
    """Print what becomes of the events in a body, which may be a delivery of Auth0's.

    Auth0's Management API and CLI give bare events instead, one or a list. Raises
    UnreadableDelivery.
    """
    reader = EventReader(_delivery(body))
    events = list(reader)
    if reader.skipped:
        print(f"{reader.skipped} skipped: {NO_EVENT}")
    for event in events:
        alert = read_alert(event, group_of(event["type"]))
        print(f"{alert.code} ({alert.name or 'unknown'}): {alert.words}")
        for label, channel in channels.items():
            print("   ", in_channel(label, _verdict(channel, alert)))
    filters = {}
    for label, channel in channels.items():
        filters[label] = channel.settings.alert_filter
    for label, alerts in Router(filters).route(events).by_channel.items():
        console.show(channels[label].build(alerts), label)


def _delivery(body: bytes) -> bytes:
    """The body as Auth0's streams send it: each bare event as the `data` of one."""
    try:
        value = json.loads(body)
    except ValueError:  # JSON Lines, or what is no delivery at all
        return body
    if isinstance(value, dict):
        value = value.get("logs", value)
    if not isinstance(value, list):
        value = [value]
    return json.dumps([_wrapped(item) for item in value]).encode()


def _wrapped(item: Any) -> Any:
    is_bare = isinstance(item, dict) and "type" in item and "data" not in item
    return {"data": item} if is_bare else item


def _verdict(channel: Channel, alert: Alert) -> str:
    """Whether a channel shows an alert, or by which setting it does not."""
    chosen = channel.settings.alert_filter
    if not chosen.wants(alert.code.lower()):
        return f"not shown, because of ALERT_TYPES={chosen.types}"
    try:
        ignored = chosen.ignored_text(alert)
    except TimeoutError:
        return "shown, because ALERT_IGNORE takes too long"
    if ignored is None:
        return "shown"
    return f"not shown, because ALERT_IGNORE matches {ignored!r}"
