"""Attackers at the door: fuzz, what is hardly HTTP, forged log lines."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.events import event, success
from tests.raw_http import (
    CHUNKED,
    ODD_REQUESTS,
    assert_well,
    exchange,
    request,
    statuses,
)
from tests.server import Server, measured, server
from tests.slack_stub import Answer, SlackStub, slack_stub


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackStub]:
    with slack_stub() as stub:
        yield stub


@pytest.fixture(scope="module")
def service(slack: SlackStub) -> Iterator[Server]:
    with server(SLACK_WEBHOOK_URL=slack.url, **measured()) as running:
        yield running


@pytest.mark.parametrize(
    ("sent", "answers"), ODD_REQUESTS, ids=range(len(ODD_REQUESTS))
)
def test_what_is_hardly_http_is_answered_without_5xx_or_traceback(
    service: Server, sent: bytes, answers: list[int]
) -> None:
    assert statuses(exchange(service, sent)) == answers
    assert_well(service)


GOOD = request(
    json.dumps([success(), event(type="sce")]).encode(),
    b"X-Any: thing",
    b"Connection: close",
)
BODY_AT = GOOD.index(b"\r\n\r\n") + 4


def mutate(seed: int) -> bytes:
    """A good request with some of its bytes changed, cut, doubled or moved."""
    chance = random.Random(seed)
    sent = bytearray(
        GOOD.replace(b"X-Any: thing", b"Content-Length: %d" % (len(GOOD) - BODY_AT))
    )
    for _ in range(chance.randint(1, 6)):
        at, size = chance.randrange(len(sent) or 1), chance.randint(0, 12)
        odd = [
            b"\r\n",
            b"\n",
            b"\x00",
            b":",
            b"NaN",
            b"[" * 300,
            b'"',
            b"\\ud800",
            b"{",
        ]
        piece = chance.choice([
            bytes(chance.randrange(256) for _ in range(size)), b"", bytes(sent[at : at + size]) * 2,
            chance.choice(odd),
        ])  # fmt: skip
        sent[at : at + size] = piece
    return bytes(sent)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32).map(mutate) | st.binary(max_size=400).map(request))
def test_mutated_requests_get_no_5xx(service: Server, sent: bytes) -> None:
    assert all(100 <= status < 500 for status in statuses(exchange(service, sent)))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_after_all_that_the_service_is_well_and_its_memory_flat(
    service: Server, slack: SlackStub
) -> None:
    def memory() -> int:
        """Resident kilobytes of the worker."""
        status = Path(f"/proc/{service.worker}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def garbage(n: int) -> None:
        service.deliver(data=b"[" * 20_000 + b"%d" % n)
        service.deliver(data=b"x" * 200_000, headers={"Authorization": "wrong"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(garbage, range(160)))  # each of 72 threads grows a stack, once
        before = memory()
        list(pool.map(garbage, range(160)))
    assert memory() - before < 20_000
    assert_well(service)
    assert service.deliver([event()]).status_code == 200
    assert slack.messages


def test_a_body_that_is_cut_short_is_not_taken_for_a_whole_one(
    service: Server, slack: SlackStub
) -> None:
    posted = len(slack.posts)
    line = json.dumps(event()).encode() + b"\n"
    for framed in (
        request(line, b"Content-Length: %d" % (2 * len(line))),
        request(b"%x\r\n%b\r\n" % (len(line), line), CHUNKED),
    ):
        assert not statuses(exchange(service, framed))
    assert len(slack.posts) == posted


# Logs.


def test_a_log_id_cannot_forge_a_log_line(service: Server, slack: SlackStub) -> None:
    slack.script(Answer(404, "no_service"))
    forged = "1\n2026-11-22T10:00:00+0000 INFO delivery status=200 FORGED"
    assert service.deliver([event(log_id=forged)]).status_code == 502
    (line,) = [line for line in service.output.splitlines() if "FORGED" in line]
    assert " ERROR message " in line
    assert "make a new one in Slack and set SLACK_WEBHOOK_URL" in line
