"""The running service: the Procfile's own command on a free port of loopback.

Requests go to it over HTTP, as a client's do.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TextIO

import requests

from tests.slack_stub import PATH

ROOT = Path(__file__).parent.parent
TOKEN = "stream-token-never-to-be-logged"
SECRETS = (TOKEN, PATH, PATH.split("/")[-1])  # what no output may contain
# Seconds; bounds on a failing test, no measures.
STARTED_WITHIN = 30.0
STOPPED_WITHIN = 40.0
HAPPENS_WITHIN = 30.0


def procfile_command() -> list[str]:
    """The command of the Procfile's web process."""
    process, _, command = (ROOT / "Procfile").read_text().partition(":")
    assert process == "web"
    return shlex.split(command)


def environment(**variables: str) -> dict[str, str]:
    """A platform's environment, with nothing of the developer's own settings in it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "AUTH0_LOG_STREAM_TOKEN": TOKEN, **variables}


def measured() -> dict[str, str]:
    """The variables by which coverage measures a server too, if it measures at all."""
    variables = {}
    for name, value in os.environ.items():
        if name.startswith("COVERAGE_"):
            variables[name] = value
    return variables


def wait_until(happened: Callable[[], object]) -> None:
    """Wait until this is true; fails if that takes very long."""
    give_up = time.monotonic() + HAPPENS_WITHIN
    while not happened():
        assert time.monotonic() < give_up, "what the test waits for does not happen"
        time.sleep(0.01)


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _take_back_interrupt() -> None:
    """Have SIGINT end the process, also where pytest runs in a script's background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Server:
    """A running process of the service, its output so far, and requests to it."""

    def __init__(
        self, command: Sequence[str], output: TextIO, **variables: str
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = output
        port = str(self.port)
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(PORT=port, FLASK_RUN_PORT=port, **variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a test can send a signal to all of them
            preexec_fn=_take_back_interrupt,
        )

    @property
    def worker(self) -> int:
        """The process id of gunicorn's newest worker."""
        # The master takes connections before it has a worker.
        wait_until(lambda: re.search(r"Booting worker with pid: \d+\n", self.output))
        return int(self.output.split("Booting worker with pid: ")[-1].split()[0])

    def memory(self, name: str) -> int:
        """Bytes of the worker's: VmRSS is what is resident, VmHWM the most that was."""
        status = Path(f"/proc/{self.worker}/status").read_text()
        kilobytes = status.split(f"{name}:")[1].split()[0]
        return int(kilobytes) * 1024

    @property
    def output(self) -> str:
        """All that the process has written to stdout and stderr."""
        return os.pread(self._output.fileno(), 1 << 30, 0).decode(errors="replace")

    def wait_until_it_answers(self) -> None:
        give_up = time.monotonic() + STARTED_WITHIN
        while time.monotonic() < give_up:
            assert self.process.poll() is None, self.output
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"no answer: {self.output}")

    def deliver(self, body: Any = None, **request: Any) -> requests.Response:
        """POST a delivery with the right token, as JSON unless `data` is given."""
        headers = {"Authorization": TOKEN, **request.pop("headers", {})}
        content = {} if body is None else {"json": body}
        url = f"{self.url}/api/logs"
        return requests.post(url, **content, headers=headers, timeout=20, **request)

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the process's end; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.process.wait(STOPPED_WITHIN)


@contextmanager
def server(command: Sequence[str] | None = None, **variables: str) -> Iterator[Server]:
    """A server that answers; by default the Procfile's command."""
    with TemporaryFile("w+") as output:
        running = Server(command or procfile_command(), output, **variables)
        try:
            running.wait_until_it_answers()
            yield running
        finally:
            running.stop()
