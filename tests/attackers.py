"""Attackers without a token: clients that open connections and finish no request."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from tests.server import Server

ONE_BYTE = b"P"
# A head with a wrong token, whose body never comes.
SILENT_BODY = (
    b"POST /api/logs HTTP/1.1\r\nHost: x\r\nAuthorization: wrong\r\n"
    b"Content-Length: 1000\r\n\r\n"
)


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
