"""The outbox: what waits for Slack, and the one thread that sends it.

Requests put a delivery in and wait for its outcome until their deadline. The sender, started by the
first of them, posts one message at a time for all that wait, a second after Slack's last answer, so
each delivery learns the true outcome of the message that carried it. What can wait for the digest
(digest.py) is collected and answered at once, and stays collected until Slack has accepted it.

The outbox alone owns what waits, what is collected, what Slack accepted, and when it may be posted
to again. No lock is held while posting.
"""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from alerts import Alert
from digest import Digest, key
from message import FORMS, Message
from slack import Outcome, Verdict, advice

# Seconds between two posts; Slack takes one message a second per webhook
# (https://docs.slack.dev/apis/web-api/rate-limits). They count from Slack's answer to the one
# before: only that proves that it had arrived, however long it travelled.
INTERVAL = 1.0
MIN_POST = 1.0  # seconds that a delivery must have left when a post takes it
LOST_AFTER = 60.0  # seconds; a post that takes longer is given up, and a new sender started
MAX_PAUSE = 4  # seconds; the pause after a failed post grows by 1 up to this
MAX_WAITING = 64  # deliveries; gunicorn.conf.py has threads for them and some more
MAX_REMEMBERED = 10_000  # log_ids that Slack accepted
MAX_LOGGED = 100  # log_ids in one line; platforms cut lines at about 10 kB
FULL = Outcome(Verdict.UNAVAILABLE, "too many deliveries at once")
BEHIND = Outcome(Verdict.UNAVAILABLE, "Slack has not answered the message before this one yet")
LATE = Outcome(Verdict.UNAVAILABLE, "Slack has not answered yet")

Build = Callable[[Sequence[Alert], str, bool], Message]  # the alerts, the form, whether a digest
Send = Callable[[Message], Outcome]

log = logging.getLogger(__name__)


def start_thread(function: Callable[[], None]) -> None:
    """Run a function on a thread that does not keep the process from ending."""
    threading.Thread(target=function, daemon=True).start()


@dataclass(eq=False)
class Delivery:
    """The alerts of one request, and in the end what became of them."""

    alerts: Sequence[Alert]
    deadline: float  # on the outbox's clock: the request must be answered by then
    collected: int = 0  # alerts that go out with the digest
    outcome: Outcome | None = None  # retry_after: until the digest, or until it may be sent again


@dataclass(frozen=True)
class Batch:
    """What one message carries, and since when it is being posted."""

    deliveries: list[Delivery]
    alerts: list[Alert]
    collected: int  # how many of the alerts are the digest
    since: float


