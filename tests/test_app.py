"""The web application: every row of the README's table, without a network."""

import gzip
import io
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
import requests
import responses
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

import app
import deliveries
import outbox
from deliveries import LARGE_BODY, OUR_SERVERS
from digest import BURST
from events import MAX_BODY
from tests.events import event, success

WEBHOOK = "https://hooks.slack.example/services/T0/B0/secret"
TOKEN = "the-token-of-the-stream"
SETTINGS = {"SLACK_WEBHOOK_URL": WEBHOOK, "AUTH0_LOG_STREAM_TOKEN": TOKEN}


@pytest.fixture
def slack() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post(WEBHOOK, body="ok")
        yield mock


@pytest.fixture
def client() -> FlaskClient:
    return app.create_app(SETTINGS).test_client()


def deliver(client: FlaskClient, body: Any, authorization: str | None = TOKEN) -> Any:
    headers = {} if authorization is None else {"Authorization": authorization}
    data = body if isinstance(body, bytes) else json.dumps(body)
    return client.post("/api/logs", data=data, headers=headers)


def posted(slack: responses.RequestsMock) -> list[Any]:
    """The messages that were posted."""
    return [json.loads(call.request.body or "") for call in slack.calls]


def test_200_ok_once_slack_has_said_ok(
    client: FlaskClient, slack: responses.RequestsMock
) -> None:
    response = deliver(client, [event(), success(), event(type="limit_wc")])
    assert (response.status_code, response.text) == (200, "ok\n")
    assert response.content_type == "text/plain; charset=utf-8"
    (message,) = posted(slack)
    titles = [built["title"] for built in message["attachments"]]
    assert titles == [
        "Wrong email or password. [type: limit_wc]",
        "Wrong email or password. [type: fp]",
    ]


@pytest.mark.parametrize("body", [[], {"logs": []}, [success()], success()])
def test_204_where_no_event_is_an_alert(
    client: FlaskClient, slack: responses.RequestsMock, body: Any
) -> None:
    response = deliver(client, body)
    assert (response.status_code, response.data) == (204, b"")
    assert not slack.calls


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty"),
        (b"{", "the body is not JSON"),
        (b"[1]", "no event in 1 item(s): an event is a JSON object"),
    ],
)
def test_400_says_what_is_wrong(
    client: FlaskClient, slack: responses.RequestsMock, body: bytes, reason: str
) -> None:
    response = deliver(client, body)
    assert response.status_code == 400
    assert response.text.startswith(reason)
    assert response.text.count("\n") == 1
    assert not slack.calls


@pytest.mark.parametrize(
    "authorization",
    [TOKEN, f"Bearer {TOKEN}", f"bearer  {TOKEN} ", f" {TOKEN} "],
)
def test_the_token_opens_as_it_is_and_after_bearer(
    client: FlaskClient, slack: responses.RequestsMock, authorization: str
) -> None:
    assert deliver(client, [], authorization).status_code == 204


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "wrong",
        TOKEN + "x",
        TOKEN[:-1],
        f"Basic {TOKEN}",
        "\xff\x80",
    ],
)
def test_401_for_anything_else_and_the_body_is_never_parsed(
    client: FlaskClient, slack: responses.RequestsMock, authorization: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        deliveries, "EventReader", lambda _body: pytest.fail("the body was parsed")
    )
    response = deliver(client, [event()], authorization)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in response.text
    assert not slack.calls


def test_without_a_token_the_endpoint_is_open() -> None:
    client = app.create_app({"SLACK_WEBHOOK_URL": WEBHOOK}).test_client()
    assert deliver(client, [], None).status_code == 204
    assert deliver(client, [], "anything").status_code == 204


