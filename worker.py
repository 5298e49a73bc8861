"""The worker: gunicorn's threaded one, in which no slow client holds a thread for long.

Gunicorn 27 waits in a thread for a new connection's first bytes, reads a request however slowly
it comes, and closes a connection in its main loop, where it waits up to 2 s for the client to
close too. A few idle clients could so stop all others. Here new connections wait in the poller,
a request that has not come whole after READ_TIMEOUT is cut off, as is a client that does not take
its answer, and threads do the closing. Many slow clients at once can still delay the others, for
READ_TIMEOUT at the most.

This builds on gunicorn's inner workings: with a new version of it, read gthread.py again.
tests/test_slow_clients.py says whether slow clients still hold up nobody.
"""

import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.http.errors import InvalidHeader, UnsupportedTransferCoding
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import TConn, ThreadWorker

READ_TIMEOUT = 5.0  # seconds for a request, head and body, to come in; Auth0's take some ms
SERVE_TIMEOUT = 15.0  # seconds for it to be answered, and for the client to take the answer
LINGER = 0.5  # seconds for a client to close its side; till then its unread answer is safe


class PatientWorker(ThreadWorker):
    """See the module. The overridden methods run in the main loop, `handle` in a thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.serving: dict[TConn, float] = {}  # connections in threads, and since when

    def enqueue_req(self, conn: TConn) -> None:
        """Hand a connection to a thread, once there is something to read."""
        if conn.initialized or conn.data_ready:
            self.serving[conn] = time.monotonic()
            super().enqueue_req(conn)
            return
        conn.set_timeout()
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, EVENT_READ, readable)

    def murder_pending(self) -> None:
        """Cut off what has been read for too long; the main loop calls this every second."""
        super().murder_pending()
        now = time.monotonic()
        for conn, since in self.serving.items():
            if now > since + READ_TIMEOUT:
                # First only reading ends: a request that is in, and waits for Slack, is answered.
                how = socket.SHUT_RDWR if now > since + SERVE_TIMEOUT else socket.SHUT_RD
                with suppress(OSError):
                    conn.sock.shutdown(how)

    def handle(self, conn: TConn) -> Any:
        """Serve a connection's next request; close the connection unless it is kept."""
        kept = super().handle(conn)
        if not kept:
            close_graceful(conn.sock, LINGER)
        return kept

    def finish_request(self, conn: TConn, fs: "Future[Any]") -> None:
        """Take back a connection from its thread."""
        self.serving.pop(conn, None)
        if fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:
            self.nr_conns -= 1  # closed by `handle`

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that is no HTTP; an unknown transfer coding is a 400, not a 501."""
        if isinstance(exc, UnsupportedTransferCoding):
            exc = InvalidHeader("TRANSFER-ENCODING", req=req)
        super().handle_error(req, client, addr, exc)
