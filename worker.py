"""The worker: gunicorn's threaded one, in which no slow client holds a thread for long.

What gunicorn's own does wrong (27.0.1, workers/gthread.py), and how it was seen, by giving it the
tests of tests/test_slow_clients.py: it waits in a thread for a new connection's first bytes, so 72
idle clients stop all others for 5 s; it reads a request for as long as it drips in, so a few drip
for ever; and it closes connections in its main loop, waiting up to 2 s for each client to close
too, so ten lazy ones delay a good one by 18 s. Here new connections wait in the poller, a request
has READ_TIMEOUT to come in, and threads do the closing.

This builds on gunicorn's inner workings: with a new version of it, read gthread.py again.
"""

import errno
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any, cast

from gunicorn.util import close_graceful
from gunicorn.workers.gthread import TConn, ThreadWorker

READ_TIMEOUT = (
    5.0  # seconds for a request, head and body, to come in; Auth0's take some ms
)
TOO_SLOW = f"the request took over {READ_TIMEOUT:g} s to come in"
WRITE_TIMEOUT = 5.0  # seconds for the client to take the answer
LINGER = (
    0.5  # seconds for a client to close its side; till then its unread answer is safe
)


class PatientSocket(socket.socket):
    """A client's connection, on which each request has a time by which it must have come in."""

    handed_over = 0.0  # when the current request was handed to the threads
    read_until = 0.0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As a socket's; raises TimeoutError when the request's time is over."""
        try:
            self.settimeout(max(self.read_until - time.monotonic(), 0.001))
            return super().recv(size, flags)
        except TimeoutError:
            # By its number gunicorn takes it for a client that went away, and shows no traceback.
            raise TimeoutError(errno.ECONNRESET, TOO_SLOW) from None
        finally:
            self.settimeout(WRITE_TIMEOUT)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """As a socket's; a client that does not take its answer is one that went away."""
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise TimeoutError(
                errno.EPIPE, "the client does not take its answer"
            ) from None


class PatientWorker(ThreadWorker):
    """See the module. The overridden methods run in the main loop, `handle` in a thread."""

    def enqueue_req(self, conn: TConn) -> None:
        """Hand a connection to a thread, once there is something to read."""
        if not conn.initialized and not conn.data_ready:
            conn.sock = PatientSocket(fileno=conn.sock.detach())
            conn.timeout = time.monotonic() + READ_TIMEOUT
            self.pending_conns.append(conn)
            readable = partial(self.on_pending_socket_readable, conn)
            self.poller.register(conn.sock, EVENT_READ, readable)
        else:
            cast(PatientSocket, conn.sock).handed_over = time.monotonic()
            super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        """Serve a connection's next request; close the connection unless it is kept."""
        sock = cast(PatientSocket, conn.sock)
        sock.read_until = time.monotonic() + READ_TIMEOUT
        kept = super().handle(conn)
        if not kept:
            close_graceful(sock, LINGER)
        return kept

    def handle_error(
        self, req: Any, client: Any, addr: Any, exc: BaseException
    ) -> None:
        """Answer what is no HTTP, with the status alone: gunicorn quotes it, token and all."""
        written, answer = socket.socketpair()
        with written, answer:
            super().handle_error(req, written, addr, exc)
            status_line = answer.recv(1000).partition(b"\r\n")[0]
        with suppress(OSError):
            client.sendall(
                status_line + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )

    def finish_request(self, conn: TConn, fs: "Future[Any]") -> None:
        """Take back a connection from its thread."""
        if fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:
            self.nr_conns -= 1  # closed by `handle`
