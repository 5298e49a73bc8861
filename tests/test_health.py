"""Health: what a monitor is told, and when it is told that something is wrong."""

import pytest

from health import UNREACHED_AFTER, Health
from message import Message
from slack import Outcome, Verdict

START = 1795341606.0  # 2026-11-22T10:00:06Z
OK = Outcome(Verdict.ACCEPTED, "ok", 200)
GONE = Outcome(Verdict.REFUSED, "no_service", 404)
MALFORMED = Outcome(Verdict.MALFORMED, "invalid_payload", 400)
DOWN = Outcome(Verdict.UNAVAILABLE, "Slack failed: HTTP 500", 500)
REFUSED = (503, "Slack refuses messages since 2026-11-22T10:00:06Z: no_service")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(lambda message: message["outcome"], clock)


def post(health: Health, outcome: Outcome) -> None:
    assert health.post({"outcome": outcome}) is outcome


def test_says_when_last_something_came_and_went(health: Health, clock: Clock) -> None:
    said = "ok: last delivery none yet, last message accepted none yet"
    assert health.line() == (200, said)
    health.note_delivery()
    clock.now += 3600
    said = "ok: last delivery 2026-11-22T10:00:06Z, last message accepted none yet"
    assert health.line() == (200, said)
    post(health, OK)
    clock.now += 86_400
    assert health.line() == (
        200,
        "ok: last delivery 2026-11-22T10:00:06Z,"
        " last message accepted 2026-11-22T11:00:06Z",
    )


def test_a_refusal_is_told_until_a_message_is_accepted(
    health: Health, clock: Clock
) -> None:
    post(health, GONE)
    for later in (MALFORMED, DOWN, GONE):
        clock.now += 1000
        post(health, later)
        assert health.line() == REFUSED
    post(health, OK)
    assert health.line()[0] == 200


def test_what_a_given_up_post_says_late_is_no_news(clock: Clock) -> None:
    def post_slowly(message: Message) -> Outcome:
        if message["outcome"] is DOWN:  # and while it hangs, another one is accepted
            clock.now += 70
            post(busy, OK)
        return message["outcome"]  # type: ignore[no-any-return]

    busy = Health(post_slowly, clock)
    busy.post({"outcome": DOWN})
    clock.now += 2 * UNREACHED_AFTER
    assert busy.line()[0] == 200


def test_a_slack_that_cannot_be_reached_is_told_after_ten_minutes(
    health: Health, clock: Clock
) -> None:
    for _ in range(3):
        post(health, DOWN)
        clock.now += UNREACHED_AFTER / 3 - 1
        assert health.line()[0] == 200
    clock.now += 3
    reason = (
        "Slack takes no messages since 2026-11-22T10:00:06Z: Slack failed: HTTP 500"
    )
    assert health.line() == (503, reason)
    post(health, OK)
    assert health.line()[0] == 200
