"""Logs: one line per record, without secrets, whatever it says."""

import contextlib
import io
import logging
import re
from pathlib import Path

import pytest

import logs

URL = "https://slack.example/services/x"


Captured = pytest.CaptureFixture[str]
any_log = logging.getLogger("any")


def test_a_record_is_a_line_with_time_and_level(capsys: Captured) -> None:
    logs.configure("INFO", [])
    any_log.info("message alerts=%d", 3)
    any_log.debug("not shown")
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    line = capsys.readouterr().out
    assert re.fullmatch(rf"{time} INFO message alerts=3\n", line)


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "a\x1bb", "a\u2028b", "a\x85b", "a\x00b"]
)
def test_no_text_forges_a_line(text: str, capsys: Captured) -> None:
    logs.configure("INFO", [])
    any_log.warning("log_ids=%s", text)
    assert capsys.readouterr().out.endswith(" WARNING log_ids=a | b\n")


def test_no_secret_is_shown_not_even_in_a_traceback(capsys: Captured) -> None:
    logs.configure("DEBUG", ["", "https://slack.example/hook", "/services/x"])
    try:
        raise ValueError("cannot post to https://slack.example/hook")
    except ValueError:
        logging.getLogger("urllib3").exception('"POST %s HTTP/1.1" 404', "/services/x")
    (line,) = capsys.readouterr().out.splitlines()
    assert '"POST [secret] HTTP/1.1" 404' in line
    assert "ValueError: cannot post to [secret]" in line
    assert "slack.example" not in line


def test_secrets_are_redacted_whatever_the_case_but_no_short_ones(
    capsys: Captured,
) -> None:
    short = "x" * (logs.MIN_SECRET - 1)
    logs.configure("INFO", ["The-(Token)+-1", "/services/x", URL, short, f"{short}y"])
    any_log.warning("Invalid HTTP header name: 'THE-(TOKEN)+-1' the-(token)+-1")
    any_log.warning(f"{URL.upper()}? {short} {short}y")
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" Invalid HTTP header name: '[secret]' [secret]")
    assert second.endswith(f" [secret]? {short} [secret]")


def test_a_record_that_cannot_be_written_costs_nothing_but_itself(
    capsys: Captured,
) -> None:
    logs.configure("INFO", [])
    any_log.info("%d", "no number")
    any_log.warning("half \ud800 a pair")
    shown = capsys.readouterr()
    assert shown.out.endswith(" WARNING half \\ud800 a pair\n")
    assert shown.out.count("\n") == 1
    assert not shown.err


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full"
)
def test_a_full_disk_costs_nothing_but_the_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        logs.configure("INFO", [])
        any_log.warning("nowhere to go")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "cp1252", "utf-8"])
def test_outside_utf_8_a_letter_costs_itself_alone(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding))
    logs.configure("INFO", [])
    any_log.info("one ▌ 日 two")
    print("three ▌ 日 four", flush=True)
    written = raw.getvalue().decode(encoding)
    first, second = re.sub("[▌日]", "?", written).splitlines()
    assert first.endswith(" INFO one ? ? two")
    assert second == "three ? ? four"


def test_a_stdout_that_is_no_file_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = io.StringIO()
    monkeypatch.setattr("sys.stdout", memory)
    logs.configure("INFO", [])
    any_log.info("one ▌")
    assert memory.getvalue().endswith(" INFO one ▌\n")


def test_the_development_server_says_where_it_listens_and_what_to_do(
    capsys: Captured,
) -> None:
    logs.configure("INFO", [])
    werkzeug = logging.getLogger("werkzeug")
    werkzeug.info(
        "\x1b[31mWARNING: ...\x1b[0m\n * Running on http://127.0.0.1:3000\x1b[0m"
    )
    werkzeug.info("\x1b[33mPress CTRL+C to quit\x1b[0m")
    werkzeug.info('"%s" %s', "POST /api/logs", 200)
    werkzeug.error("what goes wrong")
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(
        " INFO listening on http://127.0.0.1:3000: send the README's curl to port 3000;"
        " Ctrl-C stops it"
    )
    assert second.endswith(" ERROR what goes wrong")


def test_what_anybody_can_cause_is_logged_once_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [1000.0]
    warnings = logs.HourlyWarnings(lambda: now[0])
    for wait, text in [(0, "a"), (0, "a"), (logs.HOUR - 1, "a"), (0, "b"), (1, "a")]:
        now[0] += wait
        warnings.warn(text)
    assert caplog.messages == ["a count=1", "b count=1", "a count=3"]
