"""The outbox, in virtual time: what a delivery is told, and what goes out when.

That nothing is lost, doubled, late or too fast is for test_outbox_model.py to show.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import deliveries
from alerts import Alert
from message import Purpose
from outbox import AFTER_A_BUG, LATE, LATE_AFTER, LOST_AFTER, MAX_REMEMBERED, MIN_POST
from outcome import Outcome, Verdict
from pace import INTERVAL, LAST_TRY, MAX_PAUSE, Trouble
from tests.outbox_world import (
    BUDGET,
    FAILED,
    MALFORMED,
    NO_SERVICE,
    OK,
    RETRY,
    World,
    limited,
)


def test_what_arrives_meanwhile_goes_out_together_in_its_order() -> None:
    world = World(seconds=0.3)
    world.arrive(0.0, "first", "1a", "1b")
    world.arrive(0.1, "in flight", "2")
    world.arrive(0.4, "within the second", "3a", "3b")
    world.arrive(0.9, "still within it", "4")
    world.arrive(9.0, "later", "5")
    world.run()
    second = pytest.approx(0.3 + INTERVAL)
    assert world.posts == [
        (0, ["1a", "1b"]),
        (second, ["2", "3a", "3b", "4"]),
        (9, ["5"]),
    ]
    assert world.answered_at("first") == pytest.approx(0.3)
    for name in ("in flight", "within the second", "still within it"):
        assert world.answered_at(name) == pytest.approx(0.3 + INTERVAL + 0.3)
        assert world.outcome(name) == OK


def test_so_many_may_wait_and_one_more_is_told_so_at_once() -> None:
    world = World(OK, (OK, 12.0))
    world.outbox = world.make_outbox(max_waiting=3)
    world.arrive(0.0, "in flight", "0")
    world.arrive(0.02, "a", "1")
    world.arrive(0.03, "b", "2")
    world.arrive(0.04, "too many wait", "3")
    world.arrive(5.0, "while a and b are in flight", "4", budget=60)
    world.arrive(5.1, "too many are unanswered", "5")
    world.arrive(5.2, "repeat", "0")
    world.arrive(10.0, "a and b are answered", "6")
    world.run()
    for name, at in (("too many wait", 0.04), ("too many are unanswered", 5.1)):
        assert world.answered_at(name) == at
        assert world.outcome(name).reason == "too many deliveries at once"
    assert world.answered_at("repeat") == 5.2
    assert world.posted == ["0", "1", "2", "4", "6"]


# Slack cannot take it now.


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([FAILED] * 9, "Slack failed: HTTP 500"),
        ([OK, (OK, 12.0)], "Slack has not answered yet"),
        ([(OK, 8.5)], "Slack has not answered yet"),
    ],
)
def test_a_delivery_is_told_what_it_waited_for(script: list[Any], reason: str) -> None:
    world = World(*script)
    world.arrive(0.0, "first", "1")
    world.arrive(0.05, "second", "2")
    world.run()
    assert world.verdict("second") is Verdict.UNAVAILABLE
    assert world.outcome("second").reason == reason


def test_a_retry_carries_what_has_arrived_since() -> None:
    world = World(FAILED)
    world.arrive(0, "a", "1")
    world.arrive(0.05, "while it is in flight", "2")
    world.arrive(0.5, "b", "3")
    world.run()
    assert [log_ids for _, log_ids in world.posts] == [["1"], ["1", "2", "3"]]


def test_429_beyond_the_budget_is_answered_at_once_with_the_seconds_left() -> None:
    world = World(limited(60))
    world.arrive(0.0, "a", "1")
    world.arrive(20.0, "b", "2")
    world.arrive(55.0, "c", "3")
    world.run()
    assert world.answered_at("a") == pytest.approx(0.1)
    assert world.outcome("a") == limited(60)
    assert world.answered_at("b") == 20
    assert world.outcome("b").retry_after == pytest.approx(40.1)
    assert world.posts == [(0, ["1"]), (pytest.approx(60.1), ["3"])]


def test_a_post_without_an_answer_is_a_failure_from_its_start() -> None:
    world = World(seconds=2.5 * LATE_AFTER)
    failing = []

    def ask() -> None:
        for _ in range(3):
            world.time.sleep(LATE_AFTER - 0.1)
            failing.append(world.outbox.standing().trouble)

    world.arrive(0, "a", "1")
    world.at_once(ask)
    world.run()
    assert failing == [None, Trouble(0, LATE), None]


@pytest.mark.parametrize("late", [OK, NO_SERVICE, limited(300)])
def test_a_post_that_never_ends_is_given_up_and_disturbs_no_other(
    late: Outcome,
) -> None:
    """What Slack accepted late is remembered; what it refused late says nothing."""
    start = LOST_AFTER + 10
    world = World((late, start + 5), (OK, 8.0))
    world.arrive(0, "lost", "1", budget=LOST_AFTER + 50)
    world.arrive(30, "too early", "2")
    world.arrive(start, "in flight when the lost one ends", "3", budget=20)
    world.arrive(start + 2, "behind", "4", budget=20)
    world.arrive(start + 30, "again", "1")
    world.run()
    assert world.verdict("too early") is Verdict.UNAVAILABLE
    assert world.answered_at("lost") == start + 5
    assert world.verdict("lost") is late.verdict
    second = start + RETRY
    third = second + 8 + INTERVAL
    assert world.starts[:3] == pytest.approx([0, second, third])
    assert [log_ids for _, log_ids in world.posts[:3]] == [["1"], ["3"], ["4"]]
    assert world.verdict("again") is Verdict.ACCEPTED
    assert world.posted.count("1") == (1 if late is OK else 2)


def test_a_given_up_post_that_ends_late_counts_against_slacks_limit() -> None:
    world = World((OK, LOST_AFTER + 15))
    world.arrive(0, "lost", "1")
    world.arrive(LOST_AFTER + 10, "next", "2")
    world.arrive(LOST_AFTER + 15.5, "after Slack's late answer", "3")
    world.run()
    second = LOST_AFTER + 10 + RETRY
    assert world.starts == pytest.approx([0, second, LOST_AFTER + 15 + INTERVAL])


def test_a_hanging_sender_is_replaced_once_the_machine_has_a_thread_again() -> None:
    world = World((OK, 3 * LOST_AFTER))
    world.lack_threads(True, False)
    world.arrive(0, "hangs", "1")
    world.arrive(LOST_AFTER + 10, "without a thread", "2")
    world.arrive(LOST_AFTER + 20, "with a thread", "3")
    world.run()
    assert "no thread left" in world.outcome("without a thread").reason
    assert world.verdict("with a thread") is Verdict.ACCEPTED


def test_the_limits_fit_together() -> None:
    assert MAX_PAUSE + 2 * MIN_POST < deliveries.BUDGET  # however long Slack fails
    assert deliveries.BUDGET < LATE_AFTER < LOST_AFTER
    assert LAST_TRY > INTERVAL >= 1  # second, which Slack asks for


# Slack refuses it.


def test_a_refusal_reaches_all_it_carried_and_is_not_retried() -> None:
    world = World(OK, NO_SERVICE)
    world.arrive(0.0, "first", "1")
    world.arrive(0.1, "a", "2")
    world.arrive(0.2, "b", "3")
    world.run()
    assert world.outcome("a") == world.outcome("b") == NO_SERVICE
    assert len(world.posts) == 2


@pytest.mark.parametrize("again", [OK, MALFORMED])
def test_what_is_malformed_in_full_goes_out_as_counts_with_its_neighbours(
    again: Outcome,
) -> None:
    world = World(OK, MALFORMED, again)
    world.arrive(0.0, "first", "0")
    world.arrive(0.1, "poison", "1")
    world.arrive(0.2, "neighbour", "2")
    world.arrive(0.1 + INTERVAL + 0.4, "neighbour of the counts", "3")
    world.arrive(9.0, "later", "4")
    world.run()
    for name in ("poison", "neighbour", "neighbour of the counts"):
        assert world.outcome(name) == again
    posts = [["0"], ["1", "2"], ["1", "2", "3"], ["4"]]
    assert [log_ids for _, log_ids in world.posts] == posts
    assert world.forms == ["full", "full", "counts", "full"]


@pytest.mark.parametrize("seconds", [8.5, 9.5])
def test_the_form_of_a_message_that_was_refused_late_does_not_stick(
    seconds: float,
) -> None:
    """Too late to try the counts; with 9.5 s the delivery is answered by then."""
    world = World((MALFORMED, seconds))
    world.arrive(0, "poison", "1")
    world.arrive(8.2, "waits meanwhile", "2")
    world.arrive(30, "unrelated", "3")
    world.run()
    assert world.verdict("poison") is Verdict.UNAVAILABLE
    assert [log_ids for _, log_ids in world.posts] == [["1"], ["2"], ["3"]]
    assert world.forms == ["full", "full", "full"]


# No doubles.


def test_a_redelivery_is_accepted_at_once_and_only_what_is_new_is_posted() -> None:
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


def test_remembers_the_last_log_ids_and_longest_those_that_come_again() -> None:
    world = World()
    world.arrive(0, "first", "kept", "0")
    world.arrive(5, "kept", "kept")
    world.arrive(10, "many", *range(1, MAX_REMEMBERED))
    world.arrive(15, "remembered", "kept", 1, MAX_REMEMBERED - 1)
    world.arrive(20, "forgotten", "0")
    world.run()
    assert world.posts[2:] == [(20, ["0"])]


def test_a_delivery_larger_than_the_memory_is_not_doubled() -> None:
    world = World()
    for n in range(2):
        world.arrive(n * 15, f"attempt {n}", *range(1, MAX_REMEMBERED + 5))
    world.run()
    assert len(world.posts) == 1


# Bugs.


def test_a_bug_in_building_a_message_lets_the_counts_through_if_it_can(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()

    def faulty_build(alerts: Sequence[Alert], purpose: Purpose) -> Any:
        if alerts[0].log_id != "sound" and not purpose.only_counts:
            raise ValueError("bug in the details")
        if alerts[0].log_id == "bad":
            raise KeyError("bug in the counts")
        return world.build(alerts, purpose)

    world.outbox = world.make_outbox(build=faulty_build)
    for n, log_id in enumerate(("detailed", "bad", "sound")):
        world.arrive(10 * n, log_id, log_id)
    world.run()
    assert world.posted == ["detailed", "sound"]
    assert world.forms == ["counts", "full"]
    assert world.outcome("bad").reason == "internal error (KeyError)"
    assert "report" in world.outcome("bad").advice
    assert "ValueError: bug in the details" in caplog.text  # with its traceback


def test_an_error_in_the_sender_itself_wedges_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the model shows too, but not what is logged, nor that others go on soon."""
    world = World()

    def faulty_build(alerts: Sequence[Alert], purpose: Purpose) -> Any:
        message = world.build(alerts, purpose)
        broken: Any = None
        return message if world.posts else replace(message, named=broken)

    world.outbox = world.make_outbox(build=faulty_build)
    world.arrive(0, "a", "1")
    world.arrive(0.05, "waits meanwhile", "2")
    world.run()
    assert world.verdict("a") is Verdict.UNAVAILABLE
    assert world.answered_at("a") == BUDGET
    assert world.posts == [(0, ["1"]), (pytest.approx(0.1 + AFTER_A_BUG), ["2"])]
    assert "please report it" in caplog.text
    assert "TypeError: " in caplog.text


