"""The stop: what a signal or a kill leaves of what was answered 200, end to end."""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import requests

from message import MAX_SINGLE
from tests.attackers import ONE_BYTE, held_connections
from tests.events import event
from tests.server import (
    STOPPED_WITHIN,
    TOKEN,
    Server,
    measured,
    procfile_command,
    server,
    wait_until,
)
from tests.slack_stub import Answer, SlackStub, slack_stub

# A signal while alerts are collected.

COLLECTED = 10
FLASK_RUN = ["flask", "run"]


def collect(running: Server) -> int:
    """Deliver until ten alerts are collected; returns how many were delivered."""
    collected = 0
    for delivered in range(1, 5 * COLLECTED):
        response = running.deliver([event()])
        assert response.status_code == 200
        if "next message" in response.text:
            collected += 1
        if collected == COLLECTED:
            return delivered
    raise AssertionError(f"only {collected} were collected")


class Stopped:
    """What is left of a service that collected alerts, and then was ended."""

    def __init__(
        self, command: Sequence[str], end: Callable[[Server, SlackStub], None]
    ) -> None:
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


def terminate(running: Server, _: SlackStub) -> None:
    running.process.send_signal(signal.SIGTERM)


def terminate_among_slow_clients(running: Server, _: SlackStub) -> None:
    with held_connections(running, 450, ONE_BYTE):
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(STOPPED_WITHIN)


def terminate_the_group(running: Server, _: SlackStub) -> None:
    os.killpg(running.process.pid, signal.SIGTERM)


def interrupt_the_group(running: Server, _: SlackStub) -> None:
    """As Ctrl-C in a terminal does."""
    os.killpg(running.process.pid, signal.SIGINT)


def quit_(running: Server, _: SlackStub) -> None:
    running.process.send_signal(signal.SIGQUIT)


def hang_up_the_group(running: Server, _: SlackStub) -> None:
    """As a closed terminal does. It would make gunicorn start a second worker."""
    os.killpg(running.process.pid, signal.SIGHUP)
    os.killpg(running.process.pid, signal.SIGUSR2)
    wait_until(lambda: "USR2 is ignored" in running.output)
    assert running.deliver([]).status_code == 204
    assert running.output.count("Booting worker") == 1
    running.deliver([], headers={TOKEN: "x"})
    running.process.send_signal(signal.SIGTERM)


def close_the_terminal(running: Server, _: SlackStub) -> None:
    os.killpg(running.process.pid, signal.SIGHUP)


def lose_the_master(running: Server, _: SlackStub) -> None:
    worker = running.worker
    running.process.kill()
    wait_until(lambda: not os.path.exists(f"/proc/{worker}"))


def terminate_while_slack_fails_once(running: Server, slack: SlackStub) -> None:
    slack.script(Answer(500, ""))
    running.process.send_signal(signal.SIGTERM)


ENDS = [
    (procfile_command(), terminate),
    (procfile_command(), terminate_among_slow_clients),
    (procfile_command(), terminate_the_group),
    (procfile_command(), terminate_while_slack_fails_once),
    (procfile_command(), interrupt_the_group),
    (procfile_command(), quit_),
    (procfile_command(), hang_up_the_group),
    (procfile_command(), lose_the_master),
    (FLASK_RUN, terminate),
    (FLASK_RUN, interrupt_the_group),
    (FLASK_RUN, close_the_terminal),
]


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
    gunicorn = procfile_command()
    with ThreadPoolExecutor(len(ENDS) + 2) as pool:
        ended = [pool.submit(Stopped, command, end) for command, end in ENDS]
        hurried = pool.submit(Stopped, gunicorn, hurry_while_slack_hangs)
        killed = pool.submit(Stopped, gunicorn, bring_news_and_kill)
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


def test_a_stopping_service_finishes_what_is_in_flight_and_refuses_the_rest(
    slack: SlackStub,
) -> None:
    slack.script(Answer(delay=60))
    with (
        server(SLACK_WEBHOOK_URL=slack.url) as running,
        ThreadPoolExecutor(3) as pool,
    ):
        in_flight = pool.submit(running.deliver, [event()])
        wait_until(lambda: slack.posts)
        before = requests.get(f"{running.url}/status", timeout=20).text
        time.sleep(1)  # so that /status tells the next delivery from this one
        waiting = pool.submit(running.deliver, [event()])
        wait_until(
            lambda: requests.get(f"{running.url}/status", timeout=20).text != before
        )
        running.process.send_signal(signal.SIGTERM)
        refused = False
        while not refused and running.process.poll() is None:
            try:
                requests.get(f"{running.url}/healthz", timeout=20)
            except requests.ConnectionError:
                refused = True
        slack.released.set()
        assert in_flight.result().status_code == 200
        assert waiting.result().status_code == 200
        assert running.process.wait(STOPPED_WITHIN) == 0
    assert refused
    assert len(slack.messages) == 2


def test_a_killed_service_loses_nothing_that_was_answered(slack: SlackStub) -> None:
    answered: list[str] = []

    def deliver(running: Server, n: int) -> None:
        name = f"user{n}@example.com"
        try:
            if running.deliver([event(user_name=name)]).status_code == 200:
                answered.append(name)
        except requests.RequestException:
            pass  # the process is gone, perhaps in the middle of its answer

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
