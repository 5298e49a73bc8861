"""The digest: what can wait for the next message, so that a storm is a handful of them.

Ten messages may go out as fast as Slack takes them, and after that one more in each
ALERT_DIGEST_SECONDS: a token bucket of ten. While it is empty, alerts of log types that
the channel has seen within the hour are collected. A log type that it has not seen is
news, and cannot wait.

The outbox owns a digest, holds its lock, and tells it the time.
"""

import math
from collections.abc import Iterable, Mapping

from alerts import Alert

BURST = 10  # messages that may go out before one is a digest
NEWS_AFTER = 3600.0  # seconds; a log type that was not seen for so long is news
MAX_COLLECTED = 5000  # alerts; with so many, the digest goes out at once

Key = str | int


class Digest:
    """What is collected, what the channel has seen, and when the next is due."""

    def __init__(self, seconds: float) -> None:
        self.alerts: dict[Key, Alert] = {}  # what is collected
        self.form = 0  # in FORMS: how the next message looks that carries it
        self.seconds = seconds  # 0: nothing is collected
        self._next = -math.inf  # when the bucket has, or had, its next message
        self._seen: dict[str, float] = {}  # log types, and when they were last shown

    def takes(self, alerts: Iterable[Alert], now: float) -> bool:
        """Whether these alerts can wait for the digest."""
        if now >= self._next or len(self.alerts) >= MAX_COLLECTED:
            return False
        return all(
            self._seen.get(alert.code, -math.inf) > now - NEWS_AFTER for alert in alerts
        )

    def collect(self, alerts: Mapping[Key, Alert]) -> None:
        """Keep these alerts until a message with them was accepted."""
        self.alerts.update(alerts)

    def due(self) -> float:
        """When the digest goes out, if no message takes it along before."""
        if len(self.alerts) >= MAX_COLLECTED:
            return -math.inf
        return self._next

    def posted(self, alerts: Iterable[Alert], now: float) -> None:
        """Note that Slack has accepted a message with these alerts."""
        for code, at in list(self._seen.items()):
            if at <= now - NEWS_AFTER:
                del self._seen[code]
        for alert in alerts:
            self.alerts.pop(key(alert), None)
            self._seen[alert.code] = now
        self.form = 0
        if now >= self._next:  # otherwise it was news, which takes nothing out
            full = now - (BURST - 1) * self.seconds
            self._next = max(self._next, full) + self.seconds


def key(alert: Alert) -> Key:
    """What tells an alert from others: its log_id, or that it is itself."""
    return alert.log_id or id(alert)
