"""The web application: its paths and methods, its start, and `flask send-test`.

Deliveries are in test_deliveries.py.
"""

import json
import re
from typing import Any
from wsgiref.validate import validator

import pytest
import responses
from flask.testing import FlaskClient
from werkzeug.test import create_environ, run_wsgi_app

import pace
from app import MAX_QUERY, create_app
from events import MAX_BODY
from outcome import Outcome, Verdict
from tests.application import SETTINGS, TOKEN, WEBHOOK, deliver, posted
from tests.events import event, success


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_405_for_other_methods(client: FlaskClient, method: str) -> None:
    response = client.open("/api/logs", method=method)
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    said = "this path takes another method; deliveries go to POST /api/logs\n"
    assert response.text == ("" if method == "HEAD" else said)


@pytest.mark.parametrize("path", ["/", "/api", "/api/logs/", "/static/app.py", "/%ff"])
def test_404_for_other_paths(client: FlaskClient, path: str) -> None:
    response = client.post(path)
    assert response.status_code == 404
    assert response.text == "deliveries go to POST /api/logs\n"


def test_event_grids_handshake_is_granted(client: FlaskClient) -> None:
    """CloudEvents, HTTP 1.1 Web Hooks for Event Delivery, 4.2."""
    asked = {
        "WebHook-Request-Origin": "eventgrid.azure.net",
        "WebHook-Request-Rate": "120",
    }
    response = client.options("/api/logs", headers=asked)
    assert response.status_code == 200
    assert response.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert response.headers["WebHook-Allowed-Rate"] == "*"
    assert response.headers["Allow"] == "POST"
    response = client.options("/api/logs")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert "WebHook-Allowed-Origin" not in response.headers


def test_healthz_answers_without_authorization(client: FlaskClient) -> None:
    for path in ("/healthz", "/health"):
        response = client.get(path)
        assert (response.status_code, response.text) == (200, "ok\n")
        assert response.headers["Cache-Control"] == "no-store"


def test_status_says_how_slack_takes_it(
    client: FlaskClient,
    webhook: responses.RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "INTERVAL", 0.0)
    response = client.get("/status")
    assert response.status_code == 200
    assert response.text == (
        "ok: last delivery none yet, last message accepted none yet\n"
    )
    deliver(client, [event()])
    deliver(client, [event()], "wrong")
    assert re.fullmatch(
        "ok: last delivery 2.{18}Z, last message accepted 2.{18}Z\n",
        client.get("/status").text,
    )
    webhook.replace("POST", WEBHOOK, status=404, body="no_service")
    deliver(client, [event()])
    response = client.get("/status")
    assert response.status_code == 503
    assert re.fullmatch(
        r"Slack has refused messages since 2.{18}Z: no_service\n", response.text
    )


def test_the_reloader_loses_what_is_collected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    create_app(SETTINGS)
    assert "WARNING --debug: the reloader loses" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("?max_silence=3600", 200, "ok: last delivery none yet"),
        ("?max_silence=0", 503, "no delivery from Auth0 since 2"),
        ("?1732820000", 200, "ok: last delivery none yet"),
        ("?uptime_kuma_cachebuster=7&max_silence=3600", 200, "ok: last delivery"),
        ("?maxsilence=3600", 400, "max_silence takes whole seconds"),
        ("?max_silence=1h", 400, "max_silence takes whole seconds"),
        ("?max_silence=", 400, "max_silence takes whole seconds"),
        ("?max_silence=%D9%A3", 400, "max_silence takes whole seconds"),
        ("?" + MAX_QUERY * "x", 200, "ok: last delivery none yet"),
        ("?max_silence=3600&" + MAX_QUERY * "x", 400, "max_silence takes whole"),
    ],
)
def test_status_can_tell_of_silence(
    client: FlaskClient, query: str, status: int, said: str
) -> None:
    response = client.get(f"/status{query}")
    assert response.status_code == status
    assert response.text.startswith(said)


# The protocol, to the letter.


@pytest.mark.parametrize(
    ("method", "path", "body", "slack_says", "status"),
    [
        ("POST", "/api/logs", [event()], {"body": "ok"}, 200),
        ("POST", "/api/logs", [success()], {}, 204),
        ("POST", "/api/logs", 5, {}, 400),
        ("POST", "/api/logs", None, {}, 401),
        ("HEAD", "/api/logs", None, {}, 405),
        ("POST", "/api/logs", "x" * MAX_BODY, {}, 413),
        ("POST", "/api/logs", [event()], {"status": 429}, 503),
        ("HEAD", "/healthz", None, {}, 200),
        ("GET", "/status", None, {}, 200),
    ],
)
def test_every_answer_is_wsgi_and_http(
    webhook: responses.RequestsMock,
    method: str,
    path: str,
    body: Any,
    slack_says: dict[str, Any],
    status: int,
) -> None:
    """wsgiref.validate raises AssertionError, as for a 204 with a Content-Type."""
    webhook.replace("POST", WEBHOOK, **slack_says)
    environ = create_environ(
        path,
        method=method,
        data=None if body is None else json.dumps(body),
        headers={"Authorization": TOKEN if body is not None else "wrong"},
    )
    app = validator(create_app(SETTINGS))
    answer, status_line, headers = run_wsgi_app(app, environ, buffered=True)
    assert status_line.startswith(f"{status} ")
    assert ("Content-Type" in headers) == (status != 204)
    has_line = method != "HEAD" and status != 204
    assert b"".join(answer).count(b"\n") == has_line


# Start-up.


def test_a_wrong_setting_stops_the_process_with_advice() -> None:
    for variables in ({}, {"SLACK_WEBHOOK_URL": "secret"}):
        with pytest.raises(SystemExit, match="cannot start: ") as raised:
            create_app(variables)
        assert "secret" not in str(raised.value.code)


def test_reads_the_environment_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "console:")
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    assert create_app().name == "app"


def test_warnings_are_logged_at_start_up(capsys: pytest.CaptureFixture[str]) -> None:
    create_app({"SLACK_WEBHOOK_URL": "console:"})
    assert "WARNING AUTH0_LOG_STREAM_TOKEN is not set" in capsys.readouterr().out


# flask send-test


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ({"body": "ok"}, 0, "delivered: a sample alert was accepted; look at the"),
        ({"status": 404, "body": "no_service"}, 1, "not delivered: no_service: the"),
    ],
)
def test_send_test(
    webhook: responses.RequestsMock, answer: dict[str, Any], code: int, says: str
) -> None:
    webhook.replace("POST", WEBHOOK, **answer)
    result = create_app(SETTINGS).test_cli_runner().invoke(args=["send-test"])
    assert result.exit_code == code
    assert says in result.output
    assert "Test alert" in posted(webhook)[0]["attachments"][0]["title"]
    assert "secret" not in result.output


def test_send_test_tells_of_slow_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Outcome(Verdict.ACCEPTED, "ok", 200, advice="connecting took 12 s")
    monkeypatch.setattr("slack.Webhook.post", lambda *_: slow)
    result = create_app(SETTINGS).test_cli_runner().invoke(args=["send-test"])
    assert "look at the channel (connecting took 12 s)." in result.output