def test_413_for_a_body_over_the_limit_with_and_without_a_length(
    client: FlaskClient, slack: responses.RequestsMock
) -> None:
    body = b"[" + b" " * (MAX_BODY - 2) + b"]"
    assert deliver(client, body).status_code == 204
    response = deliver(client, body + b" ")
    assert response.status_code == 413
    assert response.text == "the body is over 10485760 bytes (10 MiB)\n"
    assert not slack.calls


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ({"status": 404, "body": "no_service"}, 502, "no_service: the webhook is gone"),
        ({"status": 403, "body": "action_prohibited"}, 502, "action_prohibited"),
        ({"status": 410, "body": "channel_is_archived"}, 502, "channel_is_archived"),
        ({"status": 400, "body": "invalid_token"}, 502, "invalid_token"),
        ({"status": 500, "body": ""}, 503, "Slack failed: HTTP 500"),
        ({"status": 429, "body": ""}, 503, "Slack's rate limit is reached"),
        ({"body": requests.ConnectionError(WEBHOOK)}, 503, "no answer from Slack"),
        ({"body": requests.ReadTimeout(WEBHOOK)}, 503, "no answer from Slack"),
    ],
)
def test_502_where_slack_refuses_and_503_where_it_cannot(
    client: FlaskClient, slack: responses.RequestsMock, answer: dict[str, Any], status: int,
    reason: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(deliveries, "BUDGET", 1.5)  # seconds: no time for a second try
    slack.replace("POST", WEBHOOK, **answer)
    response = deliver(client, [event()])
    assert response.status_code == status
    assert response.text.startswith(reason)
    assert "secret" not in response.text
    assert ("Retry-After" in response.headers) == (status == 503)
    assert len(slack.calls) == 1


def test_retry_after_passes_on_what_slack_said(
    client: FlaskClient, slack: responses.RequestsMock
) -> None:
    slack.replace("POST", WEBHOOK, status=429, headers={"Retry-After": "30"})
    assert deliver(client, [event()]).headers["Retry-After"] == "30"


def test_what_joins_the_digest_is_answered_200_with_when_it_goes_out(
    slack: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(outbox, "INTERVAL", 0.0)
    client = app.create_app(SETTINGS).test_client()
    for _ in range(BURST):
        assert deliver(client, [event()]).text == "ok\n"
    response = deliver(client, [event(), event(), success(), event()])
    assert response.status_code == 200
    shape = r"ok: 3 alerts go out with the next digest, by \d\d:\d\d:\d\d UTC\n"
    assert re.fullmatch(shape, response.text)
    assert deliver(client, [event()]).text.startswith("ok: 1 alert goes out with")
    assert " alerts=3 types=fp:3 collected=3 slack=none " in capsys.readouterr().out
    assert len(slack.calls) == BURST
    client.application.extensions["channels"].close(5)
    assert "*4 events*" in posted(slack)[BURST]["text"]


def test_a_redelivery_is_answered_and_not_posted_again(
    client: FlaskClient, slack: responses.RequestsMock
) -> None:
    body = [event()]
    assert [deliver(client, body).status_code for _ in range(2)] == [200, 200]
    assert len(slack.calls) == 1


def test_a_refusal_falls_back_to_counts(
    client: FlaskClient, slack: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "INTERVAL", 0.0)
    slack.replace("POST", WEBHOOK, status=400, body="invalid_attachments")
    slack.add("POST", WEBHOOK, body="ok")
    assert deliver(client, [event()]).status_code == 200
    full, counts = posted(slack)
    assert "attachments" in full
    assert "Slack refused the details" in counts["text"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_405_for_other_methods(client: FlaskClient, method: str) -> None:
    response = client.open("/api/logs", method=method)
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert response.text == ("" if method == "HEAD" else "use POST /api/logs\n")


@pytest.mark.parametrize("path", ["/", "/api", "/api/logs/", "/static/app.py", "/%ff"])
def test_404_for_other_paths(client: FlaskClient, path: str) -> None:
    response = client.post(path)
    assert (response.status_code, response.text) == (
        404,
        "deliveries go to POST /api/logs\n",
    )


def test_event_grid_s_handshake_is_granted(client: FlaskClient) -> None:
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


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(b"[]"), {}),
        (gzip.compress(b"[]"), {"Content-Encoding": "gzip"}),
        (b"[]", {"Content-Encoding": "br"}),
    ],
    ids=["body", "body and header", "header"],
)
def test_415_for_a_compressed_body(
    client: FlaskClient, body: bytes, headers: dict[str, str]
) -> None:
    headers = {"Authorization": TOKEN, **headers}
    response = client.post("/api/logs", data=body, headers=headers)
    assert response.status_code == 415
    assert response.text.startswith("the body is compressed")


