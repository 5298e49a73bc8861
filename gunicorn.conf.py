"""How gunicorn runs the service; it reads this file from the working directory.

https://docs.gunicorn.org/en/stable/settings.html. It binds to 0.0.0.0:$PORT where a
platform sets PORT, else to 127.0.0.1:8000.
"""

import os
import signal
import sys
from typing import Any

import app  # noqa: F401 - first, because it says in a line if Python is too old
from worker import MAX_CONNECTIONS, RESERVED_FILES, connection_limit

# One process, whatever WEB_CONCURRENCY says, because the outbox lives in it: only one
# place can keep Slack's one message a second, and the memory of what was posted.
workers = 1
worker_class = "worker.WaitressWorker"
logger_class = "worker.PropagatingLogger"

# The settings are read before the fork, so that a wrong one stops the start.
preload_app = True

# Seconds from SIGTERM to SIGKILL; worker.py takes 18 at most.
graceful_timeout = 20

# Where gunicorn looks for a worker's sign of life. A container may have no other place
# to write.
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - gunicorn makes a file that has no name
worker_tmp_dir = _SHARED_MEMORY if os.path.isdir(_SHARED_MEMORY) else None

# gunicorn's administration socket: nothing here needs it.
control_socket_disable = True

# Without these there would be a second process, or one that forgets what it posted, or
# alerts that are lost when it stops.
PROMISES = {
    "workers": 1,
    "worker_class": worker_class,
    "max_requests": 0,
    "reload": False,
    "graceful_timeout": graceful_timeout,
    "certfile": None,  # worker.py serves no HTTPS: a proxy in front does
    "keyfile": None,
}
# What only gunicorn's own workers read; ours has its limits from connections.py.
WITHOUT_EFFECT = (
    "threads",
    "worker_connections",
    "max_requests_jitter",
    "timeout",
    "keepalive",
    "limit_request_line",
    "limit_request_fields",
    "limit_request_field_size",
    "proxy_protocol",
    "forwarded_allow_ips",
)
MIN_CONNECTIONS = 20  # clients; a proxy and a monitor need a few


def on_starting(server: Any) -> None:
    """Refuse or undo what the command line or GUNICORN_CMD_ARGS must not change.

    What they set in vain gets a warning.
    """
    for name, right in PROMISES.items():
        if server.cfg.settings[name].get() != right:
            sys.exit(
                f"auth0-logs-to-slack cannot start: gunicorn's {name} must be"
                f" {right!r}, or the service cannot keep what its README promises: take"
                " it out of the command line and GUNICORN_CMD_ARGS."
            )
    if connection_limit() < MIN_CONNECTIONS:
        sys.exit(
            "auth0-logs-to-slack cannot start: it may open too few files: set"
            f" `ulimit -n` to {MIN_CONNECTIONS + RESERVED_FILES} at least, better to"
            f" {MAX_CONNECTIONS + RESERVED_FILES}."
        )
    # Seconds without a sign of life after which gunicorn kills the worker; 0 is never.
    # After the machine stood still the worker seems dead, but has alerts to post.
    server.timeout = 0
    # None stands for the command line.
    for arguments in (None, server.cfg.get_cmd_args_from_env()):
        given = vars(server.cfg.parser().parse_args(arguments))
        for name in WITHOUT_EFFECT:
            if given[name] is not None:
                option = server.cfg.settings[name].cli[-1]
                server.log.warning("gunicorn's %s has no effect here", option)


def when_ready(server: Any) -> None:
    """Ignore HUP, which would start a second worker beside the first.

    There is nothing to read anew: the settings are environment variables.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def nworkers_changed(server: Any, new: int, old: int | None) -> None:
    """Undo what the signal TTIN does."""
    if old is not None and new != workers:
        server.log.warning("this service runs in one process: TTIN is ignored")
        server.num_workers = workers


def pre_exec(server: Any) -> None:  # pragma: no cover - it ends like nothing else
    """End the second service that the signal USR2 starts, before it is one."""
    server.log.warning("this service runs in one process: USR2 is ignored")
    os._exit(0)
