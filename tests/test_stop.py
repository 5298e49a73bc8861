"""The stop: ten alerts are collected and answered 200, and then a signal comes."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.attackers import ONE_BYTE, held_connections
from tests.events import event
from tests.server import TOKEN, Server, measured, procfile_command, server
from tests.slack_stub import Answer, SlackStub, slack_stub

COLLECTED = 10
FLASK_RUN = ["flask", "run"]


def collect(running: Server) -> int:
    """Deliver until ten alerts are collected; returns how many were delivered."""
    delivered = 0
    collected = 0
    while collected < COLLECTED:
        response = running.deliver([event()])
        assert response.status_code == 200
        delivered += 1
        collected += "next digest" in response.text
    return delivered


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
            self.code = running.process.wait(40)
            self.seconds = time.monotonic() - started
            self.output = running.output


def terminate(running: Server, _: SlackStub) -> None:
    running.process.send_signal(signal.SIGTERM)


def terminate_among_slow_clients(running: Server, _: SlackStub) -> None:
    with held_connections(running, 450, ONE_BYTE):
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(40)


def terminate_the_group(running: Server, _: SlackStub) -> None:
    os.killpg(running.process.pid, signal.SIGTERM)


def interrupt_the_group(running: Server, _: SlackStub) -> None:
    """As Ctrl-C in a terminal does."""
    os.killpg(running.process.pid, signal.SIGINT)


def quit_(running: Server, _: SlackStub) -> None:
    running.process.send_signal(signal.SIGQUIT)


def hang_up_the_group(running: Server, _: SlackStub) -> None:
    """As a closed terminal does. To gunicorn it means: start a new worker."""
    before = running.worker
    os.killpg(running.process.pid, signal.SIGHUP)
    os.killpg(running.process.pid, signal.SIGUSR2)
    while running.worker == before or "Worker exiting" not in running.output:
        time.sleep(0.05)
    assert running.deliver([]).status_code == 204
    running.deliver([], headers={TOKEN: "x"})
    running.process.send_signal(signal.SIGTERM)


def lose_the_master(running: Server, _: SlackStub) -> None:
    running.process.kill()
    worker = running.worker
    while os.path.exists(f"/proc/{worker}"):
        time.sleep(0.05)


def hurry_while_slack_hangs(running: Server, slack: SlackStub) -> None:
    slack.script(*[Answer(delay=60, accept=False)] * 9)
    running.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    running.process.send_signal(signal.SIGQUIT)


def terminate_while_slack_fails_once(running: Server, slack: SlackStub) -> None:
    slack.script(Answer(500, ""))
    running.process.send_signal(signal.SIGTERM)


def test_what_is_collected_is_posted_or_logged_as_lost() -> None:
    """All at once, because each takes as long as ten messages do."""
    gunicorn = procfile_command()
    ends = [
        (gunicorn, terminate),
        (gunicorn, terminate_among_slow_clients),
        (gunicorn, terminate_the_group),
        (gunicorn, terminate_while_slack_fails_once),
        (gunicorn, interrupt_the_group),
        (gunicorn, quit_),
        (gunicorn, hang_up_the_group),
        (gunicorn, lose_the_master),
        (FLASK_RUN, terminate),
        (FLASK_RUN, interrupt_the_group),
    ]
    with ThreadPoolExecutor(len(ends) + 1) as pool:
        hurried = pool.submit(Stopped, gunicorn, hurry_while_slack_hangs)
        for stopped in pool.map(Stopped, *zip(*ends, strict=True)):
            assert stopped.slack.events == stopped.delivered, stopped.output
            assert stopped.seconds < 20  # what the README promises
            assert "Traceback" not in stopped.output
            assert TOKEN not in stopped.output
            assert "lost" not in stopped.output
        lost = hurried.result()
        assert lost.slack.events == lost.delivered - COLLECTED
        assert f"ERROR digest lost={COLLECTED} " in lost.output