# The log.


def test_each_message_is_logged_with_what_became_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World(OK, FAILED, OK, MALFORMED, NO_SERVICE)
    world.outbox = world.make_outbox(label="SECURITY")
    world.arrive(0.0, "a", "1")
    world.arrive(0.1, "b", "2", "3")
    world.arrive(0.2, "c", "4")
    world.arrive(20, "d", "9001", "9002", "", code="fp")
    world.run()
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    outage = round(INTERVAL + 0.2)
    assert lines == [
        (
            "INFO",
            "message deliveries=1 alerts=1 collected=0 form=full slack=200 ms=100"
            " outcome=accepted types=f:1 channel=SECURITY",
        ),
        (
            "WARNING",
            "message deliveries=2 alerts=3 collected=0 form=full slack=500 ms=100"
            " outcome=unavailable types=f:3 channel=SECURITY"
            " reason='Slack failed: HTTP 500'",
        ),
        (
            "INFO",
            "message deliveries=2 alerts=3 collected=0 form=full slack=200 ms=100"
            f" outcome=accepted types=f:3 channel=SECURITY outage={outage}s",
        ),
        (
            "ERROR",
            "message deliveries=1 alerts=3 collected=0 form=full slack=400 ms=100"
            " outcome=malformed types=fp:3 channel=SECURITY"
            " reason='invalid_attachments' log_ids=9001,9002",
        ),
        (
            "ERROR",
            "message deliveries=1 alerts=3 collected=0 form=counts slack=404 ms=100"
            " outcome=refused types=fp:3 channel=SECURITY reason='no_service'"
            " advice='make a new one' log_ids=9001,9002",
        ),
    ]


def test_an_outage_is_logged_when_it_begins_and_changes_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    slow = Outcome(Verdict.ACCEPTED, "ok", 200, advice="connecting took 12 s")
    world = World(*[FAILED] * 1100, limited(20), slow)  # over an hour
    world.arrive(0, "a", "1", budget=4 * 3600)
    world.run()
    first, changed, over = caplog.records
    assert first.levelno == changed.levelno == over.levelno == logging.WARNING
    assert "reason='Slack failed: HTTP 500'" in first.getMessage()
    assert 'reason="Slack\'s rate limit is reached"' in changed.getMessage()
    outage = round(world.answered_at("a"))
    assert re.search(
        rf" outage={outage}s advice='connecting took 12 s'$", over.getMessage()
    )
