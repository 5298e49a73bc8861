"""The digest, in virtual time: each sentence of its rule, and what may go wrong."""

import logging
from typing import Any

import pytest

from digest import BURST, MAX_COLLECTED, NEWS_AFTER
from message import Message
from outbox import LAST_TRY, MAX_WAITING
from slack import Outcome, Verdict
from tests.outbox_world import FAILED, MALFORMED, NO_SERVICE, OK, World, limited

EMPTY_AT = 1.2 * BURST  # seconds; a storm of World has emptied the bucket then


def stormy(*script: object, digest: float = 60, **options: float) -> World:
    """A world in which the channel has seen type f ten times; the bucket is empty."""
    world = World(*[OK] * BURST, *script, digest=digest, **options)  # type: ignore[arg-type]
    world.storm(BURST, every=world.seconds + 1.1)
    return world


def test_ten_messages_go_out_at_once_and_the_rest_with_the_digest() -> None:
    world = World(digest=60)
    world.storm(40)
    world.run()
    assert world.starts[:BURST] == pytest.approx([n * 1.2 for n in range(BURST)])
    assert len(world.posts) == BURST + 1
    assert len(world.posts[-1][1]) == len(world.collected()) == 30
    assert world.starts[-1] == pytest.approx(60.1)
    assert world.digests == [False] * BURST + [True]
    assert all(world.verdict(name) is Verdict.ACCEPTED for name in world.answers)


def test_what_joins_the_digest_is_answered_at_once_and_told_when_it_goes_out() -> None:
    world = stormy()
    world.arrive(20, "repeat", "a", "b", "c")
    world.run()
    assert world.answered_at("repeat") == 20
    assert world.answers["repeat"][1].collected == 3
    assert world.answers["repeat"][1].wait_seconds == pytest.approx(60.1 - 20)
    assert world.posts[-1] == (pytest.approx(60.1), ["a", "b", "c"])


def test_a_long_storm_makes_ten_messages_and_one_a_minute() -> None:
    world = World(digest=60)
    world.storm(300, every=1.0)
    world.run()
    assert len(world.posts) == BURST + 5  # the last one after its end
    assert len(world.shown) == len(set(world.shown)) == 300


def test_the_bucket_refills_by_one_each_digest_and_to_ten_at_the_most() -> None:
    world = stormy()
    world.storm(3, start=200)  # three have come back by 180
    world.storm(2, start=210)  # none is left
    world.storm(12, start=2000)  # ten, however long it was quiet
    world.run()
    after = [name for name in world.collected() if not name.startswith("f0")]
    assert after == ["f210.0", "f210.1", "f2000.10", "f2000.11"]


def test_news_in_the_midst_of_a_storm_goes_out_at_once_and_takes_the_digest_along() -> (
    None
):
    world = stormy()
    world.storm(5, start=20)
    world.arrive(30, "news", "n1", code="limit_wc")
    world.arrive(33, "no news", "n2", code="limit_wc")
    world.run()
    first = [f"f20.{n}" for n in range(5)]
    assert [log_ids for _, log_ids in world.posts[BURST:]] == [[*first, "n1"], ["n2"]]
    assert world.starts[BURST:] == pytest.approx([30, 60.1])
    assert world.digests[BURST:] == [True, True]
    assert world.collected() == [*first, "no news"]


def test_a_delivery_with_some_news_is_posted_whole() -> None:
    world = stormy()
    world.arrive(20, "old", "o")
    world.arrive(21, "new", "n", code="pwd_leak")
    world.run()
    assert world.posts[BURST:] == [(21, ["o", "n"])]


def test_a_log_type_not_seen_for_an_hour_is_news() -> None:
    world = stormy(digest=3600)
    world.arrive(20, "within the hour", "1")
    world.arrive(NEWS_AFTER - 60, "still within it", "2")
    world.arrive(NEWS_AFTER + 200, "the digest showed it", "3")
    world.run()
    assert world.collected() == [
        "within the hour",
        "still within it",
        "the digest showed it",
    ]
    world = stormy(digest=3600)
    world.arrive(30, "other", "x", code="fp")
    for n in range(
        1, 12
    ):  # others keep the bucket empty, and none of them is of type fp
        world.arrive(30 + n * 400, f"{n}", f"{n}")
    world.arrive(30 + NEWS_AFTER + 1, "news again", "y", code="fp")
    world.run()
    assert "news again" not in world.collected()


