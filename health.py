"""Health: how the service fares.

For a monitor, which tells people of it by another way than Slack.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from message import Message
from slack import Outcome, Verdict

# Seconds without Slack after which that is no passing fault any more.
UNREACHED_AFTER = 600.0


@dataclass(frozen=True)
class Trouble:
    """What Slack does with our messages instead of taking them, since when, and why."""

    what: str
    since: float
    reason: str


class Health:
    """Since when what has been so. `now` gives seconds since the epoch."""

    def __init__(
        self, post: Callable[[Message], Outcome], now: Callable[[], float] = time.time
    ) -> None:
        self._post = post
        self._now = now
        self._delivered: float | None = None  # when last
        self._accepted: float | None = None  # when last
        self._refused: Trouble | None = None
        self._unreached: Trouble | None = None

    def post(self, message: Message) -> Outcome:
        """Post a message, and note what became of it."""
        started = self._now()
        outcome = self._post(message)
        self._note(outcome, started)
        return outcome

    def note_delivery(self) -> None:
        """Note that Auth0 has delivered, with the right token."""
        self._delivered = self._now()

    def line(self) -> tuple[int, str]:
        """The HTTP status, and one line that says why, without anything secret."""
        trouble = self._refused or self._long_unreached()
        if trouble:
            since = _utc(trouble.since)
            return 503, f"Slack {trouble.what} since {since}: {trouble.reason}"
        delivered = _utc(self._delivered)
        accepted = _utc(self._accepted)
        return 200, f"ok: last delivery {delivered}, last message accepted {accepted}"

    def _long_unreached(self) -> Trouble | None:
        trouble = self._unreached
        if trouble and self._now() < trouble.since + UNREACHED_AFTER:
            return None
        return trouble

    def _note(self, outcome: Outcome, started: float) -> None:
        now = self._now()
        if outcome.verdict is Verdict.ACCEPTED:
            self._accepted = now
            self._refused = None
            self._unreached = None
            return
        if self._accepted is not None and started < self._accepted:
            return  # the post was given up, and another one was accepted since
        if outcome.verdict is Verdict.UNAVAILABLE:
            if not self._unreached:
                self._unreached = Trouble("takes no messages", now, outcome.reason)
        elif not self._refused:
            self._refused = Trouble("refuses messages", now, outcome.reason)


def _utc(at: float | None) -> str:
    if at is None:
        return "none yet"
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
