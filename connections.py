"""Connections: how long a client may take, how much it may send, what it is told.

waitress receives requests in one loop and hands them to its threads when they are whole
(https://docs.pylonsproject.org/projects/waitress/en/stable/design.html). What it calls
a channel is a client's connection, and is made of some classes. This module has a
subclass of each:

    Connection     closes when a request takes longer than REQUEST_TIMEOUT to come in,
                   and after its answer; it is kept only for a client with the token,
                   until it has been idle for IDLE_TIMEOUT
    Request        keeps a body in memory only for a client that has the token
    Answer         does not end the connection after a 204
    ErrorAnswer    says what is wrong with a request, and quotes nothing of it

The Door is what all of them share.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from events import MAX_BODY, TOO_LARGE, TOO_MANY
from logs import HourlyWarnings

REQUEST_TIMEOUT = 5.0  # seconds for a request, head and body; Auth0's take some ms
ANSWER_TIMEOUT = 5.0  # seconds to take the answer after which the connection closes
# Seconds that an idle connection is kept for the client's next delivery. Google's load
# balancer keeps it for 600 s, and would otherwise reuse a connection that we have
# closed (https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries).
IDLE_TIMEOUT = 620.0
# Bytes. A body up to this size is read to its end, even if it is thrown away, because a
# client that is cut off while it sends does not hear the answer. A longer one is cut
# off.
MAX_DRAINED = 4 * MAX_BODY
MAX_BODIES = 100 * 1024 * 1024  # bytes of all bodies that are kept at a time

TOO_SLOW = f"the request took over {REQUEST_TIMEOUT:g} s to come in"
# What a client is told about a request that cannot be read, by the answer's status.
ERRORS = {
    400: "send one HTTP request at a time; this service cannot read this one",
    413: TOO_LARGE,
    431: "the request's head is over 8 KiB: send fewer or shorter headers",
    500: "internal error",
    501: "send the body as it is, or with Transfer-Encoding: chunked",
    503: TOO_MANY,
}

_PROXY = "this looks like the PROXY protocol: switch it off at the load balancer"
# What comes instead of HTTP/1, by its first bytes, and what to do about it.
LOOKS_LIKE = {
    b"PROXY ": _PROXY,
    b"\r\n\r\n\0\r\nQUIT\n": _PROXY,  # its version 2
    b"\x16\x03": "this looks like TLS: send plain HTTP to this port",
    b"PRI * HTTP/2": "this looks like HTTP/2: set the proxy in front to HTTP/1.1",
}
_FOREIGN = re.compile(b"|".join(map(re.escape, LOOKS_LIKE)))

# waitress's own expressions take minutes for some first lines of many words, and for
# many blanks in a row. A "+" behind a repeat: nothing is tried twice.
_FIRST_LINE = re.compile(rb"[!-~]++ [!-~]++( HTTP/[0-9]\.[0-9])?+")
# Also a line that goes on in the next one (which RFC 9112, 5.2 lets a server refuse):
# waitress puts the blanks of many together.
_BLANKS = re.compile(rb"[ \t]{30}|\n[ \t]")
# Lengths of the body that are two, in a line or in two lines. A proxy in front may have
# believed the other one (RFC 9112, 6.1 and 6.3).
_LENGTH = rb"\n(?:transfer-encoding|content-length):"
_TWO_LENGTHS = re.compile(b"(?is)%b([^\n]*,|.*%b)" % (_LENGTH, _LENGTH))
_LAST_CHUNK = b"0\r\n\r\n"

log = logging.getLogger(__name__)


class Door:
    """Who may come in, how much memory all bodies take, and what was refused."""

    def __init__(self, has_token: Callable[[str], bool]) -> None:
        self.has_token = has_token  # asked with the Authorization header
        self.is_open = has_token("")  # no token is set, so that nobody has sent it
        # Seconds, by the loop's clock: worker.py moves it on.
        self.now = 0.0
        self._lock = threading.Lock()
        self._held = 0  # bytes
        self.warnings = HourlyWarnings()  # of what was refused

    def hold(self, size: int) -> bool:
        """Reserve memory for that many bytes; returns whether there is so much left."""
        with self._lock:
            if self._held + size > MAX_BODIES:
                return False
            self._held += size
            return True

    def release(self, size: int) -> None:
        """Give back memory that `hold` has reserved."""
        with self._lock:
            self._held -= size


class Body(BytesIO):
    """A request's body, as the application reads it; closing it frees the memory.

    It has the methods of waitress.buffers.OverflowableBuffer that waitress calls, and
    replaces it, because that one writes what is large to a temporary file.
    """

    def __init__(self, door: Door, wanted: bool) -> None:
        super().__init__()
        self._size = 0  # bytes that came in, kept or not
        self.crowded_out = False  # it was dropped because there was no memory for it
        self._door = door
        self._wanted = wanted
        self._held = 0  # bytes

    def append(self, data: bytes) -> None:
        """Take what came in; the position stays at the beginning, for the reader."""
        self._size += len(data)
        if not self._wanted:
            return
        if self._size > MAX_BODY:
            self._drop()
        elif self._door.hold(len(data)):
            self._held += len(data)
            self.seek(0, 2)
            self.write(data)
            self.seek(0)
        else:
            self.crowded_out = True
            self._drop()

    def _drop(self) -> None:
        self._wanted = False
        self.truncate(0)
        self._release()

    def _release(self) -> None:
        self._door.release(self._held)
        self._held = 0

    def __len__(self) -> int:
        return self._size

    def getfile(self) -> "Body":
        """The file that the application reads."""
        return self

    def close(self) -> None:
        """Free the memory; may be called again."""
        self._release()
        super().close()


class ThrownAway(ChunkedReceiver):
    """A chunked body that nobody wants. Reading its chunks would take time.

    It ends where it looks so; the connection is closed after it in any case.
    """

    _end = b""  # of what came in

    def received(self, data: bytes) -> int:
        """Take what came in, all of it."""
        self.buf.append(data)
        self._end = (self._end + data)[-len(_LAST_CHUNK) :]
        self.completed = self._end == _LAST_CHUNK
        return len(data)


class Unavailable(Error):
    """waitress's form of an answer 503."""

    code = 503
    reason = "Service Unavailable"


