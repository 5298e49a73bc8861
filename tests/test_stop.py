"""The stop: what a signal or a kill leaves of what was answered 200, end to end."""

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests

from digest import SURGE
from message import MAX_SINGLE
from tests.attackers import ONE_BYTE, held_connections
from tests.events import event
from tests.raw_http import connect, request, statuses
from tests.server import STOPPED_WITHIN, TOKEN, Server, measured, server, wait_until
from tests.slack_stub import Answer, SlackStub, slack_stub
from worker import LAST_TRY_WITHIN

# A signal while alerts are collected.

COLLECTED = SURGE - 1  # more would go at once
FLASK_RUN = ["flask", "run"]
End = Callable[[Server, SlackStub], None]


def collect(running: Server) -> int:
    """Deliver until some alerts are collected; returns how many were delivered."""
    collected = delivered = 0
    while collected < COLLECTED:
        response = running.deliver([event()])
        assert response.status_code == 200
        delivered += 1
        collected += "next message" in response.text
    return delivered


class Stopped:
    """What is left of a service that collected alerts, and then was ended."""

    def __init__(self, end: End, command: list[str] | None = None) -> None:
        with (
            slack_stub() as self.slack,
            server(command, SLACK_WEBHOOK_URL=self.slack.url, **measured()) as running,
        ):
            self.delivered = collect(running)
            assert self.slack.events == self.delivered - COLLECTED
            end(running, self.slack)
            started = time.monotonic()
            running.process.wait(STOPPED_WITHIN)
            self.seconds = time.monotonic() - started
            self.output = running.output


def to_all(signal_number: int) -> End:
    """Send a signal to the master and the worker, or to the one process of flask."""
    return lambda running, _: os.killpg(running.process.pid, signal_number)


def terminate_among_slow_clients(running: Server, _: SlackStub) -> None:
    with held_connections(running, 450, ONE_BYTE):
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(STOPPED_WITHIN)


def lose_the_master(running: Server, _: SlackStub) -> None:
    worker = running.worker
    running.process.kill()
    wait_until(lambda: not os.path.exists(f"/proc/{worker}"))


def terminate_while_slack_is_slow(running: Server, slack: SlackStub) -> None:
    slack.script(Answer(500, ""), Answer(delay=LAST_TRY_WITHIN))
    running.process.send_signal(signal.SIGTERM)


# Ctrl-C in a terminal is an INT for all; closing it is a HUP.
FLASK_RUN_ENDS = (to_all(signal.SIGTERM), to_all(signal.SIGINT), to_all(signal.SIGHUP))
GUNICORN_ENDS = (
    *FLASK_RUN_ENDS[:2],
    terminate_among_slow_clients,
    terminate_while_slack_is_slow,
    lose_the_master,
)


def hurry_while_slack_hangs(running: Server, slack: SlackStub) -> None:
    before = len(slack.posts)
    slack.script(*[Answer(delay=60, accept=False)] * 9)
    running.process.send_signal(signal.SIGTERM)
    wait_until(lambda: len(slack.posts) > before)
    running.process.send_signal(signal.SIGQUIT)


def bring_news_and_kill(running: Server, slack: SlackStub) -> None:
    """News takes along what is collected; what is collected after it, a kill loses."""
    before = slack.events
    assert running.deliver([event(type="limit_wc")]).text == "ok\n"
    assert slack.events == before + COLLECTED + 1
    assert "next message" in running.deliver([event(user_name="lost.")]).text
    kill(running)


def kill(running: Server) -> None:
    """End both processes at once, so that neither can stop the other kindly."""
    worker = running.worker
    running.process.send_signal(signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    running.process.kill()


def test_what_is_collected_is_posted_or_logged_as_lost() -> None:
    """All at once, because each takes as long as ten messages do."""
    with ThreadPoolExecutor(10) as pool:
        ended = [pool.submit(Stopped, end) for end in GUNICORN_ENDS]
        ended += [pool.submit(Stopped, end, FLASK_RUN) for end in FLASK_RUN_ENDS]
        hurried = pool.submit(Stopped, hurry_while_slack_hangs)
        killed = pool.submit(Stopped, bring_news_and_kill)
        for future in ended:
            stopped = future.result()
            assert stopped.slack.events == stopped.delivered, stopped.output
            assert ", digest since " in stopped.slack.messages[-1]["text"]
            assert stopped.seconds < 20  # what the README promises
            assert "Traceback" not in stopped.output
            assert TOKEN not in stopped.output
            assert "lost" not in stopped.output
        lost = hurried.result()
        assert lost.slack.events == lost.delivered - COLLECTED
        assert lost.output.count(f"ERROR digest lost={COLLECTED} ") == 1
        lost = killed.result()
        assert lost.slack.events == lost.delivered + 1
        assert "lost." not in json.dumps(lost.slack.messages)


# A signal while deliveries wait for Slack.


def status(running: Server) -> str:
    return requests.get(f"{running.url}/status", timeout=20).text


def test_a_stopping_service_finishes_what_is_in_flight_and_refuses_the_rest(
    slack: SlackStub,
) -> None:
    slack.script(Answer(delay=60))
    with (
        server(SLACK_WEBHOOK_URL=slack.url) as running,
        ThreadPoolExecutor(3) as pool,
        connect(running) as idle,
    ):
        idle.sendall(request(b"[]", b"Content-Length: 2"))
        assert statuses(idle.recv(65536)) == [204]
        in_flight = pool.submit(running.deliver, [event()])
        wait_until(lambda: slack.posts)
        before = status(running)
        time.sleep(1)  # so that /status tells the next delivery from this one
        waiting = pool.submit(running.deliver, [event()])
        wait_until(lambda: status(running) != before)
        running.process.send_signal(signal.SIGTERM)
        with pytest.raises(requests.ConnectionError):
            wait_until(lambda: not status(running))
        assert idle.recv(65536) == b""  # closed, although the client would keep it
        assert running.process.poll() is None
        slack.released.set()
        assert in_flight.result().status_code == 200
        assert waiting.result().status_code == 200
        assert running.process.wait(STOPPED_WITHIN) == 0
    assert len(slack.messages) == 2


def test_a_killed_service_loses_nothing_that_was_answered(slack: SlackStub) -> None:
    answered: list[str] = []

    def deliver(running: Server, n: int) -> None:
        name = f"user{n}@example.com"
        # The process may be gone, perhaps in the middle of its answer.
        with suppress(requests.RequestException):
            if running.deliver([event(user_name=name)]).status_code == 200:
                answered.append(name)

    # So few at a time that a message has room for all their names.
    with (
        server(SLACK_WEBHOOK_URL=slack.url) as running,
        ThreadPoolExecutor(MAX_SINGLE) as pool,
    ):
        work = [pool.submit(deliver, running, n) for n in range(16)]
        wait_until(lambda: answered)
        kill(running)
        for future in work:
            future.result()
    shown = json.dumps(slack.messages)
    assert answered
    for name in answered:
        assert name in shown
