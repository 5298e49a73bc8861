"""Faults of Slack, and a flood: what deliveries are answered then, end to end."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import requests

from digest import BURST
from tests.events import event
from tests.server import SECRETS, Server, free_port, server
from tests.slack_stub import PATH, Answer, SlackStub, slack_stub


def test_a_connection_dropped_before_acceptance_is_tried_again(
    service: Server, shared_slack: SlackStub
) -> None:
    before = len(shared_slack.messages)
    shared_slack.script(Answer(drop=True))
    assert service.deliver([event()]).status_code == 200
    assert len(shared_slack.messages) == before + 1


def test_a_connection_dropped_after_acceptance_doubles_rather_than_loses(
    service: Server, shared_slack: SlackStub
) -> None:
    before = len(shared_slack.messages)
    shared_slack.script(Answer(drop=True, accept=True))
    assert service.deliver([event()]).status_code == 200
    assert len(shared_slack.messages) == before + 2


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
    """Down, failing, hanging, answering in drops: all at once, to wait only once."""
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
    assert len(slack.posts) == len(slack.messages)  # no 429: its pace was kept
    assert len(slack.messages) <= BURST
