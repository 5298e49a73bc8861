"""Slack fails, floods come, the process stops: what a delivery is told then, end to end."""

import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from outbox import MAX_WAITING
from tests.events import event, success
from tests.server import ROOT, Server, environment, procfile_command, server
from tests.slack_stub import Answer, SlackStub, slack_stub

BUDGET = 10.0  # seconds within which every request is promised an answer
NOISE = 3.0  # seconds that a busy machine may add


@pytest.fixture
def slack() -> Iterator[SlackStub]:
    with slack_stub() as stub:
        yield stub


@pytest.fixture
def own(slack: SlackStub) -> Iterator[Server]:
    with server(SLACK_WEBHOOK_URL=slack.url) as running:
        yield running


def test_429_is_waited_for_within_the_budget(own: Server, slack: SlackStub) -> None:
    slack.script(Answer(429, "", {"Retry-After": "2"}))
    assert own.deliver([event()]).status_code == 200
    first, second = slack.posts
    assert second.at - first.at >= 2


def test_429_beyond_the_budget_is_503_at_once_for_all(own: Server, slack: SlackStub) -> None:
    slack.script(Answer(429, "", {"Retry-After": "60"}))
    body = [event()]
    for response in (own.deliver(body), own.deliver(body)):
        assert response.status_code == 503
        assert response.text.startswith("Slack's rate limit is reached")
        assert 50 <= int(response.headers["Retry-After"]) <= 60
    assert len(slack.posts) == 1


def test_500_is_tried_again(own: Server, slack: SlackStub) -> None:
    slack.script(Answer(500, "rollup_error"))
    assert own.deliver([event()]).status_code == 200
    assert len(slack.posts) == 2
    assert len(slack.messages) == 1


def test_a_connection_dropped_before_acceptance_is_tried_again(
    own: Server, slack: SlackStub
) -> None:
    slack.script(Answer(drop=True))
    assert own.deliver([event()]).status_code == 200
    assert len(slack.messages) == 1


def test_a_connection_dropped_after_acceptance_doubles_rather_than_loses(
    own: Server, slack: SlackStub
) -> None:
    slack.script(Answer(drop=True, accept=True))
    assert own.deliver([event()]).status_code == 200
    assert len(slack.messages) == 2


def test_a_malformed_message_goes_out_as_plain_text(own: Server, slack: SlackStub) -> None:
    slack.script(Answer(400, "invalid_attachments"))
    assert own.deliver([event()]).status_code == 200
    (message,) = slack.messages
    assert "Wrong email or password. [type: fp]" in message["text"]
    assert "attachments" not in message


