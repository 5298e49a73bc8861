"""Memory: what the worker takes at most, whatever is sent to it, end to end."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from events import MAX_BODY
from tests.attackers import WELL, good_answers, held_connections
from tests.events import event
from tests.raw_http import assert_well, connect, request, statuses
from tests.server import TOKEN, Server, server
from tests.slack_stub import Answer, SlackStub

pytestmark = pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="this system has no /proc"
)
MEBIBYTE = 1024 * 1024


# Without a token.


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n"])
def test_many_requests_at_once_take_no_memory(service: Server, sent: bytes) -> None:
    """Two hundred clients, each with thousands of requests; they read no answer."""
    before = service.memory("VmHWM")
    with held_connections(service, 200, sent * (64 * 1024 // len(sent))):
        assert good_answers(service) == WELL
    assert_well(service)
    assert service.memory("VmHWM") - before < 50 * MEBIBYTE


def answer_to_a_large_body(running: Server, token: bytes) -> list[int]:
    """What is answered to 9 MiB that are no JSON; nothing if the client is cut off."""
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


def test_a_body_without_the_token_is_thrown_away_as_it_comes() -> None:
    with server(SLACK_WEBHOOK_URL="console:") as running:
        tokens = [b"wrong"] * 300
        with ThreadPoolExecutor(len(tokens)) as pool:
            answers = pool.map(
                lambda wrong: answer_to_a_large_body(running, wrong), tokens
            )
            files = os.listdir(f"/proc/{running.worker}/fd")
            assert not any("tmp" in os.path.basename(name) for name in files)
            told = [answer for answer in answers if answer]
        # On a slow machine some take too long to come in.
        assert {status for answer in told for status in answer} <= {401, 408}
        assert [401] in told
        assert running.memory("VmHWM") < 100 * MEBIBYTE
        assert_well(running)


# With the token.


def test_bodies_with_the_token_take_a_bounded_memory_together() -> None:
    with server(SLACK_WEBHOOK_URL="console:") as running:
        tokens = [TOKEN.encode()] * 60
        with ThreadPoolExecutor(len(tokens)) as pool:
            answers = list(
                pool.map(lambda token: answer_to_a_large_body(running, token), tokens)
            )
        assert [400] in answers  # no JSON
        assert {status for answer in answers for status in answer} <= {400, 408, 503}
        # 100 MiB of bodies, and one of them several times, while it is read.
        assert running.memory("VmHWM") < 500 * MEBIBYTE
        for _ in range(15):  # the memory is free again
            assert answer_to_a_large_body(running, TOKEN.encode()) == [400]
        assert_well(running)


def assert_bounded(slack: SlackStub, bodies: list[bytes], status: int) -> None:
    """Deliver large bodies at once: each is answered, with this status or 503.

    `deliver` fails if an answer takes over 20 s; on an idle machine it takes under 10.
    """
    with (
        server(SLACK_WEBHOOK_URL=slack.url) as running,
        ThreadPoolExecutor(len(bodies)) as pool,
    ):
        deliveries = [pool.submit(running.deliver, data=body) for body in bodies]
        statuses = {delivery.result().status_code for delivery in deliveries}
        assert status in statuses
        assert statuses <= {status, 503}
        assert running.memory("VmHWM") < 300 * MEBIBYTE
        slack.released.set()


def test_very_many_items(slack: SlackStub) -> None:
    item = b'{"":{}}'
    items = b",".join([item] * ((MAX_BODY - 2) // (len(item) + 1)))
    assert_bounded(slack, [b"[" + items + b"]"] * 4, 400)


def test_many_alerts_while_slack_hangs(slack: SlackStub) -> None:
    slack.script(*[Answer(delay=60, accept=False)] * 20)
    alerts = [event(user_agent="x" * 900) for _ in range(4000)]
    assert_bounded(slack, [json.dumps(alerts).encode()] * 40, 503)


def test_alerts_whose_fields_are_full_of_emoji(slack: SlackStub) -> None:
    """With one emoji in it, Python keeps each character of a text in four bytes."""
    emoji = "\U0001f600" * 60
    bodies = []
    for _ in range(4):
        alerts = []
        for _ in range(1500):
            error = {"error": {"message": emoji}}
            names = dict.fromkeys(("user_name", "client_name", "connection"), emoji)
            alerts.append(event(description=emoji, details=error, **names))
        bodies.append(json.dumps(alerts).encode())
    assert_bounded(slack, bodies, 200)


def test_a_large_body_with_one_emoji(slack: SlackStub) -> None:
    body = f'[{" " * (MAX_BODY - 20)}"\U0001f600"]'.encode()
    assert_bounded(slack, [body] * 4, 400)


def test_garbage_leaves_nothing_behind(service: Server) -> None:
    def garbage(n: int) -> None:
        service.deliver(data=b"[" * 20_000 + b"%d" % n)
        service.deliver(data=b"x" * 200_000, headers={"Authorization": "wrong"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(garbage, range(160)))  # each of 72 threads grows a stack, once
        before = service.memory("VmRSS")
        list(pool.map(garbage, range(160)))
    assert service.memory("VmRSS") - before < 20 * MEBIBYTE
    assert_well(service)
