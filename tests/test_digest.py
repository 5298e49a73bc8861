"""The digest, in virtual time: each sentence of its rule, and what may go wrong."""

import logging
from itertools import pairwise
from typing import Any

import pytest

from digest import BURST, FIRST_WAIT, HOUR, MAX_COLLECTED, SURGE
from message import Message
from outbox import MAX_WAITING
from outcome import Outcome, Verdict
from pace import LAST_TRY
from tests.outbox_world import (
    FAILED,
    MALFORMED,
    NO_SERVICE,
    OK,
    World,
    limited,
)

LONGEST = 600.0  # seconds that the digest waits at most
FULL_AT = 1.2 * BURST  # seconds; a storm of World has filled the bucket by then
# When the first digest goes out after it: counted from the tenth message's acceptance,
# less what has leaked out of the bucket since the first one.
FIRST = LONGEST * FIRST_WAIT
DUE = 10.9 + FIRST * 2 ** (-10.8 / LONGEST)


def stormy(
    *script: object, digest: float = LONGEST, each: int = 1, **options: float
) -> World:
    """A world in which the channel was shown type f ten times: the bucket is full."""
    script = (*[OK] * BURST, *script)
    world = World(*script, digest=digest, **options)  # type: ignore[arg-type]
    world.storm(BURST, every=world.seconds + 1.1, each=each)
    return world


# 1. Ten messages, and then they go further and further apart.


def test_ten_messages_go_out_at_once_and_the_rest_with_the_digest() -> None:
    world = World(digest=LONGEST)
    world.storm(18)
    world.run()
    assert world.starts[:BURST] == pytest.approx([n * 1.2 for n in range(BURST)])
    assert world.starts[BURST:] == pytest.approx([DUE])
    assert len(world.posts[-1][1]) == len(world.collected()) == 8
    assert world.digests == [False] * BURST + [True]
    assert all(world.verdict(name) is Verdict.ACCEPTED for name in world.answers)


def test_what_joins_the_digest_is_answered_at_once() -> None:
    world = stormy()
    world.arrive(20, "repeat", "a", "b", "c")
    world.run()
    assert world.answered_at("repeat") == 20
    assert world.answers["repeat"][1].collected == 3
    assert world.posts[-1] == (pytest.approx(DUE), ["a", "b", "c"])


def test_each_message_more_waits_twice_as_long_and_ten_minutes_at_most() -> None:
    world = stormy()
    world.stream((20.0 + 20 * n, 1, "f") for n in range(360))
    world.run()
    gaps = [after - before for before, after in pairwise(world.starts[BURST - 1 :])]
    assert gaps[0] == pytest.approx(40, abs=1)  # as the README says
    # Twice as long, but for what leaks out meanwhile.
    for before, after in pairwise(gaps[:5]):
        assert 1.4 * before < after <= 2 * before
    assert all(gap <= LONGEST + world.seconds + 1e-9 for gap in gaps)
    assert gaps[8:] == pytest.approx([LONGEST] * len(gaps[8:]), rel=0.02)


def test_an_hour_of_five_a_second_is_twenty_messages() -> None:
    world = World(seconds=0.1, digest=LONGEST)
    world.stream((n / 5, 1, "f") for n in range(3600 * 5))
    world.run()
    within = [at for at in world.starts if at < 3600]
    assert len(within) <= 20
    assert within[:BURST] == pytest.approx([n * 1.1 for n in range(BURST)], abs=0.5)
    assert within[BURST] < 30  # because it is a surge
    gaps = [after - before for before, after in pairwise(within[BURST:])]
    assert gaps == pytest.approx(sorted(gaps), abs=1)  # further and further apart
    assert gaps[-3:] == pytest.approx([LONGEST] * 3, rel=0.1)


@pytest.mark.parametrize("a_minute", [0.1, 0.5, 1, 3, 60, 300])
def test_a_day_of_a_known_failure_is_at_most_170_messages(a_minute: float) -> None:
    world = World(digest=LONGEST)
    every = max(60 / a_minute, 10)
    count = round(a_minute / 60 * every)
    world.stream((every * n, count, "f") for n in range(int(86_400 / every)))
    world.run()
    assert sum(world.sizes) == int(86_400 / every) * count
    assert len(world.posts) <= 170
    assert len(world.posts) >= 144


