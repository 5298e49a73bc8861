"""The status: what a monitor is told, and when it is told that something is wrong."""

import pytest

from message import Message
from slack import Outcome, Verdict
from status import UNREACHED_AFTER, Status

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
def status(clock: Clock) -> Status:
    return Status(lambda message: message["outcome"], clock)


def post(status: Status, outcome: Outcome) -> None:
    assert status.post({"outcome": outcome}) is outcome


@pytest.mark.parametrize(
    ("seconds", "ago"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (185, "3 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_says_when_last_something_came_and_went(
    status: Status, clock: Clock, seconds: float, ago: str
) -> None:
    assert status.line() == (
        200,
        "ok: last delivery none yet, last message accepted none yet",
    )
    status.note_delivery()
    post(status, OK)
    clock.now += seconds
    assert status.line() == (
        200,
        f"ok: last delivery {ago} ago, last message accepted {ago} ago",
    )


def test_a_refusal_is_told_until_a_message_is_accepted(
    status: Status, clock: Clock
) -> None:
    post(status, GONE)
    for later in (MALFORMED, DOWN, GONE):
        clock.now += 1000
        post(status, later)
        assert status.line() == REFUSED
    post(status, OK)
    assert status.line()[0] == 200


def test_what_a_given_up_post_says_late_is_no_news(clock: Clock) -> None:
    def post_slowly(message: Message) -> Outcome:
        if message["outcome"] is DOWN:  # and while it hangs, another one is accepted
            clock.now += 70
            post(busy, OK)
        return message["outcome"]  # type: ignore[no-any-return]

    busy = Status(post_slowly, clock)
    busy.post({"outcome": DOWN})
    clock.now += 2 * UNREACHED_AFTER
    assert busy.line()[0] == 200


def test_a_slack_that_cannot_be_reached_is_told_after_ten_minutes(
    status: Status, clock: Clock
) -> None:
    for _ in range(3):
        post(status, DOWN)
        clock.now += UNREACHED_AFTER / 3 - 1
        assert status.line()[0] == 200
    clock.now += 3
    reason = (
        "Slack takes no messages since 2026-11-22T10:00:06Z: Slack failed: HTTP 500"
    )
    assert status.line() == (503, reason)
    post(status, OK)
    assert status.line()[0] == 200
