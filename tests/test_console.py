"""The console: what a newcomer sees instead of Slack."""

import time
from typing import Any

import pytest

import console
from filters import read_filter
from message import build_message
from slack import Verdict
from tests.events import event

EVERYTHING, _ = read_filter("*")


def message(*events: dict[str, Any]) -> dict[str, Any]:
    return build_message(EVERYTHING.alerts([event["data"] for event in events]))


def test_shows_the_message_as_slack_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    sent = event(
        log_id="900", user_name="<!channel> & 日本", details={"error": "Wrong realm"}
    )
    assert console.render(message(sent), colours=False).splitlines() == [
        "",
        "Auth0 log alert Failed Login (Incorrect Password) in acme",
        "▌ Wrong email or password. [type: fp]",
        "▌ https://manage.auth0.com/dashboard/eu/acme/logs/900",
        "▌ Cause: Wrong realm",
        "▌ Client: Default App aI61p8I8aFjmYRliLWgvM9ev97kCCNDB",
        "▌ User: <!channel> & 日本",
        "▌ Connection: Username-Password-Authentication",
        "▌ IP: 203.0.113.9",
        "▌ acme · 2026-11-22 10:00:05 UTC",
    ]


def test_shows_what_several_events_share() -> None:
    shown = console.render(message(event(), event(), event(), event()), colours=False)
    assert (
        "▌ Failed Login (Incorrect Password) · 2026-11-22 10:00:05 UTC"
        in shown.splitlines()
    )


def test_shows_what_little_there_is_and_leaves_wrapping_to_the_terminal() -> None:
    bare = {"data": {"type": "f", "log_id": None, "user_name": "x" * 100}}
    shown = console.render(message(bare), colours=False)
    assert shown.splitlines()[2:] == [
        "▌ Failed Login [type: f]",
        "▌ User: " + "x" * 100,
    ]


def test_colours_only_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert console.show(message(event())).verdict is Verdict.ACCEPTED
    assert "\033" not in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    console.show(message(event(type="limit_wc")))
    shown = capsys.readouterr().out
    assert "\033[38;2;236;178;46m▌" in shown  # the colour of a limit
    assert "*" not in shown


def test_shows_a_message_of_mere_counts_too() -> None:
    assert (
        console.render({"text": "a &lt;b&gt; &amp;lt;"}, colours=False)
        == "\na <b> &lt;"
    )
