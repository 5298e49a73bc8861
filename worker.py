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
import sys
import time
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from waitress import create_server, wasyncore

from connections import MAX_DRAINED, Connection, Door, close_longest_waiting
from outbox import MAX_WAITING

SERVER_NAME = "auth0-logs-to-slack"  # stands in the answers' Server header
# A delivery that waits for Slack holds a thread. The others answer at once what does
# not wait: health checks, wrong tokens, deliveries without alerts, one delivery too
# many.
THREADS = MAX_WAITING + 8
MAX_CONNECTIONS = 900
OTHER_PROCESSES = 2  # each counts as a thread: gunicorn's master, and the worker itself
# Each connection is an open file. These are for all else: about 20 for Python, gunicorn
# and the log, and one or two for each post to Slack.
RESERVED_FILES = 40
MAX_HEAD = 8 * 1024  # bytes of a request line and headers; Auth0's have about 500
RECEIVED_BYTES = 16 * 1024  # that are read from a client in one turn of the loop
# Seconds after which the loop looks for signals and overdue clients, even if all is
# quiet.
WAKE_EVERY = 0.25
NEVER = 10**9  # seconds
# Seconds that a turn of the loop counts at most. Where the machine stood still, a
# request that was half in has the rest of its time afterwards.
LONGEST_TURN = 1.0

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
# Seconds after the first signal at which a stop ends, once there was a second one:
# gunicorn kills its workers 2 seconds after that.
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
        ignores those that would otherwise end it. SIGTERM sets `alive` to False.
        """
        super().init_signals()
        for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR2):
            signal.signal(ignored, signal.SIG_IGN)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT, which the master sends for SIGINT and SIGQUIT: stop, or hurry up."""
        self.hurry = not self.alive
        self.alive = False

    def run(self) -> None:
        """Serve until a signal comes, or the master is gone; then stop."""
        # If a worker ends, the master starts another, unless it had not booted.
        self.booted = False
        give_memory_back()
        self.hurry = False
        self.channels = self.wsgi.extensions["channels"]
        self.door = Door(self.wsgi.extensions["has_token"])
        # What waitress's loop listens to, by file number: connections, and some others.
        self.files: dict[int, Any] = {}
        self.servers = self.open_servers()
        limit = connection_limit() + len(self.files)
        self.booted = True
        while self.alive and self.ppid == os.getppid():
            self.serve_for_a_moment()
            # There is always room for one more, and so for a good client.
            excess = len(self.files) + 1 - limit
            if excess > 0:
                close_longest_waiting(self.connections(), excess)
        self.stop()

    def open_servers(self) -> list[Any]:
        """Waitress's servers; ends the process if it may not have all its threads."""
        threads = THREADS + len(self.channels.by_label)
        try:
            return [self.open_server(one.sock, threads) for one in self.sockets]
        except RuntimeError:  # from threading: it says no more
            self.log.error(
                "auth0-logs-to-slack cannot start: it may start too few threads: let it"
                " have %d at least (Docker's --pids-limit, systemd's TasksMax, ulimit"
                " -u)",
                threads + OTHER_PROCESSES,
            )
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def open_server(self, listener: socket.socket, threads: int) -> Any:
        """Waitress's server on a socket that gunicorn has opened.

        It has so many threads for a moment, which shows that there is room for them.
        """
        server = create_server(
            self.wsgi,
            map=self.files,
            sockets=[listener],
            threads=threads,
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
        server.task_dispatcher.set_thread_count(THREADS)
        server.channel_class = partial(Connection, self.door)
        return server

    def connections(self) -> list[Connection]:
        """All clients' connections."""
        return [file for file in self.files.values() if isinstance(file, Connection)]

    def serve_for_a_moment(self) -> None:
        """One turn of waitress's loop."""
        started = time.monotonic()
        wasyncore.loop(timeout=WAKE_EVERY, use_poll=True, map=self.files, count=1)
        self.door.now += min(time.monotonic() - started, LONGEST_TURN)
        for connection in self.connections():
            connection.close_if_overdue()

    def stop(self) -> None:
        """See the module."""
        started = time.monotonic()
        self.channels.stop(STOP_WITHIN + LAST_TRY_WITHIN)
        for server in self.servers:
            # Not server.close(): it also closes the trigger by which threads wake the
            # loop.
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
    """gunicorn's log, by way of our own, so that no secret stands in it."""

    def setup(self, cfg: Any) -> None:
        """Take the level alone from gunicorn's settings; waitress logs errors only."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        logging.getLogger("waitress").setLevel(logging.ERROR)
