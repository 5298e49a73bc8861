"""Pace: how the posts to one channel fare, and so when the next one may start.

The outbox owns a pace, and holds its lock.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from outcome import Outcome, Verdict

# Seconds between two posts; Slack takes one message a second per webhook
# (https://docs.slack.dev/apis/web-api/rate-limits). They count from Slack's answer to
# the post before: only the answer proves that the post had arrived.
INTERVAL = 1.0
MAX_PAUSE = 4  # seconds; the pause after failed posts grows by 1 up to this
LAST_TRY = 2.0  # seconds before a stop must be over, when even a hold is not obeyed


@dataclass(frozen=True)
class Trouble:
    """What Slack does instead of accepting messages: since when, and why."""

    since: float  # when the first post started that failed so
    outcome: Outcome  # of the latest one
    is_lasting: bool = False  # until somebody acts; otherwise a message may pass soon


@dataclass(frozen=True)
class Standing:
    """How the posts fare."""

    accepted_at: float | None = None  # when Slack last accepted a message
    advice: str = ""  # what a person should do although it was accepted
    trouble: Trouble | None = None  # since then


class Pace:
    """See the module. `next_at` is when the next post may start."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.standing = Standing()
        self.next_at = -math.inf
        self._clock = clock
        self._failures = 0  # posts since Slack last said yes or no
        # When a stop tries once more, whatever pause Slack has asked for; infinity
        # while nothing stops.
        self._last_try = math.inf

    def note(self, outcome: Outcome, started: float, goes_again: bool) -> None:
        """Note what became of the newest post, which started then.

        `goes_again` says whether what it carried is posted again.
        """
        pause = INTERVAL
        trouble = self.standing.trouble
        if outcome.verdict is Verdict.ACCEPTED:
            self.standing = Standing(self._clock(), outcome.advice)
        elif goes_again and trouble and trouble.is_lasting:
            pass  # a failure that may pass does not hide a trouble that lasts
        else:
            since = started
            is_lasting = not goes_again
            if trouble and trouble.is_lasting == is_lasting:
                since = trouble.since
            trouble = Trouble(since, outcome, is_lasting)
            self.standing = replace(self.standing, trouble=trouble)
        if outcome.verdict is Verdict.UNAVAILABLE:
            self._failures += 1
            pause = outcome.retry_after or min(self._failures, MAX_PAUSE)
        else:
            self._failures = 0
        self.start_next_in(max(pause, INTERVAL))

    def start_next_in(self, seconds: float) -> None:
        """Have the next post start in so many seconds; earlier for a last try."""
        now = self._clock()
        self.next_at = now + seconds
        if now < self._last_try:
            soonest = now + INTERVAL
            self.next_at = min(self.next_at, max(self._last_try, soonest))

    def hurry(self, seconds: float) -> None:
        """Have a last try shortly before so many seconds are over."""
        now = self._clock()
        self._last_try = now + seconds - LAST_TRY
        # The pause that is running ends at the last try, too.
        self.start_next_in(self.next_at - now)
