"""The outbox: the deliveries that wait for Slack, and the one message that carries them all.

Group commit, as databases do it for their log: whoever finds no post in flight leads, and posts
one message for all who wait; who comes meanwhile waits and goes with the next. So at most one
post is in flight, the next starts a second after Slack's answer, and every delivery learns the
true outcome of the message that carried it. The outbox is the only owner of what waits, what was
accepted, and when Slack may be posted to again. No lock is held while posting.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from filters import Alert
from message import Message
from slack import Outcome, Verdict, advice

# Seconds between two posts; Slack takes one message a second per webhook
# (https://docs.slack.dev/apis/web-api/rate-limits). They count from Slack's answer to the one
# before: only that proves that it had arrived, however long it travelled.
INTERVAL = 1.0
MIN_POST = 1.0  # seconds that a post must have left, or its answer could come too late
MAX_PAUSE = 4.0  # seconds; the pause after a failed post grows from 1 to this
MAX_WAITING = 64  # deliveries; gunicorn.conf.py has threads for them and some more
MAX_REMEMBERED = 10_000  # log_ids that Slack accepted
MAX_LOGGED = 100  # log_ids in one line; platforms cut lines at about 10 kB
BUSY = Outcome(Verdict.UNAVAILABLE, "too many deliveries at once")
LATE = Outcome(Verdict.UNAVAILABLE, "Slack has not answered yet")
INTERRUPTED = Outcome(Verdict.UNAVAILABLE, "the post was interrupted")

Build = Callable[[Sequence[Alert], bool], Message]  # the alerts; whether as plain text
Send = Callable[[Message, float], Outcome]  # the message; the seconds it may take

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
    """See the module. `clock`, and `changed`, on which all waiting is done, are for the tests."""

    def __init__(
        self,
        build: Build,
        send: Send,
        clock: Callable[[], float] = time.monotonic,
        changed: threading.Condition | None = None,
    ) -> None:
        self._build = build
        self._send = send
        self._clock = clock
        self._changed = changed or threading.Condition()
        self._waiting: list[Delivery] = []
        self._in_flight: list[Delivery] = []
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
        while batch := self._await_turn(delivery):
            self._carry(batch, delivery)
        return delivery

    def _await_turn(self, delivery: Delivery) -> list[Delivery]:
        """Wait for the delivery's outcome; or, for its thread to lead, return all that wait."""
        latest_start = delivery.deadline - MIN_POST
        with self._changed:
            while delivery.outcome is None:
                now = self._clock()
                if delivery in self._in_flight:
                    until = delivery.deadline
                    if now >= until:  # should Slack accept it after all, that is remembered
                        delivery.outcome = self._not_now(LATE)
                        break
                elif max(now, self._not_before) >= latest_start:
                    self._withdraw(delivery)
                    break
                # Who has the most time left leads: a post is not cut short for those it carries.
                elif self._in_flight or delivery is not max(
                    self._waiting, key=attrgetter("deadline")
                ):
                    until = latest_start
                elif now < self._not_before:
                    until = self._not_before
                else:
                    self._in_flight, self._waiting = self._waiting, []
                    return self._in_flight
                self._changed.wait(until - now)
        return []

    def _carry(self, batch: list[Delivery], leader: Delivery) -> None:
        """Post the batch's message and tell all its deliveries, whatever happens."""
        alerts, plain = self._not_yet_posted(batch), any(delivery.plain for delivery in batch)
        started = self._clock()
        outcome = INTERRUPTED
        try:
            message = self._build(alerts, plain)
            started = self._clock()
            outcome = self._send(message, leader.deadline - started)
        except Exception as error:
            log.exception("message failed: a bug in this service, please report it")
            outcome = Outcome(Verdict.REFUSED, f"internal error ({type(error).__name__})")
        except BaseException:
            leader.outcome = outcome  # its thread ends here, so nobody would withdraw it
            raise
        finally:
            milliseconds = (self._clock() - started) * 1000
            with self._changed:
                self._settle(batch, alerts, plain, outcome)
                self._changed.notify_all()
            _log_message(len(batch), alerts, plain, outcome, milliseconds)

    def _not_yet_posted(self, batch: list[Delivery]) -> list[Alert]:
        """The batch's alerts, no event twice and none that Slack has accepted before."""
        alerts, seen = [], set()
        for delivery in batch:
            delivery.duplicates = 0
            for alert in delivery.alerts:
                log_id = _log_id(alert)
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
        self._in_flight = []
        again, pause = False, INTERVAL
        if outcome.verdict is Verdict.ACCEPTED:
            self._failures, self._obstacle = 0, BUSY
            self._remember(alerts)
        elif outcome.verdict is Verdict.UNAVAILABLE:
            again, self._obstacle = True, outcome
            self._failures += 1
            pause = min(2.0 ** (self._failures - 1), MAX_PAUSE)
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
        self._accepted.update((log_id, None) for alert in alerts if (log_id := _log_id(alert)))
        for log_id in list(self._accepted)[: max(len(self._accepted) - MAX_REMEMBERED, 0)]:
            del self._accepted[log_id]

    def _complete_repeats(self) -> None:
        """Answer the waiting deliveries all of whose events Slack has accepted before."""
        for delivery in list(self._waiting):
            if all(_log_id(alert) in self._accepted for alert in delivery.alerts):
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


def _log_id(alert: Alert) -> str:
    """The event's id, or an empty string, which is never remembered."""
    log_id = alert.event["log_id"]
    return log_id if isinstance(log_id, str) else ""


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
        ids = ",".join(filter(None, map(_log_id, alerts[:MAX_LOGGED])))
        log.error("%s reason=%r advice=%r log_ids=%s", line, outcome.reason, advice(outcome), ids)