class Request(HTTPRequestParser):
    """A request that is coming in."""

    body_rcv: Any
    completed: bool
    empty: bool
    path = ""  # of one that is refused before it is read
    advice = ""  # what to do about one that is no HTTP/1
    has_token = False  # the head is in, and has the token
    whole_since = 0.0  # when the last byte of it came in, by the monotonic clock

    def __init__(self, door: Door, is_next: bool, adj: Any) -> None:
        super().__init__(adj)
        self.door = door
        self._is_next = is_next  # it comes behind one that is not answered yet

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head, and decide whether the body that follows it is kept."""
        _check_head(header_plus)
        try:
            super().parse_header(header_plus)
        except ValueError:  # of a URL or a number that cannot be read
            raise ParsingError("unreadable") from None
        authorization = self.headers.get("AUTHORIZATION", "")
        self.has_token = self.door.has_token(authorization)
        if self.body_rcv is None:
            self.expect_continue = False
        else:
            self.body_rcv.buf = Body(self.door, wanted=self.has_token)
        if self.chunked and not self.has_token:
            self.body_rcv = ThrownAway(self.body_rcv.buf)
        if self.door.is_open or not self.has_token:
            # Clients that ask again and again would keep the loop from new ones.
            self.headers["CONNECTION"] = "close"

    def received(self, data: bytes) -> int:
        """Take bytes of the request; returns how many of them belong to it."""
        foreign = _FOREIGN.match(self.header_plus + data)
        if foreign and self.body_rcv is None:
            self.advice = LOOKS_LIKE[foreign[0]]
        # Few bytes can hold very many requests, and each of them takes memory.
        if self.advice or self._is_next:
            return self._refuse(data)
        consumed: int = super().received(data)
        if self.empty:
            # Blank lines cost little to send, and waitress would take them for ever.
            return self._refuse(data)
        if self.completed:
            self.whole_since = time.monotonic()
            if self.body_rcv is not None and self.body_rcv.buf.crowded_out:
                self.error = Unavailable("")
        if self.expect_continue and self.content_length > MAX_BODY:
            self.error = RequestEntityTooLarge("")
            self.completed = True
        if self.error:
            self.expect_continue = False  # waitress would say 100, and forget the error
        return consumed

    def _refuse(self, data: bytes) -> int:
        """Be a bad request, to which all these bytes belong."""
        self.error = BadRequest("")
        self.empty = False
        self.completed = True
        return len(data)


def _check_head(head: bytes) -> None:
    """Refuse a head that takes long to read or is ambiguous; raises ParsingError."""
    first_line = head.partition(b"\r\n")[0]
    if not _FIRST_LINE.fullmatch(first_line):
        raise ParsingError("no first line")
    if _BLANKS.search(head) or _TWO_LENGTHS.search(head):
        raise ParsingError("too many blanks, or two lengths")


class Answer(WSGITask):
    """The application's answer to a request."""

    def get_environment(self) -> dict[str, Any]:
        """The WSGI environment, with what deliveries.py needs of the request."""
        environ: dict[str, Any] = super().get_environment()
        environ["connections.whole_since"] = self.request.whole_since
        environ["connections.free_body"] = self.request.close
        return environ

    def set_close_on_finish(self) -> None:
        """Have the connection closed after the answer; not for the want of a length.

        waitress closes after each answer without a Content-Length. A 204 must not have
        one (RFC 9110, 8.6), and most deliveries are answered 204.
        """
        connection = self.request.headers.get("CONNECTION", "").lower()
        kept = self.version == "1.1" and connection != "close"
        if not (kept and self.status.startswith("204")):
            super().set_close_on_finish()