@pytest.mark.parametrize(("quiet", "at_once"), [(1800, 3), (3000, 5), (86_400, 10)])
def test_one_leaks_out_in_each_longest_wait_and_ten_at_the_most(
    quiet: float, at_once: int
) -> None:
    world = stormy()
    world.storm(at_once + 2, start=10.9 + quiet)
    world.run()
    names = [f"f{10.9 + quiet:g}.{n}" for n in range(at_once, at_once + 2)]
    assert world.collected() == names


@pytest.mark.parametrize("longest", [60.0, 3600.0])
def test_the_longest_wait_is_what_the_setting_says(longest: float) -> None:
    world = stormy(digest=longest)
    world.stream((11.0 + longest / 30 * n, 1, "f") for n in range(360))
    world.run()
    gaps = [after - before for before, after in pairwise(world.starts[BURST - 1 :])]
    assert gaps[0] == pytest.approx(longest * FIRST_WAIT, rel=0.15)
    assert max(gaps) <= longest + world.seconds + 1e-9
    assert gaps[-2] == pytest.approx(longest, rel=0.02)


def test_very_many_messages_of_news_are_counted_too() -> None:
    """So many that two to their power is no number any more."""
    world = stormy(digest=3600)
    world.unnamed = frozenset({"always_news"})
    world.stream((20.0 + 1.2 * n, 1, "always_news") for n in range(1100))
    world.arrive(1500, "repeat", "a")
    world.run()
    last_news = world.starts[-2] + world.seconds
    assert world.posts[-1] == (pytest.approx(last_news + 3600), ["a"])


def test_without_a_digest_nothing_is_collected() -> None:
    world = World(digest=0)
    world.storm(30)
    world.run()
    assert len(world.posts) == 30
    assert not world.collected()


# 2. News goes at once.


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
    level = BURST + 1 - 30 / LONGEST  # the news is a message like any other
    due = 30.1 + FIRST * 2 ** (level - BURST)
    assert world.starts[BURST:] == pytest.approx([30, due], abs=1e-3)
    assert world.digests[BURST:] == [True, True]
    assert world.collected() == [*first, "no news"]


def test_a_delivery_with_some_news_is_posted_whole() -> None:
    world = stormy()
    world.arrive(20, "old", "o")
    world.arrive(21, "new", "n", code="pwd_leak")
    world.run()
    assert world.posts[BURST:] == [(21, ["o", "n"])]


@pytest.mark.parametrize(("after", "is_news"), [(HOUR - 60, False), (HOUR, True)])
def test_a_log_type_not_shown_for_an_hour_is_news(after: float, is_news: bool) -> None:
    world = stormy(digest=3600)
    world.stream((30.0 + n * 400, 1, "fp") for n in range(12))  # the bucket stays full
    world.arrive(10.9 + after, "an hour later", "x")
    world.run()
    assert world.collected() == ([] if is_news else ["an hour later"])
    assert (world.answered_at("an hour later") == 10.9 + after) is not is_news


def test_only_what_a_message_names_was_shown() -> None:
    world = stormy()
    world.unnamed = frozenset({"fp"})
    world.arrive(20, "not named", "1", code="fp")
    world.arrive(30, "still news", "2", code="fp")
    world.run()
    assert world.posts[BURST:] == [(20, ["1"]), (30, ["2"])]
    assert [message.purpose.news for message in world.messages[-2:]] == [{"fp"}, {"fp"}]


def test_a_message_is_told_what_is_news() -> None:
    world = World(digest=LONGEST)
    world.arrive(0, "first", "1")
    world.arrive(5, "second", "2")
    world.arrive(10, "another", "3", code="fp")
    world.run()
    assert [message.purpose.news for message in world.messages] == [
        {"f"},
        set(),
        {"fp"},
    ]


# 3. A surge goes at once.


def test_a_surge_of_what_is_known_goes_out_at_once() -> None:
    world = stormy()
    world.storm(SURGE, start=20, every=0.5)
    world.run()
    assert world.posts[BURST:] == [(24.5, [f"f20.{n}" for n in range(SURGE)])]
    assert world.messages[-1].purpose.surges == {"f": 1}


