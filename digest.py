"""The digest: which alerts can wait, so that the channel stays readable.

1. Ten messages go out at once, and then they go further and further apart: a leaky
   bucket counts them. Each message adds one, and one leaks out in each longest wait,
   which is ALERT_DIGEST_SECONDS. While the bucket holds nine or less after a message,
   the next may go at once. By default the next waits about 40 s after the tenth in a
   row, and then about twice as long each time (a little less, because it leaks), up
   to 10 min.
2. News goes at once: a log type that the channel has not been shown for an hour.
3. A surge goes at once: of a log type, ten times as many are collected as any message
   of the last hour had of it.
4. 5,000 collected alerts go at once.

The outbox owns a digest, and holds its lock.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from alerts import Alert

BURST = 10  # messages that go out before the first one waits
FIRST_WAIT = 1 / 15  # of the longest wait; each message more doubles it
MAX_DOUBLINGS = 4.0  # 16/15 of the longest wait; without a bound, 2** overflows
HOUR = 3600.0  # seconds that a channel remembers what it was shown
SURGE = 10  # times what any message of the last hour had
MAX_COLLECTED = 5000  # alerts

Key = str | int
Counts = Mapping[str, int]  # of alerts, by log type


@dataclass(frozen=True)
class Showing:
    """A message that named a log type: when, and how many events of it there were."""

    at: float
    count: int


class Digest:
    """What is collected, what the channel was shown, and when the next message is due.

    `seconds` is the longest wait; with 0 nothing is collected.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.alerts: dict[Key, Alert] = {}  # what is collected
        self.only_counts = False  # so the next message must look that carries it
        self.seconds = seconds
        self._clock = clock
        self._counts: Counter[str] = Counter()  # of what is collected, by log type
        self._level = 0.0  # of the bucket, after the last message
        self._posted_at = -math.inf  # when the last message was accepted
        self._next = -math.inf  # when the next message may go
        self._held_until: float | None = None  # Slack refused what is collected
        # By log type, the messages of the last hour that named it, the newest last.
        self._shown: dict[str, list[Showing]] = {}

    def takes(self, alerts: Iterable[Alert]) -> bool:
        """Whether these alerts can wait for the digest."""
        if self._clock() >= self._next:
            return False
        if self._is_full():
            return False
        codes = {alert.code for alert in alerts}
        return not self.news(codes)

    def collect(self, alerts: Mapping[Key, Alert]) -> None:
        """Keep these alerts until a message with them was accepted."""
        self.alerts.update(alerts)
        self._counts.update(alert.code for alert in alerts.values())

    def due(self) -> float:
        """When the digest goes out, if no message takes it along before."""
        if not self.alerts:
            return math.inf
        if self._held_until is not None:
            return self._held_until
        if self._is_full() or self.surges(self._counts):
            return -math.inf
        return self._next

    def hold(self, is_refused: bool) -> None:
        """Say whether Slack has just refused what is collected.

        Then it goes out with the next delivery, or after the longest wait; and not at
        all once it was tried for a stop.
        """
        self._held_until = None
        if is_refused:
            self._held_until = self._clock() + (self.seconds or math.inf)

    def stop(self) -> None:
        """Collect nothing from now on; what is collected is due at once."""
        self.seconds = 0
        self._next = -math.inf
        self._held_until = None

    def news(self, codes: Iterable[str]) -> frozenset[str]:
        """Those of these log types that the channel has not been shown for an hour."""
        return frozenset(code for code in codes if self._most(code) == 0)

    def surges(self, counts: Counts) -> dict[str, int]:
        """Those of these log types that surge, and the most a message had of each."""
        surges = {}
        for code, count in counts.items():
            most = self._most(code)
            if 0 < most <= count / SURGE:
                surges[code] = most
        return surges

    def posted(self, alerts: Iterable[Alert], shown: Counts) -> None:
        """Note that Slack has accepted a message.

        `alerts` are all that it carries; `shown` are the log types that it names, and
        how many alerts it has of each.
        """
        for alert in alerts:
            self.alerts.pop(key(alert), None)
        self._fill_bucket()
        for code, count in shown.items():
            self._remember(code, count)
        self._forget()
        # What was collected while the message was in flight counts for the next one.
        self._counts = Counter(alert.code for alert in self.alerts.values())

    def _is_full(self) -> bool:
        return len(self.alerts) >= MAX_COLLECTED

    def _fill_bucket(self) -> None:
        """Add a message to the bucket, and say when the next one may go."""
        if self.seconds == 0:
            return
        now = self._clock()
        leaked = (now - self._posted_at) / self.seconds
        self._posted_at = now
        self._level = max(self._level - leaked, 0) + 1
        self._next = now
        if self._level > BURST - 1:
            doublings = min(self._level - BURST, MAX_DOUBLINGS)
            wait = self.seconds * FIRST_WAIT * 2**doublings
            self._next += min(wait, self.seconds)

    def _remember(self, code: str, count: int) -> None:
        """Remember that a message has shown so many alerts of a log type."""
        showings = self._shown.setdefault(code, [])
        # Older, smaller ones can never be the most again.
        while showings and showings[-1].count <= count:
            showings.pop()
        showings.append(Showing(self._clock(), count))

    def _forget(self) -> None:
        """Forget the log types that were shown over an hour ago."""
        hour_ago = self._clock() - HOUR
        for code, showings in list(self._shown.items()):
            if showings[-1].at <= hour_ago:
                del self._shown[code]

    def _most(self, code: str) -> int:
        """The most that any message of the last hour had of a log type."""
        hour_ago = self._clock() - HOUR
        for showing in self._shown.get(code, []):
            if showing.at > hour_ago:
                return showing.count  # those after it are smaller
        return 0


def key(alert: Alert) -> Key:
    """What tells an alert from others: its log_id, or that it is itself."""
    return alert.log_id or id(alert)
