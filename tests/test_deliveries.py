"""Deliveries: what each is answered, and what the log says of it, without a network."""

import gzip
import json
import math
import re
import time
from functools import cache
from typing import Any

import pytest
import requests
import responses
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

import deliveries
import pace
from app import create_app
from deliveries import BUDGET, LARGE_BODY, OUR_SERVERS
from digest import BURST
from events import MAX_BODY
from outbox import MIN_POST
from tests.application import SETTINGS, TOKEN, WEBHOOK, deliver, posted
from tests.events import event, success


def test_200_ok_once_slack_has_said_ok(
    client: FlaskClient, webhook: responses.RequestsMock
) -> None:
    response = deliver(client, [event(), success(), event(type="limit_wc")])
    assert (response.status_code, response.text) == (200, "ok\n")
    assert response.content_type == "text/plain; charset=utf-8"
    (message,) = posted(webhook)
    titles = [built["title"] for built in message["attachments"]]
    assert titles == [
        "Wrong email or password. [type: limit_wc]",
        "Wrong email or password. [type: fp]",
    ]


@pytest.mark.parametrize("body", [[], {"logs": []}, [success()], success()])
def test_204_where_no_event_is_an_alert(
    client: FlaskClient, webhook: responses.RequestsMock, body: Any
) -> None:
    response = deliver(client, body)
    assert (response.status_code, response.data) == (204, b"")
    assert not webhook.calls


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty"),
        (b"{", "the body is not JSON"),
        (b"[1]", "none of the 1 item(s) in the body is a log event"),
    ],
)
def test_400_says_what_is_wrong(
    client: FlaskClient, webhook: responses.RequestsMock, body: bytes, reason: str
) -> None:
    response = deliver(client, body)
    assert response.status_code == 400
    assert response.text.startswith(reason)
    assert response.text.count("\n") == 1
    assert not webhook.calls


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


@pytest.mark.parametrize(
    "authorization",
    [TOKEN, f"Bearer {TOKEN}", f"bearer  {TOKEN} ", f" {TOKEN} "],
)
def test_the_token_opens_as_it_is_and_after_bearer(
    client: FlaskClient, webhook: responses.RequestsMock, authorization: str
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
    client: FlaskClient, authorization: str | None
) -> None:
    response = deliver(client, b"{", authorization)
    assert response.status_code == 401  # not 400
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in response.text


def test_without_a_token_the_endpoint_is_open() -> None:
    client = create_app({"SLACK_WEBHOOK_URL": WEBHOOK}).test_client()
    assert deliver(client, [], None).status_code == 204
    assert deliver(client, [], "anything").status_code == 204


def test_413_for_a_body_over_the_limit(
    client: FlaskClient, webhook: responses.RequestsMock
) -> None:
    body = b"[" + b" " * (MAX_BODY - 2) + b"]"
    assert deliver(client, body).status_code == 204
    response = deliver(client, body + b" ")
    assert response.status_code == 413
    assert response.text == "the body is over 10485760 bytes (10 MiB)\n"
    assert not webhook.calls


