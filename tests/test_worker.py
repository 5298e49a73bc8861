"""The worker: how the service starts, and that it stays one process, end to end."""

import os
import re
import resource
import signal
import subprocess
import time

import pytest

from connections import REQUEST_TIMEOUT
from tests.events import event
from tests.raw_http import connect, request, statuses
from tests.server import (
    ROOT,
    environment,
    measured,
    procfile_command,
    server,
    wait_until,
)
from tests.slack_stub import SlackStub
from worker import connection_limit


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(PORT="0", **measured(), **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "url", ["", "hooks.slack.com/services/secret", "http://example.com/secret"]
)
@pytest.mark.parametrize(
    "command", [procfile_command(), ["flask", "run", "--port", "0"]]
)
def test_a_wrong_webhook_url_stops_the_start(command: list[str], url: str) -> None:
    done = run(command, SLACK_WEBHOOK_URL=url)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "SLACK_WEBHOOK_URL" in output
    assert "https://hooks.slack.com/services/..." in output
    assert "secret" not in output
    assert "Traceback" not in output
    assert "Booting worker" not in output


def test_flask_run_finds_the_application(slack: SlackStub) -> None:
    with server(["flask", "run"], SLACK_WEBHOOK_URL=slack.url) as running:
        assert running.deliver([event()]).text == "ok\n"
        assert running.deliver(data=iter([b"[", b"]"])).status_code == 204
    assert slack.titles == ["Wrong email or password. [type: fp]"]


# One process, whatever the command line or a signal says.


@pytest.mark.parametrize(
    ("arguments", "variables", "setting"),
    [
        (["--workers", "3"], {}, "workers"),
        ([], {"GUNICORN_CMD_ARGS": "--workers 3"}, "workers"),
        (["-k", "sync"], {}, "worker_class"),
        (["--max-requests", "9"], {}, "max_requests"),
        (["--reload"], {}, "reload"),
        (["--graceful-timeout", "2"], {}, "graceful_timeout"),
        (["--certfile", "x"], {}, "certfile"),
    ],
)
def test_what_breaks_the_promise_of_one_process_stops_the_start(
    arguments: list[str], variables: dict[str, str], setting: str
) -> None:
    command = [*procfile_command(), *arguments]
    done = run(command, SLACK_WEBHOOK_URL="console:", **variables)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert f"cannot start: gunicorn's {setting} must be " in output
    assert "Traceback" not in output
    assert "Listening" not in output


def test_nothing_starts_a_second_process(slack: SlackStub) -> None:
    variables = {"SLACK_WEBHOOK_URL": slack.url, "WEB_CONCURRENCY": "4"}
    with server(**variables, **measured()) as running:
        running.process.send_signal(signal.SIGTTIN)
        wait_until(lambda: "TTIN is ignored" in running.output)
        running.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: "USR2 is ignored" in running.output)
        assert running.deliver([event()]).status_code == 200
        assert running.output.count("Booting worker") == 1
        assert running.output.count("Starting gunicorn") == 1
        assert running.stop() == 0
    assert len(slack.messages) == 1


def test_gunicorn_writes_no_line_for_a_request(slack: SlackStub) -> None:
    """Also as Heroku starts it."""
    heroku = {"GUNICORN_CMD_ARGS": "--access-logfile -"}
    with server(SLACK_WEBHOOK_URL=slack.url, **heroku, **measured()) as running:
        running.deliver([])
        running.stop()
        assert running.output.count(" INFO delivery status=204 ") == 1
        assert "no effect" not in running.output
        assert "/api/logs" not in running.output


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
        (procfile_command(), False),
        (["flask", "run"], False),
    ],
)
def test_another_server_gets_a_warning_at_its_first_delivery(
    slack: SlackStub, command: list[str], warned: bool
) -> None:
    with server(command, SLACK_WEBHOOK_URL=slack.url, **measured()) as running:
        for _ in range(3):
            assert running.deliver([]).status_code == 204
        running.stop()
        warning = "runs the service, not the Procfile's command"
        assert running.output.count(warning) == warned


@pytest.mark.parametrize(
    ("files", "connections"),
    [(resource.RLIM_INFINITY, 900), (4096, 900), (256, 216), (64, 24)],
)
def test_connections_leave_files_for_all_else(
    files: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert connection_limit() == connections
