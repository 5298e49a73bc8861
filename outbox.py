"""The outbox: what waits for Slack, and the one thread that sends it.

A request puts its alerts in, and waits for the outcome until its deadline. The sender
is a thread that is started when something is put in and ends when nothing is left. It
posts one message at a time for all that waits, a second after Slack's last answer. So
each entry learns the true outcome of the message that carried it. What can wait
for the digest (digest.py) is collected and answered at once, and stays collected until
Slack has accepted it.

The outbox alone owns what waits, what is collected, what Slack accepted, and when it
may be posted to again (pace.py). All of it is changed under one lock, which is not held
while a message is built, posted and logged.
"""

import logging
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from alerts import Alert
from digest import Digest, Key, key
from logs import facts, types_of
from message import Message, Purpose
from outcome import Outcome, Post, Verdict
from pace import INTERVAL, Pace, Standing, Trouble

# Seconds before its deadline at which an entry gives up, if no post has taken it.
MIN_POST = 1.0
# Seconds; a post that takes longer is given up, and a new sender is started. More than
# all limits of slack.py together: tests/test_slack.py adds them up.
LOST_AFTER = 150.0
# Seconds after which a post without an answer is told; a delivery waits no longer.
LATE_AFTER = 10.0
AFTER_A_BUG = 4.0  # seconds until the sender tries again
MAX_WAITING = 64  # entries that wait, each in a thread; worker.py has some more
MAX_REMEMBERED = 50_000  # log_ids that Slack accepted; at least all of one message
MAX_LOGGED = 100  # log_ids in one line; platforms cut lines at about 10 kB

FULL = Outcome(Verdict.UNAVAILABLE, "too many deliveries at once")
NO_THREAD = Outcome(Verdict.UNAVAILABLE, "this machine has no thread left to post with")
LATE = Outcome(Verdict.UNAVAILABLE, "Slack has not answered yet")
WAITS = Outcome(Verdict.UNAVAILABLE)  # the outcome of an entry that has none yet
REPORT = "these alerts are not shown; please report this as a bug"

# What builds a message for alerts, of which there is at least one.
Build = Callable[[Sequence[Alert], Purpose], Message]

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Entry:
    """A delivery's alerts for this channel, and in the end what became of them."""

    alerts: Sequence[Alert]
    deadline: float  # on the outbox's clock: the delivery must be answered by then
    repeated: int = 0  # alerts that had been posted or collected before it came
    collected: int = 0  # alerts that go out with the digest
    only_counts: bool = False  # its next message shows counts only
    outcome: Outcome = WAITS


@dataclass(eq=False)
class Batch:
    """What one message carries."""

    entries: list[Entry]
    alerts: list[Alert]  # those of the digest first
    collected: int  # alerts of the digest
    purpose: Purpose
    started: float
    counts: Counter[str]  # of the alerts, by log type
    named: frozenset[str] = frozenset()  # log types that the message names

    def unanswered(self) -> list[Entry]:
        """The entries that still wait for the outcome."""
        return [entry for entry in self.entries if entry.outcome is WAITS]


