"""The outbox under contention, in virtual time: nothing lost, doubled or wedged."""

import itertools
import logging
import re
import time
from collections.abc import Sequence
from typing import Any

import pytest

from alerts import Alert
from digest import Digest
from message import Message, Purpose
from outbox import (
    LATE,
    LATE_AFTER,
    LOST_AFTER,
    MAX_REMEMBERED,
    MAX_WAITING,
    MIN_POST,
    Outbox,
)
from outcome import Outcome, Verdict
from pace import INTERVAL, MAX_PAUSE, Trouble
from tests.outbox_world import (
    BUDGET,
    FAILED,
    MALFORMED,
    NO_SERVICE,
    OK,
    World,
    alert,
    limited,
)


def test_a_lone_alert_goes_out_at_once() -> None:
    world = World()
    world.arrive(5, "a", "1")
    world.run()
    assert world.posts == [(5, ["1"])]
    assert world.verdict("a") is Verdict.ACCEPTED
    assert world.answered_at("a") == pytest.approx(5.1)


def test_deliveries_that_arrive_meanwhile_go_out_together_in_their_order() -> None:
    world = World(seconds=0.3)
    world.arrive(0.0, "first", "1a", "1b")
    world.arrive(0.1, "in flight", "2")
    world.arrive(0.4, "within the second", "3a", "3b")
    world.arrive(0.9, "still within it", "4")
    world.arrive(5.0, "later", "5")
    world.run()
    assert world.posts == [
        (0, ["1a", "1b"]),
        (pytest.approx(0.3 + INTERVAL), ["2", "3a", "3b", "4"]),
        (5, ["5"]),
    ]
    assert world.answered_at("first") == pytest.approx(0.3)
    for name in ("in flight", "within the second", "still within it"):
        assert world.answered_at(name) == pytest.approx(0.3 + INTERVAL + 0.3)
        assert world.verdict(name) is Verdict.ACCEPTED


def test_posts_start_a_second_apart_also_when_formatting_takes_long() -> None:
    world = World()
    slow = iter([0.5, 0.0])
    build = world.build

    def slow_build(alerts: Sequence[Alert], purpose: Purpose) -> Any:
        world.time.sleep(next(slow))
        return build(alerts, purpose)

    world.outbox = world.make_outbox(build=slow_build)
    world.arrive(0.0, "a", "1")
    world.arrive(0.1, "b", "2")
    world.run()
    assert world.starts == pytest.approx([0.5, 0.6 + INTERVAL])


def test_64_threads_at_once_make_two_messages() -> None:
    world = World()
    for n in range(MAX_WAITING):
        world.arrive(0.0, f"{n}", f"{n}")
    world.run()
    assert len(world.posts) <= 2
    assert sorted(world.posted) == sorted(f"{n}" for n in range(MAX_WAITING))
    assert all(world.verdict(name) is Verdict.ACCEPTED for name in world.answers)


def test_one_delivery_too_many_is_answered_at_once_and_not_posted() -> None:
    world = World(seconds=5)
    world.arrive(0, "before", "known")
    for n in range(MAX_WAITING):
        world.arrive(10, f"{n}", n)
    world.arrive(11, "too many", "too many")
    world.arrive(12, "repeat", "known")
    world.run()
    assert world.verdict("too many") is Verdict.UNAVAILABLE
    assert world.answered_at("too many") == 11
    assert "too many" not in world.posted
    assert world.verdict("repeat") is Verdict.ACCEPTED
    assert world.answered_at("repeat") == 12


def test_a_flood_through_slacks_faults_loses_and_doubles_nothing() -> None:
    faults: list[Outcome | BaseException] = [
        OK,
        limited(2),
        FAILED,
        OK,
        FAILED,
        FAILED,
        limited(30),
        MALFORMED,
    ]
    world = World(*faults, seconds=0.2)
    for n in range(200):
        world.arrive(n * 0.05, f"{n}", *(f"{n}.{i}" for i in range(10)), repeat=True)
    world.run()
    assert all(world.verdict(name) is Verdict.ACCEPTED for name in world.answers)
    assert len(world.shown) == len(set(world.shown)) == 2000
    gaps = [after - before for before, after in itertools.pairwise(world.starts)]
    assert min(gaps) >= INTERVAL - 1e-9


