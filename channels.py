"""Channels: where alerts go, and what became of a delivery in all of them.

Each channel has its own webhook, and so its own outbox, pace, digest and memory. A
failing channel does not hold up the others, because a delivery is put into all outboxes
before it waits for any of them.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial

import console
from alerts import Alert
from filters import AlertFilter
from message import ORDINARY, Message, Purpose, build_message
from outbox import MAX_WAITING, Entry, Outbox
from outcome import Post
from privacy import mask_alert
from settings import ChannelSettings
from slack import Webhook


class Channel:
    """One channel: its settings, what posts to it, and its outbox."""

    def __init__(self, settings: ChannelSettings, max_waiting: int) -> None:
        self.settings = settings
        self.post: Post = partial(console.show, channel=settings.label)
        if not settings.is_console:
            self.post = Webhook(settings.webhook_url, settings.webhook_variable).post
        self.outbox = Outbox(
            build=self.build,
            send=self.post,
            digest_seconds=settings.digest_seconds,
            max_waiting=max_waiting,
            label=settings.label,
        )

    def build(self, alerts: Sequence[Alert], purpose: Purpose = ORDINARY) -> Message:
        """The message of some alerts, with what the channel may show of them."""
        shown = []
        for alert in alerts:
            masked = mask_alert(alert, self.settings.fields)
            shown.append(masked)
        return build_message(shown, self.settings.fields, purpose)


class Channels:
    """All channels, by their labels, in the order of their settings."""

    def __init__(self, settings: Sequence[ChannelSettings]) -> None:
        # An entry that waits holds a thread; there are so many for all channels.
        max_waiting = max(MAX_WAITING // len(settings), 1)
        self.by_label: dict[str, Channel] = {}
        self.filters: dict[str, AlertFilter] = {}
        for channel in settings:
            self.by_label[channel.label] = Channel(channel, max_waiting)
            self.filters[channel.label] = channel.alert_filter

    def deliver(
        self, alerts: Mapping[str, Sequence[Alert]], deadline: float
    ) -> dict[str, Entry]:
        """Have the alerts posted or collected that each channel gets, by its label.

        Returns by the deadline, a time of time.monotonic(). Each channel that gets
        alerts has an entry then, with its outcome.
        """
        entries = {}
        for label, for_channel in alerts.items():
            entries[label] = self.by_label[label].outbox.put(for_channel, deadline)
        for label, entry in entries.items():
            self.by_label[label].outbox.wait(entry)
        return entries

    def stop(self, seconds: float) -> None:
        """Collect nothing from now on, and have posted what is collected.

        That is to be over in so many seconds; does not wait.
        """
        for channel in self.by_label.values():
            channel.outbox.stop(seconds)

    def is_sending(self) -> bool:
        """Whether something is collected that can still be posted."""
        return any(channel.outbox.is_sending() for channel in self.by_label.values())

    def close(self, seconds: float) -> None:
        """Wait so long at most after `stop`; what is not posted is logged as lost."""
        end = time.monotonic() + seconds
        for channel in self.by_label.values():
            left = end - time.monotonic()
            channel.outbox.close(max(left, 0))


def in_channel(label: str, what: str) -> str:
    """What is said about a channel, with its label if it has one."""
    return f"channel {label}: {what}" if label else what
