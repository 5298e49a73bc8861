"""Health: what a monitor is told, and when it is told that something is wrong."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from health import PATIENCE, Health
from outcome import Outcome, Verdict

START = 1795341606.0  # 2026-11-22T10:00:06Z
OK = Outcome(Verdict.ACCEPTED, "ok", 200)
GONE = Outcome(Verdict.REFUSED, "no_service", 404)
MALFORMED = Outcome(Verdict.MALFORMED, "invalid_payload", 400)
DOWN = Outcome(Verdict.UNAVAILABLE, "Slack failed: HTTP 500", 500)
REFUSED = (503, "Slack refuses messages since 2026-11-22T10:00:06Z: no_service")
UNREACHED_AFTER = PATIENCE[Verdict.UNAVAILABLE]


class Clocks:
    """A monotonic and a wall clock, which stand until they are moved."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.set_by = 0.0  # how far somebody has set the wall clock

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds

    def clock(self) -> float:
        return self.monotonic

    def wall_clock(self) -> float:
        return START - 1000 + self.monotonic + self.set_by


def answer(message: Any) -> Outcome:
    """What Slack answers stands in the message; or what happens before it answers."""
    outcome = message["outcome"]
    if isinstance(outcome, Outcome):
        return outcome
    answered: Outcome = outcome()
    return answered


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def health(clocks: Clocks) -> Health:
    return Health({"": answer}, clocks.clock, clocks.wall_clock)


def post(
    health: Health, outcome: Outcome | Callable[[], Outcome], channel: str = ""
) -> None:
    message: Any = {"outcome": outcome}
    health.channels[channel].post(message)


def test_a_post_returns_what_slack_made_of_it(health: Health) -> None:
    for outcome in (OK, GONE, MALFORMED, DOWN):
        message: Any = {"outcome": outcome}
        assert health.channels[""].post(message) is outcome


def test_says_when_last_something_came_and_went(health: Health, clocks: Clocks) -> None:
    said = "ok: last delivery none yet, last message accepted none yet"
    assert health.line() == (200, said)
    health.note_delivery()
    clocks.pass_by(3600)
    said = "ok: last delivery 2026-11-22T10:00:06Z, last message accepted none yet"
    assert health.line() == (200, said)
    post(health, OK)
    clocks.pass_by(86_400)
    assert health.line() == (
        200,
        "ok: last delivery 2026-11-22T10:00:06Z,"
        " last message accepted 2026-11-22T11:00:06Z",
    )


def test_a_refusal_is_told_until_a_message_is_accepted(
    health: Health, clocks: Clocks
) -> None:
    post(health, GONE)
    for later in (MALFORMED, DOWN, GONE):
        clocks.pass_by(1000)
        post(health, later)
        assert health.line() == REFUSED
    post(health, OK)
    assert health.line()[0] == 200


def test_a_slack_that_cannot_be_reached_is_told_after_ten_minutes(
    health: Health, clocks: Clocks
) -> None:
    for _ in range(3):
        post(health, DOWN)
        clocks.pass_by(UNREACHED_AFTER / 3 - 1)
        assert health.line()[0] == 200
    clocks.pass_by(3)
    said = "Slack takes no messages since 2026-11-22T10:00:06Z: Slack failed: HTTP 500"
    assert health.line() == (503, said)
    post(health, OK)
    assert health.line()[0] == 200


def test_a_message_that_is_accepted_in_its_next_form_is_never_told(
    health: Health, clocks: Clocks
) -> None:
    post(health, MALFORMED)
    assert health.line()[0] == 200
    clocks.pass_by(20)  # Slack is slow
    assert health.line()[0] == 200
    post(health, OK)
    clocks.pass_by(3600)
    post(health, MALFORMED)
    assert health.line()[0] == 200


def test_a_message_that_is_malformed_in_every_form_is_told_at_once(
    health: Health, clocks: Clocks
) -> None:
    post(health, MALFORMED)
    clocks.pass_by(1)
    post(health, MALFORMED)
    said = "Slack refuses messages since 2026-11-22T10:00:07Z: invalid_payload"
    assert health.line() == (503, said)
    post(health, OK)
    assert health.line()[0] == 200


def test_a_malformed_message_that_nothing_follows_did_not_get_through(
    health: Health, clocks: Clocks
) -> None:
    post(health, MALFORMED)
    clocks.pass_by(59)
    assert health.line()[0] == 200
    clocks.pass_by(1)
    said = "Slack refuses messages since 2026-11-22T10:00:06Z: invalid_payload"
    assert health.line() == (503, said)


# Posts that hang: the outbox gives them up after a minute, and starts another one.


def test_a_post_that_hangs_is_a_trouble_from_its_start(
    health: Health, clocks: Clocks
) -> None:
    said = []

    def hang() -> Outcome:
        clocks.pass_by(UNREACHED_AFTER - 0.1)
        said.append(health.line())
        clocks.pass_by(0.1)
        said.append(health.line())
        return DOWN

    post(health, hang)
    soon, late = said
    assert soon[0] == 200
    hanging = "Slack takes no messages since 2026-11-22T10:00:06Z: "
    assert late == (503, hanging + "Slack has not answered")
    assert health.line() == (503, hanging + "Slack failed: HTTP 500")


def test_what_failed_before_a_post_that_hangs_is_older(
    health: Health, clocks: Clocks
) -> None:
    said = []

    def hang() -> Outcome:
        clocks.pass_by(UNREACHED_AFTER)
        said.append(health.line()[1])
        return OK

    post(health, DOWN)
    clocks.pass_by(100)
    post(health, hang)
    assert said == [
        "Slack takes no messages since 2026-11-22T10:00:06Z: Slack failed: HTTP 500"
    ]