# Slack cannot take it now.


def test_failures_are_retried_after_growing_pauses() -> None:
    world = World(*[FAILED] * 3, seconds=0.1)
    world.arrive(0, "a", "1")
    world.run()
    assert world.verdict("a") is Verdict.ACCEPTED
    assert world.starts == pytest.approx([0, 1.1, 3.2, 6.3])


def test_a_retry_carries_what_has_arrived_since() -> None:
    world = World(FAILED)
    world.arrive(0, "a", "1")
    world.arrive(0.05, "while it is in flight", "2")
    world.arrive(0.5, "b", "3")
    world.run()
    assert [log_ids for _, log_ids in world.posts] == [["1"], ["1", "2", "3"]]


def test_after_many_failures_the_pause_stays_bounded_and_success_ends_it() -> None:
    world = World(*[FAILED] * 6)
    world.arrive(0, "patient", "1", budget=60)
    world.arrive(50, "later", "2")
    world.run()
    gaps = [after - before for before, after in itertools.pairwise(world.starts)]
    assert gaps[:6] == pytest.approx([pause + 0.1 for pause in (1, 2, 3, 4, 4, 4)])
    assert max(gaps[:6]) <= MAX_PAUSE + 0.1 + 1e-9
    assert world.posts[-1] == (50, ["2"])


def test_when_the_budget_ends_the_delivery_is_withdrawn_and_never_posted_later() -> (
    None
):
    world = World(*[FAILED] * 9)
    world.arrive(0, "a", "1")
    world.arrive(40, "b", "2")
    world.run()
    assert world.verdict("a") is Verdict.UNAVAILABLE
    assert world.answered_at("a") <= BUDGET
    assert world.outcome("a").reason == "Slack failed: HTTP 500"
    assert all(at < BUDGET for at, log_ids in world.posts if "1" in log_ids)


def test_a_delivery_that_waits_behind_a_hanging_post_is_withdrawn_in_time() -> None:
    world = World(seconds=100)
    world.arrive(0.0, "in flight", "1")
    world.arrive(0.1, "behind", "2", budget=5)
    world.run()
    assert world.answered_at("in flight") == pytest.approx(BUDGET)
    assert world.answered_at("behind") == pytest.approx(0.1 + 5 - MIN_POST)
    assert world.verdict("in flight") is world.verdict("behind") is Verdict.UNAVAILABLE
    assert world.posted == ["1"]


def test_429_holds_all_posts_until_retry_after_has_passed() -> None:
    world = World(limited(3))
    world.arrive(0.0, "a", "1")
    world.arrive(1.0, "b", "2")
    world.run()
    assert world.posts == [(0, ["1"]), (pytest.approx(3.1), ["1", "2"])]


def test_429_beyond_the_budget_is_answered_at_once_with_the_seconds_left() -> None:
    world = World(limited(60))
    world.arrive(0.0, "a", "1")
    world.arrive(20.0, "b", "2")
    world.arrive(55.0, "c", "3")
    world.run()
    assert world.answered_at("a") == pytest.approx(0.1)
    assert world.outcome("a").reason == "Slack's rate limit is reached"
    assert world.outcome("a").retry_after == pytest.approx(60)
    assert world.outcome("a").status == 429
    assert world.answered_at("b") == 20
    assert world.outcome("b").retry_after == pytest.approx(40.1)
    assert world.verdict("c") is Verdict.ACCEPTED
    assert world.posts == [(0, ["1"]), (pytest.approx(60.1), ["3"])]