def test_news_and_a_full_outbox_at_once() -> None:
    world = stormy()
    for n in range(MAX_WAITING):
        world.arrive(20, f"news {n}", f"n{n}", code=f"new_{n}")
    world.arrive(20.05, "one too many", "too many", code="new_too_many", repeat=True)
    world.arrive(20.05, "no news", "old")
    world.run()
    assert world.collected() == ["no news"]
    assert world.answered_at("no news") == 20.05
    assert world.verdict("one too many") is Verdict.ACCEPTED
    assert len(world.shown) == len(set(world.shown)) == BURST + MAX_WAITING + 2


def test_64_threads_at_once_join_the_digest() -> None:
    world = stormy()
    for n in range(MAX_WAITING * 2):
        world.arrive(20, f"{n}", f"{n}")
    world.run()
    assert len(world.collected()) == MAX_WAITING * 2
    assert len(world.posts) == BURST + 1
    assert len(set(world.shown)) == BURST + 2 * MAX_WAITING


def test_five_thousand_are_not_kept_waiting() -> None:
    world = stormy(seconds=0.5)
    for n in range(6):
        world.arrive(20 + n * 0.1, f"{n}", *(f"{n}.{i}" for i in range(1000)))
    world.run()
    assert world.posts[BURST][0] == pytest.approx(20.4)
    assert len(world.posts[BURST][1]) == MAX_COLLECTED
    assert world.answers["4"][1].wait_seconds == 0  # at once
    assert world.answered_at("5") == pytest.approx(20.9)  # there was no room until then
    assert world.collected() == ["0", "1", "2", "3", "4", "5"]
    assert len(world.shown) == len(set(world.shown)) == BURST + 6000


def test_deliveries_that_wait_when_the_bucket_empties_join_the_digest() -> None:
    world = World(digest=60, seconds=3)
    for n in range(BURST + 2):
        world.arrive(n * 4 if n < BURST else 37 + n / 10, f"{n}", f"{n}")
    world.run()
    assert sorted(world.collected()) == ["10", "11"]
    assert world.answered_at("10") == world.answered_at("11") == 39


def test_without_a_digest_nothing_is_collected() -> None:
    world = World(digest=0)
    world.storm(30)
    world.run()
    assert len(world.posts) == 30
    assert not world.collected()


# Slack does not accept.


def test_while_slack_does_not_accept_deliveries_wait_for_their_own_outcome() -> None:
    world = stormy(FAILED, OK)
    world.arrive(20, "collected", "1")
    world.arrive(30, "news", "2", code="fp")  # fails, and is tried again
    world.arrive(30.5, "own", "3")
    world.arrive(40, "collected again", "4")
    world.run()
    assert world.collected() == ["collected", "collected again"]
    assert [log_ids for _, log_ids in world.posts[BURST:]] == [
        ["1", "2"],
        ["1", "2", "3"],
        ["4"],
    ]
    assert world.starts[BURST : BURST + 2] == pytest.approx([30, 31.1])
    assert world.answered_at("own") == pytest.approx(31.2)


def test_a_digest_that_slack_cannot_take_is_tried_until_it_can() -> None:
    world = stormy(*[FAILED] * 5, limited(300), OK)
    world.arrive(20, "repeat", "1")
    world.run()
    digests = world.posts[BURST:]
    assert [log_ids for _, log_ids in digests] == [["1"]] * 7
    assert digests[-1][0] - digests[-2][0] == pytest.approx(300.1)