def test_a_body_is_let_go_before_its_alerts_wait_for_slack(
    client: FlaskClient, webhook: responses.RequestsMock
) -> None:
    """Or else a few large deliveries would keep others out while Slack hangs."""
    happened = []

    def take(_: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        happened.append("posted")
        return 200, {}, "ok"

    webhook.remove("POST", WEBHOOK)
    webhook.add_callback("POST", WEBHOOK, take)
    # So our worker tells how to let a body go.
    let_go = {"connections.free_body": lambda: happened.append("let go")}
    headers = {"Authorization": TOKEN}
    client.post("/api/logs", json=[event()], headers=headers, environ_overrides=let_go)
    assert happened == ["let go", "posted"]


def test_503_for_a_large_body_whose_turn_does_not_come(
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = create_app(SETTINGS).test_client()
    large = b"[" + b" " * LARGE_BODY + b"]"
    answers: list[Any] = []

    def while_another_is_read() -> None:
        # It came so long ago that it can wait for nothing more.
        came = {"connections.whole_since": time.monotonic() - BUDGET}
        for body in (large, b"[]"):
            other = client.application.test_client()
            answers.append(
                other.post(
                    "/api/logs", data=body, environ_overrides=came, headers=headers
                )
            )

    headers = {"Authorization": TOKEN}
    reading = {"connections.free_body": while_another_is_read}
    first = client.post(
        "/api/logs", data=large, environ_overrides=reading, headers=headers
    )
    late, small = answers
    assert late.status_code == 503
    assert late.text.startswith("too many large deliveries at once")
    assert late.headers["Retry-After"] == "1"
    (waited,) = re.findall(r" status=503 .* ms=([0-9]+)\n", capsys.readouterr().out)
    assert int(waited) >= 1000 * BUDGET
    assert small.status_code == 204  # it waits for no turn
    assert first.status_code == 204
    assert deliver(client, large).status_code == 204  # the turn is over


SOON = str(math.ceil(pace.INTERVAL))


@pytest.mark.parametrize(
    ("answer", "retry_after", "reason"),
    [
        ({"status": 404, "body": "no_service"}, None, "no_service: the webhook is"),
        ({"status": 500, "body": ""}, SOON, "Slack failed: HTTP 500"),
        ({"status": 429, "headers": {"Retry-After": "30"}}, "30", "Slack's rate limit"),
        ({"body": requests.ConnectionError(WEBHOOK)}, SOON, "no answer from Slack"),
    ],
)
def test_what_slack_does_not_take_is_503(
    client: FlaskClient,
    webhook: responses.RequestsMock,
    answer: dict[str, Any],
    retry_after: str | None,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliveries, "BUDGET", MIN_POST + 0.5)  # for one try alone
    webhook.replace("POST", WEBHOOK, **answer)
    response = deliver(client, [event()])
    assert response.status_code == 503
    assert response.text.startswith(reason)
    assert "secret" not in response.text
    assert response.headers.get("Retry-After") == retry_after
    assert ("please send it again" in response.text) == (retry_after is not None)
    assert response.headers["Cache-Control"] == "no-store"
    assert len(webhook.calls) == 1


def test_what_joins_the_digest_is_answered_200(
    webhook: responses.RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pace, "INTERVAL", 0.0)
    client = create_app(SETTINGS).test_client()
    for _ in range(BURST):
        assert deliver(client, [event()]).text == "ok\n"
    response = deliver(client, [event(), event(), success(), event()])
    assert response.status_code == 200
    assert response.text == "ok: 3 alerts will be counted in the next message\n"
    assert deliver(client, [event()]).text.startswith("ok: 1 alert will be counted in")
    assert " alerts=3 types=fp:3 collected=3 slack=none " in capsys.readouterr().out
    assert len(webhook.calls) == BURST
    client.application.extensions["channels"].stop(5)
    client.application.extensions["channels"].close(5)
    assert "*4 events*" in posted(webhook)[BURST]["text"]


def test_a_refusal_falls_back_to_counts(
    client: FlaskClient,
    webhook: responses.RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "INTERVAL", 0.0)
    webhook.replace("POST", WEBHOOK, status=400, body="invalid_attachments")
    webhook.add("POST", WEBHOOK, body="ok")
    assert deliver(client, [event()]).status_code == 200
    full, counts = posted(webhook)
    assert "attachments" in full
    assert "Slack refused the details" in counts["text"]


def test_the_users_filter_and_fields_are_used(webhook: responses.RequestsMock) -> None:
    variables = {
        **SETTINGS,
        "ALERT_TYPES": "fu,fp",
        "ALERT_IGNORE": "^Noise",
        "SLACK_FIELDS": "ip",
    }
    client = create_app(variables).test_client()
    noise = event(description="Noise")
    assert deliver(client, [event(type="fs"), noise]).status_code == 204
    alerts = [event(), event(type="fu")]
    assert deliver(client, [event(type="fs"), noise, *alerts]).status_code == 200
    first, second = posted(webhook)[0]["attachments"]
    assert [field["title"] for field in first["fields"]] == ["IP"]
    assert second["title"].endswith("[type: fu]")


# The log.


def test_a_line_per_delivery(
    webhook: responses.RequestsMock, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {**SETTINGS, "ALERT_IGNORE": "^Noise"}
    client = create_app(variables).test_client()
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
        "INFO alerts types=failure,limit"
        " fields=cause,subject,client,user,connection,ip digest=600 to=webhook"
        " ignore=^Noise",
        "WARNING delivery skipped=1 items: a log event is a JSON object such as"
        ' {"data": {"type": "fp"}}',
        "INFO message deliveries=1 alerts=1 collected=0 form=full slack=200 ms=?"
        " outcome=accepted types=fp:1",
        "INFO delivery status=200 events=3 alerts=2 types=fp:2 skipped=1 repeated=1"
        " collected=0 slack=200 ms=?",
        "INFO delivery status=200 events=1 alerts=1 types=fp:1 repeated=1 collected=0"
        " slack=none ms=?",
        "INFO delivery status=204 events=1 alerts=0 ignored=fp:1 ms=?",
        "INFO delivery status=204 events=1 alerts=0 ms=?",
        "WARNING delivery status=400 reason='the body is not JSON: Expecting property"
        " name enclosed in double quotes: line 1 column 2 (char 1)' ms=?",
        "WARNING delivery status=401 reason='the Authorization header does not match"
        " the token' ms=?",
        "WARNING delivery status=401 reason='the Authorization header is missing' ms=?",
        "WARNING request status=404 reason='deliveries go to POST /api/logs'",
        "WARNING request status=405 reason='this path takes another method;"
        " deliveries go to POST /api/logs'",
    ]
    for private in ("neo@example.com", "203.0.113.9", "Wrong email", TOKEN, "secret"):
        assert private not in log


def test_a_log_id_cannot_forge_a_log_line(
    webhook: responses.RequestsMock, capsys: pytest.CaptureFixture[str]
) -> None:
    client = create_app(SETTINGS).test_client()
    webhook.replace("POST", WEBHOOK, status=404, body="no_service")
    forged = "1\n2026-11-22T10:00:00+0000 INFO delivery status=200 FORGED"
    assert deliver(client, [event(log_id=forged)]).status_code == 503
    log = capsys.readouterr().out
    assert "FORGED" not in log
    (line,) = [line for line in log.splitlines() if " ERROR message " in line]
    assert "make a new one in Slack, and set SLACK_WEBHOOK_URL to it" in line


# Whatever is sent.


@cache
def client_without_alerts() -> FlaskClient:
    variables = {**SETTINGS, "LOG_LEVEL": "ERROR", "ALERT_TYPES": "du"}
    return create_app(variables).test_client()


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


def test_an_unreadable_delivery_breaks_no_silence(client: FlaskClient) -> None:
    deliver(client, b"x")
    assert "last delivery none yet" in client.get("/status").text
    deliver(client, [])
    assert "last delivery 2" in client.get("/status").text