def test_a_follower_whose_deadline_comes_first_gives_up_and_is_not_posted_again() -> (
    None
):
    world = World(OK, seconds=4)
    world.arrive(0.0, "first", "0")
    world.arrive(0.1, "leader", "1", budget=20)
    world.arrive(0.2, "follower", "2", budget=6)
    world.arrive(15.0, "redelivered", "2")
    world.run()
    assert world.answered_at("follower") == pytest.approx(6.2)
    assert world.verdict("follower") is Verdict.UNAVAILABLE
    assert world.verdict("leader") is Verdict.ACCEPTED
    assert world.verdict("redelivered") is Verdict.ACCEPTED
    assert world.answered_at("redelivered") == 15
    assert world.posted == ["0", "1", "2"]


# Slack refuses it.


def test_a_refusal_reaches_all_it_carried_and_is_not_retried() -> None:
    world = World(OK, NO_SERVICE)
    world.arrive(0.0, "first", "1")
    world.arrive(0.1, "a", "2")
    world.arrive(0.2, "b", "3")
    world.run()
    assert world.outcome("a") == world.outcome("b") == NO_SERVICE
    assert len(world.posts) == 2


def test_a_malformed_message_is_sent_once_more_as_counts_a_second_later() -> None:
    world = World(MALFORMED)
    world.arrive(0, "a", "1")
    world.arrive(5, "b", "2")
    world.run()
    assert world.verdict("a") is Verdict.ACCEPTED
    assert world.posted == ["1", "1", "2"]
    assert world.starts == pytest.approx([0, 0.1 + INTERVAL, 5])
    assert world.forms == ["full", "counts", "full"]


def test_what_is_malformed_in_full_goes_out_as_counts_with_its_neighbours() -> None:
    world = World(OK, MALFORMED)
    world.arrive(0.0, "first", "0")
    world.arrive(0.1, "poison", "1")
    world.arrive(0.2, "neighbour", "2")
    world.arrive(1.5, "neighbour of the counts", "3")
    world.arrive(9.0, "later", "4")
    world.run()
    assert all(world.verdict(name) is Verdict.ACCEPTED for name in world.answers)
    assert world.posts == [
        (0, ["0"]),
        (pytest.approx(1.1), ["1", "2"]),
        (pytest.approx(2.2), ["1", "2", "3"]),
        (9, ["4"]),
    ]
    assert world.forms == ["full", "full", "counts", "full"]


def test_what_is_malformed_even_as_counts_is_refused() -> None:
    world = World(MALFORMED, MALFORMED)
    world.arrive(0, "a", "1")
    world.arrive(20, "b", "2")
    world.run()
    assert world.outcome("a") == MALFORMED
    assert world.forms == ["full", "counts", "full"]


@pytest.mark.parametrize("seconds", [8.5, 9.5])
def test_the_form_of_a_message_that_was_refused_late_does_not_stick(
    seconds: float,
) -> None:
    """Too late to try the counts; with 9.5 s the delivery is answered by then."""
    world = World(MALFORMED, seconds=seconds)
    world.arrive(0, "poison", "1")
    world.arrive(8.2, "waits meanwhile", "2")
    world.arrive(30, "unrelated", "3")
    world.run()
    assert world.verdict("poison") is Verdict.UNAVAILABLE
    assert [log_ids for _, log_ids in world.posts] == [["1"], ["2"], ["3"]]
    assert world.forms == ["full", "full", "full"]


