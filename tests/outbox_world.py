"""A world for the outbox, in virtual time: Slack and the deliveries are scripted."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from alerts import Alert, read_alert
from digest import MAX_COLLECTED
from message import Purpose
from outbox import MAX_WAITING, Entry, Outbox
from outcome import Outcome, Verdict
from pace import INTERVAL
from tests.virtual_time import VirtualTime

BUDGET = 9.0
RETRY = max(1.0, INTERVAL)  # seconds from a failure to the next try
OK = Outcome(Verdict.ACCEPTED, "ok", 200)
FAILED = Outcome(Verdict.UNAVAILABLE, "Slack failed: HTTP 500", 500)
MALFORMED = Outcome(Verdict.MALFORMED, "invalid_attachments", 400)
NO_SERVICE = Outcome(Verdict.REFUSED, "no_service", 404, advice="make a new one")


def limited(seconds: float) -> Outcome:
    return Outcome(Verdict.UNAVAILABLE, "Slack's rate limit is reached", 429, seconds)


@cache
def alert_of(code: str) -> Alert:
    return read_alert({"type": code}, "failure")


def alert(log_id: Any, code: str = "f") -> Alert:
    return replace(alert_of(code), log_id=log_id)


@dataclass
class Built:
    """A message: what the outbox said of it."""

    log_ids: list[Any]
    named: frozenset[str]
    purpose: Purpose


class World:
    """An outbox, a Slack and deliveries that do what the test says.

    Slack answers the messages by the script, and those after it with OK. It takes some
    seconds to answer, or as many as stand beside the answer in the script.
    """

    def __init__(
        self,
        *script: Outcome | tuple[Outcome, float],
        seconds: float = 0.1,
        digest: float = 0,
    ) -> None:
        self.time = VirtualTime()
        self.script = list(script)
        self.seconds = seconds
        self.posts: list[tuple[Any, list[Any]]] = []  # when, and the log_ids
        self.messages: list[Built] = []
        self.unnamed: frozenset[str] = frozenset()  # log types that no message names
        self.shown: list[Any] = []  # the log_ids of the messages that Slack accepted
        self.stopped_at = 0.0
        self.digest = digest
        self.outbox = self.make_outbox()
        self.answers: dict[str, tuple[float, Entry]] = {}  # by name: when, and what
        self._arrivals: list[Any] = []
        self._alerts: dict[str, Iterator[Alert]] = {}

    def make_outbox(self, **options: Any) -> Outbox:
        """An outbox in virtual time that posts to this Slack, unless told otherwise."""
        defaults: dict[str, Any] = {
            "build": self.build,
            "send": self.send,
            "digest_seconds": self.digest,
            "max_waiting": MAX_WAITING,
            "label": "",
            "clock": self.time.clock,
            "changed": self.time,
            "thread": self.time.thread,
        }
        return Outbox(**defaults | options)

    def lack_threads(self, *starts: bool) -> None:
        """Have an outbox whose threads start or do not, as told; later ones do."""
        told = iter(starts)

        def thread(**options: Any) -> Any:
            if not next(told, True):
                raise RuntimeError("can't start new thread")
            return self.time.thread(**options)

        self.outbox = self.make_outbox(thread=thread)

    def build(self, alerts: Sequence[Alert], purpose: Purpose) -> Any:
        """A message that names all its log types, unless told otherwise."""
        assert not self.time._is_owned()  # type: ignore[attr-defined] # no lock is held
        codes = frozenset(alert.code for alert in alerts)
        log_ids = [alert.log_id for alert in alerts]
        return Built(log_ids, codes - self.unnamed, purpose)

    def send(self, message: Any) -> Outcome:
        assert not self.time._is_owned()  # type: ignore[attr-defined] # no lock is held
        self.posts.append((self.time.now, message.log_ids))
        self.messages.append(message)
        answer = self.script.pop(0) if self.script else OK
        if isinstance(answer, Outcome):
            answer = (answer, self.seconds)
        outcome, seconds = answer
        self.time.sleep(seconds)
        self.shown += message.log_ids if outcome is OK else []
        return outcome

    def arrive(
        self,
        at: float,
        name: str,
        *log_ids: object,
        budget: float = BUDGET,
        repeat: bool = False,
        code: str = "f",
    ) -> None:
        """A delivery of alerts of one type; `repeat`: until accepted, as Auth0 does."""

        def request() -> None:
            self.time.sleep(at)
            while True:
                alerts = [alert(log_id, code) for log_id in log_ids]
                delivery = self.outbox.put(alerts, self.time.now + budget)
                self.outbox.wait(delivery)
                assert delivery.outcome
                self.answers[name] = (self.time.now, delivery)
                if not repeat or delivery.outcome.verdict is Verdict.ACCEPTED:
                    return
                self.time.sleep(delivery.outcome.retry_after or 1)

        self._arrivals.append(request)

    def stream(self, deliveries: Iterable[tuple[float, int, str]]) -> None:
        """Deliveries that nobody waits for: when, how many alerts, their log type."""

        def requests() -> None:
            for at, count, code in deliveries:
                if at > self.time.now:
                    self.time.sleep(at - self.time.now)
                alerts = [self._next_alert(code) for _ in range(count)]
                self.outbox.put(alerts, self.time.now + BUDGET)

        self._arrivals.append(requests)

    def _next_alert(self, code: str) -> Alert:
        """One of many without a log_id; it comes again, long after it was posted."""
        if code not in self._alerts:
            many = [alert("", code) for _ in range(2 * MAX_COLLECTED)]
            self._alerts[code] = itertools.cycle(many)
        return next(self._alerts[code])

    def stop(self, at: float, seconds: float = 10.0) -> None:
        """The service's stop, which waits for the digest for some seconds."""

        def close() -> None:
            self.time.sleep(at)
            self.outbox.stop(seconds)
            self.outbox.close(seconds)
            self.stopped_at = self.time.now

        self._arrivals.append(close)

    def at_once(self, function: Callable[[], object]) -> None:
        """Run a function from the start, beside the deliveries."""
        self._arrivals.append(function)

    def storm(
        self,
        count: int,
        start: float = 0.0,
        every: float = INTERVAL + 0.2,
        code: str = "f",
        each: int = 1,
    ) -> None:
        """Deliveries of so many alerts each; by default each is posted by itself."""
        for n in range(count):
            name = f"{code}{start:g}.{n}"
            more = [f"{name}+{m}" for m in range(1, each)]
            self.arrive(start + n * every, name, name, *more, code=code)

    @property
    def sizes(self) -> list[int]:
        return [len(log_ids) for _, log_ids in self.posts]

    def collected(self) -> list[str]:
        """The names of the deliveries that were answered by joining the digest."""
        return [
            name for name, (_, delivery) in self.answers.items() if delivery.collected
        ]

    def run(self) -> None:
        arrivals, self._arrivals = self._arrivals, []
        self.time.run(*arrivals)

    def outcome(self, name: str) -> Outcome:
        outcome = self.answers[name][1].outcome
        assert outcome
        return outcome

    def verdict(self, name: str) -> Verdict:
        return self.outcome(name).verdict

    def answered_at(self, name: str) -> float:
        return self.answers[name][0]

    @property
    def forms(self) -> list[str]:
        """How the messages looked: `full`, or mere `counts`."""
        forms = {False: "full", True: "counts"}
        return [forms[message.purpose.only_counts] for message in self.messages]

    @property
    def digests(self) -> list[bool]:
        return [message.purpose.is_digest for message in self.messages]

    @property
    def starts(self) -> list[float]:
        return [at for at, _ in self.posts]

    @property
    def posted(self) -> list[Any]:
        return [log_id for _, log_ids in self.posts for log_id in log_ids]
