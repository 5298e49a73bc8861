"""Attackers without a token, who finish no request, and good clients beside them."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import requests

from tests.events import event
from tests.server import TOKEN, Server

ONE_BYTE = b"P"
# A head with a wrong token, whose body never comes.
SILENT_BODY = (
    b"POST /api/logs HTTP/1.1\r\nHost: x\r\nAuthorization: wrong\r\n"
    b"Content-Length: 1000\r\n\r\n"
)

# Seconds until an answer, as the README promises; the attacks go on for longer.
ANSWERED_WITHIN = 10.0
WELL = [200, 200] * 3


def good_answers(running: Server) -> list[int]:
    """What good clients are answered while an attack goes on: WELL, if all is well."""
    answers = []
    for _ in range(3):
        headers = {"Authorization": TOKEN}
        url = f"{running.url}/api/logs"
        delivered = requests.post(
            url, json=[event()], headers=headers, timeout=ANSWERED_WITHIN
        )
        healthy = requests.get(f"{running.url}/healthz", timeout=ANSWERED_WITHIN)
        answers += [delivered.status_code, healthy.status_code]
    return answers


@contextlib.contextmanager
def held_connections(running: Server, count: int, sent: bytes) -> Iterator[None]:
    """So many connections on which these bytes were sent, and nothing more."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(_connect(running))
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
                    connection = stack.enter_context(_connect(running))
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


def _connect(running: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=20)
