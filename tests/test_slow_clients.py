"""Slow clients: idle, dripping, not closing, not reading. They hold up the others briefly at most.

Under gunicorn's own threaded worker, each of these keeps `is_well` waiting for longer than the
client does, which is 20 s.
"""

import contextlib
from collections.abc import Iterator

import pytest
import requests

from tests.raw_http import connect, is_well, request, statuses
from tests.server import Server, measured, procfile_command, server


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with server(SLACK_WEBHOOK_URL="console:", **measured()) as running:
        yield running


def test_idle_connections_hold_no_thread(service: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(connect(service))
        is_well(service)


def test_clients_that_do_not_take_their_answers_are_cut_off() -> None:
    command = [*procfile_command(), "--threads", "2"]
    asked = b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50_000
    with server(command, SLACK_WEBHOOK_URL="console:") as running, contextlib.ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(connect(running))
            connection.settimeout(2)
            with contextlib.suppress(TimeoutError):
                connection.sendall(asked)
        for _ in range(3):  # the client waits for 20 s, as long as these may hold a thread
            with contextlib.suppress(requests.ReadTimeout):
                is_well(running)
                return
    pytest.fail("they still hold all threads")


def test_clients_that_do_not_close_hold_up_nobody(service: Server) -> None:
    with contextlib.ExitStack() as stack:
        lazy = [stack.enter_context(connect(service)) for _ in range(40)]
        for connection in lazy:
            connection.sendall(request(b"[]", b"Content-Length: 2", b"Connection: close"))
        is_well(service)
        assert all(statuses(connection.recv(65536)) == [204] for connection in lazy)


@pytest.mark.parametrize(
    "sent", [b"POST /api/logs HT", request(b"[", b"Content-Length: 9" + b"9" * 5)]
)
def test_clients_that_send_in_drops_are_cut_off(service: Server, sent: bytes) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(service)) for _ in range(150)]
        for connection in slow:
            connection.sendall(sent)
        is_well(service)
        for connection in slow:
            with contextlib.suppress(OSError):
                assert all(status < 500 for status in statuses(connection.recv(65536)))
    is_well(service)
