"""Attacks: many connections, large bodies, few files. Good clients are served all the same.

The attackers of the first part have no token (tests/attackers.py).
"""

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from waitress.adjustments import Adjustments

from connections import MAX_BODIES, MAX_DRAINED, REQUEST_TIMEOUT, Door, Request
from events import MAX_BODY
from outbox import MAX_WAITING
from tests.attackers import (
    ONE_BYTE,
    SILENT_BODY,
    held_connections,
    stream_of_connections,
)
from tests.events import event, success
from tests.raw_http import assert_well, connect, exchange, received, request, statuses
from tests.server import TOKEN, Server, measured, server
from tests.slack_stub import Answer, slack_stub
from worker import MAX_CONNECTIONS, RESERVED_FILES

# Seconds until an answer, as the README promises; the attacks go on for longer.
ANSWERED_WITHIN = 10.0
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with server(SLACK_WEBHOOK_URL="console:", **measured()) as running:
        yield running


def most_memory(running: Server) -> int:
    """The most that was resident of the worker, in bytes."""
    status = Path(f"/proc/{running.worker}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


# Attacks without a token.


def good_answers(running: Server) -> list[int]:
    """What good clients are answered while an attack goes on."""
    answers = []
    for _ in range(3):
        headers = {"Authorization": TOKEN}
        url = f"{running.url}/api/logs"
        delivered = requests.post(
            url, json=[event()], headers=headers, timeout=ANSWERED_WITHIN
        )
        healthy = requests.get(f"{running.url}/healthz", timeout=ANSWERED_WITHIN)
        answers += [delivered.status_code, healthy.status_code]
    return answers


WELL = [200, 200] * 3


def test_many_connections_of_one_byte_hold_up_nobody(service: Server) -> None:
    with held_connections(service, 820, ONE_BYTE):
        assert good_answers(service) == WELL
    assert_well(service)


@pytest.mark.parametrize(("per_second", "sent"), [(20, SILENT_BODY), (60, ONE_BYTE)])
def test_a_stream_of_silent_connections_holds_up_nobody(
    service: Server, per_second: float, sent: bytes
) -> None:
    with stream_of_connections(service, per_second, sent):
        time.sleep(REQUEST_TIMEOUT + 1)  # by then there are as many as it gets
        assert good_answers(service) == WELL
    assert_well(service)


def test_idle_connections_make_room_for_a_good_client(service: Server) -> None:
    """Without that they would be kept for 95 s, and nobody else let in."""
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            idle = stack.enter_context(connect(service))
            idle.sendall(request(b"[]"))
            assert statuses(idle.recv(65536)) == [204]
        with stream_of_connections(service, 30, b""):
            assert good_answers(service) == WELL
    assert_well(service)


def test_while_deliveries_wait_for_slack_silent_clients_hold_up_nobody() -> None:
    with (
        slack_stub() as slack,
        server(SLACK_WEBHOOK_URL=slack.url) as running,
        ThreadPoolExecutor(MAX_WAITING) as pool,
    ):
        slack.script(Answer(delay=60))
        waiting = []
        for _ in range(MAX_WAITING):
            waiting.append(pool.submit(running.deliver, [event()]))
        with stream_of_connections(running, 20, ONE_BYTE):
            while not slack.posts:
                time.sleep(0.01)
            time.sleep(1)  # for all the others to arrive behind it
            assert requests.get(f"{running.url}/healthz", timeout=5).text == "ok\n"
            assert running.deliver([success()]).status_code == 204
            assert not any(future.done() for future in waiting)
        slack.released.set()
        assert {future.result().status_code for future in waiting} == {200}


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n"])
def test_many_requests_at_once_take_no_memory(service: Server, sent: bytes) -> None:
    """Two hundred clients, each with thousands of requests, of which it reads no answer."""
    before = most_memory(service)
    with held_connections(service, 200, sent * (64 * 1024 // len(sent))):
        assert good_answers(service) == WELL
    assert_well(service)
    assert most_memory(service) - before < 50 * MEBIBYTE


# Bodies.


def answer_to_a_large_body(running: Server, token: bytes) -> list[int]:
    """What is answered to 9 MiB that are no JSON; nothing where the client was cut off."""
    body = b"x" * (9 * MEBIBYTE)
    length = b"Content-Length: %d" % len(body)
    with connect(running) as connection:
        try:
            sent = request(b"", length).replace(TOKEN.encode(), token)
            connection.sendall(sent)
            connection.sendall(body)
            return statuses(connection.recv(65536))
        except OSError:
            return []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_a_body_without_the_token_is_thrown_away_as_it_comes() -> None:
    with server(SLACK_WEBHOOK_URL="console:") as running:
        with ThreadPoolExecutor(300) as pool:
            answers = pool.map(
                lambda _: answer_to_a_large_body(running, b"wrong"), range(300)
            )
            files = os.listdir(f"/proc/{running.worker}/fd")
            assert not any("tmp" in os.path.basename(name) for name in files)
            told = [answer for answer in answers if answer]
        # On a slow machine some take too long to come in.
        assert {status for answer in told for status in answer} <= {401, 408}
        assert [401] in told
        assert most_memory(running) < 100 * MEBIBYTE
        assert_well(running)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_bodies_with_the_token_take_a_bounded_memory_together() -> None:
    with server(SLACK_WEBHOOK_URL="console:") as running:
        token = TOKEN.encode()
        with ThreadPoolExecutor(60) as pool:
            answers = list(
                pool.map(lambda _: answer_to_a_large_body(running, token), range(60))
            )
        assert [400] in answers  # no JSON
        assert {status for answer in answers for status in answer} <= {400, 408, 503}
        # 100 MiB of bodies, and one of them several times, while it is read.
        assert most_memory(running) < 500 * MEBIBYTE
        for _ in range(15):  # the memory is free again
            assert answer_to_a_large_body(running, token) == [400]
        assert_well(running)


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


def test_forwarded_headers_are_no_reason_to_refuse(service: Server) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"}
    for n in (1, 2):
        headers["X-Forwarded-For"] = ", ".join(["not an address"] * n)
        assert service.deliver([], headers=headers).status_code == 204


# Open files.


@contextlib.contextmanager
def service_with_files(files: int) -> Iterator[Server]:
    """A service that may open so many files at a time."""
    command = ["bash", "-c", f'ulimit -n {files}; exec gunicorn "app:create_app()"']
    with server(command, SLACK_WEBHOOK_URL="console:", **measured()) as running:
        yield running


@pytest.mark.parametrize("files", [64, 256])
def test_few_files_are_enough(files: int) -> None:
    with service_with_files(files) as running:
        with held_connections(running, files, ONE_BYTE):
            assert good_answers(running) == WELL
        assert_well(running)
        assert "Too many open files" not in running.output


def test_no_client_ends_the_worker() -> None:
    """Idle connections up to the limit, and ninety clients that send garbage."""
    stopped = threading.Event()

    def send_garbage(n: int) -> None:
        while not stopped.is_set():
            with contextlib.suppress(OSError):
                exchange(running, os.urandom(10 * n + 1) + b"\r\n\r\n")

    with service_with_files(1024) as running, ThreadPoolExecutor(90) as pool:
        with held_connections(running, 830, b""):
            for n in range(90):
                pool.submit(send_garbage, n)
            time.sleep(3)
            assert good_answers(running) == WELL
            stopped.set()
        assert_well(running)
        assert "Too many open files" not in running.output


def test_too_few_files_stop_the_start() -> None:
    with (
        pytest.raises(AssertionError) as raised,
        service_with_files(20 + RESERVED_FILES - 1),
    ):
        pass
    assert re.search(r"cannot start: .*ulimit -n` to 60 ", str(raised.value))
