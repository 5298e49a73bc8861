"""Health: how the service fares, since when, and why, for a monitor that asks.

The monitor tells people in another way than by Slack. The outboxes know how the posts
fare (pace.py); this module knows when Auth0 delivered last, and puts it all in words.
"""

import time
from collections.abc import Callable

from channels import Channels, in_channel
from logs import TIME
from pace import Standing

Clock = Callable[[], float]

# Seconds that Slack may fail before a monitor is told: until then it may pass.
PATIENCE = 600.0
# How a channel fares; the better first.
OK = "ok"
OK_SO_FAR = "ok so far"
WRONG = "wrong"


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
        verdicts = [OK]
        wrong = []
        right = [f"last delivery {self._utc(self._delivered)}"]
        for label, standing in self._channels.standings().items():
            verdict, said = self._say(standing)
            verdicts.append(verdict)
            if verdict == WRONG:
                wrong.append(in_channel(label, said))
            else:
                right.append(in_channel(label, said))
        if max_silence is not None:
            wrong += self._silence(max_silence)
        if wrong:
            return 503, "; ".join(wrong)
        return 200, f"{max(verdicts)}: {', '.join(right)}"

    def _say(self, standing: Standing) -> tuple[str, str]:
        """How the posts to a channel fare: a verdict, and that in words."""
        if standing.refused:
            since = self._utc(standing.refused.since)
            reason = standing.refused.outcome.reason
            return WRONG, f"Slack has refused messages since {since}: {reason}"
        failing = standing.failing
        if failing is None:
            said = f"last message accepted {self._utc(standing.accepted_at)}"
            if standing.advice:
                said += f" ({standing.advice})"
            return OK, said
        since = self._utc(failing.since)
        said = f"Slack has taken no messages since {since}: {failing.outcome.reason}"
        too_long = failing.since + PATIENCE
        if self._clock() >= too_long:
            return WRONG, said
        return OK_SO_FAR, f"{said}; 503 from {self._utc(too_long)} on"

    def _silence(self, longest: float) -> list[str]:
        last = self._delivered
        if last is None:
            last = self._start
        if self._clock() < last + longest:
            return []
        return [f"no delivery from Auth0 since {self._utc(last)}"]

    def _utc(self, at: float | None) -> str:
        """A time of the monotonic clock, as the log would have it."""
        if at is None:
            return "none yet"
        ago = self._clock() - at
        then = self._wall_clock() - ago
        return time.strftime(TIME, time.gmtime(then))
