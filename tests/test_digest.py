"""The digest, in virtual time: each sentence of its rule, and what may go wrong.

Each test of a channel that has been shown type f begins at START, and ends before DUE
what is to be collected.
"""

import logging
from itertools import pairwise
from typing import Any

import pytest

from digest import BURST, FIRST_WAIT, HOUR, MAX_COLLECTED, SURGE
from outbox import MAX_WAITING
from outcome import Verdict
from pace import INTERVAL, LAST_TRY
from tests.outbox_world import (
    FAILED,
    MALFORMED,
    NO_SERVICE,
    OK,
    RETRY,
    World,
    limited,
)

LONGEST = 600.0  # seconds that the digest waits at most
EVERY = INTERVAL + 0.2  # seconds between the messages of a storm
FULL_AT = (BURST - 1) * EVERY + 0.1  # the last of ten messages was accepted
START = FULL_AT + 9.1
# When the first digest goes out: counted from the tenth message, less what has leaked
# out of the bucket since the first one.
FIRST = LONGEST * FIRST_WAIT
DUE = FULL_AT + FIRST * 2 ** (-(BURST - 1) * EVERY / LONGEST)


def stormy(
    *script: Any, digest: float = LONGEST, each: int = 1, seconds: float = 0.1
) -> World:
    """A world in which the channel was shown type f ten times: the bucket is full."""
    world = World(*[OK] * BURST, *script, digest=digest, seconds=seconds)
    world.storm(BURST, every=seconds + INTERVAL + 0.1, each=each)
    return world


def gaps_after_the_storm(world: World) -> list[float]:
    """The seconds between messages, from the tenth on."""
    return [after - before for before, after in pairwise(world.starts[BURST - 1 :])]


# 1. Ten messages, and then they go further and further apart.


def test_ten_messages_go_out_at_once_and_the_rest_with_the_digest() -> None:
    world = World(digest=LONGEST)
    world.storm(BURST + 5)
    world.arrive(START, "more", "a", "b", "f0.0", f"f0.{BURST}")  # two came before
    world.run()
    at_once = [n * EVERY for n in range(BURST)]
    assert world.starts == pytest.approx([*at_once, DUE])
    assert world.digests == [False] * BURST + [True]
    rest = [f"f0.{BURST + n}" for n in range(5)]
    assert world.posts[-1][1] == [*rest, "a", "b"]
    assert world.collected() == [*rest, "more"]
    answered, entry = world.answers["more"]
    assert (answered, entry.collected, entry.repeated) == (START, 2, 2)
    assert entry.outcome
    assert entry.outcome.verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("longest", [60.0, LONGEST, HOUR])
def test_each_message_more_waits_twice_as_long_and_no_longer_than_the_setting(
    longest: float,
) -> None:
    world = stormy(digest=longest)
    world.stream((11.0 + longest / 30 * n, 1, "f") for n in range(360))
    world.run()
    gaps = gaps_after_the_storm(world)
    assert gaps[0] == pytest.approx(longest * FIRST_WAIT, rel=0.2)
    # Twice as long, but for what leaks out meanwhile.
    for before, after in pairwise(gaps[:3]):
        assert 1.4 * before < after <= 2 * before
    assert max(gaps) <= longest + world.seconds + 1e-9
    assert gaps[8:] == pytest.approx([longest] * len(gaps[8:]), rel=0.03)


def test_an_hour_of_five_a_second_is_twenty_messages_as_the_readme_says() -> None:
    world = World(digest=LONGEST)
    world.stream((float(n), 5, "f") for n in range(3600))
    world.run()
    within = [at for at in world.starts if at < 3600]
    assert 15 < len(within) <= 20
    gaps = [after - before for before, after in pairwise(within[BURST:])]
    assert gaps == pytest.approx(sorted(gaps), abs=1)  # further and further apart


@pytest.mark.parametrize("a_minute", [0.1, 0.5, 3, 60])
def test_a_day_of_a_known_failure_is_at_most_170_messages(a_minute: float) -> None:
    world = World(digest=LONGEST)
    every = max(60 / a_minute, 20)
    count = round(a_minute / 60 * every)
    world.stream((every * n, count, "f") for n in range(int(86_400 / every)))
    world.run()
    assert sum(world.sizes) == int(86_400 / every) * count
    assert 144 <= len(world.posts) <= 170


@pytest.mark.parametrize(
    ("quiet", "at_once"), [(3 * LONGEST, 3), (5 * LONGEST, 5), (86_400, BURST)]
)
def test_one_leaks_out_in_each_longest_wait_and_ten_at_the_most(
    quiet: float, at_once: int
) -> None:
    world = stormy()
    world.storm(at_once + 2, start=FULL_AT + quiet)
    world.run()
    assert len(world.collected()) == 2
    assert len(world.posts) == BURST + at_once + 1


