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
    router = Router(channels.filters)
    shown: dict[str, list[Alert]] = {}
    for event in events:
        alert = read_alert(event, group_of(event["type"]))
        print(f"{alert.code} ({alert.name or 'unknown'}): {alert.words}")
        by_channel = router.route([event]).by_channel
        for label, channel in channels.by_label.items():
            said = "shown"
            if label in by_channel:
                shown.setdefault(label, []).append(alert)
            else:
                said = f"not shown, because {_why(channel, alert, event['type'])}"
            print("   ", in_channel(label, said))
    for label, alerts in shown.items():
        console.show(channels.by_label[label].build(alerts), label)


def _why(channel: Channel, alert: Alert, code: str) -> str:
    """By which setting a channel does not show an alert."""
    chosen = channel.settings.alert_filter
    if not chosen.wants(code.lower()):
        return f"of ALERT_TYPES={chosen.types}"
    return f"ALERT_IGNORE matches {chosen.ignored_text(alert)!r}"