class Outbox:
    """See the module. `label` is the channel's, for the log.

    `clock`, `changed` and `thread` are injected by the tests.
    """

    def __init__(
        self,
        build: Build,
        send: Post,
        digest_seconds: float,
        max_waiting: int,
        label: str,
        clock: Callable[[], float] = time.monotonic,
        changed: threading.Condition | None = None,
        thread: Callable[..., threading.Thread] = threading.Thread,
    ) -> None:
        self._build = build
        self._send = send
        self._max_waiting = max_waiting
        self._label = label
        self._clock = clock
        self._changed = changed or threading.Condition()  # all waiting is done on it
        self._thread = thread
        self._digest = Digest(digest_seconds, clock)
        self._pace = Pace(clock)
        self._waiting: list[Entry] = []
        self._in_flight: Batch | None = None
        self._sender: threading.Thread | None = None
        self._accepted = OrderedDict[str, None]()  # log_ids, the oldest first

    def put(self, alerts: Sequence[Alert], deadline: float) -> Entry:
        """Put in alerts, without waiting: `wait` gives the entry its outcome.

        The deadline is a time on the outbox's clock, for the answer to the request.
        """
        with self._changed:
            new = self._new_alerts(alerts)
            entry = Entry(alerts, deadline, repeated=len(alerts) - len(new))
            self._keep_in_mind(alerts)
            if new and not self._ensure_sender():
                self._give_up(entry, NO_THREAD)
            else:
                self._answer_at_once(entry, new)
                if entry.outcome is WAITS:
                    self._let_wait(entry)
            self._changed.notify_all()
        return entry

    def wait(self, entry: Entry) -> None:
        """Wait until the entry has its outcome; it has one by its deadline.

        UNAVAILABLE means that its alerts were not posted, or that Slack's answer did
        not come in time, and that they may be sent again after `retry_after`.
        """
        with self._changed:
            while entry.outcome is WAITS:
                # One that waits must be taken by a post that starts between these two;
                # if none can, it is given up now. One in flight has until its deadline.
                latest = entry.deadline
                soonest = self._clock()
                if entry in self._waiting:
                    latest -= MIN_POST
                    soonest = max(soonest, self._pace.next_at)
                if soonest < latest:
                    self._changed.wait(latest - self._clock())
                else:
                    self._withdraw(entry)

    def standing(self) -> Standing:
        """How the posts fare. A post without an answer is trouble, once it is late."""
        with self._changed:
            standing = self._pace.standing
            started = self._started()
            if standing.trouble or self._clock() < started + LATE_AFTER:
                return standing
            return replace(standing, trouble=Trouble(started, LATE))

    def stop(self, seconds: float) -> None:
        """Collect nothing from now on, and post at once what is collected.

        It is tried once before the seconds are over, even if Slack has asked for a
        longer pause. Does not wait.
        """
        with self._changed:
            self._digest.stop()
            self._pace.hurry(seconds)
            if self._digest.alerts:
                self._ensure_sender()
            self._changed.notify_all()

    def is_sending(self) -> bool:
        """Whether something is collected that the sender is still trying to post."""
        return bool(self._digest.alerts) and self._sender is not None

    def close(self, seconds: float) -> None:
        """Wait so many seconds at most until nothing is collected any more.

        What could not be posted is logged as lost. `stop` was called before.
        """
        end = self._clock() + seconds
        with self._changed:
            while self.is_sending() and self._clock() < end:
                self._changed.wait(end - self._clock())
            lost = list(self._digest.alerts.values())
            self._digest.alerts.clear()  # it is said once, however often this is called
        for start in range(0, len(lost), MAX_LOGGED):
            some = lost[start : start + MAX_LOGGED]
            said = {
                "lost": f"{len(some)} of {len(lost)}",
                "types": types_of(Counter(alert.code for alert in some)),
                "channel": self._label,
                "log_ids": _log_ids(some),
            }
            log.error(f"digest {facts(said)}")

    def _withdraw(self, entry: Entry) -> None:
        """Give up an entry that cannot be answered in time; none posts it later."""
        reason = LATE
        if entry in self._waiting:
            self._waiting.remove(entry)
        trouble = self._pace.standing.trouble
        if trouble and not self._in_flight:
            reason = replace(trouble.outcome, verdict=Verdict.UNAVAILABLE)
        self._give_up(entry, reason)

    def _give_up(self, entry: Entry, reason: Outcome) -> None:
        pause = self._pace.next_at - self._clock()
        entry.outcome = replace(reason, retry_after=max(pause, INTERVAL))

    def _let_wait(self, entry: Entry) -> None:
        """Let an entry wait for a post, if there is a thread for it."""
        unanswered = len(self._waiting)
        if self._in_flight:
            unanswered += len(self._in_flight.unanswered())
        if unanswered < self._max_waiting:
            self._waiting.append(entry)
        else:
            self._give_up(entry, FULL)

    def _answer_at_once(self, entry: Entry, new: Mapping[Key, Alert]) -> None:
        """Answer an entry that brings nothing new or can wait for the digest."""
        if not new:
            entry.outcome = Outcome(Verdict.ACCEPTED, "posted before")
        elif not self._pace.standing.trouble and self._digest.takes(entry.alerts):
            self._digest.collect(new)
            entry.collected = len(new)
            entry.outcome = Outcome(Verdict.ACCEPTED, "collected")

    def _new_alerts(self, alerts: Sequence[Alert]) -> dict[Key, Alert]:
        """The alerts by key, without those that were accepted or collected before."""
        new: dict[Key, Alert] = {}
        for alert in alerts:
            log_id = alert.log_id
            if log_id not in self._accepted and log_id not in self._digest.alerts:
                new[key(alert)] = alert
        return new

    def _keep_in_mind(self, alerts: Sequence[Alert]) -> None:
        """Remember longest what Auth0 goes on repeating."""
        for alert in alerts:
            if alert.log_id in self._accepted:
                self._accepted.move_to_end(alert.log_id)

    # The sender.

    def _ensure_sender(self) -> bool:
        """Start a sender if there is none, or if it hangs; returns whether there is."""
        if self._sender and self._clock() <= self._started() + LOST_AFTER:
            return True
        if self._in_flight:
            self._pace.note(LATE, self._in_flight.started, goes_again=True)
        self._in_flight = None
        self._sender = None
        try:
            sender = self._thread(target=self._send_all, daemon=True)
            sender.start()  # it waits for the lock
        except RuntimeError:  # the machine has no thread to give
            log.exception("cannot start a thread; will retry with the next delivery")
            return False
        self._sender = sender
        return True

    def _started(self) -> float:
        """When the post in flight has started; infinity if none is in flight."""
        return self._in_flight.started if self._in_flight else math.inf

    def _is_given_up(self) -> bool:
        """Whether another sender has taken the place of this thread."""
        return self._sender is not threading.current_thread()

    def _send_all(self) -> None:
        """The sender: posts what is due, when it is due, until nothing is left."""
        with self._changed:
            while not self._is_given_up():
                try:
                    pause = self._due() - self._clock()
                    if pause == math.inf:
                        self._sender = None
                    elif pause > 0:
                        self._changed.wait(pause)
                    else:
                        self._send_message()
                except Exception:
                    log.exception("a bug in this service, please report it")
                    self._in_flight = None
                    self._pace.start_next_in(AFTER_A_BUG)
            self._changed.notify_all()  # for `close`

    def _due(self) -> float:
        """When the next message may go out; infinity while there is nothing to send."""
        if self._waiting:
            return self._pace.next_at
        return max(self._pace.next_at, self._digest.due())

    def _send_message(self) -> None:
        """Post a message for all that waits; the lock is released meanwhile."""
        batch = self._take_batch()
        self._in_flight = batch
        self._changed.release()
        try:
            outcome = self._post(batch)
        finally:
            self._changed.acquire()
        self._settle(batch, outcome)
        self._changed.notify_all()

    def _take_batch(self) -> Batch:
        """Take all that waits and all that is collected."""
        entries = self._waiting
        self._waiting = []
        only_counts = self._digest.only_counts
        waiting: list[Alert] = []
        for entry in entries:
            only_counts = only_counts or entry.only_counts
            waiting += entry.alerts
        collected = list(self._digest.alerts.values())
        alerts = collected + list(self._new_alerts(waiting).values())
        counts = Counter(alert.code for alert in alerts)
        return Batch(
            entries=entries,
            alerts=alerts,
            collected=len(collected),
            purpose=Purpose(
                only_counts=only_counts,
                is_digest=bool(collected),
                news=self._digest.news(counts),
                surges=self._digest.surges(counts),
            ),
            started=self._clock(),
            counts=counts,
        )

    def _post(self, batch: Batch) -> Outcome:
        """Build a message, post it, and log what became of it."""
        try:
            message = self._build(batch.alerts, batch.purpose)
            batch.named = message.named
            outcome = self._send(message)
        except Exception as error:
            log.exception("message failed: a bug in this service, please report it")
            reason = f"internal error ({type(error).__name__})"
            outcome = Outcome(Verdict.MALFORMED, reason, advice=REPORT)
        self._log(batch, outcome)
        return outcome

    def _log(self, batch: Batch, outcome: Outcome) -> None:
        """Write the message's line; for the same failure again, only at DEBUG."""
        now = self._clock()
        accepted = outcome.verdict is Verdict.ACCEPTED
        trouble = self._pace.standing.trouble
        outage = None
        if accepted and trouble:
            outage = f"{round(now - trouble.since)}s"
        said = {
            "deliveries": len(batch.entries),
            "alerts": len(batch.alerts),
            "collected": batch.collected,
            "form": "counts" if batch.purpose.only_counts else "full",
            "slack": outcome.status or "none",
            "ms": round((now - batch.started) * 1000),
            "outcome": outcome.verdict.value,
            "types": types_of(batch.counts),
            "channel": self._label,
            "outage": outage,
            "reason": "" if accepted else repr(outcome.reason),
            "advice": outcome.advice and repr(outcome.advice),
        }
        level = logging.INFO
        if outcome.verdict is Verdict.UNAVAILABLE:
            is_known = trouble and trouble.outcome.reason == outcome.reason
            level = logging.DEBUG if is_known else logging.WARNING
        elif not accepted:
            said["log_ids"] = _log_ids(batch.alerts)
            level = logging.ERROR
        elif outcome.advice:
            level = logging.WARNING
        log.log(level, f"message {facts(said)}")

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        """Record what became of a batch; what may still pass waits again."""
        if outcome.verdict is Verdict.ACCEPTED:
            self._remember(batch)
        unanswered = batch.unanswered()
        goes_again = False
        if self._is_given_up():
            # Its outcome is stale, but it counts against Slack's limit.
            soonest = self._clock() + INTERVAL
            self._pace.next_at = max(self._pace.next_at, soonest)
        else:
            self._in_flight = None
            goes_again = self._note(batch, outcome)
        if goes_again:
            self._waiting = unanswered + self._waiting
        else:
            for entry in unanswered:
                entry.outcome = outcome
        for entry in list(self._waiting):
            self._answer_at_once(entry, self._new_alerts(entry.alerts))
            if entry.outcome is not WAITS:
                self._waiting.remove(entry)

    def _note(self, batch: Batch, outcome: Outcome) -> bool:
        """Note what follows from an outcome; returns whether the same goes again."""
        goes_again = outcome.verdict is Verdict.UNAVAILABLE
        if outcome.verdict is Verdict.MALFORMED:
            goes_again = not batch.purpose.only_counts
        if outcome.verdict is not Verdict.UNAVAILABLE:
            # If Slack called the full message malformed, what it carried goes again, as
            # counts only. If it was accepted or refused, that is over.
            for entry in batch.entries:
                entry.only_counts = goes_again
            self._digest.only_counts = goes_again and batch.collected > 0
        self._pace.note(outcome, batch.started, goes_again)
        self._digest.note_refusal(
            outcome.verdict is not Verdict.ACCEPTED and not goes_again
        )
        return goes_again

    def _remember(self, batch: Batch) -> None:
        """Note what Slack has accepted; forget the oldest."""
        for alert in batch.alerts:
            if alert.log_id:
                self._accepted[alert.log_id] = None
        shown = {code: batch.counts[code] for code in batch.named}
        self._digest.posted(batch.alerts, shown)
        while len(self._accepted) > max(MAX_REMEMBERED, len(batch.alerts)):
            self._accepted.popitem(last=False)


def _log_ids(alerts: Sequence[Alert]) -> str:
    return ",".join(alert.log_id for alert in alerts[:MAX_LOGGED] if alert.log_id)