class ErrorAnswer(ErrorTask):
    """The answer to a request that never reaches the application."""

    def execute(self) -> None:
        """Write a line that says what is wrong, and quotes nothing of the request."""
        error = self.request.error
        reason = self.request.advice or ERRORS[error.code]
        refused = f"request status={error.code} reason={reason!r}"
        self.request.door.warnings.warn(refused)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "text/plain; charset=utf-8"))
        self.response_headers.append(("Cache-Control", "no-store"))
        if error.code == 503:
            self.response_headers.append(("Retry-After", "1"))
        self.set_close_on_finish()
        body = f"{reason}\n".encode()
        self.content_length = len(body)
        self.write(body)


class Connection(HTTPChannel):
    """A client's connection."""

    task_class = Answer
    error_task_class = ErrorAnswer

    # Called in the loop's thread, which owns the connections.

    def __init__(self, door: Door, server: Any, *args: Any, **settings: Any) -> None:
        self._door = door
        self._allow(REQUEST_TIMEOUT)
        super().__init__(server, *args, **settings)

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for its client to send something."""
        return not self.requests and not self.total_outbufs_len

    @property
    def is_good(self) -> bool:
        """Whether a request with the token is coming in."""
        return self.request is not None and self.request.has_token

    def received(self, data: bytes) -> Any:
        """Take what came in. A request's time counts from its first byte."""
        if self.request is None:
            self._allow(REQUEST_TIMEOUT)
        return super().received(data)

    def close_if_overdue(self) -> None:
        """Close it if its client has used up its time; one that sends is told so."""
        if self.requests or self._door.now <= self.since + self._allowed:
            return
        if self.request is not None and self.is_waiting:
            if self.is_good:
                log.warning("delivery status=408 reason=%r", TOO_SLOW)
            self.send(_TOO_SLOW_ANSWER, do_close=False)
        self.handle_close()

    def handle_expt(self) -> None:
        """Close it: urgent data, which nobody reads, would wake the loop for ever."""
        self.handle_close()

    def handle_close(self) -> None:
        """Close it; what it sent of a request is let go."""
        if self.request is not None:
            self.request.close()
        super().handle_close()

    # Called in one of the other threads.

    def service(self) -> None:
        """Answer a request. What its client does next has its own time."""
        # Set first: once the request is answered, the loop looks at the time allowed.
        self._allow(IDLE_TIMEOUT)
        super().service()
        if self.close_when_flushed:
            self._allow(ANSWER_TIMEOUT)

    # Called in either.

    def parser_class(self, adj: Any) -> Request:
        """The request that begins to come in, or stands for one that has failed."""
        return Request(self._door, is_next=bool(self.requests), adj=adj)

    def _allow(self, seconds: float) -> None:
        """Give its client so much time from now on."""
        self.since = self._door.now
        self._allowed = seconds


_TOO_SLOW_ANSWER = (
    "HTTP/1.1 408 Request Timeout\r\n"
    "Connection: close\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Cache-Control: no-store\r\n"
    f"Content-Length: {len(TOO_SLOW) + 1}\r\n"
    f"\r\n{TOO_SLOW}\n"
).encode()


def close_longest_waiting(connections: Iterable[Connection], count: int) -> None:
    """Close so many that wait for their client, those without the token first."""
    waiting = [connection for connection in connections if connection.is_waiting]
    waiting.sort(key=lambda connection: (connection.is_good, connection.since))
    for connection in waiting[:count]:
        connection.handle_close()
