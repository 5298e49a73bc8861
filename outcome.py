"""Outcomes: what became of a message, and what a person should do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from message import Message


class Verdict(Enum):
    """What became of a message."""

    ACCEPTED = "accepted"
    UNAVAILABLE = "unavailable"  # not now: the same message may pass later
    MALFORMED = "malformed"  # not so: the same facts may pass in another form
    REFUSED = "refused"  # not until somebody does something about it


@dataclass(frozen=True)
class Outcome:
    """A verdict, why, the HTTP status behind it, and the seconds Slack said to wait.

    An accepted message has advice too, if something else is wrong.
    """

    verdict: Verdict
    reason: str = ""  # one line without secrets, safe in answers and logs
    status: int | None = None
    retry_after: float | None = None
    advice: str = ""  # what a person should do about it, if anything


Post = Callable[[Message], Outcome]  # what posts a message, to Slack or elsewhere
