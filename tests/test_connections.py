"""Connections: what clients may take of time and memory, and what they are told."""

import contextlib
import http.client
import itertools
import json
import time

import pytest
from waitress.adjustments import Adjustments

from connections import (
    ERRORS,
    LOOKS_LIKE,
    MAX_BODIES,
    MAX_DRAINED,
    REQUEST_TIMEOUT,
    TOO_SLOW,
    Door,
    ErrorAnswer,
    Request,
    Unavailable,
)
from events import MAX_BODY
from tests.events import event
from tests.raw_http import assert_well, connect, received, request, statuses
from tests.server import TOKEN, Server, server
from tests.slack_stub import Answer, SlackStub

# What is kept of a request, and what is answered, without a network.


def door() -> Door:
    return Door(lambda authorization: authorization == TOKEN)


def test_a_body_that_finds_no_memory_is_asked_for_again() -> None:
    shared = door()
    adjustments = Adjustments(max_request_body_size=MAX_DRAINED)
    ten_mebibytes = b" " * MAX_BODY
    whole = request(ten_mebibytes)

    def received_request() -> Request:
        coming_in = Request(shared, False, adjustments)
        rest = whole
        while rest:
            rest = rest[coming_in.received(rest) :]
        assert coming_in.completed
        return coming_in

    kept = [received_request() for _ in range(MAX_BODIES // MAX_BODY)]
    assert not any(fitting.error for fitting in kept)
    assert received_request().error.code == 503
    kept[0].close()
    again = received_request()
    assert not again.error
    assert again.get_body_stream().read() == ten_mebibytes
    again.close()
    again.close()  # frees nothing twice
    kept[0] = received_request()
    assert not kept[0].error
    assert received_request().error.code == 503


class Client:
    """What an answer sees of its connection; it keeps what is written."""

    def __init__(self) -> None:
        self.server = self
        self.adj = Adjustments(ident="test")
        self.written = b""

    def write_soon(self, data: bytes) -> None:
        self.written += data


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_is_one_line_that_quotes_nothing(code: int) -> None:
    client = Client()
    refused = Request(door(), False, client.adj)
    refused.error = Unavailable("quoted")
    refused.error.code = code
    ErrorAnswer(client, refused).service()
    head, _, body = client.written.decode().partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.0 {code} ")
    assert body == ERRORS[code] + "\n"
    assert "quoted" not in head
    assert ("Retry-After: 1" in head) == (code == 503)


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


def seconds_to_read(head: bytes) -> float:
    """Of the thread's own time, the best of five."""
    best = 1.0
    for _ in range(5):
        started = time.thread_time()
        Request(door(), False, Adjustments()).received(head)
        best = min(best, time.thread_time() - started)
    return best


@pytest.mark.parametrize("start", STARTS, ids=range(len(STARTS)))
def test_no_head_takes_long_to_read(start: bytes) -> None:
    """It is read in the one loop, in which everybody else waits."""
    pairs = map(b"".join, itertools.combinations(STUMBLING_BLOCKS, 2))
    pieces = [*STUMBLING_BLOCKS, *pairs]
    ends = [b"", b" x", b"\0", b" HTTP/1.1"]
    for piece, end in itertools.product(pieces, ends):
        head = start + piece * (8100 // len(piece)) + end
        assert seconds_to_read(head + b"\r\n\r\n") < 0.05, head[:200]


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
        time.sleep(REQUEST_TIMEOUT + 1)
        connection.sendall(sent[:-1])
        time.sleep(0.6 * REQUEST_TIMEOUT)
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


def test_a_slow_slack_costs_no_connection(slack: SlackStub) -> None:
    slack.script(Answer(delay=REQUEST_TIMEOUT + 0.6))
    with server(SLACK_WEBHOOK_URL=slack.url) as running:
        assert is_kept(running, request(json.dumps([event()]).encode()), 200)


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
