"""Channels: where alerts go, and what became of a delivery in all of them.

Each channel has its own webhook, and so its own outbox, pace, digest and memory. A sick
one holds up no other, because a delivery is put into all outboxes before it waits for
any of them.

Where there are several channels, each has a label for answers and the log: its name, or
"first" for the one of SLACK_WEBHOOK_URL. A single channel's label is empty.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial

import console
from alerts import Alert
from health import Health
from message import ORDINARY, Message, Purpose, build_message
from outbox import MAX_WAITING, Delivery, Outbox
from outcome import Outcome, Post
from privacy import mask_alert
from settings import ChannelSettings
from slack import Webhook


class Channels:
    """The channels, in the order of their settings, and how they fare (`health`)."""

    def __init__(self, settings: Sequence[ChannelSettings]) -> None:
        self.settings = _by_label(settings)
        posts = {}
        for label, channel in self.settings.items():
            posts[label] = _post_to(channel, label)
        self.health = Health(posts)
        self._outboxes = {}
        for label in self.settings:
            self._outboxes[label] = self._make_outbox(label)

    def deliver(
        self, alerts: Mapping[str, Sequence[Alert]], deadline: float
    ) -> dict[str, Delivery]:
        """Have the alerts posted or collected that each channel gets, by its label.

        Returns by the deadline, a time of time.monotonic(). Each channel that gets
        alerts has a delivery then, with its outcome.
        """
        deliveries = {}
        for label, for_channel in alerts.items():
            outbox = self._outboxes[label]
            deliveries[label] = outbox.put(for_channel, deadline)
        for label, delivery in deliveries.items():
            self._outboxes[label].wait(delivery)
        return deliveries

    def send_at_once(self, alert: Alert) -> dict[str, Outcome]:
        """Post an alert to each channel; returns by label what became of it."""
        outcomes = {}
        for label, channel in self.settings.items():
            message = build_for(channel, [alert])
            post = self.health.channels[label].post
            outcomes[label] = post(message)
        return outcomes

    def stop(self) -> None:
        """Collect nothing from now on, and have posted at once what is collected."""
        for outbox in self._outboxes.values():
            outbox.stop()

    def is_sending(self) -> bool:
        """Whether something is collected that can still be posted."""
        return any(outbox.is_sending() for outbox in self._outboxes.values())

    def close(self, seconds: float) -> None:
        """Stop, and wait so long at most; what is not posted then is logged as lost."""
        end = time.monotonic() + seconds
        for outbox in self._outboxes.values():
            outbox.stop(seconds)
        for outbox in self._outboxes.values():
            left = end - time.monotonic()
            outbox.close(max(left, 0))

    def _make_outbox(self, label: str) -> Outbox:
        channel = self.settings[label]
        return Outbox(
            build=partial(build_for, channel),
            send=self.health.channels[label].post,
            digest_seconds=channel.digest_seconds,
            # A delivery that waits holds a thread; there are so many for all channels.
            max_waiting=max(MAX_WAITING // len(self.settings), 1),
            channel=label,
        )


def _by_label(settings: Sequence[ChannelSettings]) -> dict[str, ChannelSettings]:
    """The channels by what they are called in answers and in the log."""
    if len(settings) == 1:
        return {"": settings[0]}
    labelled = {}
    for channel in settings:
        label = channel.name or "first"
        labelled[label] = channel
    return labelled


def build_for(
    channel: ChannelSettings, alerts: Sequence[Alert], purpose: Purpose = ORDINARY
) -> Message:
    """The message of some alerts, with what the channel may show of them."""
    shown = []
    for alert in alerts:
        masked = mask_alert(alert, channel.fields)
        shown.append(masked)
    return build_message(shown, channel.fields, purpose)


def _post_to(channel: ChannelSettings, label: str) -> Post:
    """What posts a message to a channel."""
    if channel.is_console:
        return partial(console.show, channel=label)
    return Webhook(channel.webhook_url, channel.webhook_variable).post
