"""The outbox against random plans, in virtual time: what holds whatever happens.

`pytest --hypothesis-profile=thorough tests/test_outbox_model.py` runs thousands.
"""

import logging
import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from digest import BURST, HOUR
from outbox import LOST_AFTER, MIN_POST, Entry
from outcome import Outcome, Verdict
from pace import INTERVAL, MAX_PAUSE
from tests.outbox_world import (
    BUDGET,
    FAILED,
    MALFORMED,
    NO_SERVICE,
    OK,
    Built,
    World,
    alert,
    limited,
)

ROUNDING = 1e-6  # seconds
# Seconds between arrivals, so that none comes at the very moment of something else:
# which of the two is first would be a matter of luck.
UNLIKE = 0.001 * math.pi

# Of a delivery that is repeated: enough for Slack to be well again, however slow it is.
MAX_TRIES = 600

# What Slack does with a message, by name: whether it shows it, and what it answers.
SLACK: dict[str, tuple[bool, Outcome | Exception]] = {
    "ok": (True, OK),
    "failed": (False, FAILED),
    "answer lost": (True, FAILED),
    "limited": (False, limited(5)),
    "limited for long": (False, limited(120)),
    "refused": (False, NO_SERVICE),
    "malformed": (False, MALFORMED),
    "bug": (False, ValueError("injected")),
}


@dataclass
class Arrival:
    """A delivery: how long after the one before, and what is in it."""

    gap: float  # seconds
    code: str
    size: int
    known: bool  # whether its first alert has come before
    persistent: bool  # whether Auth0 repeats it until it is accepted


@dataclass
class Plan:
    """All that happens in one run."""

    longest: float  # seconds that the digest waits
    storm: bool  # whether the bucket is full at first
    arrivals: list[Arrival]
    answers: list[tuple[str, float]]  # Slack's: what, and after how many seconds
    no_threads: list[int] = field(default_factory=list)  # which starts fail
    stop_after: float = math.inf  # seconds after the last arrival
    sender_error: int = 0  # the how manieth look at the clock fails


@dataclass
class Post:
    """What Slack saw of a message."""

    message: Built
    started: float
    kind: str
    ended: float = math.inf

    def is_given_up(self) -> bool:
        """Whether it may be; it is where something else was to be sent."""
        return self.ended > self.started + LOST_AFTER


SECONDS = [0.05, 0.1, 0.3, 1.0, 1.2, 3.0, 9.0, 40.0, 70.0, 650.0]
arrivals = st.builds(
    Arrival,
    gap=st.sampled_from(SECONDS),
    code=st.sampled_from(["f", "f", "f", "fp", "unnamed"]),
    size=st.sampled_from([1, 1, 2, 12]),
    known=st.booleans(),
    persistent=st.booleans(),
)
answers = st.tuples(
    st.sampled_from(["ok", "ok", *SLACK]),
    st.sampled_from([0.1, 0.1, 0.7, 3.0, 8.5, 12.0, 70.0, 200.0]),
)
plans = {
    "longest": st.sampled_from([0.0, 20.0, 600.0, 3600.0]),
    "storm": st.booleans(),
    "arrivals": st.lists(arrivals, min_size=1, max_size=25),
    "answers": st.lists(answers, max_size=20),
}


