"""Slow clients: idle, dripping, not closing, not reading. They hold up the others briefly at most.

`pytest tests/test_slow_clients.py` on gunicorn's own worker, by `worker_class = "gthread"` in
gunicorn.conf.py, fails in each test that a sentence of worker.py's docstring is about.
"""

import contextlib
import errno
import http.client
import json
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.events import event, success
from tests.raw_http import connect, is_well, request, statuses
from tests.server import TOKEN, Server, measured, server
from tests.slack_stub import Answer, slack_stub
from worker import READ_TIMEOUT, TOO_SLOW, PatientSocket

THREADS = 72  # of gunicorn.conf.py


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with server(SLACK_WEBHOOK_URL="console:", **measured()) as running:
        yield running


def test_idle_connections_hold_no_thread(service: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(connect(service))
        is_well(service)


def test_clients_that_do_not_close_hold_up_nobody(service: Server) -> None:
    with contextlib.ExitStack() as stack:
        lazy = [stack.enter_context(connect(service)) for _ in range(20)]
        for connection in lazy:
            connection.sendall(
                request(b"[]", b"Content-Length: 2", b"Connection: close")
            )
        # All are answered, so what is left of them is only the closing.
        assert all(statuses(connection.recv(65536)) == [204] for connection in lazy)
        is_well(service)


def test_clients_that_send_in_drops_are_cut_off(service: Server) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(service)) for _ in range(THREADS + 8)]
        for n, connection in enumerate(slow):
            body = request(b"[", b"Content-Length: 9" + b"9" * 5)
            connection.sendall(body if n % 2 else b"POST /api/logs HT")
        is_well(service)
        for connection in slow:
            with contextlib.suppress(OSError):
                assert all(status == 408 for status in statuses(connection.recv(65536)))


def test_a_body_too_slow_to_come_in_is_told_so(service: Server) -> None:
    with connect(service) as good, connect(service) as other:
        sent = request(b"[", b"Content-Length: 9")
        good.sendall(sent)
        other.sendall(sent.replace(TOKEN.encode(), b"wrong"))
        for connection, status, words in (
            (good, 408, TOO_SLOW),
            (other, 401, "the Authorization"),
        ):
            answer = b""
            while received := connection.recv(65536):
                answer += received
            assert statuses(answer) == [status]
            assert f"\r\n\r\n{words}".encode() in answer
    assert f"WARNING delivery status=408 reason='{TOO_SLOW}' ms=" in service.output
    assert "over 5 s" in TOO_SLOW


def test_a_request_has_its_time_however_many_drops_it_comes_in() -> None:
    client, served = socket.socketpair()
    patient = PatientSocket(fileno=served.detach())
    with client, patient:
        patient.read_until = time.monotonic() + 60
        client.sendall(b"first")
        assert patient.recv(100) == b"first"
        client.sendall(b"second")
        patient.read_until = time.monotonic() - 1
        assert patient.recv(100) == b"second"  # it is there
        with pytest.raises(TimeoutError) as raised:
            patient.recv(100)
        assert raised.value.errno == errno.ECONNRESET
        assert patient.gettimeout()  # for the answer
        patient.read_until = time.monotonic() + 60  # the next request's
        client.sendall(b"third")
        assert patient.recv(100) == b"third"


def test_a_client_that_does_not_take_its_answer_is_one_that_went_away() -> None:
    client, served = socket.socketpair()
    patient = PatientSocket(fileno=served.detach())
    with client, patient:
        patient.settimeout(0.01)
        with pytest.raises(TimeoutError) as raised:
            patient.sendall(b"x" * 10_000_000)
        assert raised.value.errno == errno.EPIPE


# A good client, who keeps its connection.


def kept(running: Server, bodies: list[list[object]], pause: float) -> list[int]:
    """What requests on one connection are answered, with a pause between them."""
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
    """What a connection that is kept is answered while Slack takes longer than a request may."""
    with slack_stub() as slack, server(SLACK_WEBHOOK_URL=slack.url) as running:
        slack.script(*[Answer(delay=READ_TIMEOUT + 0.6)] * 2)
        return kept(running, [[event()], [event()]], pause=0)


def starved_answer() -> tuple[int, float]:
    """What one delivery is answered while slow clients take all threads and Slack hangs; when."""
    with (
        slack_stub() as slack,
        server(SLACK_WEBHOOK_URL=slack.url) as running,
        contextlib.ExitStack() as stack,
    ):
        slack.script(Answer(delay=60))
        for _ in range(THREADS + 8):
            slow = stack.enter_context(connect(running))
            slow.sendall(request(b"[", b"Content-Length: 9"))
        time.sleep(0.5)  # so that they are first
        started = time.monotonic()
        status = running.deliver([event()]).status_code
        return status, time.monotonic() - started


def few_files_output() -> str:
    """What a service says that may open few files and has many idle clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        few = ["bash", "-c", 'ulimit -n 256; exec gunicorn "app:create_app()"']
        running = stack.enter_context(server(few, SLACK_WEBHOOK_URL="console:"))
        assert soft >= 400 or hard >= 400
        for _ in range(300):
            stack.enter_context(connect(running))
        assert (
            running.deliver([success()]).status_code == 204
        )  # when the idle ones are cut off
        is_well(running)
        return running.output


def test_good_clients_are_served_whatever_the_others_do(service: Server) -> None:
    """At once, because each takes its seconds."""
    with ThreadPoolExecutor(4) as pool:
        slow_slack = pool.submit(slow_slack_answers)
        idle = pool.submit(kept, service, [[], []], READ_TIMEOUT + 1.5)
        starved = pool.submit(starved_answer)
        few = pool.submit(few_files_output)
        assert slow_slack.result() == [200, 200]
        assert idle.result() == [204, 204]
        status, seconds = starved.result()
        assert status == 503
        assert seconds < 10  # what the README promises; it would be 14
        assert "Too many open files" not in few.result()
