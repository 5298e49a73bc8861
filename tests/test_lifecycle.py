"""Start, stop and kill: what a process says and does then, end to end."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.events import event
from tests.server import ROOT, Server, environment, procfile_command, server
from tests.slack_stub import Answer, SlackStub


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(PORT="0", **variables),
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
        except requests.ConnectionError:
            pass

    with server(SLACK_WEBHOOK_URL=slack.url) as running, ThreadPoolExecutor(8) as pool:
        work = [pool.submit(deliver, running, n) for n in range(16)]
        while not answered:
            time.sleep(0.01)
        worker = int(running.output.split("Booting worker with pid: ")[1].split()[0])
        os.kill(worker, signal.SIGKILL)
        running.process.kill()
        for future in work:
            future.result()
    shown = json.dumps(slack.messages)
    assert answered
    assert all(name in shown for name in answered)


def test_a_procfile_runner_starts_it(slack: SlackStub) -> None:
    honcho = ["honcho", "--env", os.devnull, "start", "web"]
    with server(honcho, SLACK_WEBHOOK_URL=slack.url) as running:
        assert running.deliver([event()]).status_code == 200
        running.stop()
        assert "Shutting down: Master" in running.output
    assert slack.titles == ["Wrong email or password. [type: fp]"]


def test_flask_run_finds_the_application(slack: SlackStub) -> None:
    with server(["flask", "run"], SLACK_WEBHOOK_URL=slack.url) as running:
        assert running.deliver([event()]).text == "ok\n"
        assert running.deliver(data=iter([b"[", b"]"])).status_code == 204
    assert slack.titles == ["Wrong email or password. [type: fp]"]
