"""Health: how the service fares, since when, and why, for a monitor that asks.

The monitor tells people in another way than by Slack. The outboxes know how the posts
fare (pace.py); this module knows when Auth0 delivered last, and puts it all in words.
"""

import math
import time
from collections.abc import Callable

from channels import Channels, in_channel
from logs import TIME
from pace import Standing

Clock = Callable[[], float]

# Seconds that Slack may fail before a monitor is told: until then it may pass.
PATIENCE = 600.0


class Health:
    """The health of the service.

    `clock` decides what came first, because nobody sets it back; `wall_clock` (seconds
    since the epoch) is for people to read.
    """

    def __init__(
        self,
        channels: Channels,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        self._channels = channels
        self._clock = clock
        self._wall_clock = wall_clock
        self._start = clock()
        self._delivered: float | None = None  # when last

    def note_delivery(self) -> None:
        """Note that Auth0 has delivered, with the right token."""
        self._delivered = self._clock()

    def line(self, max_silence: float | None = None) -> tuple[int, str]:
        """The HTTP status, and one line that says why, without anything secret.

        503 if a channel is in trouble, or if no delivery has come for `max_silence`
        seconds, counted from the start of the service too.
        """
        now = self._clock()
        ok = "ok"
        wrong = []
        right = [f"last delivery {self._utc(self._delivered)}"]
        for label, channel in self._channels.by_label.items():
            said, wrong_from = self._say(channel.outbox.standing())
            if now >= wrong_from:
                wrong.append(in_channel(label, said))
                continue
            if wrong_from < math.inf:
                ok = "ok so far"
                said += f"; 503 from {self._utc(wrong_from)} on"
            right.append(in_channel(label, said))
        heard = self._start if self._delivered is None else self._delivered
        if max_silence is not None and now >= heard + max_silence:
            wrong.append(f"no delivery from Auth0 since {self._utc(heard)}")
        if wrong:
            return 503, "; ".join(wrong)
        return 200, f"{ok}: {', '.join(right)}"

    def _say(self, standing: Standing) -> tuple[str, float]:
        """How the posts to a channel fare, and the time from which that is wrong."""
        trouble = standing.trouble
        if trouble:
            what = "refused" if trouble.is_lasting else "taken no"
            since = self._utc(trouble.since)
            said = f"Slack has {what} messages since {since}: {trouble.outcome.reason}"
            return said, trouble.since + (0 if trouble.is_lasting else PATIENCE)
        said = f"last message accepted {self._utc(standing.accepted_at)}"
        if standing.advice:
            said += f" ({standing.advice})"
        return said, math.inf

    def _utc(self, at: float | None) -> str:
        """A time of the monotonic clock, as the log would have it."""
        if at is None:
            return "none yet"
        ago = self._clock() - at
        then = self._wall_clock() - ago
        return time.strftime(TIME, time.gmtime(then))
