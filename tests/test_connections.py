"""Connections: what clients may take of time and memory, and what they are told."""

import contextlib
import http.client
import itertools
import json
import socket
import time

import pytest
from waitress.adjustments import Adjustments

from connections import (
    LOOKS_LIKE,
    MAX_DRAINED,
    REQUEST_TIMEOUT,
    TOO_SLOW,
    Door,
    Request,
)
from events import MAX_BODY, TOO_MANY
from tests.attackers import held_connections
from tests.events import event
from tests.raw_http import (
    CHUNKED,
    assert_well,
    connect,
    exchange,
    received,
    request,
    statuses,
)
from tests.server import TOKEN, Server, measured, procfile_command, server, wait_until
from tests.slack_stub import Answer, SlackStub

# What takes long to read.


def door() -> Door:
    return Door(lambda authorization: authorization == TOKEN)


# A head of 8 KiB is made of each of these, and of each two in turns.
STUMBLING_BLOCKS = [
    *(bytes([byte]) for byte in b'\t \n\v\0:",%[1x\xff'),
    b" " * 29 + b"x",
    b"\r\n" + b" " * 29,
    b"\r\n",
    b"\r\na: b",
    b"\r\na:" + b" " * 29,
    b"\r\nContent-Length: 1",
    b"\r\nTransfer-Encoding: chunked",
    b"%41",
]
STARTS = [
    b"",
    b"A ",
    b"GET /",
    b"GET a://",
    b"GET / HTTP/1.1\r\na:",
    b"GET / HTTP/1.1\r\nAuthorization: Bearer",
    b"GET / HTTP/1.1\r\nContent-Length: ",
    b"GET / HTTP/1.1\r\nTransfer-Encoding: ",
]
ENDS = [b"", b" x", b"\0", b" HTTP/1.1"]


def seconds_to_read(head: bytes) -> float:
    """Of the thread's own time."""
    started = time.thread_time()
    Request(door(), False, Adjustments()).received(head)
    return time.thread_time() - started


def test_no_head_takes_long_to_read() -> None:
    """It is read in the one loop, in which everybody else waits."""
    pairs = map(b"".join, itertools.combinations(STUMBLING_BLOCKS, 2))
    pieces = [*STUMBLING_BLOCKS, *pairs]
    for start, piece, end in itertools.product(STARTS, pieces, ENDS):
        head = start + piece * (8100 // len(piece)) + end
        tries = (seconds_to_read(head + b"\r\n\r\n") for _ in range(5))
        assert any(seconds < 0.05 for seconds in tries), head[:200]


# Bodies.


def test_a_body_that_finds_no_memory_is_asked_for_again() -> None:
    """There are a hundred bytes for all bodies, and one of ninety comes in."""
    start = (
        "import connections; connections.MAX_BODIES = 100;"
        " from gunicorn.app.wsgiapp import run; run()"
    )
    command = ["python", "-c", start, *procfile_command()[1:]]
    with server(command, SLACK_WEBHOOK_URL="console:", **measured()) as running:
        with held_connections(running, 1, request(b" " * 90)[:-1]):
            response = running.deliver(data=b" " * 20)
            assert (response.status_code, response.text) == (503, f"{TOO_MANY}\n")
            assert response.headers["Retry-After"] == "1"
        wait_until(lambda: running.deliver(data=b" " * 20).status_code == 400)
        # Exactly these hundred are free again.
        assert running.deliver(data=b" " * 100).status_code == 400
        assert running.deliver(data=b" " * 101).status_code == 503


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("token", "size", "status"),
    [
        (TOKEN, MAX_BODY, 204),
        (TOKEN, MAX_BODY + 1, 413),
        ("wrong", MAX_BODY + 1, 401),
        ("wrong", 100, 401),
    ],
)
def test_a_body_of_10_mebibytes_passes_and_one_byte_more_does_not(
    service: Server, token: str, size: int, status: int, chunked: bool
) -> None:
    body = b"[" + b" " * (size - 2) + b"]"
    data = iter([body[:-1], body[-1:]]) if chunked else body
    response = service.deliver(data=data, headers={"Authorization": token})
    assert response.status_code == status
    if status == 413:
        assert response.text == "the body is over 10485760 bytes (10 MiB)\n"


def test_a_body_without_an_end_is_cut_off(service: Server) -> None:
    with connect(service) as connection:
        connection.sendall(request(b"", b"Content-Length: %d" % MAX_DRAINED))
        assert statuses(received(connection)) == [413]


def test_a_chunked_body_without_the_token_is_not_taken_apart(service: Server) -> None:
    """Ten clients, each with 60,000 chunks of a byte."""
    sent = request(b"1\r\nx\r\n" * 60_000 + b"0\r\n\r\n", CHUNKED)
    sent = sent.replace(TOKEN.encode(), b"wrong")
    for _ in range(10):
        assert statuses(exchange(service, sent)) == [401]
    assert_well(service)


def test_urgent_data_ends_the_connection(service: Server) -> None:
    """It would keep the loop awake all the time."""
    with connect(service) as connection:
        connection.sendall(request(b"[]", b"Content-Length: 2"))
        assert statuses(connection.recv(65536)) == [204]
        connection.send(b"!", socket.MSG_OOB)
        assert received(connection) == b""
    assert_well(service)


