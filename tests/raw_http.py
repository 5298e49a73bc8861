"""Requests as bytes on a socket, for what an HTTP client would not send."""

import contextlib
import re
import socket

from tests.events import success
from tests.server import TOKEN, Server


def connect(running: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=20)


def received(connection: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def exchange(running: Server, sent: bytes) -> bytes:
    """All that the service answers to these bytes, of which no more will come."""
    with connect(running) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        return received(connection)


def statuses(answers: bytes) -> list[int]:
    """The statuses of the answers in these bytes."""
    found = re.findall(rb"^HTTP/1\.[01] (\d{3}) ", answers, re.M)
    return [int(status) for status in found]


def request(
    body: bytes, *headers: bytes, method: bytes = b"POST", path: bytes = b"/api/logs"
) -> bytes:
    lines = [
        method + b" " + path + b" HTTP/1.1",
        b"Host: x",
        b"Authorization: " + TOKEN.encode(),
    ]
    lines += headers or (b"Content-Length: %d" % len(body),)
    return b"\r\n".join([*lines, b"", body])


def assert_well(running: Server) -> None:
    """The service still does its job, and has shown no traceback."""
    assert running.deliver([success()]).status_code == 204
    assert running.process.poll() is None
    assert "Traceback" not in running.output
    assert running.output.count("Booting worker") == 1


CHUNKED = b"Transfer-Encoding: chunked"
BAD_REQUESTS = [
    b"po\x00st /api/logs HTTP/1.1\r\n\r\n",
    request(b"", b"X\x00: x"),
    request(b"", b"X: a\rb\x00"),
    request(b"", b"X : x"),
    request(b"", b"Content-Length: -1"),
    request(b"[]", b"Content-Length: 2", b"Content-Length: 3"),
    request(b"[]", b"Content-Length: 2", CHUNKED),
    request(b"zz\r\n[]\r\n0\r\n\r\n", CHUNKED),
    request(b"-2\r\n[]\r\n0\r\n\r\n", CHUNKED),
    request(b"2\r\n[]XX0\r\n\r\n", CHUNKED),
    request(b"0\r\n\r\n", b"Transfer-Encoding: chunked, chunked"),
    request(b"0\r\n\r\n", CHUNKED, CHUNKED),
    request(b"[]", b"X: a\r\n b", b"Content-Length: 2"),
    request(b"", b"Content-Length: " + b"9" * 5000),
    b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
    request(b"", path=b"http://[x]/"),
    request(b"", path=b"/\xff"),
    request(b"[]", b"Host: y\x7f", b"Content-Length: 2"),
    b"\r\n" * 100,
]
# Of these the client sends no end.
CUT_SHORT = [
    b"",
    b"\x00" * 100,
    request(b"[]", b"Content-Length: 200"),
    request(b"ffffffffffffffff\r\n[]", CHUNKED),
    request(b"2\r\n[", CHUNKED),
]
NOT_FOUND = [
    b"GET /\r\n\r\n",
    b"POST " + b"/" * 5_000 + b" HTTP/1.1\r\n\r\n",
    request(b"", path=b"*"),
    request(b"", path=b"//api//logs?%ff=%80"),
    request(b"", path=b"/api/logs/%00%ff%0d%0aX:y"),
    request(b"", method=b"CONNECT", path=b"localhost:22"),
]
FORWARDED = [
    b"X-Forwarded-For: not an address, not an address",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Ssl: off",
]
# And the statuses that they are answered with.
ODD_REQUESTS: list[tuple[bytes, list[int]]] = [
    *((sent, [400]) for sent in BAD_REQUESTS),
    *((sent, []) for sent in CUT_SHORT),
    *((sent, [404]) for sent in NOT_FOUND),
    (b"POST /api/logs HTTP/9.9\r\n\r\n", [401]),
    (request(b"[]").replace(TOKEN.encode(), b"\xff\xfe"), [401]),
    (request(b"[]", b"Content-Length: 2", *FORWARDED), [204]),
    (request(b"[]", b"Content-Length: 2", b"SCRIPT_NAME: /x"), [204]),
    (request(b"[]", path=b"http://elsewhere.example/api/logs"), [204]),
    (request(b"", b"Content-Length: " + b"9" * 30), [413]),
    (request(b"", b"X: " + b"x" * 40_000), [431]),
    (request(b"", *[b"X%d: x" % n for n in range(5000)]), [431]),
    (request(b"[]", b"Expect: 100-continue", b"Content-Length: 2"), [100, 204]),
    (request(b"", b"Expect: 100-continue", b"Content-Length: 10485761"), [413]),
    (b"GET /healthz HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", [200]),
    (request(b"[]", b"Expect: magic", b"Content-Length: 2"), [204]),
    (request(b"2\r\n[]\r\n0\r\nX\x00: y\r\n\r\n", CHUNKED), [204]),
    (request(b"[]", b"Transfer-Encoding: gzip"), [501]),
    (request(b"", method=b"BREW"), [405]),
    (request(b"[]") * 3, [204, 400]),
]
# Where a server may quote what it cannot read.
QUOTED = [
    b"POST /api/logs HTTP/1.1\r\nAuthorization " + TOKEN.encode() + b"\r\n\r\n",
    b"POST /api/logs HTTP/1.1\r\nAuthorization:\r\n " + TOKEN.encode() + b"\r\n\r\n",
    b"POST /api/logs " + TOKEN.encode() + b"\r\n\r\n",
    TOKEN.encode() + b" /api/logs HTTP/1.1\r\n\r\n",
    b"POST /api/logs HTTP/1.1\r\n" + TOKEN.encode() + b"\x00: x\r\n\r\n",
    request(b"[]", b"Expect: " + TOKEN.encode(), b"Content-Length: 2"),
    request(b"[]", b"Transfer-Encoding: " + TOKEN.encode()),
]
