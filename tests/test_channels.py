"""Several channels: who gets what, and what one sick channel does to the others."""

import json
import os
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import responses
from flask.testing import FlaskClient

import deliveries
import pace
from app import create_app
from digest import BURST
from outbox import MAX_WAITING, MIN_POST
from tests import application
from tests.application import SETTINGS, WEBHOOK
from tests.events import event, success
from tests.server import ROOT, environment, server, wait_until
from tests.slack_stub import Answer, SlackStub, slack_stub

SECURITY = "https://hooks.slack.example/services/T0/B0/security"
TWO = {
    **SETTINGS,
    "SLACK_WEBHOOK_URL_SECURITY": SECURITY,
    "ALERT_TYPES_SECURITY": "limit",
}


@pytest.fixture
def webhooks(
    webhook: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> responses.RequestsMock:
    """Slack's webhooks of two channels, which accept every message."""
    monkeypatch.setattr(pace, "INTERVAL", 0.0)
    monkeypatch.setattr(deliveries, "BUDGET", MIN_POST + 0.5)  # for one try alone
    webhook.post(SECURITY, body="ok")
    return webhook


def two_channels(**variables: str) -> FlaskClient:
    """A client of an application that has two channels."""
    return create_app({**TWO, **variables}).test_client()


def deliver(client: FlaskClient, *events: dict[str, Any]) -> Any:
    return application.deliver(client, list(events))


def close(client: FlaskClient) -> None:
    """Have posted what is collected, as at a stop."""
    client.application.extensions["channels"].stop(5)
    client.application.extensions["channels"].close(5)


def posted(webhooks: responses.RequestsMock, url: str) -> list[str]:
    """The messages that were posted to a webhook, as text."""
    messages = application.posted(webhooks, url)
    return [json.dumps(message, ensure_ascii=False) for message in messages]


def test_an_alert_goes_to_each_channel_whose_filter_takes_it(
    webhooks: responses.RequestsMock,
) -> None:
    two = two_channels()
    assert deliver(two, event(), event(type="limit_wc")).text == "ok\n"
    (first,) = posted(webhooks, WEBHOOK)
    (security,) = posted(webhooks, SECURITY)
    assert "[type: fp]" in first
    assert "[type: limit_wc]" in first
    assert "[type: fp]" not in security
    assert "[type: limit_wc]" in security
    assert deliver(two, event()).text == "ok\n"
    assert len(posted(webhooks, SECURITY)) == 1


def test_each_channel_shows_what_its_fields_say(
    webhooks: responses.RequestsMock,
) -> None:
    two = two_channels(SLACK_FIELDS_SECURITY="cause", ALERT_TYPES_SECURITY="")
    deliver(two, event(description="User neo@example.com failed from 203.0.113.9"))
    (first,) = posted(webhooks, WEBHOOK)
    (security,) = posted(webhooks, SECURITY)
    assert "User neo@example.com failed from 203.0.113.9" in first
    assert "neo@example.com" not in security
    assert "203.0.113.9" not in security
    assert "User [email] failed from [ip]" in security


def test_what_is_alike_is_judged_on_what_is_shown(
    webhooks: responses.RequestsMock,
) -> None:
    two = two_channels(SLACK_FIELDS="client")
    texts = [f"User neo{n}@example.com failed" for n in range(5)]
    deliver(two, *(event(description=text) for text in texts))
    (first,) = posted(webhooks, WEBHOOK)
    (attachment,) = json.loads(first)["attachments"]
    assert attachment["title"] == "User [email] failed [type: fp] ×5"


def test_the_worst_outcome_is_the_answer_and_names_its_channel(
    webhooks: responses.RequestsMock,
) -> None:
    two = two_channels()
    webhooks.replace("POST", SECURITY, status=404, body="no_service")
    limit = event(type="limit_wc")
    response = deliver(two, limit)
    assert response.status_code == 503
    assert response.text.startswith("channel SECURITY: no_service: the webhook is gone")
    webhooks.replace("POST", WEBHOOK, status=429, headers={"Retry-After": "60"})
    response = deliver(two, event(type="limit_wc"))
    assert response.status_code == 503
    assert "Retry-After" not in response.headers
    assert "channel first: Slack's rate limit is reached" in response.text
    assert "; channel SECURITY: no_service" in response.text
    # What one channel has is not doubled there, once the other one takes it too.
    webhooks.replace("POST", SECURITY, body="ok")
    assert deliver(two, limit).text == "ok\n"
    assert len([text for text in posted(webhooks, WEBHOOK) if "limit_wc" in text]) == 2


@pytest.mark.parametrize(
    ("first", "security", "named"),
    [(60, None, ["first"]), (None, 60, ["SECURITY"]), (60, 30, ["first", "SECURITY"])],
)
def test_retry_after_is_of_the_channels_that_are_not_ready(
    webhooks: responses.RequestsMock,
    first: int | None,
    security: int | None,
    named: list[str],
) -> None:
    two = two_channels()
    for url, seconds in ((WEBHOOK, first), (SECURITY, security)):
        if seconds:
            headers = {"Retry-After": f"{seconds}"}
            webhooks.replace("POST", url, status=429, headers=headers)
    response = deliver(two, event(type="limit_wc"))
    assert response.status_code == 503
    assert re.findall("channel ([^ ]+): Slack's rate limit", response.text) == named
    assert response.headers["Retry-After"] == "60"


def test_a_storm_in_one_channel_leaves_the_other_alone(
    webhooks: responses.RequestsMock,
) -> None:
    two = two_channels()
    for _ in range(BURST):
        deliver(two, event())
    limit = event(type="limit_wc")
    assert deliver(two, limit).text == "ok\n"  # news in both
    assert len(posted(webhooks, SECURITY)) == 1
    said = deliver(two, event(), event(type="limit_wc")).text
    what = "ok: channel first: 2 alerts will be counted in the next message"
    assert said == what + "\n"
    assert len(posted(webhooks, WEBHOOK)) == BURST + 1
    assert len(posted(webhooks, SECURITY)) == 2
    close(two)  # or else the digest would go out during another test


def test_at_a_stop_a_hanging_channel_holds_up_no_other(
    webhooks: responses.RequestsMock,
) -> None:
    two = two_channels()
    for _ in range(BURST):
        assert deliver(two, event(type="limit_wc")).text == "ok\n"
    said = deliver(two, event(type="limit_wc")).text
    assert said.count("1 alert will be counted") == 2
    other_posted = threading.Event()

    def hang(_: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        assert other_posted.wait(5)
        return 200, {}, "ok"

    def take(_: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        other_posted.set()
        return 200, {}, "ok"

    for url, callback in ((WEBHOOK, hang), (SECURITY, take)):
        webhooks.remove("POST", url)
        webhooks.add_callback("POST", url, callback)
    close(two)
    for url in (WEBHOOK, SECURITY):
        assert ", digest since " in posted(webhooks, url)[BURST]


def test_the_log_says_which_channel(
    webhooks: responses.RequestsMock, capsys: pytest.CaptureFixture[str]
) -> None:
    two = two_channels()
    deliver(two, event(type="limit_wc"))
    log = capsys.readouterr().out
    assert " INFO alerts channel=first types=failure,limit fields=cause,subject," in log
    assert " INFO alerts channel=SECURITY types=limit fields=cause,subject," in log
    assert re.search(r"outcome=accepted types=limit_wc:1 channel=SECURITY\n", log)
    assert re.search(r"outcome=accepted types=limit_wc:1 channel=first\n", log)
    assert " delivery status=200 events=1 alerts=1 types=limit_wc:1 collected=0 " in log


def test_ignored_are_the_events_that_no_channel_takes_for_its_pattern(
    webhooks: responses.RequestsMock, capsys: pytest.CaptureFixture[str]
) -> None:
    two = two_channels(ALERT_IGNORE_SECURITY="^Known", ALERT_IGNORE="^(Known|Noise)")
    known = event(type="limit_wc", description="Known")
    noise = event(type="limit_wc", description="Noise")
    assert deliver(two, known, noise, success()).status_code == 200
    log = capsys.readouterr().out
    assert " events=3 alerts=1 types=limit_wc:1 ignored=limit_wc:1 " in log
    assert posted(webhooks, WEBHOOK) == []


def test_status_is_503_as_soon_as_one_channel_is_in_trouble(
    webhooks: responses.RequestsMock,
) -> None:
    two = two_channels()
    webhooks.replace("POST", SECURITY, status=410, body="channel_is_archived")
    deliver(two, event(type="limit_wc"))
    response = two.get("/status")
    assert response.status_code == 503
    said = "channel SECURITY: Slack has refused messages since "
    assert response.text.startswith(said)


def test_send_test_posts_to_each_channel(webhooks: responses.RequestsMock) -> None:
    application = create_app(TWO)
    result = application.test_cli_runner().invoke(args=["send-test"])
    accepted = "delivered: a sample alert was accepted; look at the channel."
    assert f"channel first: {accepted}\nchannel SECURITY: {accepted}\n" in result.output
    assert result.exit_code == 0
    webhooks.replace("POST", WEBHOOK, status=404, body="no_service")
    result = application.test_cli_runner().invoke(args=["send-test"])
    assert "channel first: not delivered: no_service: the webhook" in result.output
    assert f"channel SECURITY: {accepted}\n" in result.output
    assert result.exit_code == 1


def test_console_channels_say_which_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    both = {"SLACK_WEBHOOK_URL": "console:", "SLACK_WEBHOOK_URL_SECURITY": "console:"}
    deliver(two_channels(**both), event(type="limit_wc"))
    out = capsys.readouterr().out
    assert "[channel first]\n" in out
    assert "[channel SECURITY]\n" in out


def test_a_single_channel_is_not_named(
    client: FlaskClient, webhook: responses.RequestsMock
) -> None:
    webhook.replace("POST", WEBHOOK, status=404, body="no_service")
    assert deliver(client, event()).text.startswith("no_service: ")
    assert client.get("/status").text.startswith("Slack has refused messages since ")


def test_the_console_takes_slacks_place(capsys: pytest.CaptureFixture[str]) -> None:
    client = create_app({"SLACK_WEBHOOK_URL": "console:"}).test_client()
    assert deliver(client, event()).status_code == 200
    assert "▌ Wrong email or password. [type: fp]" in capsys.readouterr().out


# End to end.


def webhooks_of(
    first: SlackStub, security: SlackStub, **variables: str
) -> dict[str, str]:
    return {
        "SLACK_WEBHOOK_URL": first.url,
        "SLACK_WEBHOOK_URL_SECURITY": security.url,
        **variables,
    }


def test_a_hanging_channel_holds_up_no_other_and_nothing_is_doubled() -> None:
    with (
        slack_stub() as first,
        slack_stub() as security,
        server(**webhooks_of(first, security, ALERT_TYPES_SECURITY="limit")) as running,
    ):
        security.script(Answer(delay=60))
        body = [event(type="limit_wc")]
        with ThreadPoolExecutor(2 + MAX_WAITING // 2) as pool:
            waiting = [pool.submit(running.deliver, body)]
            wait_until(lambda: first.messages and security.posts)
            # The sick channel is full, and says so, but the healthy one gets all.
            bodies = [[event(type="limit_wc")] for _ in range(MAX_WAITING // 2)]
            waiting += [pool.submit(running.deliver, other) for other in bodies]
            wait_until(lambda: first.events == 1 + MAX_WAITING // 2)
            another = event()
            wait_until(lambda: running.deliver([another]).text == "ok\n")
            security.released.set()
            answers = [future.result() for future in waiting]
        full = [answer for answer in answers if answer.status_code == 503]
        assert len(full) == 1
        assert full[0].text.startswith("channel SECURITY: too many deliveries at once")
        for again in [body, *bodies]:
            assert running.deliver(again).status_code == 200
        assert first.events == 2 + MAX_WAITING // 2
        assert security.events == 1 + MAX_WAITING // 2


def test_no_output_has_a_secret_of_any_channel() -> None:
    with slack_stub() as first, slack_stub() as security:
        security.script(Answer(404, "no_service"))
        variables = webhooks_of(first, security, LOG_LEVEL="DEBUG")
        done = subprocess.run(
            ["flask", "send-test"],
            cwd=ROOT,
            env=environment(**variables),
            capture_output=True,
            text=True,
            check=False,
        )
    output = done.stdout + done.stderr
    assert done.returncode == 1
    assert "channel SECURITY: not delivered: no_service" in output
    assert "[secret]" in output
    for url in (first.url, security.url):
        assert url not in output
        assert os.path.basename(url) not in output