def test_very_many_messages_of_news_are_counted_too() -> None:
    """So many that two to their power is no number any more."""
    world = stormy(digest=HOUR)
    world.unnamed = frozenset({"always_news"})
    world.stream((START + EVERY * n, 1, "always_news") for n in range(1100))
    world.arrive(START + EVERY * 1100, "repeat", "a")
    world.run()
    last_news = world.starts[-2] + world.seconds
    assert world.posts[-1] == (pytest.approx(last_news + HOUR), ["a"])


def test_without_a_digest_nothing_is_collected() -> None:
    world = World(digest=0)
    world.storm(BURST + 5)
    world.run()
    assert len(world.posts) == BURST + 5


# 2. News goes at once.


def test_news_in_the_midst_of_a_storm_goes_out_at_once_and_takes_the_digest_along() -> (
    None
):
    world = stormy()
    world.storm(5, start=START)
    world.arrive(30, "news", "n1", code="limit_wc")
    world.arrive(33, "no news", "n2", code="limit_wc")
    world.run()
    first = [f"f{START:g}.{n}" for n in range(5)]
    assert [log_ids for _, log_ids in world.posts[BURST:]] == [[*first, "n1"], ["n2"]]
    assert world.collected() == [*first, "no news"]
    news = [message.purpose.news for message in world.messages]
    assert news == [{"f"}, *[set()] * (BURST - 1), {"limit_wc"}, set()]
    assert world.digests[BURST:] == [True, True]
    # The news is a message like any other.
    level = BURST + 1 - 30 / LONGEST
    due = 30.1 + FIRST * 2 ** (level - BURST)
    assert world.starts[BURST:] == pytest.approx([30, due], abs=1e-3)


@pytest.mark.parametrize(
    ("after", "is_news"), [(HOUR - 60, False), (HOUR + 0.01, True)]
)
def test_a_log_type_not_shown_for_an_hour_is_news(after: float, is_news: bool) -> None:
    world = stormy(digest=HOUR)
    world.stream((30.0 + n * 400, 1, "fp") for n in range(12))  # the bucket stays full
    world.arrive(FULL_AT + after, "an hour later", "x")
    world.run()
    assert world.collected() == ([] if is_news else ["an hour later"])


def test_only_what_a_message_names_was_shown() -> None:
    world = stormy()
    world.unnamed = frozenset({"fp"})
    world.arrive(20, "not named", "1", code="fp")
    world.arrive(30, "still news", "2", code="fp")
    world.run()
    assert world.posts[BURST:] == [(20, ["1"]), (30, ["2"])]
    assert [message.purpose.news for message in world.messages[-2:]] == [{"fp"}, {"fp"}]


# 3. A surge goes at once.


def test_a_surge_of_what_is_known_goes_out_at_once() -> None:
    world = stormy()
    world.storm(SURGE, start=START, every=0.5)
    world.run()
    surge = [f"f{START:g}.{n}" for n in range(SURGE)]
    assert world.posts[BURST:] == [(START + 0.5 * (SURGE - 1), surge)]
    assert world.messages[-1].purpose.surges == {"f": 1}


def test_a_growing_attack_shows_itself_in_steps() -> None:
    world = stormy()
    world.stream((START + n / 100, 1, "f") for n in range(2 * SURGE**2))
    world.run()
    first, second, _ = world.sizes[BURST:]
    assert first == SURGE
    in_the_second_before = (INTERVAL + 0.1) * 100
    assert SURGE**2 <= second <= max(SURGE**2, in_the_second_before) + 10
    before = [message.purpose.surges for message in world.messages[BURST:]]
    assert before == [{"f": 1}, {"f": first}, {}]


def test_a_surge_is_one_of_a_single_log_type() -> None:
    world = stormy()
    world.arrive(START, "news", "fp", code="fp")
    few = SURGE - 1
    world.stream((START + 5 + n, 1, code) for n in range(few) for code in ("f", "fp"))
    world.run()
    assert world.sizes[BURST:] == [1, 2 * few]
    assert world.messages[-1].purpose.surges == {}


def test_the_most_of_the_last_hour_makes_the_measure() -> None:
    """Of type f it is 4 * SURGE for an hour, and then the 2 that came later."""
    world = World(digest=HOUR)
    world.arrive(0, "many", *range(4 * SURGE))
    world.arrive(HOUR / 2, "some", *range(1000, 1002))
    filled = [(HOUR - 100 + 2 * INTERVAL * n, 1, "fp") for n in range(BURST)]
    world.stream(filled)
    world.stream((HOUR - 60 + n, 1, "f") for n in range(2 * SURGE + 10))
    world.arrive(HOUR + 10, "the many are over an hour ago", "x")
    world.run()
    assert world.starts[-1] == HOUR + 10
    assert world.sizes[-1] > 2 * SURGE
    assert world.messages[-1].purpose.surges == {"f": 2}


