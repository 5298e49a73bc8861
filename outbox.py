"""The outbox: what waits for Slack, and the one thread that sends it.

A request puts its delivery in, and waits for the outcome until its deadline. The sender
is a thread that is started when something is due and ends when nothing is left. It
posts one message at a time for all that waits, a second after Slack's last answer, so
that each delivery learns the true outcome of the message that carried it. What can wait
for the digest (digest.py) is collected and answered at once, and stays collected until
Slack has accepted it.

The outbox alone owns what waits, what is collected, what Slack accepted, and when it
may be posted to again. All of it is read and changed under one lock, which is not held
while a message is built and posted.
"""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from alerts import Alert
from digest import Digest, Key, key
from logs import facts, types_of
from message import Message, Purpose
from outcome import Outcome, Post, Verdict

# Seconds between two posts; Slack takes one message a second per webhook
# (https://docs.slack.dev/apis/web-api/rate-limits). They count from Slack's answer to
# the post before: only the answer proves that the post had arrived.
INTERVAL = 1.0
MIN_POST = 1.0  # seconds that a delivery must have left when a post takes it
# Seconds; a post that takes longer is given up, and a new sender is started.
LOST_AFTER = 60.0
MAX_PAUSE = 4  # seconds; the pause after failed posts grows by 1 up to this
LAST_TRY = 2.0  # seconds before the end of `close`, when even a hold is not obeyed
MAX_WAITING = 64  # deliveries; gunicorn.conf.py has threads for them and some more
MAX_REMEMBERED = 50_000  # log_ids that Slack accepted; at least all of one message
MAX_LOGGED = 100  # log_ids in one line; platforms cut lines at about 10 kB

FULL = Outcome(Verdict.UNAVAILABLE, "too many deliveries at once")
BEHIND = Outcome(
    Verdict.UNAVAILABLE, "Slack has not answered the message before this one yet"
)
REPORT = "these alerts are not shown; please report this as a bug"
LATE = Outcome(Verdict.UNAVAILABLE, "Slack has not answered yet")

# What builds a message for alerts, of which there is at least one.
Build = Callable[[Sequence[Alert], Purpose], Message]

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Delivery:
    """The alerts of one request, and in the end what became of them."""

    alerts: Sequence[Alert]
    deadline: float  # on the outbox's clock: the request must be answered by then
    repeated: int = 0  # alerts that had been posted or collected before it came
    collected: int = 0  # alerts that go out with the digest
    only_counts: bool = False  # so the next message must look that carries it
    outcome: Outcome | None = None  # None while it waits or is in flight
    # Seconds until the digest goes out, if ACCEPTED; until another try, if UNAVAILABLE.
    wait_seconds: float = 0.0


@dataclass(eq=False)
class Batch:
    """What one message carries."""

    deliveries: list[Delivery]
    alerts: list[Alert]  # those of the digest first
    collected: int  # alerts of the digest
    purpose: Purpose
    started: float
    counts: Counter[str]  # of the alerts, by log type
    named: frozenset[str] = frozenset()  # log types that the message names

    def unanswered(self) -> list[Delivery]:
        """The deliveries that still wait for the outcome."""
        return [one for one in self.deliveries if one.outcome is None]


