"""A stub of Slack's incoming webhook on loopback, which answers as it is told."""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# As secret as a real one.
PATH = "/services/T00000000/B00000000/NeverToBeLogged24Letters"


@dataclass(frozen=True)
class Answer:
    """How to answer one post: by default as Slack does when it takes the message."""

    status: int = 200
    body: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds before the answer
    drop: bool = False  # close the connection instead of answering
    # Whether the channel shows the message; if None, the status tells.
    accept: bool | None = None

    @property
    def accepts(self) -> bool:
        if self.accept is None:
            return self.status == 200 and not self.drop
        return self.accept


def events_in(text: str) -> int:
    """How many events a message with this text says that it stands for."""
    number = re.search(r"([\d,]+) events", text)
    return int(number[1].replace(",", "")) if number else 1


@dataclass(frozen=True)
class Post:
    """A message that arrived, when (time.monotonic) and how it was answered."""

    at: float
    message: dict[str, Any]
    answer: Answer
    port: int  # of the client: another one for another connection


class SlackStub:
    """Collects posts, and answers them.

    `script` says how to answer the next ones, `interval` limits their rate.
    """

    def __init__(self, interval: float = 0.0) -> None:
        self.posts: list[Post] = []
        self.interval = interval
        # Ends every delay, so that a test need not wait.
        self.released = threading.Event()
        self._script: deque[Answer] = deque()
        self._lock = threading.Lock()
        self._next = 0.0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                port = self.client_address[1]
                answer = stub._record(self.path, json.loads(body), port)
                stub.released.wait(answer.delay)
                if answer.drop:
                    self.close_connection = True
                    return
                content = answer.body.encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_args: object) -> None:
                pass  # a client that went away

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{PATH}"

    def script(self, *answers: Answer) -> None:
        """Say how to answer the next posts; after them, every post is accepted."""
        with self._lock:
            self._script.extend(answers)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages that the channel shows."""
        return [post.message for post in self.posts if post.answer.accepts]

    @property
    def events(self) -> int:
        """How many events the messages in the channel say that they stand for."""
        return sum(events_in(message["text"]) for message in self.messages)

    @property
    def titles(self) -> list[str]:
        """The titles of all attachments that the channel shows."""
        found = []
        for message in self.messages:
            for attachment in message.get("attachments", []):
                found.append(attachment["title"])
        return found

    def _record(self, path: str, message: dict[str, Any], port: int) -> Answer:
        now = time.monotonic()
        with self._lock:
            if path != PATH:
                answer = Answer(404, "no_service")
            elif self._script:
                answer = self._script.popleft()
            elif now < self._next:
                answer = Answer(429, "", {"Retry-After": "1"})
            else:
                answer = Answer()
                self._next = now + self.interval
            self.posts.append(Post(now, message, answer, port))
        return answer


@contextmanager
def slack_stub(interval: float = 0.0) -> Iterator[SlackStub]:
    """A running stub; `interval`: seconds between messages, of which Slack wants 1."""
    stub = SlackStub(interval)
    thread = threading.Thread(target=stub.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield stub
    finally:
        stub.released.set()  # lets go of every client that still waits
        stub.server.shutdown()
        stub.server.server_close()
        thread.join()
