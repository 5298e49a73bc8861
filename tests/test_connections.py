"""Connections: what clients may take of time and memory, and what they are told."""

import contextlib
import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from waitress.adjustments import Adjustments

from connections import (
    ANSWER_TIMEOUT,
    ERRORS,
    IDLE_TIMEOUT,
    MAX_BODIES,
    MAX_DRAINED,
    REQUEST_TIMEOUT,
    TOO_SLOW,
    Connection,
    Door,
    ErrorAnswer,
    Request,
    Unavailable,
)
from events import MAX_BODY
from tests.events import event, success
from tests.raw_http import assert_well, connect, received, request, statuses
from tests.server import TOKEN, Server, server
from tests.slack_stub import Answer, slack_stub

# What is kept of a request, and what is answered, without a network.


def test_a_body_that_finds_no_memory_is_asked_for_again() -> None:
    door = Door(lambda authorization: authorization == TOKEN)
    adjustments = Adjustments(max_request_body_size=MAX_DRAINED)
    ten_mebibytes = b" " * MAX_BODY
    whole = request(ten_mebibytes)

    def received_request() -> Request:
        coming_in = Request(door, False, adjustments)
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
    request_with_error = SimpleNamespace(
        version="1.1", headers={}, error=Unavailable("quoted")
    )
    request_with_error.error.code = code
    ErrorAnswer(client, request_with_error).service()
    head, _, body = client.written.decode().partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {code} ")
    assert body == ERRORS[code] + "\n"
    assert "quoted" not in head
    assert ("Retry-After: 1" in head) == (code == 503)


def test_each_state_of_a_connection_has_its_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        door = Door(lambda _authorization: True)
        server = SimpleNamespace(active_channels={}, add_task=lambda _: None)
        connection = Connection(door, server, ours, None, Adjustments(), map={})

        def seconds() -> float:
            """How long its client has in this state; 0 where it has no limit."""
            for limit in (REQUEST_TIMEOUT, IDLE_TIMEOUT):
                if connection.is_overdue(connection.since + limit + 0.1):
                    assert not connection.is_overdue(connection.since + limit - 0.1)
                    return limit
            return 0

        assert seconds() == REQUEST_TIMEOUT  # it has sent nothing yet
        connection.received(b"GET / HTTP/1.1\r\n")
        assert seconds() == REQUEST_TIMEOUT
        connection.received(b"\r\n")
        assert seconds() == 0  # it waits for us
        connection.requests.clear()
        connection._has_answered = True
        assert seconds() == IDLE_TIMEOUT
        connection.total_outbufs_len = 1
        assert seconds() == ANSWER_TIMEOUT


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
    first = request(b"[]", b"Content-Length: 2")
    with connect(service) as connection:
        for _ in range(2):
            connection.sendall(first)
            assert statuses(connection.recv(65536)) == [204]
            time.sleep(0.6 * REQUEST_TIMEOUT)
        connection.sendall(first[:-1])
        time.sleep(0.6 * REQUEST_TIMEOUT)
        connection.sendall(first[-1:])
        assert statuses(connection.recv(65536)) == [204]


def kept(running: Server, bodies: list[list[object]], pause: float) -> list[int]:
    """What requests on one connection are answered, with a pause after each."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    answers = []
    for body in bodies:
        headers = {"Authorization": TOKEN}
        connection.request("POST", "/api/logs", json.dumps(body), headers)
        response = connection.getresponse()
        response.read()
        answers.append(response.status)
        connection.auto_open = 0  # not another one, if the service has closed it
        time.sleep(pause)
    connection.close()
    return answers


def slow_slack_answers() -> list[int]:
    """What a kept connection is answered while Slack is slower than a client may be."""
    with slack_stub() as slack, server(SLACK_WEBHOOK_URL=slack.url) as running:
        slack.script(*[Answer(delay=REQUEST_TIMEOUT + 0.6)] * 2)
        return kept(running, [[event()], [event()]], pause=0)


def test_a_good_clients_connection_is_kept(service: Server) -> None:
    with ThreadPoolExecutor(2) as pool:
        slow_slack = pool.submit(slow_slack_answers)
        idle = pool.submit(kept, service, [[], [success()]], REQUEST_TIMEOUT + 1.5)
        assert slow_slack.result() == [200, 200]
        assert idle.result() == [204, 204]


@pytest.mark.parametrize(
    ("version", "header", "is_kept"),
    [
        (b"HTTP/1.1", b"X: x", True),
        (b"HTTP/1.1", b"Connection: close", False),
        (b"HTTP/1.0", b"X: x", False),
    ],
)
def test_a_204_leaves_the_connection_as_the_client_wants_it(
    service: Server, version: bytes, header: bytes, is_kept: bool
) -> None:
    sent = request(b"[]", b"Content-Length: 2", header).replace(b"HTTP/1.1", version)
    with connect(service) as connection:
        connection.sendall(sent)
        assert statuses(connection.recv(65536)) == [204]
        if not is_kept:
            assert connection.recv(1) == b""
            return
        connection.sendall(sent)
        assert statuses(connection.recv(65536)) == [204]
