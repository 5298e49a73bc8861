"""HTTP: what the running service makes of the bytes on its socket, end to end."""

import json
import random
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connections import ERRORS
from tests.events import event, fixture, success
from tests.raw_http import ODD_REQUESTS, assert_well, exchange, request, statuses
from tests.server import ROOT, Server, server
from tests.slack_stub import SlackStub

# Deliveries as Auth0 sends them.


def curl(port: int) -> str:
    """The README's curl command, sent to this port instead."""
    _, _, rest = (ROOT / "README.md").read_text().partition("    curl --header")
    command = "curl --header" + rest.split("\n\n")[0].split("\n```")[0]
    assert "http://localhost:3000/api/logs" in command
    return command.replace("localhost:3000", f"127.0.0.1:{port}")


def test_the_readmes_curl_prints_ok_and_the_message_appears(slack: SlackStub) -> None:
    token = "AUTH0_LOG_STREAM_TOKEN_VALUE"
    with server(SLACK_WEBHOOK_URL=slack.url, AUTH0_LOG_STREAM_TOKEN=token) as running:
        command = ["bash", "-c", curl(running.port)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stdout == "ok\n"
    assert slack.titles == ["Test failure [type: f]"]


ARRAY = fixture("failed_login.json").encode()
LINES = fixture("limits.jsonl").replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    "data", [ARRAY, iter([LINES[:7], LINES[7:]])], ids=["length", "chunked"]
)
def test_a_delivery_arrives_whatever_its_framing_and_content_type(
    service: Server, shared_slack: SlackStub, data: bytes | Iterator[bytes]
) -> None:
    before = len(shared_slack.messages)
    response = service.deliver(data=data, headers={"Content-Type": "text/html"})
    assert (response.status_code, response.text) == (200, "ok\n")
    assert len(shared_slack.messages) == before + 1


# What is hardly HTTP.


@pytest.mark.parametrize(
    ("sent", "answers"), ODD_REQUESTS, ids=range(len(ODD_REQUESTS))
)
def test_what_is_hardly_http_is_answered_without_5xx_or_traceback(
    service: Server, sent: bytes, answers: list[int]
) -> None:
    said = exchange(service, sent)
    assert statuses(said) == answers
    for status in {400, 413, 431, 501}.intersection(answers):
        assert said.endswith(f"\r\n\r\n{ERRORS[status]}\n".encode())
    assert_well(service)


GOOD = request(
    json.dumps([success(), event(type="sce")]).encode(),
    b"X-Any: thing",
    b"Connection: close",
)
BODY_AT = GOOD.index(b"\r\n\r\n") + 4
ODD_PIECES = [b"\r\n", b"\n", b"\x00", b":", b"NaN", b"[" * 300, b'"', b"\\ud800", b"{"]


def mutate(seed: int) -> bytes:
    """A good request with some of its bytes changed, cut, doubled or moved."""
    chance = random.Random(seed)
    length = b"Content-Length: %d" % (len(GOOD) - BODY_AT)
    sent = bytearray(GOOD.replace(b"X-Any: thing", length))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(sent) or 1)
        end = at + chance.randint(0, 12)
        doubled = bytes(sent[at:end]) * 2
        pieces = [chance.randbytes(end - at), b"", doubled, chance.choice(ODD_PIECES)]
        sent[at:end] = chance.choice(pieces)
    return bytes(sent)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32).map(mutate) | st.binary(max_size=400).map(request))
def test_mutated_requests_get_no_5xx(service: Server, sent: bytes) -> None:
    assert all(100 <= status < 500 for status in statuses(exchange(service, sent)))
    assert "Traceback" not in service.output
