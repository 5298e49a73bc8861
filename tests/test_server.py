"""The service as it is deployed: the Procfile's command, a real socket, a stub of Slack."""

import itertools
import json
import subprocess
from collections.abc import Iterator

import pytest
import requests

from outbox import INTERVAL
from tests.events import event, fixture, success
from tests.server import ROOT, TOKEN, Server, server
from tests.slack_stub import Answer, SlackStub, slack_stub


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackStub]:
    with slack_stub() as stub:
        yield stub


@pytest.fixture(scope="module")
def service(slack: SlackStub) -> Iterator[Server]:
    with server(SLACK_WEBHOOK_URL=slack.url, WEB_CONCURRENCY="4") as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_posted_yet(slack: SlackStub) -> None:
    slack.posts.clear()


def curl(port: int) -> str:
    """The README's curl command, sent to this port instead."""
    _, _, rest = (ROOT / "README.md").read_text().partition("    curl --header")
    command = "curl --header" + rest.split("\n\n")[0].split("\n```")[0]
    assert "http://localhost:3000/api/logs" in command
    return command.replace("localhost:3000", f"127.0.0.1:{port}")


# The table, row by row.


def test_the_readmes_curl_prints_ok_and_the_message_appears(slack: SlackStub) -> None:
    token = "AUTH0_LOG_STREAM_TOKEN_VALUE"
    with server(SLACK_WEBHOOK_URL=slack.url, AUTH0_LOG_STREAM_TOKEN=token) as running:
        printed = subprocess.run(
            ["bash", "-c", curl(running.port)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert printed == "ok\n"
    assert slack.titles == ["Test failure [type: f]"]


ARRAY, LINES = fixture("failed_login.json"), fixture("limits.jsonl")


@pytest.mark.parametrize(
    ("body", "chunked"),
    [
        (ARRAY, False),
        (LINES, False),
        (fixture("mixed.json"), False),
        (json.dumps(event()), False),
        ("\ufeff" + json.dumps([event()]), False),
        (ARRAY.replace('"900', '"901'), True),
        (LINES.replace('"900', '"901').replace("\n", "\r\n"), True),
    ],
    ids=[
        "array",
        "lines",
        "object",
        "event",
        "byte-order-mark",
        "chunked-array",
        "chunked-lines",
    ],
)
def test_200_for_every_shape(
    service: Server, slack: SlackStub, body: str, chunked: bool
) -> None:
    raw = body.encode()
    data = iter([raw[:7], raw[7:]]) if chunked else raw
    response = service.deliver(
        data=data, headers={"Content-Type": "text/html"}
    )  # says nothing
    assert (response.status_code, response.text) == (200, "ok\n")
    assert len(slack.messages) == 1


@pytest.mark.parametrize(
    "authorization", [None, "", "wrong", "Bearer wrong", "\xff\xfe"]
)
def test_401(service: Server, slack: SlackStub, authorization: str | None) -> None:
    response = service.deliver([event()], headers={"Authorization": authorization})
    assert response.status_code == 401
    assert response.text.startswith("the Authorization header is ")
    assert not slack.posts


def test_bearer(service: Server) -> None:
    assert (
        service.deliver([], headers={"Authorization": f"Bearer {TOKEN}"}).status_code
        == 204
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the body is empty"),
        (b"\xff\xfe\x00", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b'{"data": {}}', "an event is a JSON object"),
        (b"NaN", "no event in 1 item(s)"),
    ],
)
def test_400(service: Server, slack: SlackStub, data: bytes, reason: str) -> None:
    response = service.deliver(data=data)
    assert response.status_code == 400
    assert reason in response.text
    assert not slack.posts


@pytest.mark.parametrize("token", [TOKEN, "wrong"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_413_reaches_a_client_that_sends_it_all(
    service: Server, slack: SlackStub, token: str, chunked: bool
) -> None:
    piece = b"x" * (1024 * 1024)
    body: object = iter([piece] * 12) if chunked else piece * 12
    response = service.deliver(data=body, headers={"Authorization": token})
    if token == TOKEN:
        assert response.status_code == 413
        assert response.text == "the body is over 10485760 bytes (10 MiB)\n"
    else:
        assert response.status_code == 401
    assert not slack.posts


def test_204(service: Server, slack: SlackStub) -> None:
    bodies: list[object] = [[], [success()], {"logs": []}]
    for body in bodies:
        response = service.deliver(body)
        assert (response.status_code, response.content) == (204, b"")
    assert not slack.posts


@pytest.mark.parametrize(
    ("status", "word"),
    [(404, "no_service"), (403, "action_prohibited"), (410, "channel_is_archived")],
)
def test_502_with_slacks_own_word(
    service: Server, slack: SlackStub, status: int, word: str
) -> None:
    slack.script(Answer(status, word))
    response = service.deliver([event()])
    assert response.status_code == 502
    assert response.text.startswith(f"{word}: ")
    assert len(slack.posts) == 1
    assert not slack.messages


def test_405_and_404(service: Server, slack: SlackStub) -> None:
    assert requests.get(f"{service.url}/api/logs", timeout=30).status_code == 405
    assert requests.post(f"{service.url}/api/log", timeout=30).status_code == 404
    assert requests.get(f"{service.url}/healthz", timeout=30).text == "ok\n"
    assert not slack.posts


def test_one_process_serves_whatever_web_concurrency_says(service: Server) -> None:
    assert service.output.count("Booting worker") == 1


def test_posts_keep_slacks_pace(service: Server, slack: SlackStub) -> None:
    for _ in range(3):
        assert service.deliver([event()]).status_code == 200
    starts = [post.at for post in slack.posts]
    assert all(b - a >= 1.0 for a, b in itertools.pairwise(starts))
    assert INTERVAL >= 1.0