class Model:
    """Runs a plan, and says what became of it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = World(digest=plan.longest)
        self.world.unnamed = frozenset({"unnamed"})
        self.answers = iter(plan.answers)
        self.posts: list[Post] = []
        self.delivered: list[tuple[float, float, list[str], Entry]] = []
        self.persistent: set[str] = set()  # log_ids of what is repeated until accepted
        self.stopping_at = math.inf
        self.stopped_at = math.inf
        self._starts = 0
        self._looks = 0
        self.world.outbox = self.world.make_outbox(
            send=self.send, clock=self.clock, thread=self.thread, max_waiting=6
        )

    def send(self, message: Built) -> Outcome:
        storming = self.plan.storm and len(self.posts) < BURST
        kind, seconds = ("ok", 0.1) if storming else next(self.answers, ("ok", 0.1))
        post = Post(message, self.world.time.now, kind)
        self.posts.append(post)
        self.world.time.sleep(seconds)
        post.ended = self.world.time.now
        outcome = SLACK[kind][1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def clock(self) -> float:
        """The time; one look of the sender's at it may fail, wherever in it that is."""
        if threading.current_thread().name == "sender":
            self._looks += 1
            if self._looks == self.plan.sender_error:
                raise MemoryError("injected")
        return self.world.time.now

    def thread(self, target: Callable[[], object], daemon: bool) -> threading.Thread:
        self._starts += 1
        if self._starts in self.plan.no_threads:
            raise RuntimeError("can't start new thread")

        def send() -> None:
            with suppress(MemoryError):  # of its very last step
                target()

        thread = self.world.time.thread(send, daemon)
        thread.name = "sender"
        return thread

    def run(self) -> None:
        now = 0.0
        log_ids: list[str] = []
        if self.plan.storm:
            for n in range(BURST):
                self.arrive(now, [f"storm{n}"], "f", False)
                now += INTERVAL + 0.2
        for arrival in self.plan.arrivals:
            now += arrival.gap + UNLIKE
            new = [f"{len(log_ids) + n}" for n in range(arrival.size)]
            log_ids += new
            known = [log_ids[len(log_ids) // 2]] if arrival.known else []
            self.arrive(now, known + new, arrival.code, arrival.persistent)
        if self.plan.no_threads or self.plan.sender_error:
            self.arrive(now + 3000, ["the next delivery"], "f", True)
        if self.plan.stop_after < math.inf:
            self.stop(now + self.plan.stop_after)
        self.world.run()

    def arrive(self, at: float, log_ids: list[str], code: str, repeat: bool) -> None:
        self.persistent.update(log_ids if repeat else [])

        def request() -> None:
            time = self.world.time
            time.sleep(at)
            for _ in range(MAX_TRIES if repeat else 1):
                alerts = [alert(log_id, code) for log_id in log_ids]
                deadline = time.now + BUDGET
                delivery = self.world.outbox.put(alerts, deadline)
                self.world.outbox.wait(delivery)
                self.delivered.append((time.now, deadline, log_ids, delivery))
                if delivery.outcome and delivery.outcome.verdict is Verdict.ACCEPTED:
                    return
                again = (delivery.outcome and delivery.outcome.retry_after) or 1
                time.sleep(min(again, 60))

        self.world.at_once(request)

    def stop(self, at: float) -> None:
        def close() -> None:
            self.world.time.sleep(at)
            self.stopping_at = self.world.time.now
            self.world.outbox.stop(13)
            self.world.time.sleep(3)
            self.world.outbox.close(10)
            self.stopped_at = self.world.time.now

        self.world.at_once(close)

    def shown(self, until: float = math.inf) -> set[str]:
        """The log_ids of what Slack has shown."""
        shown: set[str] = set()
        for post in self.posts:
            if SLACK[post.kind][0] and post.ended <= until:
                shown.update(post.message.log_ids)
        return shown

    def accepted(self) -> Iterator[tuple[float, list[str], Entry]]:
        """When deliveries were answered 200, and what was in them."""
        for answered, _, log_ids, delivery in self.delivered:
            if delivery.outcome and delivery.outcome.verdict is Verdict.ACCEPTED:
                yield answered, log_ids, delivery


def check_answers(model: Model) -> None:
    """Each by its deadline; 200 only for what is shown, or is shown in the end."""
    shown = model.shown()
    for answered, deadline, _, delivery in model.delivered:
        assert delivery.outcome
        assert answered <= deadline + ROUNDING
    for answered, log_ids, _ in model.accepted():
        assert shown.issuperset(log_ids)
        collected: set[str] = set()
        for at, others, delivery in model.accepted():
            if delivery.collected and at <= answered + ROUNDING:
                collected.update(others)
        assert model.shown(answered) | collected >= set(log_ids)


def check_withdrawn(model: Model) -> None:
    """Nothing is posted for a delivery that was told, or is soon told, that it is not.

    Auth0 sends it again, and then it would be doubled.
    """
    for post in model.posts:
        wanted: set[str] = set()
        for answered, deadline, log_ids, delivery in model.delivered:
            has_come = deadline - BUDGET < post.started + ROUNDING
            in_time = post.started <= min(answered, deadline - MIN_POST) + ROUNDING
            if has_come and (in_time or delivery.collected):
                wanted.update(log_ids)
        assert wanted.issuperset(post.message.log_ids)


def check_persistent(model: Model) -> None:
    """What Auth0 repeats is accepted in the end."""
    accepted: set[str] = set()
    for _, log_ids, _ in model.accepted():
        accepted.update(log_ids)
    assert accepted.issuperset(model.persistent)


def check_collected(model: Model) -> None:
    """Only what a message has named within the hour, and only while Slack accepts."""
    for answered, log_ids, delivery in model.accepted():
        if not delivery.collected:
            continue
        before = [post for post in model.posts if post.ended <= answered]
        last = max(before, key=lambda post: post.ended)
        assert last.kind == "ok" or last.is_given_up()
        assert answered <= model.stopping_at
        named: set[str] = set()
        for post in model.posts:
            if SLACK[post.kind][0] and answered - HOUR < post.ended <= answered:
                named |= post.message.named
        assert {one.code for one in delivery.alerts} <= named, log_ids


def check_retries(model: Model) -> None:
    """What failed is tried again while its deliveries have the time."""
    for answered, deadline, log_ids, _ in model.delivered:
        for post in model.posts:
            is_in_it = set(log_ids) & set(post.message.log_ids)
            soon = post.ended + MAX_PAUSE
            was_there = deadline - BUDGET < post.started and post.ended < answered
            has_time = soon < deadline - MIN_POST
            if post.kind == "failed" and is_in_it and was_there and has_time:
                starts = [after.started for after in model.posts]
                assert any(post.ended < at <= soon + ROUNDING for at in starts)


def check_no_doubles(model: Model) -> None:
    """No alert is posted once Slack's answer has come that it is shown."""
    for n, post in enumerate(model.posts):
        assert len(set(post.message.log_ids)) == len(post.message.log_ids)
        for before in model.posts[:n]:
            if before.kind == "ok" and before.ended < post.started - ROUNDING:
                assert not set(before.message.log_ids) & set(post.message.log_ids)


def check_pace(model: Model) -> None:
    """A second after each answer; two at once only where one was given up."""
    for n, post in enumerate(model.posts):
        for before in model.posts[:n]:
            if before.ended > post.started - ROUNDING:
                assert post.started > before.started + LOST_AFTER
                continue
            assert post.started >= before.ended + INTERVAL - ROUNDING
            is_hold = before.kind.startswith("limited") and not before.is_given_up()
            if is_hold and not model.plan.sender_error:
                _, answer = SLACK[before.kind]
                assert isinstance(answer, Outcome)
                hold = min(answer.retry_after or 0, model.stopped_at - before.ended)
                assert post.started >= before.ended + hold - 2 - ROUNDING


def check(plan: Plan) -> None:
    model = Model(plan)
    model.run()
    check_answers(model)
    check_withdrawn(model)
    check_persistent(model)
    check_collected(model)
    check_retries(model)
    check_no_doubles(model)
    check_pace(model)


@given(plan=st.builds(Plan, **plans))
def test_nothing_is_lost_or_doubled_or_late_or_too_fast(plan: Plan) -> None:
    check(plan)


@given(plan=st.builds(Plan, **plans, no_threads=st.lists(st.integers(1, 20))))
def test_the_same_while_there_may_be_no_thread_to_send(plan: Plan) -> None:
    check(plan)


@given(plan=st.builds(Plan, **plans, sender_error=st.integers(1, 200)))
def test_the_same_but_for_doubles_with_an_error_somewhere_in_the_sender(
    plan: Plan,
) -> None:
    model = Model(plan)
    model.run()
    for answered, deadline, _, _ in model.delivered:
        assert answered <= deadline + ROUNDING
    for _, log_ids, _ in model.accepted():
        assert model.shown().issuperset(log_ids)
    check_pace(model)
    last = model.delivered[-1][3]
    assert last.outcome
    assert last.outcome.verdict is Verdict.ACCEPTED


@given(plan=st.builds(Plan, **plans, stop_after=st.sampled_from([0.2, 5, 100])))
def test_a_stop_posts_what_was_collected_or_says_what_is_lost(plan: Plan) -> None:
    lost: set[str] = set()

    class Lost(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = record.getMessage()
            if line.startswith("digest lost="):
                lost.update(re.sub(".* log_ids=", "", line).split(","))

    handler = Lost()
    log = logging.getLogger("outbox")
    log.addHandler(handler)
    try:
        model = Model(plan)
        model.run()
    finally:
        log.removeHandler(handler)
    check_collected(model)
    check_no_doubles(model)
    check_pace(model)
    in_flight = [post for post in model.posts if post.ended > model.stopping_at]
    assert not lost or in_flight
    for answered, log_ids, _ in model.accepted():
        if answered <= model.stopped_at:
            assert model.shown(model.stopped_at) | lost >= set(log_ids)
