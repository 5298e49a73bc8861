"""Logs: one line per record, without secrets, whoever logged it and whatever it says."""

import logging

import pytest

import logs


def test_a_record_is_a_line_with_time_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", [])
    logging.getLogger("any").info("message alerts=%d", 3)
    logging.getLogger("any").debug("not shown")
    line = capsys.readouterr().out
    assert line.endswith(" INFO message alerts=3\n")
    assert line[:19].replace("T", "-").replace(":", "-").count("-") == 5


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x1bb", "a\u2028b", "a\x85b", "a\x00b"])
def test_no_text_forges_a_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", [])
    logging.getLogger("any").warning("log_ids=%s", text)
    assert capsys.readouterr().out.endswith(" WARNING log_ids=a | b\n")


def test_no_secret_is_shown_not_even_in_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("DEBUG", ["", "https://slack.example/x", "/x"])
    try:
        raise ValueError("cannot post to https://slack.example/x")
    except ValueError:
        logging.getLogger("urllib3").exception('"POST %s HTTP/1.1" 404', "/x")
    (line,) = capsys.readouterr().out.splitlines()
    assert '"POST [secret] HTTP/1.1" 404' in line
    assert "ValueError: cannot post to [secret]" in line
    assert "slack.example" not in line


def test_a_record_that_cannot_be_written_costs_nothing_but_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO", [])
    logging.getLogger("any").info("%d", "no number")
    logging.getLogger("any").info("the next")
    shown = capsys.readouterr()
    assert shown.out.endswith(" INFO the next\n")
    assert "Logging error" in shown.err
