"""Status: how the service fares, for a monitor that tells of it by another way than Slack."""

import threading
import time
from collections.abc import Callable

from slack import Outcome, Verdict

UNREACHED_AFTER = 600.0  # seconds without Slack after which that is no passing fault any more
WARN_EVERY = 60.0  # seconds between two warnings of wrong tokens


class Status:
    """Since when what has been so. `now` gives seconds since the epoch."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._delivered = self._accepted = 0.0  # when last; 0: not yet
        self._failing: dict[str, tuple[float, str]] = {}  # what Slack does: since when, and why
        self._wrong_tokens = 0
        self._warned = 0.0

    def note_delivery(self) -> None:
        """Auth0 has delivered, with the right token."""
        self._delivered = self._now()

    def note_outcome(self, outcome: Outcome) -> None:
        """A message was posted, with this outcome."""
        if outcome.verdict is Verdict.ACCEPTED:
            self._accepted, self._failing = self._now(), {}
            return
        what = "cannot be reached" if outcome.verdict is Verdict.UNAVAILABLE else "refuses messages"
        self._failing.setdefault(what, (self._now(), outcome.reason))

    def note_wrong_token(self) -> int:
        """Count a wrong token; returns how many to warn of now, mostly none."""
        with self._lock:
            self._wrong_tokens += 1
            if self._now() < self._warned + WARN_EVERY:
                return 0
            count, self._wrong_tokens, self._warned = self._wrong_tokens, 0, self._now()
            return count

    def line(self) -> tuple[int, str]:
        """The HTTP status, and one line that says why, without anything secret."""
        for what in ("refuses messages", "cannot be reached"):
            since, reason = self._failing.get(what, (self._now(), ""))
            if reason and (what == "refuses messages" or self._now() >= since + UNREACHED_AFTER):
                return 503, f"Slack {what} since {_utc(since)}: {reason}"
        delivery = self._ago("last delivery", self._delivered)
        return 200, f"ok: {delivery}, {self._ago('last message accepted', self._accepted)}"

    def _ago(self, what: str, at: float) -> str:
        if not at:
            return f"{what}: none yet"
        seconds = self._now() - at
        for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
            if seconds >= 2 * size:
                return f"{what} {seconds // size:.0f} {unit} ago"
        return f"{what} {seconds:.0f} s ago"


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
