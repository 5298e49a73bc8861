"""Attackers at the door: fuzz, slow clients, forged log lines."""

import contextlib
import json
import random
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.events import event, success
from tests.server import TOKEN, Server, measured, procfile_command, server
from tests.slack_stub import Answer, SlackStub, slack_stub


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackStub]:
    with slack_stub() as stub:
        yield stub


@pytest.fixture(scope="module")
def service(slack: SlackStub) -> Iterator[Server]:
    with server(SLACK_WEBHOOK_URL=slack.url, **measured()) as running:
        yield running


def connect(running: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=20)


def exchange(running: Server, sent: bytes) -> bytes:
    """All that the service answers to these bytes, of which no more will come."""
    received = b""
    with connect(running) as connection, contextlib.suppress(OSError):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(65536):
            received += chunk
    return received


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", received, re.M)]


def request(
    body: bytes, *headers: bytes, method: bytes = b"POST", path: bytes = b"/api/logs"
) -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: x", b"Authorization: " + TOKEN.encode()]
    lines += headers or (b"Content-Length: %d" % len(body),)
    return b"\r\n".join([*lines, b"", body])


def is_well(running: Server) -> None:
    """The service still does its job, and has shown no traceback."""
    assert running.deliver([success()]).status_code == 204
    assert running.process.poll() is None
    assert "Traceback" not in running.output
    assert running.output.count("Booting worker") == 1


CHUNKED = b"Transfer-Encoding: chunked"
BAD_REQUESTS = [
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /\r\n\r\n",
    b"POST /api/logs HTTP/9.9\r\n\r\n",
    b"po\x00st /api/logs HTTP/1.1\r\n\r\n",
    request(b"", b"X\x00: x"),
    request(b"", b"X: a\rb\x00"),
    request(b"", b"X : x"),
    request(b"", b"Content-Length: -1"),
    request(b"", b"Content-Length: 1e3"),
    request(b"", b"Content-Length: " + b"9" * 30),
    request(b"[]", b"Content-Length: 2", b"Content-Length: 3"),
    request(b"[]", b"Content-Length: 2", CHUNKED),
    request(b"[]", b"Content-Length: 200"),
    request(b"[]", b"Transfer-Encoding: gzip"),
    request(b"[]", b"Transfer-Encoding: unknown"),
    request(b"[]", b"Transfer-Encoding: chunked, chunked"),
    request(b"zz\r\n[]\r\n0\r\n\r\n", CHUNKED),
    request(b"-2\r\n[]\r\n0\r\n\r\n", CHUNKED),
    request(b"2\r\n[]XX0\r\n\r\n", CHUNKED),
    request(b"2\r\n[]\r\n0\r\nX\x00: y\r\n\r\n", CHUNKED),
    request(b"ffffffffffffffff\r\n[]", CHUNKED),
    request(b"2\r\n[", CHUNKED),
    request(b"[]", b"Host: y\x7f", b"Content-Length: 2"),
    request(b"", b"SCRIPT_NAME: /x"),
    request(b"", path=b"*"),
    request(b"", path=b"http://elsewhere.example/api/logs"),
    request(b"", path=b"//api//logs?\xff=\x80"),
]
ODD_REQUESTS: list[tuple[bytes, list[int]]] = [  # and the statuses they are answered with
    (b"", []),
    (b"\x00" * 100, []),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 200, []),
    *((sent, [400]) for sent in BAD_REQUESTS),
    (b"POST " + b"/" * 10_000 + b" HTTP/1.1\r\n\r\n", [414]),
    (request(b"", b"X: " + b"x" * 10_000), [431]),
    (request(b"", *[b"X%d: x" % n for n in range(500)]), [431]),
    (request(b"[]", b"Expect: 100-continue", b"Content-Length: 2"), [100, 204]),
    (request(b"[]", b"Expect: magic", b"Content-Length: 2"), [417]),
    (request(b"", path=b"/api/logs/%00%ff%0d%0aX:y"), [404]),
    (request(b"", method=b"BREW"), [405]),
    (request(b"", method=b"CONNECT", path=b"localhost:22"), [404]),
    (request(b"[]") * 3, [204, 204, 204]),
]


