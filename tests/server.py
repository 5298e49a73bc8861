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
    name = "COVERAGE_PROCESS_CONFIG"
    return {name: os.environ[name]} if name in os.environ else {}


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


def run(command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the service's folder to its end."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(PORT="0", **measured(), **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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

    def is_listening(self) -> bool:
        """Whether it takes connections; fails if it has ended."""
        assert self.process.poll() is None, self.output
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def deliver(self, body: Any = None, **request: Any) -> requests.Response:
        """POST a delivery with the right token, as JSON unless `data` is given."""
        headers = {"Authorization": TOKEN, **request.pop("headers", {})}
        content = {} if body is None else {"json": body}
        options = {"headers": headers, "timeout": 20, **request}
        return requests.post(f"{self.url}/api/logs", **content, **options)

    def stop(self) -> int:
        """Send SIGTERM and wait for the process's end; returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(STOPPED_WITHIN)


@contextmanager
def server(command: Sequence[str] | None = None, **variables: str) -> Iterator[Server]:
    """A server that answers; by default the Procfile's command."""
    with TemporaryFile("w+") as output:
        running = Server(command or procfile_command(), output, **variables)
        try:
            wait_until(running.is_listening)
            yield running
        finally:
            running.stop()
