"""The console: what a newcomer sees instead of Slack."""

from typing import Any

import pytest

import console
from filters import Router, read_types
from message import Message, Purpose, build_message
from outcome import Verdict
from tests.events import event

EVERYTHING = Router({"": read_types("*")[0]})


def message(*events: dict[str, Any], **options: Any) -> Message:
    routed = EVERYTHING.route([event["data"] for event in events])
    return build_message(routed.by_channel[""], **options)


def lines(shown: Message) -> list[str]:
    return console.render(shown, colours=False).splitlines()


def test_shows_the_same_facts_as_slack_in_the_same_order() -> None:
    wrong = [event(log_id="1", date=f"2026-11-22T10:00:0{n}Z") for n in range(5)]
    other = event(log_id="2", ip="203.0.113.66", user_name="<!channel> & 日本")
    blocked = event(type="limit_wc", log_id="3", tenant_name="other")
    shown = message(
        *wrong, other, blocked, fields=("ip", "user"), purpose=Purpose(surges={"fp": 2})
    )
    assert lines(shown) == [
        "",
        "7 events: 1 × Blocked Account: Failed Logins,"
        " 6 × Failed Login (Incorrect Password), at most 2 in a message before",
        "▌ Wrong email or password. [type: limit_wc]",
        "▌ https://manage.auth0.com/dashboard/eu/other/logs/3",
        "▌ Blocked Account: Failed Logins · 2026-11-22 10:00:05 UTC",
        "▌ IP: 203.0.113.9",
        "▌ User: neo@example.com",
        "▌ other",
        "",
        "▌ Wrong email or password. [type: fp] ×6",
        "▌ https://manage.auth0.com/dashboard/eu/acme/logs/2",
        "▌ Failed Login (Incorrect Password) · 2026-11-22 10:00:00 to 10:00:05 UTC",
        "▌ IPs (2): 203.0.113.9 ×5, 203.0.113.66 ×1",
        "▌ Users (2): neo@example.com ×5, <!channel> & 日本 ×1",
        "▌ acme",
    ]


def test_shows_what_little_there_is_and_leaves_wrapping_to_the_terminal() -> None:
    typed = "2001:18:a:b:100::1 `*x*` &lt;"
    bare = {"type": "f", "description": typed, "user_name": "x" * 100}
    assert lines(message({"data": {"log_id": None, **bare}}))[2:] == [
        f"▌ {typed} [type: f]",  # can be copied as it was typed
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
    assert lines(message(event(), purpose=Purpose(only_counts=True))) == [
        "",
        "Failed Login (Incorrect Password) in acme",
        "Slack refused the details: see Auth0's own logs,"
        " https://manage.auth0.com/#/logs",
    ]
