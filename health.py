"""Health: how the service fares, since when, and why.

A monitor asks, and tells people in another way than by Slack. This module knows when
Auth0 delivered last, and for each channel what became of the messages.

/status answers 503 for what did not get through. A message that Slack calls malformed
goes out in its next form within seconds: only if that is not accepted either, the
channel is in trouble.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from message import Message
from outcome import Outcome, Post, Verdict

Clock = Callable[[], float]

# Seconds that a trouble may last before it is told.
PATIENCE = {
    Verdict.REFUSED: 0.0,
    Verdict.MALFORMED: 60.0,  # by then the next form has gone out and been answered
    Verdict.UNAVAILABLE: 600.0,  # after that it is no passing fault any more
}
REFUSES = "refuses messages"
TAKES_NONE = "takes no messages"
NO_ANSWER = "Slack has not answered"


@dataclass(frozen=True)
class Trouble:
    """What Slack does instead of accepting a channel's messages, and why."""

    what: str
    since: float  # on the monotonic clock: when the first post that failed started
    reason: str


class Channel:
    """How the posts to one channel fare.

    The outbox gives up a post that takes over a minute, and starts another one. If the
    newer one is accepted, whatever the older one says later is no news.
    """

    def __init__(self, post: Post, clock: Clock) -> None:
        self.accepted: float | None = None  # when Slack last accepted a message
        self._post = post
        self._clock = clock
        self._lock = threading.Lock()
        # When each post that has no answer yet has started, the oldest first.
        self._in_flight: list[float] = []
        self._troubles: dict[Verdict, Trouble] = {}  # since the last accepted post

    def post(self, message: Message) -> Outcome:
        """Post a message, and note what became of it."""
        with self._lock:
            started = self._clock()
            self._in_flight.append(started)
        outcome = self._post(message)  # if it raises, there is no answer either
        with self._lock:
            self._note(started, outcome)
        return outcome

    def trouble(self) -> Trouble | None:
        """The trouble that has lasted too long, if there is one."""
        now = self._clock()
        with self._lock:
            troubles = dict(self._troubles)
            if self._in_flight:
                # A post that hangs is a trouble from its start, even if it never ends.
                hanging = Trouble(TAKES_NONE, self._in_flight[0], NO_ANSWER)
                failed = troubles.get(Verdict.UNAVAILABLE)
                if failed is None or hanging.since < failed.since:
                    troubles[Verdict.UNAVAILABLE] = hanging
        for verdict, patience in PATIENCE.items():
            trouble = troubles.get(verdict)
            if trouble and now >= trouble.since + patience:
                return trouble
        return None

    def _note(self, started: float, outcome: Outcome) -> None:
        """Note what became of a post."""
        if started not in self._in_flight:
            return  # a newer post was accepted
        self._in_flight.remove(started)
        if outcome.verdict is Verdict.ACCEPTED:
            self._note_accepted(started)
        else:
            self._note_trouble(started, outcome)

    def _note_accepted(self, started: float) -> None:
        """Forget all posts and troubles that started no later than this post."""
        self.accepted = self._clock()
        while self._in_flight and self._in_flight[0] <= started:
            self._in_flight.pop(0)
        for verdict in list(self._troubles):
            if self._troubles[verdict].since <= started:
                del self._troubles[verdict]

    def _note_trouble(self, started: float, outcome: Outcome) -> None:
        """Keep when a trouble of each kind began, and why the last message failed."""
        verdict = outcome.verdict
        what = REFUSES
        if verdict is Verdict.UNAVAILABLE:
            what = TAKES_NONE
        if verdict is Verdict.MALFORMED and verdict in self._troubles:
            verdict = Verdict.REFUSED  # the next form was not accepted either
        since = started
        if verdict in self._troubles:
            since = self._troubles[verdict].since
        self._troubles[verdict] = Trouble(what, since, outcome.reason)


class Health:
    """The health of the service. `posts` says for each channel how to post to it.

    A single channel's label is empty. `clock` decides what came first, because nobody
    sets it back; `wall_clock` (seconds since the epoch) is for people to read.
    """

    def __init__(
        self,
        posts: Mapping[str, Post],
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        self.channels: dict[str, Channel] = {}
        for name, post in posts.items():
            self.channels[name] = Channel(post, clock)
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
        wrong = self._troubles()
        if max_silence is not None:
            wrong += self._silence(max_silence)
        if wrong:
            return 503, "; ".join(wrong)
        delivered = self._utc(self._delivered)
        said = f"ok: last delivery {delivered}"
        for name, channel in self.channels.items():
            accepted = self._utc(channel.accepted)
            said += ", " + in_channel(name, f"last message accepted {accepted}")
        return 200, said

    def _troubles(self) -> list[str]:
        said = []
        for name, channel in self.channels.items():
            trouble = channel.trouble()
            if trouble:
                since = self._utc(trouble.since)
                what = f"Slack {trouble.what} since {since}: {trouble.reason}"
                said.append(in_channel(name, what))
        return said

    def _silence(self, longest: float) -> list[str]:
        last = self._delivered
        if last is None:
            last = self._start
        if self._clock() < last + longest:
            return []
        since = self._utc(last)
        return [f"no delivery from Auth0 since {since}"]

    def _utc(self, at: float | None) -> str:
        """A time of the monotonic clock, as the wall clock shows it now."""
        if at is None:
            return "none yet"
        ago = self._clock() - at
        then = round(self._wall_clock() - ago)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))


def in_channel(label: str, what: str) -> str:
    """What is said about a channel, with its label if it has one."""
    return f"channel {label}: {what}" if label else what
