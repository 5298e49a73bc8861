"""How people start the service, and what they are told when that does not work."""

import itertools
from functools import partial
from pathlib import Path

import pytest

from app import create_app
from slack import Webhook
from tests.server import ROOT, procfile_command, run
from tests.slack_stub import SlackStub

CONSOLE = "console:"
OLD_PYTHON = "import sys; sys.version_info = (3, 10, 0); "
READ_CONFIG = "import runpy; runpy.run_path('gunicorn.conf.py')"
NEEDS_PYTHON = "it needs Python 3.11 or newer, and this is 3.10"


# An address space of so many KiB, of which each thread takes 64 MiB.
FEW_THREADS = "ulimit -s 65536; ulimit -v"
SIXTY_CHANNELS = {f"SLACK_WEBHOOK_URL_C{n}": CONSOLE for n in range(1, 60)}


def limited(limit: str) -> list[str]:
    """The service on a machine that gives no more than this."""
    return ["bash", "-c", f'{limit}; exec gunicorn "app:create_app()"']


@pytest.mark.parametrize(
    ("command", "variables", "says"),
    [
        (["python", "app.py"], {}, 'flask run, or gunicorn "app:create_app()"'),
        (["python", "-c", OLD_PYTHON + "import app"], {}, NEEDS_PYTHON),
        (["python", "-c", OLD_PYTHON + READ_CONFIG], {}, NEEDS_PYTHON),
        (procfile_command(), {"SLACK_WEBHOOK_URL": ""}, "(gunicorn does not)"),
        (
            ["flask", "run", "--port", "0"],
            {"SLACK_WEBHOOK_URL": "http://example.com/secret"},
            "https://hooks.slack.com/services/...",
        ),
        (
            procfile_command(),
            {"GUNICORN_CMD_ARGS": "--workers 3"},
            "cannot start: gunicorn's workers must be 1",
        ),
        (limited("ulimit -n 59"), {}, "too few files: set `ulimit -n` to 60 at least"),
        (
            limited(f"{FEW_THREADS} 3000000"),
            {},
            "cannot start: it may start too few threads: let it have 75 at least",
        ),
        (
            # Here is room for the threads of one channel.
            limited(f"{FEW_THREADS} 6500000"),
            SIXTY_CHANNELS,
            "cannot start: it may start too few threads: let it have 134 at least",
        ),
    ],
    ids=range(9),
)
def test_a_start_that_cannot_work_says_what_to_do(
    command: list[str], variables: dict[str, str], says: str
) -> None:
    done = run(command, **{"SLACK_WEBHOOK_URL": CONSOLE, **variables})
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert output.count(says) == 1
    assert "secret" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_send_test_shows_the_message_whatever_the_terminal(encoding: str) -> None:
    variables = {"PYTHONIOENCODING": encoding, "SLACK_WEBHOOK_URL": CONSOLE}
    done = run(["flask", "send-test"], **variables)
    assert done.returncode == 0
    assert "Test alert: this service can post to Slack" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last == "delivered: a sample alert was accepted; look above."


def test_send_test_says_that_connecting_is_slow(
    slack: SlackStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It looks at the clock twice before it connects.
    clock = itertools.chain([0, 0], itertools.repeat(4))
    monkeypatch.setattr("channels.Webhook", partial(Webhook, clock=clock.__next__))
    runner = create_app({"SLACK_WEBHOOK_URL": slack.url}).test_cli_runner()
    said = runner.invoke(args=["send-test"]).output.splitlines()[-1]
    assert said.startswith("delivered: ")
    assert "look at the channel (connecting took 4 s: check DNS" in said


def test_an_error_before_it_serves_ends_it() -> None:
    """Else gunicorn would try again ten times a second, for ever."""
    assert run(["gunicorn", "flask:Flask('no_application')"]).returncode == 3


@pytest.mark.parametrize(
    ("python", "says"),
    [("python9.9", "python9.9 is not found"), ("false", "false is not Python 3.11")],
)
def test_make_says_what_is_wrong_with_python(
    tmp_path: Path, python: str, says: str
) -> None:
    for name in ("Makefile", "requirements.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    done = run(["make", "-C", str(tmp_path), f"PYTHON={python}", ".venv/run"])
    assert done.returncode != 0
    assert says in done.stderr
    assert "try make PYTHON=python3.13" in done.stderr
