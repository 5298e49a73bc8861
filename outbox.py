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
from itertools import islice
from typing import Any

from alerts import Alert
from digest import Digest, key
from message import FORMS, Message
from slack import Outcome, Verdict, advice

# Seconds between two posts; Slack takes one message a second per webhook
# (https://docs.slack.dev/apis/web-api/rate-limits). They count from Slack's answer to the one
# before: only that proves that it had arrived, however long it travelled.
INTERVAL = 1.0
MIN_POST = 1.0  # seconds that a delivery must have left when a post takes it
LOST_AFTER = (
    60.0  # seconds; a post that takes longer is given up, and a new sender started
)
MAX_PAUSE = 4  # seconds; the pause after a failed post grows by 1 up to this
MAX_WAITING = 64  # deliveries; gunicorn.conf.py has threads for them and some more
MAX_REMEMBERED = 50_000  # log_ids that Slack accepted; no less than a delivery may hold
MAX_LOGGED = 100  # log_ids in one line; platforms cut lines at about 10 kB
FULL = Outcome(Verdict.UNAVAILABLE, "too many deliveries at once")
BEHIND = Outcome(
    Verdict.UNAVAILABLE, "Slack has not answered the message before this one yet"
)
LATE = Outcome(Verdict.UNAVAILABLE, "Slack has not answered yet")

Build = Callable[..., Message]  # of the alerts, the form, and whether they are a digest
Send = Callable[[Message], Outcome]

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Delivery:
    """The alerts of one request, and in the end what became of them."""

    alerts: Sequence[Alert]
    deadline: float  # on the outbox's clock: the request must be answered by then
    collected: int = 0  # alerts that go out with the digest
    outcome: Outcome | None = (
        None  # retry_after: until the digest, or until it may be sent again
    )