def test_503_for_a_large_body_whose_turn_does_not_come(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BUDGET", 0.1)
    with deliveries._large_body:
        response = deliver(client, b"[" + b" " * LARGE_BODY + b"]")
        assert deliver(client, b"[]").status_code == 204
    assert response.status_code == 503
    assert response.text.startswith("too many large deliveries at once")
    assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("?max_silence=3600", 200, "ok: last delivery none yet"),
        ("?max_silence=0", 503, "no delivery from Auth0 since 2"),
        ("?max_silence=1h", 400, "give max_silence in whole seconds"),
        ("?max_silence=", 400, "give max_silence in whole seconds"),
        ("?max_silence=-1", 400, "give max_silence in whole seconds"),
        ("?max_silence=%D9%A3", 400, "give max_silence in whole seconds"),
    ],
)
def test_status_can_tell_of_silence(
    client: FlaskClient, query: str, status: int, said: str
) -> None:
    response = client.get(f"/status{query}")
    assert response.status_code == status
    assert response.text.startswith(said)


def test_healthz_answers_without_authorization(client: FlaskClient) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.text) == (200, "ok\n")


def test_status_says_how_slack_takes_it(
    client: FlaskClient, slack: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "INTERVAL", 0.0)
    response = client.get("/status")
    assert (response.status_code, response.text) == (
        200,
        "ok: last delivery none yet, last message accepted none yet\n",
    )
    deliver(client, [event()])
    deliver(client, [event()], "wrong")
    assert re.fullmatch(
        "ok: last delivery 2.{18}Z, last message accepted 2.{18}Z\n",
        client.get("/status").text,
    )
    slack.replace("POST", WEBHOOK, status=404, body="no_service")
    deliver(client, [event()])
    response = client.get("/status")
    assert response.status_code == 503
    assert re.fullmatch(
        r"Slack refuses messages since 2.{18}Z: no_service\n", response.text
    )


# The protocol, to the letter.


@pytest.mark.parametrize(
    ("method", "path", "body", "slack_says", "status"),
    [
        ("POST", "/api/logs", [event()], {"body": "ok"}, 200),
        ("POST", "/api/logs", [success()], {}, 204),
        ("POST", "/api/logs", 5, {}, 400),
        ("POST", "/api/logs", None, {}, 401),
        ("POST", "/api/log", [], {}, 404),
        ("GET", "/api/logs", None, {}, 405),
        ("HEAD", "/api/logs", None, {}, 405),
        ("POST", "/api/logs", "x" * MAX_BODY, {}, 413),
        ("POST", "/api/logs", [event()], {"status": 404, "body": "no_service"}, 502),
        (
            "POST",
            "/api/logs",
            [event()],
            {"status": 429, "headers": {"Retry-After": "60"}},
            503,
        ),
        ("GET", "/healthz", None, {}, 200),
        ("HEAD", "/healthz", None, {}, 200),
        ("GET", "/status", None, {}, 200),
    ],
)
def test_every_answer_is_wsgi_and_http(
    slack: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch,
    method: str, path: str, body: Any, slack_says: dict[str, Any], status: int,
) -> None:  # fmt: skip
    """wsgiref.validate raises AssertionError, for instance for a 204 with a Content-Type."""
    slack.replace("POST", WEBHOOK, **slack_says)
    data = b"" if body is None else json.dumps(body).encode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.input": io.BytesIO(data),
        "HTTP_AUTHORIZATION": TOKEN if body is not None else "wrong",
    }
    setup_testing_defaults(environ)
    answered = []

    def start_response(line: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        answered.append((int(line.split()[0]), dict(headers)))
        return lambda _data: None

    result = validator(app.create_app(SETTINGS))(environ, start_response)
    content = b"".join(result)
    result.close()  # type: ignore[attr-defined]
    ((code, headers),) = answered
    assert code == status
    assert ("Content-Type" in headers) == (code != 204)
    assert content.count(b"\n") == (method != "HEAD" and code != 204)


def test_the_user_s_filter_and_fields_are_used(slack: responses.RequestsMock) -> None:
    variables = {
        **SETTINGS,
        "ALERT_TYPES": "fu,fp",
        "ALERT_IGNORE": "^Noise",
        "SLACK_FIELDS": "ip",
    }
    client = app.create_app(variables).test_client()
    noise = event(description="Noise")
    assert deliver(client, [event(type="fs"), noise]).status_code == 204
    assert (
        deliver(
            client, [event(type="fs"), noise, event(), event(type="fu")]
        ).status_code
        == 200
    )
    first, second = posted(slack)[0]["attachments"]
    assert [field["title"] for field in first["fields"]] == ["IP"]
    assert second["title"].endswith("[type: fu]")


def test_the_console_takes_slacks_place(capsys: pytest.CaptureFixture[str]) -> None:
    client = app.create_app({"SLACK_WEBHOOK_URL": "console:"}).test_client()
    assert deliver(client, [event()]).status_code == 200
    assert "▌ Wrong email or password. [type: fp]" in capsys.readouterr().out


# Start-up.


@pytest.mark.parametrize(
    "variables",
    [{}, {"SLACK_WEBHOOK_URL": "secret"}, {**SETTINGS, "ALERT_TYPES": "?!"}],
)
def test_a_wrong_setting_stops_the_process_with_advice(
    variables: dict[str, str],
) -> None:
    with pytest.raises(SystemExit) as raised:
        app.create_app(variables)
    assert "cannot start: " in str(raised.value.code)
    assert "secret" not in str(raised.value.code)


def test_reads_the_environment_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "console:")
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    assert app.create_app().name == "app"