class Outbox:
    """See the module. `clock`, `changed` and `start` are injected by the tests."""

    def __init__(
        self,
        build: Build,
        send: Send,
        digest_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        changed: threading.Condition | None = None,
        start: Callable[[Callable[[], None]], None] = start_thread,
    ) -> None:
        self._build, self._send, self._clock, self._start = build, send, clock, start
        self._changed = changed or threading.Condition()  # all waiting is done on it
        self._digest = Digest(digest_seconds)
        self._waiting: list[Delivery] = []
        self._in_flight: Batch | None = None
        self._sender: object | None = None  # stands for the thread that sends
        self._accepted: dict[str, None] = {}  # a set that remembers its order, oldest first
        self._trouble: Outcome | None = None  # the last post's, unless Slack accepted it
        self._failures = 0  # posts since Slack last took one, or said why it does not
        self._form = 0  # of the next message: the next one after what Slack calls malformed
        self._not_before = -math.inf  # when the next post may start
        self._stopping = False

    def deliver(self, alerts: Sequence[Alert], deadline: float) -> Delivery:
        """Have the alerts posted or collected; returns by the deadline, with the outcome.

        UNAVAILABLE carries the seconds after which to try again, and means that the alerts were
        not posted, or that Slack's answer did not come in time.
        """
        delivery = Delivery(alerts, deadline)
        with self._changed:
            self._waiting.append(delivery)
            self._answer_without_a_post()
            held = len(self._waiting) + (len(self._in_flight.deliveries) if self._in_flight else 0)
            if held > MAX_WAITING:
                self._give_up(delivery, FULL)
            self._wake_sender()
            while delivery.outcome is None:
                self._wait(delivery)
        return delivery

    def close(self, seconds: float) -> None:
        """Post what is collected, within the seconds; what cannot be posted is logged as lost."""
        with self._changed:
            self._stopping, end = True, self._clock() + seconds
            self._changed.notify_all()
            while self._digest.alerts and self._sender and (left := end - self._clock()) > 0:
                self._changed.wait(left)
            lost = list(self._digest.alerts.values())
        for i in range(0, len(lost), MAX_LOGGED):
            some = lost[i : i + MAX_LOGGED]
            types = dict(Counter(alert.code for alert in some))
            log.error("digest lost=%d of %d types=%s %s", len(some), len(lost), types, _ids(some))

    def _wait(self, delivery: Delivery) -> None:
        """Wait for a change while it can help the delivery; after that, give it up."""
        now, reason, end = self._clock(), LATE, delivery.deadline
        if delivery in self._waiting:
            reason = BEHIND if self._in_flight else self._trouble or BEHIND
            end = end - MIN_POST if self._not_before < end - MIN_POST else now
        if now < end:
            self._changed.wait(end - now)
        else:
            self._give_up(delivery, reason)

    def _give_up(self, delivery: Delivery, reason: Outcome) -> None:
        """Answer a delivery; if it was not posted yet, no later post will double it."""
        if delivery in self._waiting:
            self._waiting.remove(delivery)
        left = max(self._not_before - self._clock(), INTERVAL)
        delivery.outcome = replace(reason, retry_after=left)

    def _answer_without_a_post(self) -> None:
        """Answer the waiting deliveries that bring nothing new, or that join the digest."""
        now, digest = self._clock(), self._digest
        for delivery in list(self._waiting):
            if all(map(self._has, delivery.alerts)):
                delivery.outcome = Outcome(Verdict.ACCEPTED, "posted before")
            elif not self._trouble and not self._stopping and digest.takes(delivery.alerts, now):
                delivery.collected = digest.collect(self._new_alerts([delivery]))
                due = max(digest.due(), self._not_before) - now
                delivery.outcome = Outcome(Verdict.ACCEPTED, "collected", retry_after=due)
        self._waiting = [delivery for delivery in self._waiting if delivery.outcome is None]

    def _has(self, alert: Alert) -> bool:
        return alert.log_id in self._accepted or alert.log_id in self._digest.alerts

    def _new_alerts(self, deliveries: list[Delivery]) -> dict[str | int, Alert]:
        """The deliveries' alerts by key, without those accepted or collected before."""
        alerts = (alert for delivery in deliveries for alert in delivery.alerts)
        return {key(alert): alert for alert in alerts if not self._has(alert)}

    def _wake_sender(self) -> None:
        """Have a sender look at what is due: a new one where there is none, or one is lost."""
        lost = self._in_flight and self._clock() > self._in_flight.since + LOST_AFTER
        if self._due() < math.inf and (lost or not self._sender):
            self._in_flight, self._sender = None, object()
            self._start(partial(self._send_all, self._sender))
        self._changed.notify_all()

    def _send_all(self, sender: object) -> None:
        """The sender: posts what is due, when it is due, until there is nothing left."""
        while batch := self._next_batch(sender):
            outcome = self._post(batch)
            with self._changed:
                self._settle(batch, outcome)
                self._changed.notify_all()

    def _next_batch(self, sender: object) -> Batch | None:
        """Wait until a message is due, and take what it carries; None when the sender may end."""
        with self._changed:
            while self._sender is sender and (due := self._due()) < math.inf:
                if (now := self._clock()) < due:
                    self._changed.wait(due - now)
                    continue
                collected = list(self._digest.alerts.values())
                alerts = collected + list(self._new_alerts(self._waiting).values())
                self._in_flight = Batch(self._waiting, alerts, len(collected), since=now)
                self._waiting = []
                return self._in_flight
            if self._sender is sender:
                self._sender = None
            self._changed.notify_all()  # `close` waits for the sender's end too
        return None

    def _due(self) -> float:
        """When the next message may go out; infinity while there is nothing to send."""
        refused = self._trouble and not self._failures and not self._form
        if not self._waiting and (refused or not self._digest.alerts):
            return math.inf
        at_once = self._waiting or self._trouble or self._stopping
        return self._not_before if at_once else max(self._not_before, self._digest.due())

    def _post(self, batch: Batch) -> Outcome:
        """Build the batch's message, post it, and log what became of it."""
        form, started = FORMS[self._form], self._clock()
        try:
            outcome = self._send(self._build(batch.alerts, form, batch.collected > 0))
        except Exception as error:
            log.exception("message failed: a bug in this service, please report it")
            outcome = Outcome(Verdict.MALFORMED, f"internal error ({type(error).__name__})")
        line = (
            f"message deliveries={len(batch.deliveries)} alerts={len(batch.alerts)}"
            f" collected={batch.collected} form={form} slack={outcome.status or 'none'}"
            f" ms={(self._clock() - started) * 1000:.0f} outcome={outcome.verdict.value}"
        )
        if outcome.verdict is Verdict.ACCEPTED:
            log.info(line)
        elif outcome.verdict is Verdict.UNAVAILABLE:
            hold = f" hold={outcome.retry_after}s" if outcome.retry_after else ""
            log.warning("%s%s reason=%r", line, hold, outcome.reason)
        else:
            line += f" reason={outcome.reason!r} advice={advice(outcome)!r}"
            log.error("%s %s", line, _ids(batch.alerts))
        return outcome

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        """Record what became of a batch; what may still pass waits again."""
        accepted = outcome.verdict is Verdict.ACCEPTED
        if accepted:
            self._remember(batch.alerts)
        again = False
        if self._in_flight is batch:  # else it was given up, and says nothing of what came since
            self._in_flight, self._trouble = None, None if accepted else outcome
            self._failures = self._failures + 1 if outcome.verdict is Verdict.UNAVAILABLE else 0
            malformed = outcome.verdict is Verdict.MALFORMED
            self._form = (self._form + 1) % len(FORMS) if malformed else 0
            again = self._failures > 0 or self._form > 0
            pause = max(outcome.retry_after or min(self._failures, MAX_PAUSE), INTERVAL)
            self._not_before = self._clock() + pause
        unanswered = [delivery for delivery in batch.deliveries if delivery.outcome is None]
        if again:
            self._waiting[:0] = unanswered
        else:
            for delivery in unanswered:
                delivery.outcome = outcome
        self._answer_without_a_post()

    def _remember(self, alerts: list[Alert]) -> None:
        self._digest.posted(alerts, self._clock())
        self._accepted.update((alert.log_id, None) for alert in alerts if alert.log_id)
        for log_id in list(self._accepted)[: max(len(self._accepted) - MAX_REMEMBERED, 0)]:
            del self._accepted[log_id]


def _ids(alerts: list[Alert]) -> str:
    return "log_ids=" + ",".join(alert.log_id for alert in alerts[:MAX_LOGGED] if alert.log_id)
