"""The outbox: the deliveries that wait for Slack, and the one message that carries them all.

Group commit, as databases do it for their log: who finds no post in flight leads, and has one
message posted for all who wait; who comes meanwhile waits and goes with the next. So at most one
post is in flight, the next starts a second after Slack's answer, and every delivery learns the
true outcome of the message that carried it. The outbox is the only owner of what waits, what was
accepted, and when Slack may be posted to again. No lock is held while posting.

A post runs on a thread of its own, to its end: a request that must be answered before hears so,
and what Slack then says of it is still remembered. No timeout of requests bounds a name look-up,
or an answer that comes in drops.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from alerts import Alert
from message import Message
from slack import Outcome, Verdict, advice

# Seconds between two posts; Slack takes one message a second per webhook
# (https://docs.slack.dev/apis/web-api/rate-limits). They count from Slack's answer to the one
# before: only that proves that it had arrived, however long it travelled.
INTERVAL = 1.0
MIN_POST = 1.0  # seconds that a delivery must have left when a post takes it
LOST_AFTER = 60.0  # seconds; a post that takes longer is not waited for with the next
MAX_PAUSE = 4  # seconds; the pause after a failed post grows by 1 up to this
MAX_WAITING = 64  # deliveries; gunicorn.conf.py has threads for them and some more
MAX_REMEMBERED = 10_000  # log_ids that Slack accepted
MAX_LOGGED = 100  # log_ids in one line; platforms cut lines at about 10 kB
BUSY = Outcome(Verdict.UNAVAILABLE, "too many deliveries at once")
LATE = Outcome(Verdict.UNAVAILABLE, "Slack has not answered yet")

Build = Callable[[Sequence[Alert], bool], Message]  # the alerts; whether as plain text
Send = Callable[[Message], Outcome]


def start_thread(function: Callable[[], None]) -> None:
    """Run a function on a thread that does not keep the process from ending."""
    threading.Thread(target=function, daemon=True).start()


log = logging.getLogger(__name__)


@dataclass(eq=False)
class Delivery:
    """The alerts of one request, and in the end what became of them."""

    alerts: Sequence[Alert]
    deadline: float  # on the outbox's clock: the request must be answered by then
    plain: bool = False  # Slack refused the message's rich form
    duplicates: int = 0  # alerts that another delivery, or this one, had already
    outcome: Outcome | None = None


class Outbox:
    """See the module. `clock`, `changed` and `start` are injected by the tests."""

    def __init__(
        self,
        build: Build,
        send: Send,
        clock: Callable[[], float] = time.monotonic,
        changed: threading.Condition | None = None,
        start: Callable[[Callable[[], None]], None] = start_thread,
    ) -> None:
        self._build = build
        self._send = send
        self._clock = clock
        self._changed = changed or threading.Condition()  # all waiting is done on it
        self._start = start
        self._waiting: list[Delivery] = []
        self._in_flight: list[Delivery] = []
        self._lost_at = math.inf  # when what is in flight is given up
        self._accepted: dict[str, None] = {}  # a set that remembers its order, oldest first
        self._not_before = -math.inf  # when the next post may start
        self._failures = 0  # posts since Slack last accepted one
        self._obstacle = BUSY  # what keeps deliveries waiting

    def deliver(self, alerts: Sequence[Alert], deadline: float) -> Delivery:
        """Have the alerts posted; returns by the deadline, with the outcome.

        UNAVAILABLE carries the seconds after which to try again, and means that the alerts were
        not posted, or that Slack's answer did not come in time.
        """
        delivery = Delivery(alerts, deadline)
        with self._changed:
            self._waiting.append(delivery)
            self._complete_repeats()
            full = len(self._waiting) + len(self._in_flight) > MAX_WAITING
            if full and delivery.outcome is None:
                self._withdraw(delivery)
            while delivery.outcome is None:
                self._changed.wait(self._seconds_to_wait(delivery))
        return delivery

    def _seconds_to_wait(self, delivery: Delivery) -> float:
        """Do for a delivery what can be done now; returns how long nothing else can."""
        now, latest_start = self._clock(), delivery.deadline - MIN_POST
        if now >= self._lost_at:
            self._in_flight, self._lost_at = [], math.inf
        if delivery in self._in_flight:
            if now >= delivery.deadline:
                delivery.outcome = self._not_now(LATE)
            return delivery.deadline - now
        if max(now, self._not_before) >= latest_start:
            self._withdraw(delivery)
            return 0
        if self._in_flight:
            return latest_start - now
        if now < self._not_before:
            return self._not_before - now
        batch = self._in_flight = self._waiting
        self._waiting, self._lost_at = [], now + LOST_AFTER
        try:
            self._start(lambda: self._carry(batch))
        except RuntimeError as error:  # the machine has no thread to give
            self._settle(batch, [], False, Outcome(Verdict.UNAVAILABLE, str(error)))
        return 0

    def _carry(self, batch: list[Delivery]) -> None:
        """Post the batch's message and tell all its deliveries, whatever happens."""
        alerts, plain = self._not_yet_posted(batch), any(delivery.plain for delivery in batch)
        started = self._clock()
        try:
            outcome = self._send(self._build(alerts, plain))
        except Exception as error:
            log.exception("message failed: a bug in this service, please report it")
            outcome = Outcome(Verdict.REFUSED, f"internal error ({type(error).__name__})")
        milliseconds = (self._clock() - started) * 1000
        try:
            _log_message(len(batch), alerts, plain, outcome, milliseconds)
        finally:
            with self._changed:
                self._settle(batch, alerts, plain, outcome)
                self._changed.notify_all()

    def _not_yet_posted(self, batch: list[Delivery]) -> list[Alert]:
        """The batch's alerts, no event twice and none that Slack has accepted before."""
        alerts, seen = [], set()
        for delivery in batch:
            delivery.duplicates = 0
            for alert in delivery.alerts:
                log_id = alert.log_id
                if log_id and (log_id in self._accepted or log_id in seen):
                    delivery.duplicates += 1
                else:
                    alerts.append(alert)
                    seen.add(log_id)
        return alerts

    def _settle(
        self, batch: list[Delivery], alerts: list[Alert], plain: bool, outcome: Outcome
    ) -> None:
        """Record what became of a batch; what may still pass waits again."""
        if self._in_flight is batch:
            self._in_flight, self._lost_at = [], math.inf
        again, pause = False, INTERVAL
        if outcome.verdict is Verdict.ACCEPTED:
            self._failures, self._obstacle = 0, BUSY
            self._remember(alerts)
        elif outcome.verdict is Verdict.UNAVAILABLE:
            again, self._obstacle = True, outcome
            self._failures += 1
            pause = min(self._failures, MAX_PAUSE)
            if outcome.retry_after is not None:
                pause = max(outcome.retry_after, INTERVAL)
        elif outcome.verdict is Verdict.MALFORMED and not plain:
            again = True
            for delivery in batch:
                delivery.plain = True
        self._not_before = self._clock() + pause
        unanswered = [delivery for delivery in batch if delivery.outcome is None]
        if again:
            self._waiting[:0] = unanswered
        else:
            for delivery in unanswered:
                delivery.outcome = outcome
        self._complete_repeats()

    def _remember(self, alerts: Sequence[Alert]) -> None:
        self._accepted.update((log_id, None) for alert in alerts if (log_id := alert.log_id))
        for log_id in list(self._accepted)[: max(len(self._accepted) - MAX_REMEMBERED, 0)]:
            del self._accepted[log_id]

    def _complete_repeats(self) -> None:
        """Answer the waiting deliveries all of whose events Slack has accepted before."""
        for delivery in list(self._waiting):
            if all(alert.log_id in self._accepted for alert in delivery.alerts):
                self._waiting.remove(delivery)
                delivery.duplicates = len(delivery.alerts)
                delivery.outcome = Outcome(Verdict.ACCEPTED, "posted before")

    def _withdraw(self, delivery: Delivery) -> None:
        """Take a delivery back before it was posted, so that a later post cannot double it."""
        self._waiting.remove(delivery)
        delivery.outcome = self._not_now(self._obstacle)

    def _not_now(self, obstacle: Outcome) -> Outcome:
        """The obstacle, with the seconds after which to send the delivery again."""
        left = max(self._not_before - self._clock(), INTERVAL)
        return replace(obstacle, retry_after=left)


def _log_message(
    deliveries: int, alerts: list[Alert], plain: bool, outcome: Outcome, milliseconds: float
) -> None:
    """One line for a message; for a failure also why, and for a refusal what to do."""
    line = (
        f"message deliveries={deliveries} alerts={len(alerts)} form={'plain' if plain else 'rich'}"
        f" slack={outcome.status or 'none'} ms={milliseconds:.0f} outcome={outcome.verdict.value}"
    )
    if outcome.verdict is Verdict.ACCEPTED:
        log.info(line)
    elif outcome.verdict is Verdict.UNAVAILABLE:
        log.warning("%s reason=%r", line, outcome.reason)
    else:
        ids = ",".join(filter(None, (alert.log_id for alert in alerts[:MAX_LOGGED])))
        log.error("%s reason=%r advice=%r log_ids=%s", line, outcome.reason, advice(outcome), ids)