# Clients of the running service that are slow or idle.


def test_clients_that_do_not_close_hold_up_nobody(service: Server) -> None:
    with contextlib.ExitStack() as stack:
        lazy = [stack.enter_context(connect(service)) for _ in range(300)]
        for connection in lazy:
            sent = request(b"[]", b"Content-Length: 2", b"Connection: close")
            connection.sendall(sent)
        # All are answered, so what is left of them is only the closing.
        for connection in lazy:
            assert statuses(received(connection)) == [204]
        assert_well(service)


def test_requests_too_slow_to_come_in_are_told_so(service: Server) -> None:
    """Three hundred, of which each has sent another part of its request."""
    whole = request(b"[]", b"Content-Length: 2")
    wrong = whole.replace(TOKEN.encode(), b"wrong")
    parts = [whole[:-1]] * 10
    for n in range(290):
        parts.append(wrong[: 1 + n % (len(wrong) - 1)])
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(service)) for _ in parts]
        for connection, part in zip(slow, parts, strict=True):
            connection.sendall(part)
        silent = stack.enter_context(connect(service))
        assert_well(service)
        for connection in slow:
            answer = received(connection)
            assert statuses(answer) == [408]
            assert answer.endswith(f"\r\n\r\n{TOO_SLOW}\n".encode())
        assert received(silent) == b""
    # Of an attacker's there is no line.
    line = f"WARNING delivery status=408 reason={TOO_SLOW!r}"
    assert service.output.count(line) == 10


def test_a_request_has_its_time_however_many_drops_it_comes_in(service: Server) -> None:
    sent = request(b"[]", b"Content-Length: 2")
    with connect(service) as connection:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for drop in sent:
                connection.sendall(bytes([drop]))
                time.sleep(2 * REQUEST_TIMEOUT / len(sent))
        assert statuses(received(connection)) in ([408], [])  # or reset, while it sent
        assert time.monotonic() - started < 2 * REQUEST_TIMEOUT


def test_a_second_request_has_its_own_time(service: Server) -> None:
    sent = request(b"[]", b"Content-Length: 2")
    with connect(service) as connection:
        connection.sendall(sent)
        assert statuses(connection.recv(65536)) == [204]
        time.sleep(REQUEST_TIMEOUT + 0.6)
        connection.sendall(sent[:-1])
        time.sleep(0.6)
        connection.sendall(sent[-1:])
        assert statuses(connection.recv(65536)) == [204]


DELIVERY = request(b"[]", b"Content-Length: 2")
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def is_kept(running: Server, sent: bytes, status: int) -> bool:
    """Whether the connection stays open after the answer, which has this status."""
    with connect(running) as connection:
        for _ in range(2):
            connection.sendall(sent)
            answer = http.client.HTTPResponse(connection)
            try:
                answer.begin()
            except ConnectionError:
                return False
            assert answer.status == status
            answer.read()
    return True


@pytest.mark.parametrize(
    ("sent", "status", "kept"),
    [
        (DELIVERY, 204, True),
        (DELIVERY.replace(b"Host: x", b"Connection: close"), 204, False),
        (DELIVERY.replace(b"HTTP/1.1", b"HTTP/1.0"), 204, False),
        (DELIVERY.replace(TOKEN.encode(), b"wrong"), 401, False),
        (HEALTH, 200, False),
        (
            HEALTH.replace(b"Host", b"Authorization: " + TOKEN.encode() + b"\r\nHost"),
            200,
            True,
        ),
    ],
)
def test_a_connection_is_kept_for_who_has_the_token_and_wants_it(
    service: Server, sent: bytes, status: int, kept: bool
) -> None:
    assert is_kept(service, sent, status) == kept


def test_a_slow_slack_costs_no_connection(
    service: Server, shared_slack: SlackStub
) -> None:
    shared_slack.script(Answer(delay=REQUEST_TIMEOUT + 0.6))
    assert is_kept(service, request(json.dumps([event()]).encode()), 200)


def test_where_no_token_is_set_no_connection_is_kept() -> None:
    variables = {"SLACK_WEBHOOK_URL": "console:", "AUTH0_LOG_STREAM_TOKEN": ""}
    with server(**variables) as running:
        assert not is_kept(running, DELIVERY, 204)
        assert not is_kept(running, DELIVERY.replace(TOKEN.encode(), b""), 204)


@pytest.mark.parametrize("first_bytes", LOOKS_LIKE)
def test_who_speaks_no_http_1_is_told_so_as_the_log_is(
    service: Server, first_bytes: bytes
) -> None:
    advice = LOOKS_LIKE[first_bytes]
    with connect(service) as connection:
        connection.sendall(first_bytes + b"secret\r\nGET / HTTP/1.1\r\n\r\n")
        answer = received(connection)
    assert statuses(answer) == [400]
    assert answer.endswith(f"\r\n\r\n{advice}\n".encode())
    assert f"WARNING request status=400 reason={advice!r} count=1" in service.output
    assert "secret" not in service.output
