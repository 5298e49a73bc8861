"""The worker: the process that gunicorn starts, and in which waitress serves.

gunicorn starts, watches and stops processes, which it calls workers
(https://docs.gunicorn.org/en/stable/design.html). This one runs waitress's loop, so
that a request takes no thread before it is whole (connections.py). It must not end
before Slack has the alerts that were collected, because they were answered with 200:

    1. At the first signal, what is collected is posted, and nobody new gets in.
    2. Requests that are in are answered.
    3. What is still collected then is logged as lost, and the process ends.
"""

import ctypes
import logging
import os
import resource
import signal
import socket
import time
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from waitress import create_server, wasyncore

from connections import (
    MAX_DRAINED,
    Connection,
    Door,
    close_longest_waiting,
    close_overdue,
)
from outbox import MAX_WAITING

SERVER_NAME = "auth0-logs-to-slack"  # stands in the answers' Server header
# A delivery that waits for Slack holds a thread. The others answer at once what does
# not wait: health checks, wrong tokens, deliveries without alerts, one delivery too
# many.
THREADS = MAX_WAITING + 8
MAX_CONNECTIONS = 900
# Each connection is an open file. These are for all else: about 20 for Python, gunicorn
# and the log, and one or two for each post to Slack.
RESERVED_FILES = 40
MAX_HEAD = 8 * 1024  # bytes of a request line and headers; Auth0's have about 500
RECEIVED_BYTES = 16 * 1024  # that are read from a client in one turn of the loop
# Seconds after which the loop looks for signals and overdue clients, even if all is
# quiet.
WAKE_EVERY = 0.25
NEVER = 10**9  # seconds
# Seconds by which a turn of the loop is late if the process itself was held up.
HELD_UP = 1.0

# A setting of mallopt(3), by which glibc gives freed blocks of this many bytes back to
# the system. Without it, glibc raises its limit to up to 32 MiB, and each thread may
# keep as much of the bodies that it has read.
M_MMAP_THRESHOLD = -3
LARGE_BLOCK = 256 * 1024

# Seconds from the signal, in which requests are answered and what is collected is
# posted. gunicorn.conf.py gives the process 20 seconds, and Heroku gives it 30
# (https://devcenter.heroku.com/articles/dynos#shutdown).
STOP_WITHIN = 15.0
# Seconds after that, in which what is collected is tried once more, whatever Slack
# said.
LAST_TRY_WITHIN = 3.0
# Seconds after a second signal: gunicorn kills its workers 2 seconds after it.
HURRY_WITHIN = 1.5


def connection_limit() -> int:
    """How many clients may be connected at a time, so that some files are left."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(files - RESERVED_FILES, MAX_CONNECTIONS)


def give_memory_back() -> None:
    """Have glibc give large blocks back to the system; others do so by themselves."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


class WaitressWorker(Worker):
    """gunicorn calls `init_signals` and `run`; `run` calls all other methods."""

    wsgi: Any  # the Flask application
    sockets: Any  # gunicorn's listeners

    def init_signals(self) -> None:
        """Set what each signal does in this process.

        A closed terminal or a process manager may send a signal to all processes of a
        group. gunicorn's master tells its workers what a signal means, so this process
        ignores those that would otherwise end it.
        """
        super().init_signals()
        for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR2):
            signal.signal(ignored, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: stop."""
        self.alive = False

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT, which the master sends for SIGINT and SIGQUIT: stop, or hurry up."""
        self.hurry = not self.alive
        self.alive = False

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """SIGABRT, which the master sends if the loop hangs: say what is lost."""
        self.channels.stop(0)
        self.channels.close(0)
        super().handle_abort(sig, frame)

    def run(self) -> None:
        """Serve until a signal comes, or the master is gone; then stop."""
        give_memory_back()
        self.hurry = False
        self.check_at = 0.0  # when to look for overdue clients
        self.was_late = False  # whether that was too late, the last time
        self.channels = self.wsgi.extensions["channels"]
        # What waitress's loop listens to, by file number: connections, and some others.
        self.files: dict[int, Any] = {}
        self.servers = [self.open_server(listener.sock) for listener in self.sockets]
        limit = connection_limit() + len(self.files)
        while self.alive and self.ppid == os.getppid():
            self.serve_for_a_moment()
            # There is always room for one more, and so for a good client.
            excess = len(self.files) + 1 - limit
            if excess > 0:
                close_longest_waiting(self.connections(), excess)
        self.stop()

    def open_server(self, listener: socket.socket) -> Any:
        """Waitress's server on a socket that gunicorn has opened."""
        server = create_server(
            self.wsgi,
            map=self.files,
            sockets=[listener],
            threads=THREADS,
            ident=SERVER_NAME,
            asyncore_use_poll=True,
            recv_bytes=RECEIVED_BYTES,
            max_request_header_size=MAX_HEAD,
            max_request_body_size=MAX_DRAINED,
            connection_limit=MAX_CONNECTIONS + RESERVED_FILES,
            # connections.py closes them instead, by a clock that nobody sets.
            cleanup_interval=NEVER,
            log_socket_errors=False,
        )
        door = Door(self.wsgi.extensions["has_token"])
        server.channel_class = partial(Connection, door)
        return server

    def connections(self) -> list[Connection]:
        """All clients' connections."""
        return [file for file in self.files.values() if isinstance(file, Connection)]

    def serve_for_a_moment(self) -> None:
        """One turn of waitress's loop, and a sign of life to the master."""
        self.notify()
        wasyncore.loop(timeout=WAKE_EVERY, use_poll=True, map=self.files, count=1)
        now = time.monotonic()
        if now < self.check_at:
            return
        # Requests that came in while we were held up are read in the next turn.
        is_late = now > self.check_at + HELD_UP and not self.was_late
        self.was_late = is_late
        self.check_at = now + WAKE_EVERY
        if not is_late:
            close_overdue(self.connections(), now)

    def stop(self) -> None:
        """See the module."""
        started = time.monotonic()
        self.channels.stop(STOP_WITHIN + LAST_TRY_WITHIN)
        for server in self.servers:
            # Not server.close(): its threads need the rest of it, to wake the loop.
            wasyncore.dispatcher.close(server)
        while self.has_work():
            seconds = HURRY_WITHIN if self.hurry else STOP_WITHIN
            if time.monotonic() > started + seconds:
                break
            close_longest_waiting(self.connections(), count=len(self.files))
            self.serve_for_a_moment()
        self.channels.close(0 if self.hurry else LAST_TRY_WITHIN)

    def has_work(self) -> bool:
        """Whether a request is not answered yet, or an alert is to be posted."""
        if self.channels.is_sending():
            return True
        return any(not connection.is_waiting for connection in self.connections())


class PropagatingLogger(Logger):
    """gunicorn's log, by way of our own, so that no secret stands in it.

    gunicorn sets its log up anew when it is told to reload, and writes a line for each
    request where GUNICORN_CMD_ARGS says so, as Heroku's does.
    """

    def setup(self, cfg: Any) -> None:
        """Take the level from gunicorn's settings, and nothing else."""
        super().setup(cfg)
        for gunicorn_log in (self.error_log, self.access_log):
            gunicorn_log.handlers.clear()
        self.error_log.propagate = True
        logging.getLogger("waitress").setLevel(logging.ERROR)

    def access(self, *_: Any) -> None:
        """Write nothing: a delivery has its own line."""
