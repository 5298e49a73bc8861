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
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from alerts import Alert

BURST = 10  # messages that go out before the first one waits
FIRST_WAIT = 1 / 15  # of the longest wait; each message more doubles it
MAX_DOUBLINGS = 4.0  # 16/15 of the longest wait; without a bound, 2** overflows
HOUR = 3600.0  # seconds that a channel remembers what it was shown
SURGE = 10  # times what any message of the last hour had
MAX_COLLECTED = 5000  # alerts

Key = str | int
Counts = Mapping[str, int]  # of alerts, by log type


class Digest:
    """What is collected, what the channel was shown, and when the next message is due.

    `seconds` is the longest wait; with 0 nothing is collected.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.alerts: dict[Key, Alert] = {}  # what is collected
        self.only_counts = False  # its next message shows counts only
        self.seconds = seconds
        self._clock = clock
        self._level = 0.0  # of the bucket, after the last message
        self._posted_at = -math.inf  # when the last message was accepted
        self._next = -math.inf  # when the next message may go
        self._held_until: float | None = None  # Slack refused what is collected
        # The messages of the last hour: when, and how many of each log type they named.
        self._shown: deque[tuple[float, Counts]] = deque()

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

    def due(self) -> float:
        """When the digest goes out, if no message takes it along before."""
        if not self.alerts:
            return math.inf
        if self._held_until is not None:
            return self._held_until
        counts = Counter(alert.code for alert in self.alerts.values())
        if self._is_full() or self.surges(counts):
            return -math.inf
        return self._next

    def note_refusal(self, is_refused: bool) -> None:
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
        self._shown.append((self._clock(), shown))

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

    def _most(self, code: str) -> int:
        """The most that any message of the last hour had of a log type."""
        hour_ago = self._clock() - HOUR
        while self._shown and self._shown[0][0] <= hour_ago:
            self._shown.popleft()
        return max((shown.get(code, 0) for _, shown in self._shown), default=0)


def key(alert: Alert) -> Key:
    """What tells an alert from others: its log_id, or that it is itself."""
    return alert.log_id or id(alert)
