"""Attacks: many connections, bodies without an end, few files.

Good clients are served all the same. The attackers have no token (tests/attackers.py);
what they may take of the memory is in test_memory.py.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from connections import MAX_DRAINED, REQUEST_TIMEOUT
from events import MAX_BODY
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
from tests.raw_http import (
    CHUNKED,
    assert_well,
    connect,
    exchange,
    received,
    request,
    statuses,
)
from tests.server import TOKEN, Server, measured, server, wait_until
from tests.slack_stub import Answer, SlackStub
from worker import MAX_CONNECTIONS

# Connections.


def test_many_connections_of_one_byte_hold_up_nobody(service: Server) -> None:
    with held_connections(service, 820, ONE_BYTE):
        assert good_answers(service) == WELL
    assert_well(service)


@pytest.mark.parametrize(
    ("per_second", "sent"), [(20, SILENT_BODY), (60, ONE_BYTE)], ids=["body", "byte"]
)
def test_a_stream_of_silent_connections_holds_up_nobody(
    service: Server, per_second: float, sent: bytes
) -> None:
    with stream_of_connections(service, per_second, sent):
        time.sleep(REQUEST_TIMEOUT + 1)  # by then there are as many as it gets
        assert good_answers(service) == WELL
    assert_well(service)


def test_clients_that_never_stop_asking_hold_up_nobody(service: Server) -> None:
    with clients_that_never_stop(service, 850):
        time.sleep(3)  # by then all of them ask
        assert good_answers(service) == WELL
    assert_well(service)


def test_idle_connections_make_room_for_a_good_client(service: Server) -> None:
    """Without that they would be kept for ten minutes, and nobody else let in."""
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            idle = stack.enter_context(connect(service))
            idle.sendall(request(b"[]"))
            assert statuses(idle.recv(65536)) == [204]
        with stream_of_connections(service, 30, b""):
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
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 1
    assert refused[0].status_code == 503
    assert refused[0].text.startswith("too many deliveries at once")
    assert len(slack.messages) == 2


# Bodies.


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("token", "size", "status"),
    [
        (TOKEN, MAX_BODY, 204),
        (TOKEN, MAX_BODY + 1, 413),
        ("wrong", MAX_BODY + 1, 401),
        ("wrong", 100, 401),
    ],
)
def test_a_body_of_10_mebibytes_passes_and_one_byte_more_does_not(
    service: Server, token: str, size: int, status: int, chunked: bool
) -> None:
    body = b"[" + b" " * (size - 2) + b"]"
    data = iter([body[:-1], body[-1:]]) if chunked else body
    response = service.deliver(data=data, headers={"Authorization": token})
    assert response.status_code == status
    if status == 413:
        assert response.text == "the body is over 10485760 bytes (10 MiB)\n"


def test_a_body_without_an_end_is_cut_off(service: Server) -> None:
    with connect(service) as connection:
        connection.sendall(request(b"", b"Content-Length: %d" % MAX_DRAINED))
        assert statuses(received(connection)) == [413]


# Open files.


@contextlib.contextmanager
def service_with_files(files: int) -> Iterator[Server]:
    """A service that may open so many files at a time."""
    command = ["bash", "-c", f'ulimit -n {files}; exec gunicorn "app:create_app()"']
    with server(command, SLACK_WEBHOOK_URL="console:", **measured()) as running:
        yield running


@pytest.mark.parametrize("files", [64, 256])
def test_few_files_are_enough(files: int) -> None:
    with service_with_files(files) as running:
        with held_connections(running, files, ONE_BYTE):
            assert good_answers(running) == WELL
        assert_well(running)
        assert "Too many open files" not in running.output


def test_no_client_ends_the_worker() -> None:
    """Idle connections up to the limit, and ninety clients that send garbage."""
    stopped = threading.Event()

    def send_garbage(n: int) -> None:
        while not stopped.is_set():
            with contextlib.suppress(OSError):
                exchange(running, os.urandom(10 * n + 1) + b"\r\n\r\n")

    with service_with_files(1024) as running, ThreadPoolExecutor(90) as pool:
        with held_connections(running, 830, b""):
            for n in range(90):
                pool.submit(send_garbage, n)
            try:
                time.sleep(2)
                assert good_answers(running) == WELL
            finally:
                stopped.set()
        assert_well(running)
        assert "Too many open files" not in running.output


# What takes long to read.


def test_a_chunked_body_without_the_token_is_not_taken_apart(service: Server) -> None:
    """Ten clients, each with 60,000 chunks of a byte."""
    headers = [CHUNKED, b"Authorization: wrong"]
    sent = request(b"1\r\nx\r\n" * 60_000 + b"0\r\n\r\n", *headers)
    sent = sent.replace(b"Authorization: " + TOKEN.encode() + b"\r\n", b"")
    for _ in range(10):
        assert statuses(exchange(service, sent)) == [401]
    assert_well(service)


def test_urgent_data_ends_the_connection(service: Server) -> None:
    """It would keep the loop awake all the time."""
    with connect(service) as connection:
        connection.sendall(request(b"[]", b"Content-Length: 2"))
        assert statuses(connection.recv(65536)) == [204]
        connection.send(b"!", socket.MSG_OOB)
        assert received(connection) == b""
    assert_well(service)