def test_a_growing_attack_shows_itself_in_steps_of_ten() -> None:
    world = stormy()
    world.stream((20 + n / 100, 1, "f") for n in range(2000))
    world.run()
    first, second, third, _ = world.sizes[BURST:]
    assert first == 10
    assert 100 <= second <= 110  # a post takes a second
    assert 1000 <= third <= 1100
    before = [message.purpose.surges for message in world.messages[BURST:]]
    assert before == [{"f": 1}, {"f": first}, {"f": second}, {}]


def test_a_surge_is_one_of_a_single_log_type() -> None:
    world = World(digest=LONGEST)
    for n in range(5):
        world.arrive(n * 2, f"f{n}", f"f{n}")
        world.arrive(n * 2 + 1.1, f"fp{n}", f"fp{n}", code="fp")
    world.stream((20.0 + n, 1, code) for n in range(9) for code in ("f", "fp"))
    world.run()
    assert world.sizes[BURST:] == [18]
    assert world.messages[-1].purpose.surges == {}


def test_the_most_of_the_last_hour_makes_the_measure() -> None:
    world = World(digest=3600)
    world.arrive(0, "many", *range(40))
    world.arrive(1800, "some", *range(40, 42))
    world.stream(
        (HOUR - 100 + 2 * n, 1, "fp") for n in range(BURST)
    )  # fills the bucket
    world.stream((HOUR - 60 + n, 1, "f") for n in range(59))
    world.arrive(HOUR + 10, "the many are over an hour ago", "x")
    world.run()
    assert world.starts[-1] == HOUR + 10
    assert world.sizes[-1] >= 60
    assert world.messages[-1].purpose.surges == {"f": 2}


def test_a_surge_is_not_made_of_what_the_message_before_took_along() -> None:
    world = stormy(seconds=5)
    world.stream((65 + n / 10, 1, "f") for n in range(8))
    world.arrive(70, "in flight until 75", "news", code="fp")
    world.stream((72 + n / 10, 1, "f") for n in range(8))
    world.run()
    assert world.sizes[BURST:] == [9, 8]
    assert world.starts[BURST + 1] > 75 + FIRST


# 4. So many go at once.


def many(world: World, at: float, name: str) -> None:
    """A thousand of a log type of which the channel has seen 600 in a message."""
    world.arrive(at, name, *(f"{name}.{n}" for n in range(1000)))


def test_five_thousand_are_not_kept_waiting() -> None:
    world = stormy(seconds=0.5, each=600)
    for n in range(6):
        many(world, 20 + n * 0.1, f"{n}")
    world.run()
    assert world.posts[BURST][0] == pytest.approx(20.4)
    assert len(world.posts[BURST][1]) == MAX_COLLECTED
    assert world.answered_at("5") == pytest.approx(20.9)  # there was no room until then
    assert world.collected() == ["0", "1", "2", "3", "4", "5"]
    assert len(world.shown) == len(set(world.shown)) == BURST * 600 + 6000


def test_what_comes_while_a_message_is_in_flight_goes_out_with_the_next() -> None:
    """Not at once, although 5,000 are collected with those in flight."""
    world = stormy(seconds=5, each=600)
    for n in range(4):
        many(world, 65, f"{n}")
    world.arrive(70, "in flight until 75", "news", code="fp")
    many(world, 72, "in the next one")
    world.run()
    assert world.sizes[BURST:] == [4001, 1000]
    assert 75 + FIRST < world.starts[-1] < 72 + LONGEST


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
    world = stormy(each=20)
    for n in range(MAX_WAITING * 2):
        world.arrive(20, f"{n}", f"{n}")
    world.run()
    assert len(world.collected()) == MAX_WAITING * 2
    assert len(world.posts) == BURST + 1
    assert len(set(world.shown)) == 20 * BURST + 2 * MAX_WAITING


def test_deliveries_that_wait_when_the_bucket_is_full_join_the_digest() -> None:
    world = World(digest=LONGEST, seconds=3)
    for n in range(BURST + 2):
        world.arrive(n * 4 if n < BURST else 37 + n / 10, f"{n}", f"{n}")
    world.run()
    assert sorted(world.collected()) == ["10", "11"]
    assert world.answered_at("10") == world.answered_at("11") == 39


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