class Outbox:
    """See the module. `clock`, `changed` and `thread` are injected by the tests."""

    def __init__(
        self,
        build: Build,
        send: Send,
        digest_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        changed: threading.Condition | None = None,
        thread: Callable[..., Any] = threading.Thread,
    ) -> None:
        self._build, self._send, self._clock, self._thread = build, send, clock, thread
        self._changed = changed or threading.Condition()  # all waiting is done on it
        self._digest = Digest(digest_seconds)
        self._waiting: list[Delivery] = []
        self._in_flight: list[Delivery] = []
        self._posting_since = math.inf
        self._sender: object | None = None  # stands for the thread that sends
        self._accepted: dict[
            str, None
        ] = {}  # a set that remembers its order, oldest first
        self._trouble: Outcome | None = (
            None  # the last post's, unless Slack accepted it
        )
        self._failures = 0  # posts since Slack last took one, or said why it does not
        self._form = (
            0  # of the next message: the next one after what Slack calls malformed
        )
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
            self._wake_sender()
            unanswered = [
                d for d in self._waiting + self._in_flight if d.outcome is None
            ]
            if len(unanswered) > MAX_WAITING:
                self._give_up(delivery, FULL)
            while delivery.outcome is None:
                self._wait(delivery)
        return delivery

    def stop(self) -> None:
        """Collect nothing from now on, and have what is collected posted at once."""
        with self._changed:
            self._stopping = True
            self._wake_sender()

    def is_collecting(self) -> bool:
        """Whether an alert is collected that Slack has not accepted yet."""
        return bool(self._digest.alerts)

    def close(self, seconds: float) -> None:
        """Post what is collected, within the seconds; what cannot be posted is logged as lost."""
        with self._changed:
            self._stopping, end = True, self._clock() + seconds
            self._wake_sender()
            while (
                self._digest.alerts
                and self._sender
                and (left := end - self._clock()) > 0
            ):
                self._changed.wait(left)
            lost = list(self._digest.alerts.values())
        for i in range(0, len(lost), MAX_LOGGED):
            some = lost[i : i + MAX_LOGGED]
            types = dict(Counter(alert.code for alert in some))
            log.error(
                f"digest lost={len(some)} of {len(lost)} types={types} {_log_ids(some)}"
            )

    def _wait(self, delivery: Delivery) -> None:
        """Wait for a change while it can help the delivery; after that, give it up."""
        now, reason, end = self._clock(), LATE, delivery.deadline
        if delivery in self._waiting:
            reason = (
                BEHIND if self._posting_since < math.inf else self._trouble or BEHIND
            )
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
            elif (
                not self._trouble
                and not self._stopping
                and digest.takes(delivery.alerts, now)
            ):
                new = self._new_alerts([delivery])
                digest.alerts.update(new)
                delivery.collected = len(new)
                due = max(digest.due(), self._not_before, now) - now
                delivery.outcome = Outcome(
                    Verdict.ACCEPTED, "collected", retry_after=due
                )
        self._waiting = [
            delivery for delivery in self._waiting if delivery.outcome is None
        ]

    def _has(self, alert: Alert) -> bool:
        return alert.log_id in self._accepted or alert.log_id in self._digest.alerts

    def _new_alerts(self, deliveries: list[Delivery]) -> dict[str | int, Alert]:
        """The deliveries' alerts by key, without those accepted or collected before."""
        alerts = (alert for delivery in deliveries for alert in delivery.alerts)
        return {key(alert): alert for alert in alerts if not self._has(alert)}

    def _wake_sender(self) -> None:
        """Have a sender look at what is due: a new one where there is none, or one is lost."""
        lost = self._clock() > self._posting_since + LOST_AFTER
        if self._due() < math.inf and (lost or not self._sender):
            self._in_flight, self._posting_since, self._sender = [], math.inf, object()
            try:
                self._thread(
                    target=self._send_all, args=(self._sender,), daemon=True
                ).start()
            except (
                RuntimeError
            ):  # the machine has no thread to give; the next delivery asks again
                self._sender = None
                log.exception("message waits: no thread to send it")
        self._changed.notify_all()

    def _send_all(self, sender: object) -> None:
        """The sender: posts what is due, when it is due, until there is nothing left."""
        with self._changed:
            while self._sender is sender and (due := self._due()) < math.inf:
                if (left := due - self._clock()) > 0:
                    self._changed.wait(left)
                else:
                    self._send_message()
            if self._sender is sender:  # else it was given up
                self._sender = None
            self._changed.notify_all()

    def _send_message(self) -> None:
        """Post a message for all that waits; the lock is released meanwhile."""
        batch, collected = self._waiting, len(self._digest.alerts)
        alerts = [*self._digest.alerts.values(), *self._new_alerts(batch).values()]
        self._waiting, self._in_flight, self._posting_since = [], batch, self._clock()
        self._changed.release()
        try:
            outcome = self._post(batch, alerts, collected)
        finally:
            self._changed.acquire()
        self._settle(batch, alerts, outcome)
        self._changed.notify_all()

    def _due(self) -> float:
        """When the next message may go out; infinity while there is nothing to send."""
        refused = self._trouble and not self._failures and not self._form
        if not self._waiting and (refused or not self._digest.alerts):
            return math.inf
        at_once = self._waiting or self._stopping
        return (
            self._not_before if at_once else max(self._not_before, self._digest.due())
        )

    def _post(
        self, batch: list[Delivery], alerts: list[Alert], collected: int
    ) -> Outcome:
        """Build a message, post it, and log what became of it."""
        form, started = FORMS[self._form], self._clock()
        try:
            outcome = self._send(self._build(alerts, form=form, digest=collected > 0))
        except Exception as error:
            log.exception("message failed: a bug in this service, please report it")
            outcome = Outcome(
                Verdict.MALFORMED, f"internal error ({type(error).__name__})"
            )
        line = (
            f"message deliveries={len(batch)} alerts={len(alerts)} collected={collected}"
            f" form={form} slack={outcome.status or 'none'}"
            f" ms={(self._clock() - started) * 1000:.0f} outcome={outcome.verdict.value}"
        )
        if outcome.verdict is Verdict.ACCEPTED:
            log.info(line)
        elif outcome.verdict is Verdict.UNAVAILABLE:
            log.warning(f"{line} reason={outcome.reason!r}")
        else:
            why = f"reason={outcome.reason!r} advice={advice(outcome)!r}"
            log.error(f"{line} {why} {_log_ids(alerts)}")
        return outcome

    def _settle(
        self, batch: list[Delivery], alerts: list[Alert], outcome: Outcome
    ) -> None:
        """Record what became of a batch; what may still pass waits again."""
        if outcome.verdict is Verdict.ACCEPTED:
            self._digest.posted(alerts, self._clock())
            self._accepted.update(
                (alert.log_id, None) for alert in alerts if alert.log_id
            )
            forgotten = max(len(self._accepted) - max(MAX_REMEMBERED, len(alerts)), 0)
            for log_id in list(islice(self._accepted, forgotten)):
                del self._accepted[log_id]
        again = False
        if (
            self._in_flight is batch
        ):  # else it was given up, and says nothing of what came since
            self._in_flight, self._posting_since = [], math.inf
            again = self._set_pace(outcome)
        unanswered = [delivery for delivery in batch if delivery.outcome is None]
        if again:
            self._waiting[:0] = unanswered
        else:
            for delivery in unanswered:
                delivery.outcome = outcome
        self._answer_without_a_post()

    def _set_pace(self, outcome: Outcome) -> bool:
        """Say when and in which form to post next; returns whether the same may still pass."""
        malformed = outcome.verdict is Verdict.MALFORMED
        self._trouble = None if outcome.verdict is Verdict.ACCEPTED else outcome
        self._failures = (
            self._failures + 1 if outcome.verdict is Verdict.UNAVAILABLE else 0
        )
        self._form = (self._form + 1) % len(FORMS) if malformed else 0
        pause = max(outcome.retry_after or min(self._failures, MAX_PAUSE), INTERVAL)
        self._not_before = self._clock() + pause
        return self._failures > 0 or self._form > 0


def _log_ids(alerts: list[Alert]) -> str:
    return "log_ids=" + ",".join(
        alert.log_id for alert in alerts[:MAX_LOGGED] if alert.log_id
    )