def refusing_port() -> int:
    """A port that nothing listens on: connections are refused."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port: int = closed.getsockname()[1]
        return port


def test_503_within_the_budget_whatever_slack_does() -> None:
    """Down, failing, hanging, and answering in drops: all at once, to wait only once."""

    def drip(listener: socket.socket, stop: threading.Event) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while not stop.wait(0.5):
                connection.sendall(b"x")

    def answered(url: str) -> tuple[requests.Response, float]:
        with server(SLACK_WEBHOOK_URL=url) as running:
            started = time.monotonic()
            response = running.deliver([event()])
            seconds = time.monotonic() - started
            running.process.kill()  # it would wait for the answer that never ends
            return response, seconds

    stop = threading.Event()
    with (
        slack_stub() as failing,
        slack_stub() as hanging,
        socket.create_server(("127.0.0.1", 0)) as dripping,
        ThreadPoolExecutor(5) as pool,
    ):
        failing.script(*[Answer(500, "")] * 20)
        hanging.script(*[Answer(delay=60)] * 20)
        dripped = pool.submit(drip, dripping, stop)
        urls = [
            f"http://127.0.0.1:{refusing_port()}/x",
            failing.url,
            hanging.url,
            f"http://127.0.0.1:{dripping.getsockname()[1]}/x",
        ]
        for response, seconds in pool.map(answered, urls):
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) >= 1
            assert seconds < BUDGET + NOISE
        stop.set()
        dripped.exception()
        assert not failing.messages
        assert len(hanging.posts) == 1


def test_a_flood_becomes_few_messages_and_every_event_arrives_once() -> None:
    with (
        slack_stub(interval=1.0) as slack,
        server(SLACK_WEBHOOK_URL=slack.url) as running,
        ThreadPoolExecutor(16) as pool,
    ):
        bodies = [[event() for _ in range(10)] for _ in range(48)]
        answers = list(pool.map(running.deliver, bodies))
        again = list(pool.map(running.deliver, bodies[:16]))
    assert {answer.status_code for answer in answers + again} == {200}
    counts = [message["text"].split()[3] for message in slack.messages]
    assert sum(map(int, counts)) == 480
    assert len(slack.posts) == len(slack.messages) <= 6  # no 429, and no message more than needed
    starts = [post.at for post in slack.posts]
    assert all(b - a >= 1.0 for a, b in itertools.pairwise(starts))


def test_while_all_wait_for_slack_others_are_answered_at_once() -> None:
    with (
        slack_stub() as slack,
        server(SLACK_WEBHOOK_URL=slack.url) as running,
        ThreadPoolExecutor(MAX_WAITING) as pool,
    ):
        slack.script(Answer(delay=60))
        waiting = [pool.submit(running.deliver, [event()]) for _ in range(MAX_WAITING)]
        while len(slack.posts) < 1 or running.output.count("delivery status") > 0:
            time.sleep(0.01)
        time.sleep(0.5)  # for all the others to arrive behind it
        started = time.monotonic()
        assert running.deliver([success()]).status_code == 204
        assert requests.get(f"{running.url}/healthz", timeout=30).status_code == 200
        too_many = running.deliver([event()])
        assert time.monotonic() - started < NOISE
        assert too_many.status_code == 503
        slack.released.set()
        assert {future.result().status_code for future in waiting} == {200}
    assert len(slack.messages) == 2


# Start and stop.


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(PORT="0", **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "url", ["", "hooks.slack.com/services/secret", "http://example.com/secret"]
)
@pytest.mark.parametrize("command", [procfile_command(), ["flask", "run", "--port", "0"]])
def test_a_wrong_webhook_url_stops_the_start(command: list[str], url: str) -> None:
    done = run(command, SLACK_WEBHOOK_URL=url)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "SLACK_WEBHOOK_URL" in output
    assert "https://hooks.slack.com/services/..." in output
    assert "secret" not in output
    assert "Traceback" not in output
    assert "Booting worker" not in output


def test_a_stopping_service_finishes_what_is_in_flight_and_refuses_the_rest(
    own: Server, slack: SlackStub
) -> None:
    slack.script(Answer(delay=2))
    with ThreadPoolExecutor(3) as pool:
        in_flight = pool.submit(own.deliver, [event()])
        while not slack.posts:
            time.sleep(0.01)
        waiting = pool.submit(own.deliver, [event()])
        time.sleep(0.3)  # for it to arrive
        own.process.send_signal(signal.SIGTERM)
        refused = False
        while not refused and own.process.poll() is None:
            try:
                own.deliver([event(description="too late")])
            except requests.ConnectionError:
                refused = True
        assert in_flight.result().status_code == 200
        assert waiting.result().status_code == 200
    assert own.process.wait(30) == 0
    assert refused
    assert len(slack.messages) >= 2


def test_a_killed_service_loses_nothing_that_was_answered(slack: SlackStub) -> None:
    answered: list[str] = []

    def deliver(running: Server, n: int) -> None:
        name = f"user{n}@example.com"
        try:
            if running.deliver([event(user_name=name)]).status_code == 200:
                answered.append(name)
        except requests.ConnectionError:
            pass

    with server(SLACK_WEBHOOK_URL=slack.url) as running, ThreadPoolExecutor(8) as pool:
        work = [pool.submit(deliver, running, n) for n in range(16)]
        while not answered:
            time.sleep(0.01)
        worker = int(running.output.split("Booting worker with pid: ")[1].split()[0])
        os.kill(worker, signal.SIGKILL)
        running.process.kill()
        for future in work:
            future.result()
    shown = json.dumps(slack.messages)
    assert answered
    assert all(name in shown for name in answered)
