"""Attackers without a token, and good clients beside them."""

import contextlib
import multiprocessing
import selectors
import socket
import threading
import time
from collections.abc import Iterator

import requests

from tests.events import event
from tests.raw_http import connect
from tests.server import Server

ONE_BYTE = b"P"
# A head with a wrong token, whose body never comes.
SILENT_BODY = (
    b"POST /api/logs HTTP/1.1\r\nHost: x\r\nAuthorization: wrong\r\n"
    b"Content-Length: 1000\r\n\r\n"
)

ASKED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

# Seconds until an answer, as the README promises; the attacks go on for longer.
ANSWERED_WITHIN = 10.0
WELL = [200, 200] * 2


def good_answers(running: Server) -> list[int]:
    """What good clients are answered while an attack goes on: WELL, if all is well."""
    answers = []
    for _ in range(2):
        delivered = running.deliver([event()], timeout=ANSWERED_WITHIN)
        healthy = requests.get(f"{running.url}/healthz", timeout=ANSWERED_WITHIN)
        answers += [delivered.status_code, healthy.status_code]
    return answers


@contextlib.contextmanager
def held_connections(running: Server, count: int, sent: bytes) -> Iterator[None]:
    """So many connections on which these bytes were sent, and nothing more."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(connect(running))
            connection.sendall(sent)
        yield


@contextlib.contextmanager
def stream_of_connections(
    running: Server, per_second: float, sent: bytes
) -> Iterator[None]:
    """New connections all the time, on which these bytes are sent, and nothing more."""
    stopped = threading.Event()

    def attack() -> None:
        with contextlib.ExitStack() as stack:
            started = time.monotonic()
            opened = 0
            while not stopped.is_set():
                with contextlib.suppress(OSError):
                    connection = stack.enter_context(connect(running))
                    connection.sendall(sent)
                opened += 1
                stopped.wait(max(started + opened / per_second - time.monotonic(), 0))

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        yield
    finally:
        stopped.set()
        attacker.join()


@contextlib.contextmanager
def clients_that_never_stop(running: Server, count: int) -> Iterator[None]:
    """So many clients that ask again as soon as they are answered.

    They have a process of their own, which ends by itself after two minutes.
    """
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_ask_again, args=(running.port, count))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _ask_again(port: int, count: int) -> None:
    selector = selectors.DefaultSelector()

    def begin() -> None:
        client = socket.socket()
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(("127.0.0.1", port))
        selector.register(client, selectors.EVENT_WRITE)

    for _ in range(count):
        begin()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for key, events in selector.select(timeout=1):
            client = key.fileobj
            assert isinstance(client, socket.socket)
            with contextlib.suppress(OSError):
                if events & selectors.EVENT_WRITE:
                    client.send(ASKED)
                    selector.modify(client, selectors.EVENT_READ)
                    continue
                if client.recv(65536):
                    continue
            # The connection is closed, as it is after each answer.
            selector.unregister(client)
            client.close()
            begin()