def test_warnings_are_logged_at_start_up(capsys: pytest.CaptureFixture[str]) -> None:
    app.create_app({"SLACK_WEBHOOK_URL": "console:"})
    assert "WARNING AUTH0_LOG_STREAM_TOKEN is not set" in capsys.readouterr().out


# The log.


def test_a_line_per_delivery(
    slack: responses.RequestsMock, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {**SETTINGS, "ALERT_IGNORE": "^Noise"}
    client = app.create_app(variables).test_client()
    client.environ_base["SERVER_SOFTWARE"] = OUR_SERVERS[0]
    seen = event()
    deliver(client, [seen, seen, success(), 5])
    deliver(client, [seen])
    deliver(client, [event(description="Noise")])
    deliver(client, [success()])
    deliver(client, b"{")
    deliver(client, [], "wrong")
    deliver(client, [], None)
    client.post("/api/log")
    client.get("/api/logs")
    log = capsys.readouterr().out
    lines = []
    for line in log.splitlines():
        _time, _, said = line.partition(" ")
        lines.append(re.sub("ms=[0-9]+", "ms=?", said))
    assert lines == [
        "INFO types=failure,limit",
        "WARNING delivery skipped=1 items: an event is a JSON object with an object"
        " `data` that has a string `type`",
        "INFO message deliveries=1 alerts=1 collected=0 form=full slack=200 ms=?"
        " outcome=accepted types=fp:1",
        "INFO delivery status=200 events=3 alerts=2 types=fp:2 skipped=1 collected=0"
        " slack=200 ms=?",
        "INFO delivery status=200 events=1 alerts=1 types=fp:1 repeated=1 collected=0"
        " slack=none ms=?",
        "INFO delivery status=204 events=1 alerts=0 ignored=1 ms=?",
        "INFO delivery status=204 events=1 alerts=0 ms=?",
        "INFO delivery status=400 reason='the body is not JSON: Expecting property name"
        " enclosed in double quotes: line 1 column 2 (char 1)' ms=?",
        "WARNING delivery status=401 reason='the Authorization header is not the token'"
        " ms=?",
        "WARNING delivery status=401 reason='the Authorization header is missing' ms=?",
        "WARNING request status=404 reason='deliveries go to POST /api/logs'",
        "WARNING request status=405 reason='use POST /api/logs'",
    ]
    for private in ("neo@example.com", "203.0.113.9", "Wrong email", TOKEN, "secret"):
        assert private not in log


# flask send-test


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (
            {"body": "ok"},
            0,
            "delivered: a sample alert was accepted; look at the channel.",
        ),
        (
            {"status": 404, "body": "no_service"},
            1,
            "not delivered: no_service: the webhook is gone",
        ),
        (
            {"body": requests.ConnectionError(WEBHOOK)},
            1,
            "not delivered: no answer from Slack",
        ),
    ],
)
def test_send_test(
    slack: responses.RequestsMock, answer: dict[str, Any], code: int, says: str
) -> None:
    slack.replace("POST", WEBHOOK, **answer)
    result = app.create_app(SETTINGS).test_cli_runner().invoke(args=["send-test"])
    assert result.exit_code == code
    assert says in result.output
    assert "Test alert" in posted(slack)[0]["attachments"][0]["title"]
    assert "secret" not in result.output


# Whatever is sent.


@cache
def client_without_alerts() -> FlaskClient:
    return app.create_app(
        {**SETTINGS, "LOG_LEVEL": "ERROR", "ALERT_TYPES": "du"}
    ).test_client()


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["data", "type"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_body_gets_an_answer_of_the_table(body: bytes) -> None:
    response = deliver(client_without_alerts(), body)
    assert response.status_code in (204, 400, 415)
    assert response.text.count("\n") == (response.status_code != 204)