def test_refusals_are_logged_with_advice_and_log_ids(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(NO_SERVICE)
    world.arrive(0, "a", "9001", "9002", "")
    world.run()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "no_service" in record.getMessage()
    assert "make a new one" in record.getMessage()
    assert record.getMessage().endswith("log_ids=9001,9002")


def test_the_fallback_to_counts_is_logged_as_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World(MALFORMED)
    world.arrive(0, "a", "1")
    world.run()
    full, counts = (record.getMessage() for record in caplog.records)
    assert " collected=0 form=full slack=400 ms=100 outcome=malformed" in full
    assert " collected=0 form=counts slack=200 ms=100 outcome=accepted" in counts


def test_a_message_is_logged_with_how_many_deliveries_it_carried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World(OK, FAILED)
    world.arrive(0.0, "a", "1")
    world.arrive(0.1, "b", "2", "3")
    world.arrive(0.2, "c", "4")
    world.run()
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [
        (
            "INFO",
            "message deliveries=1 alerts=1 collected=0 form=full slack=200 ms=100"
            " outcome=accepted types=f:1",
        ),
        (
            "WARNING",
            "message deliveries=2 alerts=3 collected=0 form=full slack=500 ms=100"
            " outcome=unavailable types=f:3 reason='Slack failed: HTTP 500'",
        ),
        (
            "INFO",
            "message deliveries=2 alerts=3 collected=0 form=full slack=200 ms=100"
            " outcome=accepted types=f:3 outage=1s",
        ),
    ]


def test_the_line_has_the_most_frequent_log_types_and_nothing_that_breaks_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World(seconds=0.5)
    world.arrive(0.0, "first", "0", code="fp")
    world.arrive(0.1, "a", "1", code="limit_wc")
    world.arrive(0.2, "b", "2", "3", code="x y\n=,:")
    for n in range(20):
        world.arrive(0.3, f"{n}", f"{n}.1", f"{n}.2", f"{n}.3", code=f"type-{n % 10}")
    world.run()
    first, second = (record.getMessage() for record in caplog.records)
    assert first.endswith(" outcome=accepted types=fp:1")
    types = second.partition(" types=")[2].split(",")
    assert sorted(types) == [f"type-{n}:6" for n in range(10)]
    world.arrive(0, "c", "4", "5", code="x y\n=,:é")
    world.run()
    assert caplog.messages[-1].endswith(" types=xy:2")


def test_the_lines_of_a_channel_have_its_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World(OK, NO_SERVICE)
    world.outbox = world.make_outbox(label="SECURITY")
    world.arrive(0, "a", "1")
    world.arrive(5, "b", "2")
    world.run()
    accepted, refused = caplog.messages
    assert accepted.endswith(" types=f:1 channel=SECURITY")
    assert " types=f:1 channel=SECURITY reason='no_service' advice=" in refused


# Several channels: put into each, then waited for.


def test_to_put_a_delivery_in_takes_no_time() -> None:
    world = World()

    def request() -> None:
        delivery = world.outbox.put([alert("1")], BUDGET)
        assert (world.time.now, delivery.outcome) == (0, None)
        world.outbox.wait(delivery)
        assert (world.time.now, delivery.outcome) == (0.1, OK)

    world.time.run(request)


def test_how_many_may_wait_is_the_channels_own() -> None:
    world = World(seconds=5)
    world.outbox = world.make_outbox(max_waiting=2)
    world.arrive(0.0, "in flight", "1")
    world.arrive(0.1, "waits", "2")
    world.arrive(0.2, "too many", "3")
    world.arrive(5.5, "room again", "4")
    world.run()
    assert world.outcome("too many").reason == "too many deliveries at once"
    assert world.answered_at("too many") == 0.2
    assert world.posted == ["1", "2", "4"]


# No doubles.


def test_a_redelivery_is_counted_as_delivered_and_not_posted_again() -> None:
    world = World()
    world.arrive(0, "a", "1", "2")
    world.arrive(5, "again", "1", "2")
    world.arrive(6, "partly", "2", "3")
    world.run()
    assert world.posts == [(0, ["1", "2"]), (6, ["3"])]
    assert world.verdict("again") is Verdict.ACCEPTED
    assert world.answered_at("again") == 5
    repeated = {name: one.repeated for name, (_, one) in world.answers.items()}
    assert repeated == {"a": 0, "again": 2, "partly": 1}


def test_a_repeat_within_a_delivery_is_posted_once() -> None:
    world = World()
    world.arrive(0, "a", "1", "1", "2")
    world.run()
    assert world.posts == [(0, ["1", "2"])]


def test_a_repeat_while_the_first_waits_joins_its_outcome() -> None:
    world = World(OK, NO_SERVICE)
    world.arrive(0.0, "first", "0")
    world.arrive(0.1, "a", "1")
    world.arrive(0.2, "b", "1")
    world.run()
    assert world.posted == ["0", "1"]
    assert world.verdict("a") is world.verdict("b") is Verdict.REFUSED


def test_a_repeat_while_the_first_is_in_flight_is_answered_with_it() -> None:
    world = World(seconds=0.5)
    world.arrive(0.0, "a", "1")
    world.arrive(0.1, "b", "1")
    world.run()
    assert world.posts == [(0, ["1"])]
    assert world.answered_at("b") == pytest.approx(0.5)
    assert world.verdict("b") is Verdict.ACCEPTED


def test_a_repeat_of_what_failed_in_flight_is_posted() -> None:
    world = World(NO_SERVICE, seconds=0.5)
    world.arrive(0.0, "a", "1")
    world.arrive(0.1, "b", "1")
    world.run()
    assert world.verdict("a") is Verdict.REFUSED
    assert world.verdict("b") is Verdict.ACCEPTED


def test_when_the_first_is_withdrawn_its_repeat_is_still_posted() -> None:
    world = World(seconds=4)
    world.arrive(0.0, "in flight", "0")
    world.arrive(0.1, "a", "1", budget=3)
    world.arrive(0.2, "b", "1")
    world.run()
    assert world.verdict("a") is Verdict.UNAVAILABLE
    assert world.verdict("b") is Verdict.ACCEPTED
    assert world.posted == ["0", "1"]


def test_events_without_a_log_id_are_never_merged() -> None:
    world, no_id = World(), ""
    world.arrive(0, "a", no_id, no_id)
    world.arrive(5, "b", no_id)
    world.run()
    assert world.posted == [no_id] * 3


def test_remembers_the_last_log_ids() -> None:
    world = World()
    world.arrive(0, "first", "0")
    world.arrive(5, "many", *(f"{n}" for n in range(1, MAX_REMEMBERED + 1)))
    world.arrive(10, "remembered", "1", f"{MAX_REMEMBERED}")
    world.arrive(15, "forgotten", "0")
    world.run()
    assert [log_ids for _, log_ids in world.posts[2:]] == [["0"]]


# Bugs and kills.


def test_a_bug_in_building_a_message_still_lets_the_counts_through(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()

    def faulty_build(alerts: Sequence[Alert], purpose: Purpose) -> Any:
        if not purpose.only_counts:
            raise ValueError("bug")
        return world.build(alerts, purpose)

    world.outbox = world.make_outbox(build=faulty_build)
    world.arrive(0, "a", "1")
    world.run()
    assert world.verdict("a") is Verdict.ACCEPTED
    assert world.forms == ["counts"]
    assert "ValueError: bug" in caplog.text  # with its traceback


def test_an_exception_reaches_every_waiter_and_wedges_nothing() -> None:
    world = World(OK, *[ValueError("bug")] * 2)
    world.arrive(0.0, "first", "0")
    world.arrive(0.1, "a", "1")
    world.arrive(0.2, "b", "2")
    world.arrive(9.0, "later", "3")
    world.run()
    assert world.outcome("a") == world.outcome("b")
    assert world.outcome("a").reason == "internal error (ValueError)"
    assert world.verdict("later") is Verdict.ACCEPTED


def test_an_outage_of_hours_changes_nothing() -> None:
    world = World(*[FAILED] * 1100)
    world.arrive(0, "a", "1", budget=4 * 3600)
    world.run()
    assert world.verdict("a") is Verdict.ACCEPTED
    assert len(world.posts) == 1101


def test_a_post_that_never_ends_is_given_up_and_the_next_goes_out() -> None:
    world = World()
    send, seconds = world.send, iter([LOST_AFTER + 50.0])

    def slow_first(message: Message) -> Outcome:
        world.seconds, world.in_flight = next(seconds, 0.1), 0
        return send(message)

    world.outbox = world.make_outbox(send=slow_first)
    world.arrive(0, "lost", "1")
    world.arrive(30, "too early", "2")
    world.arrive(LOST_AFTER + 10, "after", "3")
    world.arrive(LOST_AFTER + 60, "accepted late", "1")
    world.run()
    assert world.verdict("lost") is world.verdict("too early") is Verdict.UNAVAILABLE
    assert world.verdict("after") is Verdict.ACCEPTED
    assert world.verdict("accepted late") is Verdict.ACCEPTED
    assert world.posts == [(0, ["1"]), (LOST_AFTER + 10 + INTERVAL, ["3"])]


def test_a_post_without_an_answer_is_a_failure_from_its_start() -> None:
    world = World(seconds=2.5 * LATE_AFTER)
    failing = []

    def ask() -> None:
        for _ in range(3):
            world.time.sleep(LATE_AFTER - 0.1)
            failing.append(world.outbox.standing().failing)

    world.arrive(0, "a", "1")
    world.at_once(ask)
    world.run()
    assert failing == [None, Trouble(0, LATE), None]


def test_an_outage_is_logged_when_it_begins_and_changes_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    slow = Outcome(Verdict.ACCEPTED, "ok", 200, advice="connecting took 12 s")
    world = World(*[FAILED] * 50, limited(20), slow)
    world.arrive(0, "a", "1", budget=3600)
    world.run()
    first, changed, over = caplog.records
    assert first.levelno == changed.levelno == over.levelno == logging.WARNING
    assert "reason='Slack failed: HTTP 500'" in first.getMessage()
    assert 'reason="Slack\'s rate limit is reached"' in changed.getMessage()
    assert re.search(
        r" outage=2\d\ds advice='connecting took 12 s'$", over.getMessage()
    )


def test_a_given_up_post_that_ends_during_the_next_one_disturbs_nothing() -> None:
    """What Slack accepted late is remembered; what it refused late says nothing."""
    for late in (OK, NO_SERVICE, limited(300)):
        world = World(late, OK)
        seconds = iter([LOST_AFTER + 15.0, 8.0, 0.1, 0.1])
        send = world.send

        def slow(
            message: Message, world: World = world, send: Any = send, s: Any = seconds
        ) -> Any:
            world.seconds, world.in_flight = next(s), 0
            return send(message)

        world.outbox = world.make_outbox(send=slow)
        world.arrive(0, "lost", "1", budget=200)
        start = LOST_AFTER + 10
        # In flight when the lost one ends.
        world.arrive(start, "next", "2", budget=20)
        world.arrive(start + 2, "behind", "3", budget=20)
        world.arrive(start + 30, "again", "1")
        world.run()
        assert world.answered_at("lost") == start + 5
        assert world.outcome("lost").verdict is late.verdict
        second = start + INTERVAL
        assert world.answered_at("next") == second + 8
        third = pytest.approx(second + 8 + INTERVAL)
        assert world.posts[1:3] == [(second, ["2"]), (third, ["3"])]
        assert (["1"] in [log_ids for _, log_ids in world.posts[3:]]) == (
            late is not OK
        )
        assert world.verdict("again") is Verdict.ACCEPTED


def test_a_slow_slack_is_not_doubled() -> None:
    world = World(seconds=12)
    for n in range(5):
        world.arrive(n * 10, f"attempt {n}", "1")
    world.run()
    assert world.posted == ["1"]
    assert world.outcome("attempt 0").reason == "Slack has not answered yet"
    assert world.verdict("attempt 1") is Verdict.ACCEPTED


def test_a_post_with_as_many_deliveries_as_may_wait_is_given_up_too() -> None:
    world = World()
    send, seconds = world.send, iter([0.1, 2000.0])

    def slow_second(message: Message) -> Outcome:
        world.seconds, world.in_flight = next(seconds, 0.1), 0
        return send(message)

    world.outbox = world.make_outbox(send=slow_second)
    world.arrive(0, "first", "first")
    for n in range(MAX_WAITING):
        world.arrive(5, f"{n}", f"{n}")
    world.arrive(30, "meanwhile", "a", budget=5)
    world.arrive(LOST_AFTER + 10, "after", "b")
    world.run()
    assert world.outcome("meanwhile").reason != "too many deliveries at once"
    assert world.verdict("after") is Verdict.ACCEPTED


def test_an_error_in_the_sender_itself_wedges_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    posted, errors = Digest.posted, iter([MemoryError("injected")])

    def fails_once(*arguments: Any) -> None:
        posted(*arguments)
        if error := next(errors, None):
            raise error

    monkeypatch.setattr(Digest, "posted", fails_once)
    world.arrive(0, "a", "1")
    world.arrive(0.05, "waits meanwhile", "2")
    world.arrive(20, "again", "1")
    world.arrive(21, "later", "3")
    world.run()
    assert world.posts == [
        (0, ["1"]),
        (pytest.approx(0.1 + MAX_PAUSE), ["2"]),
        (21, ["3"]),
    ]
    assert world.verdict("a") is Verdict.UNAVAILABLE
    assert world.answered_at("a") == BUDGET
    for name in ("waits meanwhile", "again", "later"):
        assert world.verdict(name) is Verdict.ACCEPTED
    assert "please report it" in caplog.text
    assert "MemoryError: injected" in caplog.text


def test_a_given_up_post_that_ends_late_starts_a_seconds_pause() -> None:
    world = World()
    send, seconds = world.send, iter([LOST_AFTER + 15.0])

    def slow_first(message: Message) -> Outcome:
        world.seconds, world.in_flight = next(seconds, 0.1), 0
        return send(message)

    world.outbox = world.make_outbox(send=slow_first)
    world.arrive(0, "lost", "1")
    world.arrive(LOST_AFTER + 10, "next", "2")
    world.arrive(LOST_AFTER + 15.5, "after Slack's late answer", "3")
    world.run()
    second = LOST_AFTER + 10 + INTERVAL
    third = LOST_AFTER + 15 + INTERVAL
    assert world.posts == [(0, ["1"]), (second, ["2"]), (third, ["3"])]


def test_without_a_thread_to_send_the_next_delivery_asks_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    refusals = iter([RuntimeError("can't start new thread")])

    def no_thread_at_first(**options: Any) -> Any:
        if refusal := next(refusals, None):
            raise refusal
        return world.time.thread(**options)

    world.outbox = world.make_outbox(thread=no_thread_at_first)
    world.arrive(0, "a", "1")
    world.arrive(5, "again", "1")
    world.run()
    assert world.answered_at("a") == 0
    assert "no thread left to post with" in world.outcome("a").reason
    assert world.posts == [(5, ["1"])]
    assert "cannot start a thread" in caplog.text


def test_a_delivery_larger_than_the_memory_is_not_doubled() -> None:
    world = World(seconds=12)
    many = [f"{n}" for n in range(MAX_REMEMBERED + 5)]
    for n in range(3):
        world.arrive(n * 15, f"attempt {n}", *many)
    world.run()
    assert len(world.posts) == 1


def test_an_answer_after_the_deadline_is_remembered_and_obeyed() -> None:
    world = World(OK, limited(30), seconds=12)
    world.arrive(0, "late", "1")
    world.arrive(13, "again", "1")
    world.arrive(14, "limited late", "2")
    world.arrive(30, "held", "2")
    world.arrive(60, "free", "2")
    world.run()
    assert world.verdict("late") is world.verdict("limited late") is Verdict.UNAVAILABLE
    assert world.answered_at("late") == BUDGET
    assert (world.verdict("again"), world.answered_at("again")) == (
        Verdict.ACCEPTED,
        13,
    )
    assert world.answered_at("held") == 30
    assert world.starts == pytest.approx([0, 14, 60])


def test_real_threads_post_too() -> None:
    posted = []

    def send(message: Any) -> Outcome:
        posted.append(message)
        return OK

    outbox = Outbox(World().build, send, 0)
    delivery = outbox.put([alert("1")], time.monotonic() + BUDGET)
    outbox.wait(delivery)
    assert delivery.outcome == OK
    assert [message.log_ids for message in posted] == [["1"]]