def test_a_surge_is_not_made_of_what_the_message_before_took_along() -> None:
    world = stormy(seconds=5)
    few = SURGE - 2
    start = 6.5 * BURST  # when the bucket is full
    world.stream((start + n / 10, 1, "f") for n in range(few))
    world.arrive(start + 3, "in flight", "news", code="fp")
    world.stream((start + 4 + n / 10, 1, "f") for n in range(few))
    world.run()
    assert world.sizes[BURST:] == [few + 1, few]
    assert world.starts[-1] > start + 8 + FIRST


# 4. So many go at once.

FIFTH = MAX_COLLECTED // 5
NO_SURGE = MAX_COLLECTED // SURGE + 100  # in a message: of what is known, all is less


def deliver_a_fifth(world: World, at: float, name: str) -> None:
    """A fifth of what is collected at most."""
    world.arrive(at, name, *(f"{name}.{n}" for n in range(FIFTH)))


def test_five_thousand_are_not_kept_waiting() -> None:
    world = stormy(seconds=0.5, each=NO_SURGE)
    for n in range(6):
        deliver_a_fifth(world, 25 + n * 0.1, f"{n}")
    world.run()
    at, log_ids = world.posts[BURST]
    assert at == pytest.approx(25.4)
    assert len(log_ids) == MAX_COLLECTED
    assert world.answered_at("5") == pytest.approx(25.9)  # there was no room until then
    assert world.collected() == ["0", "1", "2", "3", "4", "5"]


def test_what_comes_while_a_message_is_in_flight_goes_out_with_the_next() -> None:
    """Not at once, although as many are collected with those in flight."""
    world = stormy(seconds=5, each=NO_SURGE)
    start = 6.5 * BURST  # when the bucket is full
    for n in range(4):
        deliver_a_fifth(world, start, f"{n}")
    world.arrive(start + 3, "in flight for five seconds", "news", code="fp")
    deliver_a_fifth(world, start + 5, "in the next one")
    world.run()
    assert world.sizes[BURST:] == [4 * FIFTH + 1, FIFTH]
    assert start + 8 + FIRST < world.starts[-1] < start + 5 + LONGEST


def test_news_and_a_full_outbox_keep_nothing_from_being_collected() -> None:
    world = stormy()
    for n in range(MAX_WAITING):
        world.arrive(START, f"news {n}", f"n{n}", code=f"new_{n}")
    world.arrive(START + 0.05, "too many", "x", code="another", repeat=True)
    world.arrive(START + 0.05, "no news", "old")
    world.run()
    assert world.collected() == ["no news"]
    assert world.answered_at("no news") == START + 0.05
    assert world.verdict("too many") is Verdict.ACCEPTED


def test_deliveries_that_wait_when_the_bucket_is_full_join_the_digest() -> None:
    world = World(digest=LONGEST, seconds=3)
    last = (BURST - 1) * 5.0
    world.storm(BURST, every=5)
    world.arrive(last + 1, "a", "a")
    world.arrive(last + 2, "b", "b")
    world.run()
    assert sorted(world.collected()) == ["a", "b"]
    assert world.answered_at("a") == world.answered_at("b") == last + 3


# Slack does not accept.


def test_while_slack_does_not_accept_deliveries_wait_for_their_own_outcome() -> None:
    world = stormy(FAILED, OK)
    world.arrive(20, "collected", "1")
    world.arrive(30, "news", "2", code="fp")  # fails, and is tried again
    world.arrive(30.5, "own", "3")
    world.arrive(40, "collected again", "4")
    world.run()
    assert world.collected() == ["collected", "collected again"]
    posts = [log_ids for _, log_ids in world.posts[BURST:]]
    assert posts == [["1", "2"], ["1", "2", "3"], ["4"]]
    assert world.answered_at("own") == pytest.approx(30.2 + RETRY)