def test_a_malformed_digest_goes_out_as_counts_and_the_next_one_in_full() -> None:
    world = stormy(MALFORMED)
    world.arrive(20, "repeat", "1")
    world.arrive(DUE + 10, "next", "2")
    world.run()
    assert world.forms[BURST:] == ["full", "counts", "full"]
    assert world.shown[BURST:] == ["1", "2"]


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
    refused = LONGEST + tries * 0.1 + (tries - 1) * 1.0
    assert starts == pytest.approx([DUE, DUE + refused, DUE + 2 * refused])


def test_without_a_thread_to_send_it_later_nothing_is_collected() -> None:
    world = stormy()
    threads = iter([True] * BURST + [False])

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
    world = stormy(seconds=FIRST)
    full_at = BURST * (FIRST + 1.1)
    world.arrive(full_at, "first", "1", "2")
    world.arrive(full_at + 1, "collected", "1", "2")
    world.arrive(full_at + 2, "one of them and another", "2", "3")
    world.arrive(full_at + 1.3 * FIRST, "in flight", "1")
    world.arrive(full_at + 3 * FIRST, "posted", "3")
    world.run()
    assert [log_ids for _, log_ids in world.posts[BURST:]] == [["1", "2", "3"]]
    assert world.starts[-1] < full_at + 1.3 * FIRST < world.starts[-1] + FIRST
    assert [(name, world.answers[name][1].collected) for name in world.collected()] == [
        ("first", 2),
        ("one of them and another", 1),
    ]
    assert world.answered_at("in flight") == full_at + 1.3 * FIRST


def test_collected_events_without_a_log_id_are_all_counted() -> None:
    world = stormy()
    world.arrive(20, "a", "", "")
    world.arrive(21, "b", "")
    world.run()
    assert world.posts[-1] == (pytest.approx(DUE), ["", "", ""])


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
    world.stop(DUE + 20)  # it was refused when due, and would be tried 600 s later
    world.run()
    assert world.posts[-1] == (DUE + 20, ["1"])
    assert world.stopped_at == pytest.approx(DUE + 20.1)


def test_a_stop_may_come_twice_before_the_wait_and_holds_up_nothing() -> None:
    world = stormy()
    world.storm(3, start=20)

    def stop() -> None:
        for moment in (25.0, 25.05, 26.0):
            world.time.sleep(moment - world.time.now)
            world.outbox.stop(10)
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
            world.outbox.stop(10)

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
    assert world.posts[BURST:] == [(pytest.approx(DUE), ["1"]), (501, ["1"])]
    assert world.stopped_at == pytest.approx(501.1)


def test_a_stop_with_nothing_collected_waits_for_nothing() -> None:
    world = stormy()
    world.stop(FULL_AT)
    world.run()
    assert world.stopped_at == FULL_AT


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
    world = World(*[OK] * BURST, *answers, digest=LONGEST)  # type: ignore[arg-type]
    world.storm(BURST - 1, each=20)
    world.arrive(FULL_AT - 1.2, "another type", "x", code="limit_wc")
    world.arrive(20, "repeats", *(f"{n}" for n in range(150)))
    world.arrive(21, "one more", "y", code="limit_wc")
    world.stop(DUE + 3)  # the digest was tried then
    world.run()
    assert world.stopped_at <= DUE + 13
    world.stop(5)  # as worker.py and then the end of the process do
    ended = world.time.now + 5
    world.run()
    assert world.stopped_at == ended
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
    world.stop(DUE + 3)
    world.run()
    assert world.shown[-1] == "1"
    assert world.stopped_at == pytest.approx(DUE + 0.1 + 5 + 0.1)


@pytest.mark.parametrize("before_the_stop", [True, False])
def test_a_stop_while_slack_limits_for_longer_tries_once_before_its_end(
    before_the_stop: bool,
) -> None:
    world = stormy(limited(300))
    world.arrive(20, "repeat", "1")
    stop = DUE + 9 if before_the_stop else DUE - 1
    world.stop(stop)
    world.run()
    assert world.shown[-1] == "1"
    end = world.stopped_at - 0.1
    assert end == pytest.approx(stop + 10 - LAST_TRY)
