"""Attacks: many connections, few files.

Good clients are served all the same. The attackers have no token (tests/attackers.py);
what they may take of the memory is in test_memory.py.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from connections import REQUEST_TIMEOUT
from outbox import MAX_WAITING
from tests.attackers import (
    ONE_BYTE,
    SILENT_BODY,
    WELL,
    clients_that_never_stop,
    good_answers,
    held_connections,
    stream_of_connections,
)
from tests.events import event, success
from tests.raw_http import assert_well, connect, exchange, request, statuses
from tests.server import Server, measured, server, wait_until
from tests.slack_stub import Answer, SlackStub
from worker import MAX_CONNECTIONS


@pytest.fixture(scope="module")
def service(shared_slack: SlackStub) -> Iterator[Server]:
    """A service whose coverage is not measured: that takes long under attack."""
    with server(SLACK_WEBHOOK_URL=shared_slack.url) as running:
        yield running


# Connections.


def test_silent_connections_hold_up_nobody(service: Server) -> None:
    with held_connections(service, 820, ONE_BYTE):
        assert good_answers(service) == WELL
    with (
        stream_of_connections(service, 20, SILENT_BODY),
        stream_of_connections(service, 60, ONE_BYTE),
    ):
        time.sleep(REQUEST_TIMEOUT)  # by then there are as many as they get
        assert good_answers(service) == WELL
    assert_well(service)


def test_clients_that_never_stop_asking_hold_up_nobody(service: Server) -> None:
    with clients_that_never_stop(service, 850):
        time.sleep(2)  # by then all of them ask
        assert good_answers(service) == WELL
    assert_well(service)


def test_idle_connections_make_room_for_a_good_client(service: Server) -> None:
    """Without that they would be kept for ten minutes, and nobody else let in."""
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS + 100):
            idle = stack.enter_context(connect(service))
            idle.sendall(request(b"[]"))
            assert statuses(idle.recv(65536)) == [204]
        assert good_answers(service) == WELL
    assert_well(service)


def test_while_deliveries_wait_for_slack_others_are_answered(slack: SlackStub) -> None:
    """Also beside silent clients."""
    slack.script(Answer(delay=60))
    with (
        server(SLACK_WEBHOOK_URL=slack.url) as running,
        stream_of_connections(running, 20, ONE_BYTE),
        ThreadPoolExecutor(MAX_WAITING + 1) as pool,
    ):
        deliveries = []
        for _ in range(MAX_WAITING + 1):
            deliveries.append(pool.submit(running.deliver, [event()]))
        # The one that is too many is told so; by then all the others wait.
        wait_until(lambda: any(delivery.done() for delivery in deliveries))
        assert running.deliver([success()]).status_code == 204
        assert requests.get(f"{running.url}/healthz", timeout=20).text == "ok\n"
        slack.released.set()
        answers = [delivery.result() for delivery in deliveries]
    (refused,) = [answer for answer in answers if answer.status_code != 200]
    assert refused.status_code == 503
    assert refused.text.startswith("too many deliveries at once")
    assert len(slack.messages) == 2


# Open files.


def test_few_files_are_enough() -> None:
    command = ["bash", "-c", 'ulimit -n 64; exec gunicorn "app:create_app()"']
    with server(command, SLACK_WEBHOOK_URL="console:", **measured()) as running:
        with held_connections(running, 64, ONE_BYTE):
            assert good_answers(running) == WELL
        assert_well(running)
        assert "Too many open files" not in running.output


def test_no_client_ends_the_worker(service: Server) -> None:
    """Idle connections up to the limit, and ninety clients that send garbage."""
    stopped = threading.Event()

    def send_garbage(n: int) -> None:
        while not stopped.is_set():
            with contextlib.suppress(OSError):
                exchange(service, os.urandom(10 * n + 1) + b"\r\n\r\n")

    with ThreadPoolExecutor(90) as pool, held_connections(service, 830, b""):
        for n in range(90):
            pool.submit(send_garbage, n)
        try:
            assert good_answers(service) == WELL
        finally:
            stopped.set()
    assert_well(service)