@pytest.mark.parametrize("refusal", [[NO_SERVICE], [MALFORMED] * 2])
def test_a_digest_that_slack_refuses_goes_out_with_the_next_message_or_after_a_wait(
    refusal: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    world = stormy(*refusal, *refusal, *refusal, OK)
    world.storm(3, start=START)
    world.arrive(DUE + 40, "refused too", "1", budget=20)
    world.run()
    first = [f"f{START:g}.{n}" for n in range(3)]
    tries = len(refusal)
    posts = [log_ids for _, log_ids in world.posts[BURST:]]
    assert posts == [first] * tries + [[*first, "1"]] * tries + [first] * (tries + 1)
    assert world.verdict("refused too") is not Verdict.ACCEPTED
    assert world.forms[BURST:] == [*["full", "counts"][:tries] * 3, "full"]
    wait = LONGEST + 0.1 + (tries - 1) * (INTERVAL + 0.1)
    when = [DUE, DUE + 40, DUE + 40 + wait, DUE + 40 + 2 * wait]
    assert world.starts[BURST::tries] == pytest.approx(when)
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 3 * tries
    assert " alerts=3 collected=3 " in errors[0]


def test_without_a_thread_to_send_it_later_nothing_is_collected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = stormy()
    world.lack_threads(*[True] * BURST, False)
    world.arrive(20, "without a thread", "1")
    world.arrive(30, "with a thread", "1")
    world.run()
    assert world.answered_at("without a thread") == 20
    assert "no thread left to post with" in world.outcome("without a thread").reason
    assert "cannot start a thread" in caplog.text
    assert world.collected() == ["with a thread"]
    assert world.shown[BURST:] == ["1"]


def test_events_without_a_log_id_are_never_merged() -> None:
    world = stormy()
    world.arrive(20, "news", "", "", code="fp")
    world.arrive(25, "collected", "", "", code="fp")
    world.arrive(26, "collected too", "", code="fp")
    world.run()
    assert world.sizes[BURST:] == [2, 3]


# The stop.


def assert_stop(world: World, at: float, posted: float, ended: float) -> None:
    """A stop at a time: when the digest is posted, and when the stop is over."""
    world.arrive(START, "repeat", "1")
    world.stop(at)
    world.run()
    assert world.posts[-1] == (pytest.approx(posted), ["1"])
    assert world.stopped_at == pytest.approx(ended)


@pytest.mark.parametrize("answer", [OK, NO_SERVICE])
def test_a_stop_posts_the_digest_at_once_and_is_over(answer: Any) -> None:
    assert_stop(stormy(answer), at=25, posted=25, ended=25.1)


def test_a_stop_with_nothing_collected_waits_for_nothing() -> None:
    world = stormy()
    world.stop(START)
    world.run()
    assert world.stopped_at == START


@pytest.mark.parametrize("refusal", [[NO_SERVICE], [MALFORMED] * 2])
def test_a_stop_tries_once_what_was_refused_before(refusal: list[object]) -> None:
    at = DUE + 20  # it was refused when due, and would be tried again after a wait
    assert_stop(stormy(*refusal), at=at, posted=at, ended=at + 0.1)


def test_a_stop_behind_a_post_that_never_ends_posts_the_digest_anew() -> None:
    posted = 500 + RETRY
    assert_stop(stormy((OK, 2000.0)), at=500, posted=posted, ended=posted + 0.1)


def test_a_stop_waits_for_slacks_limit_if_it_passes_in_time() -> None:
    posted = DUE + 0.1 + 5
    assert_stop(stormy(limited(5)), at=DUE + 3, posted=posted, ended=posted + 0.1)


@pytest.mark.parametrize("at", [DUE - 1, DUE + 9])
def test_a_stop_tries_once_before_its_end_if_slacks_limit_is_longer(at: float) -> None:
    posted = at + 10 - LAST_TRY
    assert_stop(stormy(limited(300)), at=at, posted=posted, ended=posted + 0.1)


def test_a_stop_may_come_twice_and_holds_up_nothing_and_collects_nothing() -> None:
    world = stormy()
    world.arrive(20, "before", "1")

    def stop() -> None:
        for moment in (25.0, 25.05, 26.0):
            world.time.sleep(moment - world.time.now)
            with world.time:  # as if a signal interrupts a thread that holds the lock
                world.outbox.stop(10)
            assert world.time.now == moment

    world.at_once(stop)
    world.arrive(25.01, "after", "2")
    world.stop(30)
    world.run()
    assert world.posts[BURST:] == [(25, ["1"]), (pytest.approx(25.1 + INTERVAL), ["2"])]
    assert world.collected() == ["before"]
    assert world.stopped_at == 30


@pytest.mark.parametrize("answer", [limited(300), FAILED, NO_SERVICE])
def test_a_stop_that_cannot_post_the_digest_says_what_is_lost(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world = stormy(OK, *[answer] * 40, each=20)
    world.arrive(START, "news", "x", code="limit_wc")
    world.arrive(START + 2, "repeats", *(f"{n}" for n in range(150)))
    world.arrive(START + 3, "one more", "y", code="limit_wc")
    stop = DUE + 2 * FIRST  # it was tried before
    for at in (stop, stop + 20):  # as worker.py and then the end of the process do
        world.stop(at)
    world.run()
    lost = [r.getMessage() for r in caplog.records if "lost=" in r.getMessage()]
    first = ",".join(str(n) for n in range(100))
    rest = ",".join(str(n) for n in range(100, 150))
    assert lost == [
        f"digest lost=100 of 151 types=f:100 log_ids={first}",
        f"digest lost=51 of 151 types=f:50,limit_wc:1 log_ids={rest},y",
    ]
