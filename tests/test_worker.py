"""Start, stop and kill: what a process says and does then, end to end."""

import json
import os
import resource
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.events import event
from tests.server import (
    ROOT,
    Server,
    environment,
    measured,
    procfile_command,
    server,
)
from tests.slack_stub import Answer, SlackStub
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


def test_a_stopping_service_finishes_what_is_in_flight_and_refuses_the_rest(
    own: Server, slack: SlackStub
) -> None:
    slack.script(Answer(delay=2))
    with ThreadPoolExecutor(3) as pool:
        in_flight = pool.submit(own.deliver, [event()])
        while not slack.posts:
            time.sleep(0.01)
        waiting = pool.submit(own.deliver, [event()])
        time.sleep(0.3)  # for it to arrive
        own.process.send_signal(signal.SIGTERM)
        refused = False
        while not refused and own.process.poll() is None:
            try:
                own.deliver([event(description="too late")])
            except requests.ConnectionError:
                refused = True
        assert in_flight.result().status_code == 200
        assert waiting.result().status_code == 200
    assert own.process.wait(30) == 0
    assert refused
    assert len(slack.messages) >= 2


def test_a_killed_service_loses_nothing_that_was_answered(slack: SlackStub) -> None:
    answered: list[str] = []

    def deliver(running: Server, n: int) -> None:
        name = f"user{n}@example.com"
        try:
            if running.deliver([event(user_name=name)]).status_code == 200:
                answered.append(name)
        except requests.RequestException:
            pass  # the process is gone, perhaps in the middle of its answer

    with server(SLACK_WEBHOOK_URL=slack.url) as running, ThreadPoolExecutor(8) as pool:
        work = [pool.submit(deliver, running, n) for n in range(16)]
        while not answered:
            time.sleep(0.01)
        worker = running.worker
        os.kill(worker, signal.SIGKILL)
        running.process.kill()
        for future in work:
            future.result()
    shown = json.dumps(slack.messages)
    assert answered
    assert all(name in shown for name in answered)


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


def test_no_signal_starts_a_second_process(slack: SlackStub) -> None:
    with server(SLACK_WEBHOOK_URL=slack.url, **measured()) as running:
        for signal_number, name in (
            (signal.SIGTTIN, "TTIN"),
            (signal.SIGUSR2, "USR2"),
        ):
            running.process.send_signal(signal_number)
            while f"{name} is ignored" not in running.output:
                time.sleep(0.05)
        assert running.deliver([event()]).status_code == 200
        assert running.output.count("Booting worker") == 1
        assert running.output.count("Starting gunicorn") == 1
        assert running.stop() == 0
    assert len(slack.messages) == 1


def test_gunicorn_writes_no_line_for_a_request(slack: SlackStub) -> None:
    heroku = {"GUNICORN_CMD_ARGS": "--access-logfile -"}
    with server(SLACK_WEBHOOK_URL=slack.url, **heroku, **measured()) as running:
        running.deliver([])
        running.stop()
        about_it = [line for line in running.output.splitlines() if "204" in line]
    assert len(about_it) == 1
    assert " INFO delivery status=204 " in about_it[0]


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
