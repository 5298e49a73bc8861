"""Dry run: which of some events each channel would show, and how; and why not others.

Nothing is posted. The events are judged by the filters and rendered by the console that
the service itself uses.
"""

import console
from alerts import Alert, read_alert
from channels import Channel, Channels, in_channel
from events import NO_EVENT, EventReader
from filters import Router, group_of


def run(body: bytes, channels: Channels) -> None:
    """Print what becomes of the events in a body. Raises UnreadableDelivery."""
    reader = EventReader(body, takes_bare=True)
    events = list(reader)
    if reader.skipped:
        print(f"{reader.skipped} skipped: {NO_EVENT}")
    for event in events:
        alert = read_alert(event, group_of(event["type"]))
        print(f"{alert.code} ({alert.name or 'unknown'}): {alert.words}")
        for label, channel in channels.by_label.items():
            print("   ", in_channel(label, _verdict(channel, alert)))
    for label, alerts in Router(channels.filters).route(events).by_channel.items():
        console.show(channels.by_label[label].build(alerts), label)


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
