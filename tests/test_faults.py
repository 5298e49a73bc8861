"""Slack fails, floods come: what a delivery is told then, end to end."""

import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from outbox import MAX_WAITING
from tests.events import event, success
from tests.server import SECRETS, Server, free_port, server
from tests.slack_stub import PATH, Answer, SlackStub, slack_stub


def test_429_is_waited_for_within_the_budget(own: Server, slack: SlackStub) -> None:
    slack.script(Answer(429, "", {"Retry-After": "2"}))
    assert own.deliver([event()]).status_code == 200
    first, second = slack.posts
    assert second.at - first.at >= 2


def test_429_beyond_the_budget_is_503_at_once_for_all(
    own: Server, slack: SlackStub
) -> None:
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


def test_a_malformed_message_goes_out_as_counts(own: Server, slack: SlackStub) -> None:
    slack.script(Answer(400, "invalid_attachments"))
    assert own.deliver([event()]).status_code == 200
    (message,) = slack.messages
    assert "Failed Login (Incorrect Password)" in message["text"]
    assert "attachments" not in message


def drip(listener: socket.socket, stop: threading.Event) -> None:
    """Answer one post with a header that never ends."""
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        while not stop.wait(0.5):
            connection.sendall(b"x")


def answer_and_output(url: str) -> tuple[requests.Response, str]:
    """What a service that posts to this URL answers to an alert, and what it logs."""
    with server(SLACK_WEBHOOK_URL=url, LOG_LEVEL="DEBUG") as running:
        response = running.deliver([event()])
        running.stop()
        return response, running.output


def test_503_in_time_whatever_slack_does_and_no_secret_leaks() -> None:
    """Down, failing, hanging, and answering in drops: all at once, to wait only once."""
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
            f"http://127.0.0.1:{free_port()}{PATH}",
            failing.url,
            hanging.url,
            f"http://127.0.0.1:{dripping.getsockname()[1]}{PATH}",
        ]
        for response, output in pool.map(answer_and_output, urls):
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) >= 1
            assert "WARNING message " in output or "delivery status=503" in output
            for secret in SECRETS:
                assert secret not in response.text + output
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
    assert slack.events == 480
    assert (
        len(slack.posts) == len(slack.messages) <= 6
    )  # no 429, and no message more than needed
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
        assert running.deliver([success()]).status_code == 204
        assert requests.get(f"{running.url}/healthz", timeout=30).status_code == 200
        assert running.deliver([event()]).status_code == 503
        assert not any(future.done() for future in waiting)
        slack.released.set()
        assert {future.result().status_code for future in waiting} == {200}
    assert len(slack.messages) == 2