class Outbox:
    """See the module. `clock`, `changed` and `thread` are injected by the tests."""

    def __init__(
        self,
        build: Build,
        send: Post,
        digest_seconds: float,
        max_waiting: int = MAX_WAITING,
        channel: str = "",
        clock: Callable[[], float] = time.monotonic,
        changed: threading.Condition | None = None,
        thread: Callable[..., threading.Thread] = threading.Thread,
    ) -> None:
        self._build = build
        self._send = send
        self._max_waiting = max_waiting
        self._channel = channel  # its name in the log, if there are several
        self._clock = clock
        self._changed = changed or threading.Condition()  # all waiting is done on it
        self._thread = thread
        self._digest = Digest(digest_seconds, clock)
        self._waiting: list[Delivery] = []
        self._in_flight: Batch | None = None
        self._sender: threading.Thread | None = None
        self._accepted: dict[str, None] = {}  # log_ids, as a set that knows the oldest
        self._trouble: Outcome | None = None  # the last post's, unless it was accepted
        self._failures = 0  # posts since Slack last said yes or no
        # When Slack refused the last message in all its forms. What is collected goes
        # out with the next delivery then, or is tried again after the longest wait.
        self._refused_at: float | None = None
        self._not_before = -math.inf  # when the next post may start
        self._stopping = False
        self._last_try = -math.inf  # while it stops: until then a hold is obeyed

    def put(self, alerts: Sequence[Alert], deadline: float) -> Delivery:
        """Put in a delivery, without waiting: `wait` gives it its outcome.

        The deadline is a time on the outbox's clock, for the answer to the request.
        """
        with self._changed:
            repeated = sum(map(self._has, alerts))
            delivery = Delivery(alerts, deadline, repeated)
            self._answer_at_once(delivery)
            if delivery.outcome is None:
                self._let_wait(delivery)
            self._wake_sender()
        return delivery

    def wait(self, delivery: Delivery) -> None:
        """Wait until the delivery has its outcome; it has one by its deadline.

        UNAVAILABLE means that its alerts were not posted, or that Slack's answer did
        not come in time, and that they may be sent again after `wait_seconds`.
        """
        with self._changed:
            while delivery.outcome is None:
                if delivery in self._waiting:
                    self._wait_for_a_post(delivery)
                else:
                    self._wait_for_slack(delivery)

    def stop(self, seconds: float = math.inf) -> None:
        """Collect nothing from now on, and post at once what is collected.

        If Slack has asked for a pause, what is collected is tried once before the
        seconds are over, even so.
        Does not wait. May be called more than once, and by a thread that holds the
        lock.
        """
        now = self._clock()
        with self._changed:
            self._last_try = now + seconds - LAST_TRY
            self._pause(self._not_before - now)
            self._stopping = True
            self._refused_at = None  # so that it is tried, whatever Slack said last
            self._wake_sender()

    def is_sending(self) -> bool:
        """Whether something is collected that the sender has not given up to post."""
        return bool(self._digest.alerts) and self._sender is not None

    def close(self, seconds: float) -> None:
        """Stop, and wait so many seconds at most until nothing is collected any more.

        What could not be posted is logged as lost.
        """
        end = self._clock() + seconds
        with self._changed:
            self.stop(seconds)
            while self._digest.alerts and self._sender and self._clock() < end:
                self._changed.wait(end - self._clock())
            lost = list(self._digest.alerts.values())
            self._digest.alerts.clear()  # it is said once, however often this is called
        for start in range(0, len(lost), MAX_LOGGED):
            some = lost[start : start + MAX_LOGGED]
            said = {
                "lost": f"{len(some)} of {len(lost)}",
                "types": types_of(Counter(alert.code for alert in some)),
                "channel": self._channel or None,
            }
            log.error(f"digest {facts(said)} {_log_ids(some)}")

    def _let_wait(self, delivery: Delivery) -> None:
        """Let a delivery wait for a post, if it is not one too many."""
        unanswered = list(self._waiting)
        if self._in_flight:
            unanswered += self._in_flight.unanswered()
        if len(unanswered) < self._max_waiting:
            self._waiting.append(delivery)
        else:
            self._give_up(delivery, FULL)

    def _wait_for_a_post(self, delivery: Delivery) -> None:
        """Wait while a post can still take the delivery; after that, withdraw it."""
        latest = delivery.deadline - MIN_POST
        if self._clock() < latest and self._not_before < latest:
            self._changed.wait(latest - self._clock())
        else:
            self._withdraw(delivery)

    def _wait_for_slack(self, delivery: Delivery) -> None:
        """Wait for the answer to the post that carries the delivery."""
        if self._clock() < delivery.deadline:
            self._changed.wait(delivery.deadline - self._clock())
        else:
            self._give_up(delivery, LATE)

    def _withdraw(self, delivery: Delivery) -> None:
        """Give up a delivery before a post took it, so that no later one doubles it."""
        self._waiting.remove(delivery)
        reason = BEHIND
        if self._trouble and not self._in_flight:
            reason = replace(self._trouble, verdict=Verdict.UNAVAILABLE)
        self._give_up(delivery, reason)

    def _give_up(self, delivery: Delivery, reason: Outcome) -> None:
        delivery.outcome = reason
        pause = self._not_before - self._clock()
        delivery.wait_seconds = max(pause, INTERVAL)

    def _answer_at_once(self, delivery: Delivery) -> None:
        """Answer a delivery that brings nothing new or can wait for the digest."""
        if all(map(self._has, delivery.alerts)):
            delivery.outcome = Outcome(Verdict.ACCEPTED, "posted before")
        elif self._can_collect(delivery):
            new = self._new_alerts([delivery])
            self._digest.collect(new)
            delivery.collected = len(new)
            delivery.outcome = Outcome(Verdict.ACCEPTED, "collected")
            delivery.wait_seconds = self._seconds_to_digest()

    def _seconds_to_digest(self) -> float:
        """How long what is collected now waits at most, if Slack accepts it then."""
        if self._in_flight:  # which does not carry it
            return self._digest.seconds
        now = self._clock()
        due = max(self._digest.due(), self._not_before, now)
        return due - now

    def _can_collect(self, delivery: Delivery) -> bool:
        """Whether the delivery can wait, and there is a sender to post it later."""
        if self._trouble or self._stopping:
            return False
        if not self._digest.takes(delivery.alerts):
            return False
        return self._sender is not None or self._start_sender()

    def _has(self, alert: Alert) -> bool:
        """Whether the alert was accepted by Slack, or is collected."""
        return alert.log_id in self._accepted or alert.log_id in self._digest.alerts

    def _new_alerts(self, deliveries: list[Delivery]) -> dict[Key, Alert]:
        """The deliveries' alerts by key, without those accepted or collected before."""
        new: dict[Key, Alert] = {}
        for delivery in deliveries:
            for alert in delivery.alerts:
                if not self._has(alert):
                    new[key(alert)] = alert
        return new

    # The sender.

    def _wake_sender(self) -> None:
        """Have a sender look at what is due; start one if none is there or it hangs."""
        self._changed.notify_all()
        if self._due() == math.inf:
            return
        if self._sender is None or self._is_hanging():
            self._start_sender()

    def _is_hanging(self) -> bool:
        """Whether the post in flight takes so long that it is to be given up."""
        if self._in_flight is None:
            return False
        return self._clock() > self._in_flight.started + LOST_AFTER

    def _start_sender(self) -> bool:
        """Start a sender, in the place of one before; returns whether there is one."""
        self._in_flight = None
        self._sender = None
        try:
            sender = self._thread(target=self._send_all, daemon=True)
            sender.start()  # it waits for the lock
        except RuntimeError:  # the machine has no thread to give
            log.exception("message waits for the next delivery: no thread to send it")
            return False
        self._sender = sender
        return True

    def _is_given_up(self) -> bool:
        """Whether another sender has taken the place of this thread."""
        return self._sender is not threading.current_thread()

    def _send_all(self) -> None:
        """The sender: posts what is due, when it is due, until nothing is left."""
        with self._changed:
            try:
                while not self._is_given_up() and self._due() < math.inf:
                    self._send_what_is_due()
            except Exception:
                log.exception("sender failed: a bug in this service, please report it")
                self._not_before = self._clock() + MAX_PAUSE
            finally:
                if not self._is_given_up():
                    self._sender = None
                    self._in_flight = None
                self._wake_sender()  # for what is left after an error

    def _send_what_is_due(self) -> None:
        """Post a message, or wait until one is due or something changes."""
        now = self._clock()
        due = self._due()
        if now < due:
            self._changed.wait(due - now)
            return
        late = [one for one in self._waiting if one.deadline - MIN_POST <= now]
        for delivery in late:
            self._withdraw(delivery)
        if not late:
            self._send_message()

    def _due(self) -> float:
        """When the next message may go out; infinity while there is nothing to send."""
        if self._waiting:
            return self._not_before
        if not self._digest.alerts:
            return math.inf
        if self._stopping:
            return self._not_before if self._refused_at is None else math.inf
        due = self._digest.due()
        if self._refused_at is not None:
            due = self._refused_at + self._digest.seconds
        return max(self._not_before, due)

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
        digest = self._digest
        deliveries = self._waiting
        self._waiting = []
        only_counts = digest.only_counts
        for delivery in deliveries:
            only_counts = only_counts or delivery.only_counts
        alerts = list(digest.alerts.values())
        alerts += self._new_alerts(deliveries).values()
        counts = Counter(alert.code for alert in alerts)
        return Batch(
            deliveries=deliveries,
            alerts=alerts,
            collected=len(digest.alerts),
            purpose=Purpose(
                only_counts=only_counts,
                is_digest=bool(digest.alerts),
                news=digest.news(counts),
                surges=digest.surges(counts),
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
        line = self._line(batch, outcome)
        if outcome.verdict is Verdict.ACCEPTED:
            log.info(line)
        elif outcome.verdict is Verdict.UNAVAILABLE:
            log.warning(f"{line} reason={outcome.reason!r}")
        else:
            why = f"reason={outcome.reason!r} advice={outcome.advice!r}"
            log.error(f"{line} {why} {_log_ids(batch.alerts)}")
        return outcome

    def _line(self, batch: Batch, outcome: Outcome) -> str:
        """What the log says of each message."""
        seconds = self._clock() - batch.started
        said = {
            "deliveries": len(batch.deliveries),
            "alerts": len(batch.alerts),
            "collected": batch.collected,
            "form": "counts" if batch.purpose.only_counts else "full",
            "slack": outcome.status or "none",
            "ms": round(seconds * 1000),
            "outcome": outcome.verdict.value,
            "types": types_of(batch.counts),
            "channel": self._channel or None,
        }
        return f"message {facts(said)}"

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        """Record what became of a batch; what may still pass waits again."""
        if outcome.verdict is Verdict.ACCEPTED:
            self._remember(batch)
        unanswered = batch.unanswered()
        if self._is_given_up():
            # Its answer says nothing of what was posted since, but Slack counts it.
            again = False
            soonest = self._clock() + INTERVAL
            self._not_before = max(self._not_before, soonest)
        else:
            self._in_flight = None
            again = self._set_pace(batch, outcome)
        if again:
            self._waiting = unanswered + self._waiting
        else:
            for delivery in unanswered:
                delivery.outcome = outcome
        for delivery in list(self._waiting):
            self._answer_at_once(delivery)
            if delivery.outcome is not None:
                self._waiting.remove(delivery)

    def _remember(self, batch: Batch) -> None:
        """Note what Slack has accepted; forget the oldest."""
        for alert in batch.alerts:
            if alert.log_id:
                self._accepted[alert.log_id] = None
        shown = {code: batch.counts[code] for code in batch.named}
        self._digest.posted(batch.alerts, shown)
        remembered = max(MAX_REMEMBERED, len(batch.alerts))
        too_many = max(len(self._accepted) - remembered, 0)
        for log_id in list(islice(self._accepted, too_many)):
            del self._accepted[log_id]

    def _set_pace(self, batch: Batch, outcome: Outcome) -> bool:
        """Say when and how to post next; returns whether the same may still pass."""
        self._refused_at = None
        if outcome.verdict is Verdict.ACCEPTED:
            self._trouble = None
            self._failures = 0
            self._pause(INTERVAL)
            return False
        self._trouble = outcome
        if outcome.verdict is Verdict.UNAVAILABLE:
            self._failures += 1
            pause = outcome.retry_after or min(self._failures, MAX_PAUSE)
            self._pause(max(pause, INTERVAL))
            return True
        self._failures = 0
        self._pause(INTERVAL)
        again = outcome.verdict is Verdict.MALFORMED and not batch.purpose.only_counts
        # So the next message must look that carries any of what this one carried.
        for delivery in batch.deliveries:
            delivery.only_counts = again
        self._digest.only_counts = again and batch.collected > 0
        if not again:
            self._refused_at = self._clock()
        return again

    def _pause(self, seconds: float) -> None:
        """Post nothing for so many seconds; a stop has a last try before its end."""
        now = self._clock()
        if now < self._last_try:
            longest = max(self._last_try - now, INTERVAL)
            seconds = min(seconds, longest)
        self._not_before = now + seconds


def _log_ids(alerts: Sequence[Alert]) -> str:
    log_ids = [alert.log_id for alert in alerts[:MAX_LOGGED] if alert.log_id]
    return "log_ids=" + ",".join(log_ids)
