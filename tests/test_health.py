"""Health: what a monitor is told, and when it is told that something is wrong."""

from types import SimpleNamespace
from typing import Any

import pytest

from health import PATIENCE, Health
from outcome import Outcome, Verdict
from pace import Standing, Trouble

START = 1795341606.9  # 2026-11-22T10:00:06Z, as the log has it
DOWN = Outcome(Verdict.UNAVAILABLE, "Slack failed: HTTP 500", 500)
GONE = Outcome(Verdict.REFUSED, "no_service", 404)
NEVER = "last message accepted none yet"


class World:
    """A clock that stands until it is moved, and channels that fare as told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.set_by = 0.0  # how far somebody has set the wall clock
        self.fare: dict[str, Standing] = {"": Standing()}
        channels: Any = self
        self.health = Health(channels, self.clock, self.wall_clock)

    def clock(self) -> float:
        return self.now

    def wall_clock(self) -> float:
        return START - 1000 + self.now + self.set_by

    @property
    def by_label(self) -> dict[str, Any]:
        channels = {}
        for label, standing in self.fare.items():
            outbox = SimpleNamespace(standing=lambda standing=standing: standing)
            channels[label] = SimpleNamespace(outbox=outbox)
        return channels


@pytest.fixture
def world() -> World:
    return World()


def test_says_when_last_something_came_and_went(world: World) -> None:
    said = f"ok: last delivery none yet, {NEVER}"
    assert world.health.line() == (200, said)
    world.health.note_delivery()
    world.now += 3600
    world.fare[""] = Standing(accepted_at=world.now, advice="it was slow")
    world.now += 86_400
    assert world.health.line() == (
        200,
        "ok: last delivery 2026-11-22T10:00:06Z,"
        " last message accepted 2026-11-22T11:00:06Z (it was slow)",
    )


def test_a_refusal_is_told_at_once(world: World) -> None:
    refused = Trouble(1000, GONE, is_lasting=True)
    said = "Slack has refused messages since 2026-11-22T10:00:06Z: no_service"
    world.fare[""] = Standing(trouble=refused)
    assert world.health.line() == (503, said)
    world.fare[""] = Standing(trouble=refused)
    world.now += 2 * PATIENCE
    assert world.health.line() == (503, said)


def test_a_slack_that_cannot_be_reached_is_told_after_ten_minutes(world: World) -> None:
    world.fare[""] = Standing(accepted_at=900, trouble=Trouble(1000, DOWN))
    said = f"Slack has taken no messages since 2026-11-22T10:00:06Z: {DOWN.reason}"
    world.now += PATIENCE - 0.1
    assert world.health.line() == (
        200,
        f"ok so far: last delivery none yet, {said}; 503 from 2026-11-22T10:10:06Z on",
    )
    world.now += 0.1
    assert world.health.line() == (503, said)


@pytest.mark.parametrize("set_by", [-7199.0, 86_400.0])
def test_a_wall_clock_that_is_set_changes_no_order(world: World, set_by: float) -> None:
    world.set_by = -set_by
    world.health.note_delivery()
    world.set_by = 0
    world.now += 60
    said = f"ok: last delivery 2026-11-22T10:00:06Z, {NEVER}"
    assert world.health.line(max_silence=61) == (200, said)


def test_silence_counts_from_the_start_and_from_each_delivery(world: World) -> None:
    for began in ("10:00:06", "11:00:06"):
        world.now += 3599
        assert world.health.line(max_silence=3600)[0] == 200
        world.now += 1
        said = f"no delivery from Auth0 since 2026-11-22T{began}Z"
        assert world.health.line(max_silence=3600) == (503, said)
        assert world.health.line()[0] == 200
        world.health.note_delivery()


def test_each_channel_in_trouble_is_named(world: World) -> None:
    world.fare = {
        "first": Standing(accepted_at=1000),
        "SECURITY": Standing(trouble=Trouble(1000, DOWN)),
    }
    since = "2026-11-22T10:00:06Z"
    taken = f"Slack has taken no messages since {since}: {DOWN.reason}"
    assert world.health.line() == (
        200,
        f"ok so far: last delivery none yet,"
        f" channel first: last message accepted {since},"
        f" channel SECURITY: {taken}; 503 from 2026-11-22T10:10:06Z on",
    )
    world.now += PATIENCE
    world.fare["DEV"] = Standing(trouble=Trouble(1000, GONE, is_lasting=True))
    assert world.health.line(max_silence=1) == (
        503,
        f"channel SECURITY: {taken};"
        f" channel DEV: Slack has refused messages since {since}: no_service;"
        f" no delivery from Auth0 since {since}",
    )