def test_a_post_that_hangs_is_older_than_what_failed_after_it(
    health: Health, clocks: Clocks
) -> None:
    said = []

    def hang() -> Outcome:
        clocks.pass_by(61)
        post(health, DOWN)
        clocks.pass_by(UNREACHED_AFTER - 61)
        said.append(health.line())
        return OK

    post(health, hang)
    hanging = "Slack takes no messages since 2026-11-22T10:00:06Z"
    assert said == [(503, f"{hanging}: Slack has not answered")]


def test_a_post_that_hangs_is_no_trouble_once_a_newer_one_is_accepted(
    health: Health, clocks: Clocks
) -> None:
    said = []

    def hang() -> Outcome:
        clocks.pass_by(70)
        post(health, OK)
        clocks.pass_by(2 * UNREACHED_AFTER)
        said.append(health.line()[0])
        return GONE

    post(health, hang)
    assert said == [200]
    assert health.line()[0] == 200


def test_an_old_post_that_is_accepted_late_hides_no_newer_trouble(
    health: Health, clocks: Clocks
) -> None:
    def hang() -> Outcome:
        clocks.pass_by(61)
        post(health, GONE)
        return OK

    post(health, hang)
    said = "Slack refuses messages since 2026-11-22T10:01:07Z: no_service"
    assert health.line() == (503, said)


def test_an_old_post_that_is_accepted_late_says_nothing_of_one_in_flight(
    health: Health, clocks: Clocks
) -> None:
    posted = threading.Event()
    answered = threading.Event()

    def accepted_late() -> Outcome:
        posted.set()
        assert answered.wait(10)
        return OK

    old = threading.Thread(target=post, args=(health, accepted_late))
    old.start()
    assert posted.wait(10)
    clocks.pass_by(61)

    def refused() -> Outcome:
        answered.set()
        old.join()
        return GONE

    post(health, refused)
    said = "Slack refuses messages since 2026-11-22T10:01:07Z: no_service"
    assert health.line() == (503, said)


def test_a_post_that_raises_has_no_answer(health: Health, clocks: Clocks) -> None:
    def fail() -> Outcome:
        raise UnicodeEncodeError("latin-1", "·", 0, 1, "no such letter")

    with pytest.raises(UnicodeEncodeError):
        post(health, fail)
    assert health.line()[0] == 200
    clocks.pass_by(UNREACHED_AFTER)
    said = "Slack takes no messages since 2026-11-22T10:00:06Z: Slack has not answered"
    assert health.line() == (503, said)
    post(health, OK)
    assert health.line()[0] == 200


# The clocks.


@pytest.mark.parametrize("set_by", [-7199.0, 86_400.0])
def test_a_wall_clock_that_is_set_changes_no_order(
    health: Health, clocks: Clocks, set_by: float
) -> None:
    clocks.set_by = -set_by
    health.note_delivery()
    post(health, OK)
    clocks.set_by = 0
    clocks.pass_by(1)
    post(health, GONE)
    said = "Slack refuses messages since 2026-11-22T10:00:07Z: no_service"
    assert health.line() == (503, said)
    clocks.pass_by(1)
    post(health, OK)
    assert health.line() == (
        200,
        "ok: last delivery 2026-11-22T10:00:06Z,"
        " last message accepted 2026-11-22T10:00:08Z",
    )


# Silence.


def test_silence_counts_from_the_start_and_from_each_delivery(
    health: Health, clocks: Clocks
) -> None:
    clocks.pass_by(3599)
    assert health.line(max_silence=3600)[0] == 200
    clocks.pass_by(1)
    said = "no delivery from Auth0 since 2026-11-22T10:00:06Z"
    assert health.line(max_silence=3600) == (503, said)
    assert health.line()[0] == 200
    health.note_delivery()
    clocks.pass_by(3599)
    assert health.line(max_silence=3600)[0] == 200
    clocks.pass_by(1)
    said = "no delivery from Auth0 since 2026-11-22T11:00:06Z"
    assert health.line(max_silence=3600) == (503, said)


def test_silence_and_trouble_are_both_told(health: Health, clocks: Clocks) -> None:
    post(health, GONE)
    assert health.line(max_silence=0) == (
        503,
        f"{REFUSED[1]}; no delivery from Auth0 since 2026-11-22T10:00:06Z",
    )


# More channels.


def test_each_channel_in_trouble_is_named(clocks: Clocks) -> None:
    posts = {"first": answer, "SECURITY": answer, "DEV": answer}
    health = Health(posts, clocks.clock, clocks.wall_clock)
    post(health, OK, "first")
    post(health, OK, "DEV")
    assert health.line() == (
        200,
        "ok: last delivery none yet,"
        " channel first: last message accepted 2026-11-22T10:00:06Z,"
        " channel SECURITY: last message accepted none yet,"
        " channel DEV: last message accepted 2026-11-22T10:00:06Z",
    )
    post(health, GONE, "SECURITY")
    post(health, OK, "first")
    security = f"channel SECURITY: {REFUSED[1]}"
    assert health.line() == (503, security)
    clocks.pass_by(1)
    post(health, GONE, "first")
    first = (
        "channel first: Slack refuses messages since 2026-11-22T10:00:07Z: no_service"
    )
    assert health.line() == (503, f"{first}; {security}")
    post(health, OK, "SECURITY")
    assert health.line() == (503, first)


def test_a_trouble_says_since_when_and_the_latest_reason(
    health: Health, clocks: Clocks
) -> None:
    post(health, GONE)
    clocks.pass_by(60)
    post(health, Outcome(Verdict.REFUSED, "action_prohibited", 403))
    status, said = health.line()
    assert status == 503
    assert said == REFUSED[1].replace(GONE.reason, "action_prohibited")
