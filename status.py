"""Status: how the service fares, for a monitor that tells of it by another way than Slack."""

import math
import time
from collections.abc import Callable

from message import Message
from slack import Outcome, Verdict

UNREACHED_AFTER = (
    600.0  # seconds without Slack after which that is no passing fault any more
)
REFUSES, UNREACHED = "refuses messages", "takes no messages"


class Status:
    """Since when what has been so. `now` gives seconds since the epoch."""

    def __init__(
        self, post: Callable[[Message], Outcome], now: Callable[[], float] = time.time
    ) -> None:
        self._post, self._now = post, now
        self._delivered = self._accepted = 0.0  # when last; 0: not yet
        self._troubles: dict[
            str, tuple[float, str]
        ] = {}  # of Slack: since when, and why

    def post(self, message: Message) -> Outcome:
        """Post a message, and note what became of it."""
        started, outcome = self._now(), self._post(message)
        if outcome.verdict is Verdict.ACCEPTED:
            self._accepted, self._troubles = self._now(), {}
        elif (
            started >= self._accepted
        ):  # else it was given up, and another one passed since
            trouble = UNREACHED if outcome.verdict is Verdict.UNAVAILABLE else REFUSES
            self._troubles.setdefault(trouble, (self._now(), outcome.reason))
        return outcome

    def note_delivery(self) -> None:
        """Auth0 has delivered, with the right token."""
        self._delivered = self._now()

    def line(self) -> tuple[int, str]:
        """The HTTP status, and one line that says why, without anything secret."""
        for trouble, after in ((REFUSES, 0.0), (UNREACHED, UNREACHED_AFTER)):
            since, reason = self._troubles.get(trouble, (math.inf, ""))
            if self._now() >= since + after:
                at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))
                return 503, f"Slack {trouble} since {at}: {reason}"
        delivered, accepted = self._ago(self._delivered), self._ago(self._accepted)
        return 200, f"ok: last delivery {delivered}, last message accepted {accepted}"

    def _ago(self, at: float) -> str:
        seconds = self._now() - at
        units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
        unit, size = next(
            unit for unit in units if seconds >= 2 * unit[1] or unit[0] == "s"
        )
        return f"{seconds // size:.0f} {unit} ago" if at else "none yet"
