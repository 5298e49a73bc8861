"""How people start the service, and what they are told when that does not work."""

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.server import ROOT, environment, measured, procfile_command

CONSOLE = "console:"
OLD_PYTHON = "import sys; sys.version_info = (3, 10, 0); "
READ_CONFIG = "import runpy; runpy.run_path('gunicorn.conf.py')"
NEEDS_PYTHON = "it needs Python 3.11 or newer, and this is 3.10"


def run(
    command: Sequence[str], folder: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    if folder == ROOT:
        variables |= measured()
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["python", "app.py"], 'flask run, or gunicorn "app:create_app()"'),
        (["python", "-c", OLD_PYTHON + "import app"], NEEDS_PYTHON),
        (["python", "-c", OLD_PYTHON + READ_CONFIG], NEEDS_PYTHON),
    ],
)
def test_a_start_that_cannot_work_says_in_a_line_what_to_type(
    command: list[str], says: str
) -> None:
    done = run(command, SLACK_WEBHOOK_URL=CONSOLE)
    assert done.returncode == 1
    (line,) = (done.stdout + done.stderr).splitlines()
    assert says in line


@pytest.mark.parametrize("command", ["routes", "send-test"])
def test_flask_finds_the_application(command: str) -> None:
    done = run(["flask", command], SLACK_WEBHOOK_URL=CONSOLE)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_send_test_says_where_to_look() -> None:
    done = run(["flask", "send-test"], SLACK_WEBHOOK_URL=CONSOLE)
    assert "Test alert: this service can post to Slack" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last == "delivered: a sample alert was accepted; look above."


def test_without_env_file_the_start_says_how_to_make_one() -> None:
    done = run(procfile_command())
    assert done.returncode != 0
    assert "SLACK_WEBHOOK_URL is not set" in done.stderr
    assert "cp .env.example .env" in done.stderr
    assert "(gunicorn does not)" in done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "iso-8859-1", "ascii"])
def test_a_terminal_without_utf_8_shows_the_message(encoding: str) -> None:
    done = run(
        ["flask", "send-test"], PYTHONIOENCODING=encoding, SLACK_WEBHOOK_URL=CONSOLE
    )
    assert done.returncode == 0
    assert "Test alert: this service can post to Slack" in done.stdout


FEW_THREADS = "ulimit -s 65536; ulimit -v"  # so many KiB, and 64 MiB of it for a thread


@pytest.mark.parametrize(
    ("limit", "channels", "says"),
    [
        ("ulimit -n 59", 1, "too few files: set `ulimit -n` to 60 at least"),
        (f"{FEW_THREADS} 3000000", 1, "too few threads: let it have 75 at least"),
        (f"{FEW_THREADS} 6500000", 60, "too few threads: let it have 134 at least"),
    ],
)
def test_a_machine_that_gives_too_little_stops_the_start(
    limit: str, channels: int, says: str
) -> None:
    """It has room for the threads of 1 channel in the third case."""
    variables = {"SLACK_WEBHOOK_URL": CONSOLE}
    for n in range(1, channels):
        variables[f"SLACK_WEBHOOK_URL_C{n}"] = CONSOLE
    command = ["bash", "-c", f'{limit}; exec gunicorn "app:create_app()"']
    done = run(command, ROOT, **variables)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert output.count("auth0-logs-to-slack cannot start: it may ") == 1
    assert says in output
    assert "Traceback" not in output


def test_an_error_before_it_serves_ends_it() -> None:
    """Else gunicorn would try again ten times a second, for ever."""
    assert run(["gunicorn", "flask:Flask('no_application')"]).returncode == 3


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system has none")
def test_nothing_is_written_but_to_shared_memory() -> None:
    """A container may have a root that is read-only, and no /tmp."""
    script = "import runpy; print(runpy.run_path('gunicorn.conf.py')['worker_tmp_dir'])"
    assert run(["python", "-c", script]).stdout == "/dev/shm\n"


# The Makefile.


def copy_of_the_makefile(folder: Path) -> Path:
    """A folder with all that `make .venv/run` needs, and a .venv that works."""
    for name in ("Makefile", "requirements.txt"):
        (folder / name).write_text((ROOT / name).read_text())
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    pip = programs / "pip"
    # It finds no network.
    pip.write_text('#!/bin/sh\ntest "$1" = --version\n')
    pip.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ("python9.9", "python9.9 is not found: try make PYTHON=python3.13"),
        ("false", "false is not Python 3.11 or newer: try make PYTHON=python3.13"),
    ],
)
def test_make_says_what_is_wrong_with_python(
    tmp_path: Path, python: str, says: str
) -> None:
    folder = copy_of_the_makefile(tmp_path)
    done = run(["make", f"PYTHON={python}", ".venv/run"], folder)
    assert done.returncode != 0
    assert says in done.stderr


def test_make_keeps_a_venv_that_works_where_there_is_no_network(tmp_path: Path) -> None:
    folder = copy_of_the_makefile(tmp_path)
    done = run(["make", f"PYTHON={sys.executable}", ".venv/run"], folder)
    assert done.returncode != 0
    assert (folder / ".venv" / "bin" / "pip").exists()
    assert not (folder / ".venv" / "pyvenv.cfg").exists()


@pytest.mark.parametrize("is_in_use", [True, False])
def test_make_run_says_what_to_do_where_the_port_is_in_use(
    tmp_path: Path, is_in_use: bool
) -> None:
    folder = copy_of_the_makefile(tmp_path)
    (folder / ".env").touch()
    (folder / ".venv" / "run").touch()
    programs = folder / ".venv" / "bin"
    (programs / "python").symlink_to(sys.executable)
    flask = programs / "flask"
    flask.write_text("#!/bin/sh\nexit 3\n")
    flask.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if not is_in_use:
            listener.close()
        done = run(["make", "run"], folder, FLASK_RUN_PORT=str(port))
    assert done.returncode != 0
    hint = "The port is in use. Try: FLASK_RUN_PORT=3001 make run"
    assert (hint in done.stderr) == is_in_use
