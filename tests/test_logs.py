"""Logs: one line per record, without secrets, whatever it says."""

import contextlib
import io
import logging
import re
from pathlib import Path

import pytest

import logs

URL = "https://slack.example/services/x"


def test_a_record_is_a_line_with_time_and_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO", [])
    logging.getLogger("any").info("message alerts=%d", 3)
    logging.getLogger("any").debug("not shown")
    line = capsys.readouterr().out
    assert line.endswith(" INFO message alerts=3\n")
    assert line[:19].replace("T", "-").replace(":", "-").count("-") == 5


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "a\x1bb", "a\u2028b", "a\x85b", "a\x00b"]
)
def test_no_text_forges_a_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", [])
    logging.getLogger("any").warning("log_ids=%s", text)
    assert capsys.readouterr().out.endswith(" WARNING log_ids=a | b\n")


def test_no_secret_is_shown_not_even_in_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("DEBUG", ["", "https://slack.example/hook", "/services/x"])
    try:
        raise ValueError("cannot post to https://slack.example/hook")
    except ValueError:
        logging.getLogger("urllib3").exception('"POST %s HTTP/1.1" 404', "/services/x")
    (line,) = capsys.readouterr().out.splitlines()
    assert '"POST [secret] HTTP/1.1" 404' in line
    assert "ValueError: cannot post to [secret]" in line
    assert "slack.example" not in line


def test_a_record_that_cannot_be_written_costs_nothing_but_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO", [])
    logging.getLogger("any").info("%d", "no number")
    logging.getLogger("any").warning("half \ud800 a pair")
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
        logging.getLogger("any").warning("nowhere to go")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()


def test_a_short_secret_is_not_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", ["a", "1234567", "12345678"])
    logging.getLogger("any").info("status=200 1234567 12345678")
    assert capsys.readouterr().out.endswith(" INFO status=200 1234567 [secret]\n")


def test_a_secret_is_redacted_whatever_the_case(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO", ["The-(Token)+-1", "/services/x", URL])
    log = logging.getLogger("any")
    log.warning("Invalid HTTP header name: 'THE-(TOKEN)+-1' the-(token)+-1")
    log.warning(f"{URL.upper()}?")
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" Invalid HTTP header name: '[secret]' [secret]")
    assert second.endswith(" [secret]?")


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "cp1252", "utf-8"])
def test_outside_utf_8_a_letter_costs_itself_alone(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding))
    logs.configure("INFO", [])
    logging.getLogger("any").info("one ▌ 日 two")
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
    logging.getLogger("any").info("one ▌")
    assert memory.getvalue().endswith(" INFO one ▌\n")


def test_the_development_server_says_where_it_listens_and_what_to_do(
    capsys: pytest.CaptureFixture[str],
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
