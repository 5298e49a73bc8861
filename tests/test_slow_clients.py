"""Slow clients: idle, dripping, not closing, not reading. They hold up the others briefly at most.

Under gunicorn's own threaded worker, each of those that call `is_well` keeps it waiting for longer
than the client does, which is 20 s.
"""

import contextlib
import socket
import time
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from gunicorn.workers.gthread import ThreadWorker

from tests.raw_http import connect, is_well, request, statuses
from tests.server import Server, measured, server
from worker import READ_TIMEOUT, SERVE_TIMEOUT, PatientWorker


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with server(SLACK_WEBHOOK_URL="console:", **measured()) as running:
        yield running


def test_idle_connections_hold_no_thread(service: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(connect(service))
        is_well(service)


def test_a_client_is_cut_off_from_sending_and_later_from_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ThreadWorker, "murder_pending", lambda _worker: None)
    patient, (client, served) = PatientWorker.__new__(PatientWorker), socket.socketpair()
    served.setblocking(False)

    def after(seconds: float) -> None:
        patient.serving = {Mock(sock=served): time.monotonic() - seconds}
        patient.murder_pending()

    with client, served:
        after(READ_TIMEOUT - 1)
        with pytest.raises(BlockingIOError):  # nothing has been sent yet, but it may be
            served.recv(1)
        after(READ_TIMEOUT + 1)
        assert served.recv(1) == b""  # what comes now comes too late
        assert served.send(b"x") == 1
        after(SERVE_TIMEOUT + 1)
        with pytest.raises(BrokenPipeError):
            served.send(b"x")


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