@pytest.mark.parametrize(("sent", "answers"), ODD_REQUESTS, ids=range(len(ODD_REQUESTS)))
def test_what_is_hardly_http_is_answered_without_5xx_or_traceback(
    service: Server, sent: bytes, answers: list[int]
) -> None:
    assert statuses(exchange(service, sent)) == answers
    is_well(service)


GOOD = request(
    json.dumps([success(), event(type="sce")]).encode(), b"X-Any: thing", b"Connection: close"
)
BODY_AT = GOOD.index(b"\r\n\r\n") + 4


def mutate(seed: int) -> bytes:
    """A good request with some of its bytes changed, cut, doubled or moved."""
    chance = random.Random(seed)
    sent = bytearray(GOOD.replace(b"X-Any: thing", b"Content-Length: %d" % (len(GOOD) - BODY_AT)))
    for _ in range(chance.randint(1, 6)):
        at, size = chance.randrange(len(sent) or 1), chance.randint(0, 12)
        odd = [b"\r\n", b"\n", b"\x00", b":", b"NaN", b"[" * 300, b'"', b"\\ud800", b"{"]
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
        worker = service.output.split("Booting worker with pid: ")[1].split()[0]
        status = Path(f"/proc/{worker}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def garbage(n: int) -> None:
        service.deliver(data=b"[" * 20_000 + b"%d" % n)
        service.deliver(data=b"x" * 200_000, headers={"Authorization": "wrong"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(garbage, range(60)))
        before = memory()
        list(pool.map(garbage, range(160)))
    assert memory() - before < 20_000
    is_well(service)
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
        assert statuses(exchange(service, framed)) == [400]
    assert len(slack.posts) == posted


# Slow clients.


# Under gunicorn's own threaded worker, each of the next three keeps `is_well` waiting for longer
# than the client does, which is 20 s.


def test_idle_connections_hold_no_thread(service: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(connect(service))
        is_well(service)


def test_clients_that_do_not_take_their_answers_are_cut_off() -> None:
    command = [*procfile_command(), "--threads", "2"]
    asked = b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50_000
    with server(command, SLACK_WEBHOOK_URL="console:") as running, contextlib.ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(connect(running))
            connection.settimeout(2)
            with contextlib.suppress(TimeoutError):
                connection.sendall(asked)
        for _ in range(3):  # the client waits for 20 s, as long as these may hold a thread
            with contextlib.suppress(requests.ReadTimeout):
                is_well(running)
                return
    pytest.fail("they still hold all threads")


def test_clients_that_do_not_close_hold_up_nobody(service: Server) -> None:
    with contextlib.ExitStack() as stack:
        lazy = [stack.enter_context(connect(service)) for _ in range(40)]
        for connection in lazy:
            connection.sendall(request(b"[]", b"Content-Length: 2", b"Connection: close"))
        is_well(service)
        assert all(statuses(connection.recv(65536)) == [204] for connection in lazy)


@pytest.mark.parametrize(
    "sent", [b"POST /api/logs HT", request(b"[", b"Content-Length: 9" + b"9" * 5)]
)
def test_clients_that_send_in_drops_are_cut_off(service: Server, sent: bytes) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(service)) for _ in range(150)]
        for connection in slow:
            connection.sendall(sent)
        assert service.deliver([success()]).status_code == 204
        for connection in slow:
            with contextlib.suppress(OSError):
                assert all(status < 500 for status in statuses(connection.recv(65536)))
    is_well(service)


# Logs.


def test_a_log_id_cannot_forge_a_log_line(service: Server, slack: SlackStub) -> None:
    slack.script(Answer(404, "no_service"))
    forged = "1\n2026-11-22T10:00:00+0000 INFO delivery status=200 FORGED"
    assert service.deliver([event(log_id=forged)]).status_code == 502
    (line,) = [line for line in service.output.splitlines() if "FORGED" in line]
    assert " ERROR message " in line
    assert "make a new one in Slack and set SLACK_WEBHOOK_URL" in line
