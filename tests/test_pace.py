"""Pace: how posts fare, and when the next one may start."""

import math

import pytest

from outcome import Outcome, Verdict
from pace import INTERVAL, LAST_TRY, MAX_PAUSE, Pace, Standing, Trouble
from tests.outbox_world import FAILED, MALFORMED, NO_SERVICE, OK, limited


class World:
    """A pace, and a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pace = Pace(lambda: self.now)

    def post(self, outcome: Outcome, goes_again: bool = False) -> float:
        """A post that takes a second; returns how long the next one must wait."""
        started = self.now
        self.now += 1
        self.pace.note(outcome, started, goes_again)
        return self.pace.next_at - self.now

    @property
    def standing(self) -> Standing:
        return self.pace.standing


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_post_waits_for_nothing(world: World) -> None:
    assert world.pace.next_at == -math.inf
    assert world.standing == Standing()


def test_pauses_grow_while_slack_fails_until_it_says_yes_or_no(world: World) -> None:
    for verdict in (OK, NO_SERVICE):
        pauses = [world.post(FAILED, goes_again=True) for _ in range(MAX_PAUSE + 2)]
        grown = [*range(1, MAX_PAUSE + 1), MAX_PAUSE, MAX_PAUSE]
        assert pauses == pytest.approx([max(pause, INTERVAL) for pause in grown])
        assert world.post(verdict) == pytest.approx(INTERVAL)


@pytest.mark.parametrize(("said", "pause"), [(600, 600), (0.2, INTERVAL)])
def test_slack_s_own_pause_is_kept(world: World, said: float, pause: float) -> None:
    assert world.post(limited(said), goes_again=True) == pytest.approx(pause)


def test_a_failure_is_known_from_its_first_post_on_for_its_latest_reason(
    world: World,
) -> None:
    world.post(FAILED, goes_again=True)
    world.post(limited(5), goes_again=True)
    assert world.standing.trouble == Trouble(100, limited(5))
    assert world.standing.trouble == world.standing.trouble
    world.post(Outcome(Verdict.ACCEPTED, "ok", advice="it was slow"))
    assert world.standing == Standing(accepted_at=103, advice="it was slow")
    assert world.standing.trouble is None


def test_a_refusal_is_known_until_a_message_is_accepted(world: World) -> None:
    world.post(OK)
    world.post(MALFORMED, goes_again=True)
    assert world.standing.trouble == Trouble(101, MALFORMED)
    world.post(MALFORMED)
    assert world.standing == Standing(
        101, trouble=Trouble(102, MALFORMED, is_lasting=True)
    )
    world.post(FAILED, goes_again=True)
    world.post(NO_SERVICE)
    assert world.standing == Standing(
        101, trouble=Trouble(102, NO_SERVICE, is_lasting=True)
    )
    world.post(OK)
    assert world.standing == Standing(accepted_at=106)


def test_a_stop_obeys_a_pause_until_its_last_try(world: World) -> None:
    world.post(limited(300), goes_again=True)
    world.pace.hurry(10)
    assert world.pace.next_at == world.now + 10 - LAST_TRY
    world.now += 10 - LAST_TRY
    assert world.post(limited(300), goes_again=True) == 300  # it had its last try


def test_a_stop_keeps_slack_s_limit(world: World) -> None:
    world.post(limited(300), goes_again=True)
    world.pace.hurry(LAST_TRY + INTERVAL / 2)
    assert world.pace.next_at == world.now + INTERVAL
