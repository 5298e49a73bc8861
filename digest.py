"""The digest: which alerts can wait for the next message, so that a storm is a handful of them.

Ten messages may go out as fast as Slack takes them, after that one more each ALERT_DIGEST_SECONDS
(a token bucket of ten). While there is none to spare, alerts of log types that the channel has seen
within the hour are collected. A log type that it has not seen is news, and cannot wait.

The outbox owns a digest, holds its lock, and tells it the time.
"""

import math
from collections.abc import Sequence

from alerts import Alert

BURST = 10  # messages that may go out before one is a digest
NEWS_AFTER = (
    3600.0  # seconds; a log type that the channel has not seen for so long is news
)
MAX_COLLECTED = 5000  # alerts; with so many, the digest goes out at once


class Digest:
    """What is collected, what the channel has seen, and when the next message is to spare."""

    def __init__(self, seconds: float) -> None:
        self.alerts: dict[str | int, Alert] = {}  # what is collected, by `key`
        self._seconds = seconds  # 0: there is always a message to spare
        self._next = -math.inf  # when the bucket has, or had, its next message
        self._seen: dict[
            str, float
        ] = {}  # log types, and when the channel last saw them

    def takes(self, alerts: Sequence[Alert], now: float) -> bool:
        """Whether these alerts can wait for the digest."""
        if now >= self._next or len(self.alerts) >= MAX_COLLECTED:
            return False
        return all(
            self._seen.get(alert.code, -math.inf) > now - NEWS_AFTER for alert in alerts
        )

    def due(self) -> float:
        """When the digest goes out, if no message goes out before and takes it along."""
        return -math.inf if len(self.alerts) >= MAX_COLLECTED else self._next

    def posted(self, alerts: Sequence[Alert], now: float) -> None:
        """The channel has these alerts now, collected ones among them."""
        for alert in alerts:
            self.alerts.pop(key(alert), None)
        recently = {
            code: at for code, at in self._seen.items() if at > now - NEWS_AFTER
        }
        self._seen = recently | dict.fromkeys((alert.code for alert in alerts), now)
        if now >= self._next:  # else it was news, which needs none to spare
            full = now - (BURST - 1) * self._seconds
            self._next = max(self._next, full) + self._seconds


def key(alert: Alert) -> str | int:
    """What tells an alert from others: its log_id, or that it is itself."""
    return alert.log_id or id(alert)