@pytest.mark.parametrize("refusal", [[NO_SERVICE], [MALFORMED] * 2])
def test_a_digest_that_slack_refuses_is_kept_for_the_next_message(
    refusal: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    world = stormy(*refusal, *refusal, OK)
    world.storm(3, start=20)
    world.arrive(90, "refused too", "1", budget=20)
    world.arrive(100, "accepted", "2")
    world.run()
    first = ["f20.0", "f20.1", "f20.2"]
    posts = [log_ids for _, log_ids in world.posts[BURST:]]
    tries = len(refusal)
    assert posts == [first] * tries + [[*first, "1"]] * tries + [[*first, "2"]]
    assert world.verdict("refused too") is not Verdict.ACCEPTED
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 2 * tries
    assert " alerts=3 collected=3 " in errors[0]
    assert errors[0].endswith(f"log_ids={','.join(first)}")


def test_a_malformed_digest_goes_out_in_another_form() -> None:
    world = stormy(MALFORMED)
    world.arrive(20, "repeat", "1")
    world.run()
    assert world.forms[BURST:] == ["full", "counts"]
    assert world.shown[-1] == "1"


@pytest.mark.parametrize("refusal", [[NO_SERVICE], [MALFORMED] * 2])
def test_a_digest_that_slack_refuses_is_tried_again_after_each_longest_wait(
    refusal: list[object],
) -> None:
    world = stormy(*refusal, *refusal, OK)
    world.storm(3, start=20)
    world.run()
    first = ["f20.0", "f20.1", "f20.2"]
    tries = len(refusal)
    assert [log_ids for _, log_ids in world.posts[BURST:]] == [first] * (2 * tries + 1)
    assert world.forms[BURST:] == [*["full", "counts"][:tries] * 2, "full"]
    starts = world.starts[BURST::tries]
    refused = 60 + tries * 0.1 + (tries - 1) * 1.0  # after the digest's start, at 60.1
    assert starts == pytest.approx([60.1, 60.1 + refused, 60.1 + 2 * refused])


def test_without_a_thread_to_send_it_later_nothing_is_collected() -> None:
    world = stormy()
    threads = iter([True] * BURST + [False, False])

    def no_thread_for_a_while(**options: Any) -> Any:
        if not next(threads, True):
            raise RuntimeError("can't start new thread")
        return world.time.thread(**options)

    world.outbox = world.make_outbox(thread=no_thread_for_a_while)
    world.arrive(20, "without a thread", "1", budget=5)
    world.arrive(30, "with a thread", "2")
    world.run()
    assert world.collected() == ["with a thread"]
    assert world.verdict("without a thread") is Verdict.UNAVAILABLE
    assert world.shown[BURST:] == ["2"]


# No doubles.


def test_a_redelivery_of_what_is_collected_in_flight_or_posted_is_counted_once() -> (
    None
):
    world = stormy(seconds=2)
    world.arrive(40, "first", "1", "2")
    world.arrive(41, "collected", "1", "2")
    world.arrive(42, "one of them and another", "2", "3")
    world.arrive(63, "in flight", "1")
    world.arrive(90, "posted", "3")
    world.run()
    assert world.posts[BURST:] == [(62, ["1", "2", "3"])]
    assert [(name, world.answers[name][1].collected) for name in world.collected()] == [
        ("first", 2),
        ("one of them and another", 1),
    ]
    assert world.answered_at("in flight") == 63


def test_collected_events_without_a_log_id_are_all_counted() -> None:
    world = stormy()
    world.arrive(20, "a", "", "")
    world.arrive(21, "b", "")
    world.run()
    assert world.posts[-1] == (pytest.approx(60.1), ["", "", ""])


# The stop.


def test_a_stop_posts_the_digest_at_once() -> None:
    world = stormy()
    world.storm(3, start=20)
    world.stop(25)
    world.run()
    assert world.posts[BURST:] == [(25, ["f20.0", "f20.1", "f20.2"])]
    assert world.stopped_at == pytest.approx(25.1)


@pytest.mark.parametrize("refusal", [[NO_SERVICE], [MALFORMED] * 2])
def test_a_stop_tries_once_what_was_refused_before(refusal: list[object]) -> None:
    world = stormy(*refusal)
    world.arrive(20, "repeat", "1")
    world.stop(70)  # it was refused at 60, and would be tried at 120
    world.run()
    assert world.posts[-1] == (70, ["1"])
    assert world.stopped_at == pytest.approx(70.1)


def test_a_stop_may_come_twice_before_the_wait_and_holds_up_nothing() -> None:
    world = stormy()
    world.storm(3, start=20)

    def stop() -> None:
        for moment in (25.0, 25.05, 26.0):
            world.time.sleep(moment - world.time.now)
            world.outbox.stop()
            assert world.time.now == moment

    world.at_once(stop)
    world.arrive(25.01, "after", "1")
    world.stop(27)
    world.run()
    posts = [(25, ["f20.0", "f20.1", "f20.2"]), (pytest.approx(26.1), ["1"])]
    assert world.posts[BURST:] == posts
    assert world.stopped_at == 27


def test_a_stop_from_a_signal_handler_while_the_lock_is_held() -> None:
    world = stormy()
    world.arrive(20, "repeat", "1")

    def handler() -> None:
        world.time.sleep(25)
        with world.time:  # as the thread that the signal interrupts
            world.outbox.stop()

    world.at_once(handler)
    world.run()
    assert world.posts[BURST:] == [(25, ["1"])]


def test_a_stop_during_which_slack_refuses_the_digest_is_not_held_up() -> None:
    world = stormy(NO_SERVICE)
    world.arrive(20, "repeat", "1")
    world.stop(25)
    world.run()
    assert world.stopped_at == pytest.approx(25.1)


def test_a_stop_behind_a_post_that_never_ends_posts_the_digest_anew() -> None:
    world = stormy(OK, OK)
    send = world.send

    def hanging(message: Message) -> Outcome:
        world.in_flight = 0
        world.seconds = 2000.0 if len(world.posts) == BURST else 0.1
        return send(message)

    world.outbox = world.make_outbox(send=hanging)
    world.arrive(20, "repeat", "1")
    world.stop(500)
    world.run()
    assert world.posts[BURST:] == [(pytest.approx(60.1), ["1"]), (500, ["1"])]
    assert world.stopped_at == pytest.approx(500.1)


def test_a_stop_with_nothing_collected_waits_for_nothing() -> None:
    world = stormy()
    world.stop(EMPTY_AT)
    world.run()
    assert world.stopped_at == EMPTY_AT


def test_nothing_is_collected_while_the_service_stops() -> None:
    world = stormy()
    world.arrive(20, "before", "1")
    world.stop(25)
    world.arrive(25.05, "after", "2")
    world.run()
    assert world.collected() == ["before"]
    assert world.verdict("after") is Verdict.ACCEPTED
    assert world.answered_at("after") == pytest.approx(26.2)


@pytest.mark.parametrize(
    "answers", [[limited(300)] * 2, [FAILED] * 9, [NO_SERVICE] * 2]
)
def test_a_stop_that_cannot_post_the_digest_says_what_is_lost(
    answers: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    world = World(OK, *[OK] * (BURST - 1), *answers, digest=60)  # type: ignore[arg-type]
    world.storm(BURST - 1)
    world.arrive(EMPTY_AT, "another type", "x", code="limit_wc")
    world.arrive(20, "repeats", *(f"{n}" for n in range(150)))
    world.arrive(21, "one more", "y", code="limit_wc")
    world.stop(61)  # the digest was tried at 60
    world.run()
    assert world.stopped_at <= 71
    lost = [r.getMessage() for r in caplog.records if "lost=" in r.getMessage()]
    assert lost[0].startswith(
        "digest lost=100 of 151 types=f:100 log_ids=0,1,2,3,",
    )
    assert lost[1].startswith(
        "digest lost=51 of 151 types=f:50,limit_wc:1 log_ids=100,101,"
    )
    assert lost[1].endswith(",149,y")
    assert len(lost) == 2


def test_a_stop_while_slack_limits_waits_for_what_passes_in_time() -> None:
    world = stormy(limited(5))
    world.arrive(20, "repeat", "1")
    world.stop(61)
    world.run()
    assert world.shown[-1] == "1"
    assert world.stopped_at == pytest.approx(60.2 + 5 + 0.1)


@pytest.mark.parametrize("before_the_stop", [True, False])
def test_a_stop_while_slack_limits_for_longer_tries_once_before_its_end(
    before_the_stop: bool,
) -> None:
    world = stormy(limited(300))
    world.arrive(20, "repeat", "1")
    world.stop(61 if before_the_stop else 59)
    world.run()
    assert world.shown[-1] == "1"
    end = world.stopped_at - 0.1
    assert end == pytest.approx((61 if before_the_stop else 59) + 10 - LAST_TRY)
