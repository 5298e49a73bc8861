"""The worker: how the service starts, and that it stays one process, end to end."""

import os
import re
import resource
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.app.wsgiapp import WSGIApplication

from connections import REQUEST_TIMEOUT
from tests.events import event
from tests.raw_http import connect, request, statuses
from tests.server import measured, procfile_command, server, wait_until
from tests.slack_stub import SlackStub
from worker import connection_limit

# One process, whatever the command line or a signal says.


def configured(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """What gunicorn reads from gunicorn.conf.py and its arguments."""
    monkeypatch.setattr("sys.argv", [*procfile_command(), *arguments])
    return WSGIApplication().cfg


@pytest.mark.parametrize(
    ("argument", "setting"),
    [
        ("--workers=3", "workers"),
        ("--worker-class=sync", "worker_class"),
        ("--max-requests=9", "max_requests"),
        ("--reload", "reload"),
        ("--graceful-timeout=2", "graceful_timeout"),
        ("--certfile=x", "certfile"),
        ("--keyfile=x", "keyfile"),
    ],
)
def test_what_breaks_a_promise_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, argument: str, setting: str
) -> None:
    settings = configured(monkeypatch, argument)
    with pytest.raises(SystemExit, match=f"gunicorn's {setting} must be "):
        settings.on_starting(SimpleNamespace(cfg=settings))


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="this system has none")
def test_nothing_is_written_but_to_shared_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container may have a root that is read-only, and no /tmp."""
    assert configured(monkeypatch).worker_tmp_dir == "/dev/shm"


def test_nothing_starts_a_second_process(slack: SlackStub) -> None:
    """Nor does a closed terminal, which sends HUP to both processes."""
    variables = {"SLACK_WEBHOOK_URL": slack.url, "WEB_CONCURRENCY": "4"}
    with server(**variables, **measured()) as running:
        running.deliver([])  # so that the worker runs
        os.killpg(running.process.pid, signal.SIGHUP)
        running.process.send_signal(signal.SIGTTIN)
        wait_until(lambda: "TTIN is ignored" in running.output)
        os.killpg(running.process.pid, signal.SIGUSR2)
        wait_until(lambda: "USR2 is ignored" in running.output)
        assert running.deliver([event()]).status_code == 200
        assert running.output.count("Booting worker") == 1
        assert running.output.count("Starting gunicorn") == 1
        assert running.stop() == 0
    assert len(slack.messages) == 1


def test_a_machine_that_stood_still_harms_nobody(slack: SlackStub) -> None:
    """Whatever gunicorn is told; a request that was half in gets the rest of its time.

    What is set in vain is named at the start.
    """
    command = [*procfile_command(), "--threads", "4", "--keep-alive", "5"]
    variables = {"GUNICORN_CMD_ARGS": "--timeout 1", "SLACK_WEBHOOK_URL": slack.url}
    sent = request(b"[]", b"Content-Length: 2")
    with server(command, **variables, **measured()) as running:
        worker = running.worker
        with connect(running) as connection:
            connection.sendall(sent[:-1])
            assert running.deliver([]).status_code == 204
            os.killpg(running.process.pid, signal.SIGSTOP)
            time.sleep(REQUEST_TIMEOUT + 1)
            os.killpg(running.process.pid, signal.SIGCONT)
            time.sleep(1.5)  # gunicorn looks for signs of life once a second
            connection.sendall(sent[-1:])
            assert statuses(connection.recv(65536)) == [204]
        assert running.worker == worker
        found = re.findall("WARNING gunicorn's (.*) has no effect", running.output)
        assert found == ["--threads", "--keep-alive", "--timeout"]


@pytest.mark.parametrize(
    ("command", "warned"),
    [
        ([*procfile_command(), "-c", "/dev/null", "--threads", "4"], True),
        ([*procfile_command(), "--access-logfile", "-"], False),  # as on Heroku
        (["flask", "run"], False),
    ],
)
def test_the_log_has_a_line_for_a_delivery_and_one_for_another_server(
    slack: SlackStub, command: list[str], warned: bool
) -> None:
    with server(command, SLACK_WEBHOOK_URL=slack.url, **measured()) as running:
        for _ in range(3):
            assert running.deliver(data=iter([b"[", b"]"])).status_code == 204
        running.stop()
        warning = "runs the service, not the Procfile's command"
        assert running.output.count(warning) == warned
        assert running.output.count(" INFO delivery status=204 ") == 3
        assert "/api/logs" not in running.output
        assert "no effect" not in running.output


@pytest.mark.parametrize(
    ("files", "connections"),
    [(resource.RLIM_INFINITY, 900), (4096, 900), (256, 216), (64, 24)],
)
def test_connections_leave_files_for_all_else(
    files: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert connection_limit() == connections
