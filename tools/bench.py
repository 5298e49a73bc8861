"""Benchmarks: `make bench` prints a Markdown table of what the service costs.

The Procfile's own command runs as it does in production. Slack is the stub, in a
process of its own, so that it takes no time from the client's interpreter. Everything
stays on loopback. It reports and does not judge: the exit code is 0 whatever the
figures are.
"""

import json
import math
import multiprocessing
import os
import platform
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import requests

from connections import REQUEST_TIMEOUT
from events import EventReader
from filters import Router, read_types
from message import build_message, encode
from tests.attackers import (
    ONE_BYTE,
    SILENT_BODY,
    clients_that_never_stop,
    held_connections,
    stream_of_connections,
)
from tests.events import event, success
from tests.outbox_world import World
from tests.server import TOKEN, Server, procfile_command, server
from tests.slack_stub import events_in, slack_stub

# Seconds for any one request, and for the stub's process to start or end.
TIMEOUT = 30.0
MEBIBYTE = 1024 * 1024  # bytes
KIBIBYTE = 1024  # bytes, the unit of smaps_rollup

# One huge delivery.
FORMATTED_EVENTS = 10_000
FORMATTING_ROUNDS = 5
MAX_FORMATTING = 0.3  # seconds

# A lone alert.
ALERTS = 30
# Seconds; longer than the service's own second between two messages.
ALERT_INTERVAL = 1.05
WARM_UP_ALERTS = 2  # not counted: they open the connections
MAX_LATENCY_RATIO = 4.0

# A burst of failures.
BURST_EVENTS = 2000
EVENTS_PER_DELIVERY = 10
CONCURRENT_DELIVERIES = 16
SLACK_INTERVAL = 1.0  # seconds that Slack wants between two messages
MAX_ATTEMPTS = 20  # of one delivery
MAX_RETRY_WAIT = 5.0  # seconds
MAX_BURST_RATIO = 1.25

# A storm of one log type, and the same without a digest.
STORM_DELIVERIES = 300
STORM_INTERVAL = 0.2  # seconds
MAX_STORM_MESSAGES = 12  # ten, one for the surge, and one at the stop
MAX_STORM_ANSWER = 1.5  # seconds, p99

# A day and an hour of one known log type, in virtual time.
DAY = 86_400.0  # seconds
HOUR = 3600.0  # seconds
DAY_RATES = {"one a minute": 1 / 60, "five a second": 5.0}  # alerts a second
DAY_DELIVERY_EVERY = 10.0  # seconds at least, with the alerts of so long
MAX_DAY_MESSAGES = 170
STORM_RATE = 5.0  # alerts a second, a delivery each
MAX_HOUR_MESSAGES = 20

# A storm of very many.
MASS_DELIVERIES = 600
MASS_EVENTS = 100  # of each
MASS_SECONDS = 60.0

# Deliveries without alerts.
CONNECTIONS = 4
ROUNDS = 20  # for each size of delivery; in each, both servers have a turn
ROUND_SECONDS = 0.5  # short, so that whatever else the machine does hits both
WARM_UP_SECONDS = 1.0
DELIVERY_SIZES = (1, 100)  # events
MIN_THROUGHPUT_RATIO = 0.8  # nobody waits for these answers

# Good deliveries beside attackers without a token.
GOOD_DELIVERIES = 100
GOOD_INTERVAL = 0.03  # seconds; so all are done before the attackers are cut off
MAX_ATTACKED_ANSWER = 0.5  # seconds, p99

MAX_MEMORY = 90.0  # MiB
MAX_STORM_MEMORY = 95.0  # MiB, which are 100 MB


@dataclass(frozen=True)
class Row:
    """A line of the table; `met` is None for a figure that has no target."""

    what: str
    service: str
    beside: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None

    def markdown(self) -> str:
        verdict = {True: "met", False: "**missed**", None: ""}[self.met]
        cells = [self.what, self.service, self.beside, self.ratio, self.target, verdict]
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class StubPost:
    """What the stub's process tells of a post: the message's text, and its answer."""

    text: str
    status: int


class StubProcess:
    """The Slack stub in another process."""

    def __init__(self, url: str, pipe: "Connection[Any, Any]") -> None:
        self.url = url
        self._pipe = pipe

    def posts(self) -> list[StubPost]:
        """All posts so far."""
        self._pipe.send("posts")
        return list(_receive(self._pipe))


@contextmanager
def stub_process(interval: float) -> Iterator[StubProcess]:
    """A running stub that wants `interval` seconds between messages."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run_stub, args=(theirs, interval), daemon=True)
    process.start()
    theirs.close()
    try:
        yield StubProcess(_receive(ours), ours)
    finally:
        ours.close()  # which tells the process to end
        process.join(TIMEOUT)
        if process.is_alive():
            process.kill()


def _run_stub(pipe: "Connection[Any, Any]", interval: float) -> None:
    """The stub's process: tells its URL, then its posts, until the pipe is closed."""
    with slack_stub(interval) as stub:
        pipe.send(stub.url)
        while True:
            try:
                pipe.recv()
            except EOFError:
                return
            posts = []
            for post in stub.posts:
                posts.append(StubPost(post.message["text"], post.answer.status))
            pipe.send(posts)


def _receive(pipe: "Connection[Any, Any]") -> Any:
    if not pipe.poll(TIMEOUT):
        raise TimeoutError("the stub's process does not answer")
    return pipe.recv()


def main() -> None:
    """Measure everything and print the table."""
    print(machine(), flush=True)
    print()
    print("| Measurement | Service | Beside | Ratio | Target | |")
    print("|---|---|---|---|---|---|", flush=True)
    for measure in (formatting, lone_alerts, loads, storms, days, masses, attacks):
        for row in measure():
            print(row.markdown(), flush=True)


def machine() -> str:
    """The machine that the figures are from."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB of memory,"
        f" Python {platform.python_version()}, {platform.system()} {platform.release()}"
    )


def formatting() -> Iterator[Row]:
    """The time from the events of one huge delivery to its message, best of a few."""
    delivery = json.dumps(
        [event(user_name=f"user{n}") for n in range(FORMATTED_EVENTS)]
    ).encode()
    events = list(EventReader(delivery))
    router = Router({"": read_types()[0]})
    seconds = []
    for _ in range(FORMATTING_ROUNDS):
        started = time.perf_counter()
        build_message(router.route(events).by_channel[""])
        seconds.append(time.perf_counter() - started)
    yield Row(
        f"{FORMATTED_EVENTS:,} events to a message",
        f"{min(seconds) * 1000:.0f} ms",
        target=f"< {MAX_FORMATTING * 1000:.0f} ms",
        met=min(seconds) < MAX_FORMATTING,
    )


def lone_alerts() -> Iterator[Row]:
    """The time of a request with one alert, beside a bare post of its message."""
    with (
        stub_process(interval=0.0) as stub,
        server(SLACK_WEBHOOK_URL=stub.url) as service,
    ):
        through, bare = _time_alerts(service, stub)
    ratio = statistics.median(through) / statistics.median(bare)
    yield Row(
        f"Lone alert, {ALERTS} of them, p50",
        f"{_milliseconds(statistics.median(through))} ms",
        f"bare POST of the message {_milliseconds(statistics.median(bare))} ms",
        f"{ratio:.2f}",
        f"≤ {MAX_LATENCY_RATIO:g}",
        ratio <= MAX_LATENCY_RATIO,
    )
    yield Row(
        "Lone alert, p99",
        f"{_milliseconds(_percentile(through, 99))} ms",
        f"bare POST of the message {_milliseconds(_percentile(bare, 99))} ms",
        f"{_percentile(through, 99) / _percentile(bare, 99):.2f}",
    )


def _time_alerts(service: Server, stub: StubProcess) -> tuple[list[float], list[float]]:
    """Seconds of requests through the service, and of bare posts between them."""
    to_service = requests.Session()
    to_service.headers["Authorization"] = TOKEN
    to_service.headers["Content-Type"] = "application/json"
    to_stub = requests.Session()
    to_stub.headers["Content-Type"] = "application/json; charset=utf-8"
    through = []
    bare = []
    start = time.monotonic()
    for i in range(WARM_UP_ALERTS + ALERTS):
        delivery = json.dumps([event()]).encode()
        message = _message_of(delivery)
        _sleep_until(start + i * ALERT_INTERVAL)
        through.append(_time_post(to_service, f"{service.url}/api/logs", delivery))
        _sleep_until(start + (i + 0.5) * ALERT_INTERVAL)
        bare.append(_time_post(to_stub, stub.url, message))
    return through[WARM_UP_ALERTS:], bare[WARM_UP_ALERTS:]


def _message_of(delivery: bytes) -> bytes:
    """The message that the service posts for a delivery."""
    router = Router({"": read_types()[0]})
    events = list(EventReader(delivery))
    return encode(build_message(router.route(events).by_channel[""]))


def _time_post(session: requests.Session, url: str, body: bytes) -> float:
    started = time.perf_counter()
    response = session.post(url, data=body, timeout=TIMEOUT)
    seconds = time.perf_counter() - started
    assert response.status_code == 200, (response.status_code, response.text)
    return seconds


def loads() -> Iterator[Row]:
    """A burst of alerts, then deliveries without any, and the memory after each."""
    with (
        stub_process(SLACK_INTERVAL) as stub,
        server(SLACK_WEBHOOK_URL=stub.url, ALERT_DIGEST_SECONDS="0") as service,
    ):
        requests.get(f"{service.url}/healthz", timeout=TIMEOUT)  # until the worker runs
        idle = memory_row("idle", service)
        yield from burst(service, stub)
        after_burst = memory_row("after the burst", service)
        yield from throughput(service)
        yield idle
        yield after_burst
        yield memory_row("after the deliveries without alerts", service)


def burst(service: Server, stub: StubProcess) -> Iterator[Row]:
    """Many failures at once, beside the time that Slack's rate sets."""
    deliveries = BURST_EVENTS // EVENTS_PER_DELIVERY
    bodies = [[event() for _ in range(EVENTS_PER_DELIVERY)] for _ in range(deliveries)]
    started = time.monotonic()
    with ThreadPoolExecutor(CONCURRENT_DELIVERIES) as pool:
        attempts = list(pool.map(lambda body: _deliver_as_auth0(service, body), bodies))
    seconds = time.monotonic() - started
    posts = stub.posts()
    messages = [post for post in posts if post.status == 200]
    delivered = sum(events_in(post.text) for post in messages)
    limited = sum(post.status == 429 for post in posts)
    doubled = max(delivered - BURST_EVENTS, 0)
    given_up = attempts.count(0)
    fewest = math.ceil(deliveries / CONCURRENT_DELIVERIES)
    bound = (fewest - 1) * SLACK_INTERVAL
    what = f"Burst: {BURST_EVENTS} failures, {deliveries} deliveries,"
    yield Row(
        f"{what} events",
        f"{delivered} delivered, {doubled} doubled",
        f"{given_up} deliveries given up, {sum(attempts) - deliveries} redelivered",
        "",
        f"{BURST_EVENTS}, 0 doubled",
        delivered == BURST_EVENTS and not given_up,
    )
    yield Row(
        "Burst, messages",
        f"{len(messages)} messages, {limited} × 429",
        f"at least {fewest}, with {CONCURRENT_DELIVERIES} deliveries at a time",
        f"{len(messages) / fewest:.2f}",
        "0 × 429",
        limited == 0,
    )
    yield Row(
        "Burst, time",
        f"{seconds:.1f} s",
        f"Slack's rate alone {bound:.1f} s",
        f"{seconds / bound:.2f}",
        f"≤ {MAX_BURST_RATIO:g}",
        seconds / bound <= MAX_BURST_RATIO,
    )


def storms() -> Iterator[Row]:
    """A minute of five failed logins a second, with a digest and without, at once."""
    with ThreadPoolExecutor(2) as pool:
        (seconds, texts), (_, without) = pool.map(_storm, ("600", "0"))
    shown = sum(events_in(text) for text in texts)
    p99 = _percentile(seconds, 99)
    lasted = STORM_DELIVERIES * STORM_INTERVAL
    yield Row(
        f"Storm: {STORM_DELIVERIES} failures in {lasted:.0f} s, messages",
        f"{len(texts)} messages, {shown} events shown",
        f"without a digest {len(without)} messages",
        f"{len(texts) / len(without):.2f}",
        f"≤ {MAX_STORM_MESSAGES}, all shown",
        len(texts) <= MAX_STORM_MESSAGES and shown == STORM_DELIVERIES,
    )
    met = p99 < MAX_STORM_ANSWER
    yield Row("Storm, p99 of the answers", f"{p99:.2f} s", target="< 1.5 s", met=met)


def _storm(digest_seconds: str) -> tuple[list[float], list[str]]:
    """The seconds that each answer took, and the texts of the messages shown."""

    def deliver(_: int) -> float:
        started = time.monotonic()
        assert service.deliver([event()]).status_code == 200
        return time.monotonic() - started

    with (
        stub_process(SLACK_INTERVAL) as stub,
        ThreadPoolExecutor(CONCURRENT_DELIVERIES) as pool,
    ):
        with server(
            SLACK_WEBHOOK_URL=stub.url, ALERT_DIGEST_SECONDS=digest_seconds
        ) as service:
            answers = []
            for n in range(STORM_DELIVERIES):
                answers.append(pool.submit(deliver, n))
                time.sleep(STORM_INTERVAL)
            seconds = [answer.result() for answer in answers]
        return seconds, [post.text for post in stub.posts() if post.status == 200]


def days() -> Iterator[Row]:
    """What a channel sees in a day, and in an hour's storm, by the digest's rule."""
    for name, rate in DAY_RATES.items():
        every = max(1 / rate, DAY_DELIVERY_EVERY)
        sent, messages = _in_virtual_time(DAY, every, round(rate * every))
        yield Row(
            f"A day of {name}, messages",
            f"{messages} messages for {sent:,} events",
            target=f"≤ {MAX_DAY_MESSAGES}",
            met=messages <= MAX_DAY_MESSAGES,
        )
    sent, messages = _in_virtual_time(HOUR, 1 / STORM_RATE, 1)
    yield Row(
        "An hour of five a second, messages",
        f"{messages} messages for {sent:,} events",
        target=f"≤ {MAX_HOUR_MESSAGES}",
        met=messages <= MAX_HOUR_MESSAGES,
    )


def _in_virtual_time(seconds: float, every: float, size: int) -> tuple[int, int]:
    """How many alerts were sent, in deliveries of this size, and how many messages."""
    world = World(digest=600)
    count = round(seconds / every)
    world.stream((n * every, size, "fp") for n in range(count))
    world.run()
    assert sum(world.sizes) == count * size
    return count * size, sum(at < seconds for at in world.starts)


def masses() -> Iterator[Row]:
    """Very many alerts within a minute: all shown, in little memory."""
    with stub_process(SLACK_INTERVAL) as stub:
        with (
            server(SLACK_WEBHOOK_URL=stub.url) as service,
            ThreadPoolExecutor(8) as pool,
        ):
            most = 0.0
            started = time.monotonic()
            for n in range(MASS_DELIVERIES):
                _sleep_until(started + n * MASS_SECONDS / MASS_DELIVERIES)
                pool.submit(service.deliver, [event() for _ in range(MASS_EVENTS)])
                if n % 20 == 0:
                    most = max(most, sum(_memory(service, "Pss")))
        texts = [post.text for post in stub.posts() if post.status == 200]
    shown = sum(events_in(text) for text in texts)
    sent = MASS_DELIVERIES * MASS_EVENTS
    yield Row(
        f"{sent:,} alerts within {MASS_SECONDS:.0f} s, events",
        f"{shown:,} shown in {len(texts)} messages",
        target=f"{sent:,}",
        met=shown == sent,
    )
    met = most < MAX_STORM_MEMORY
    yield Row(
        "The same, most memory, PSS",
        f"{most:.0f} MiB",
        target=f"< {MAX_STORM_MEMORY:g}",
        met=met,
    )


def attacks() -> Iterator[Row]:
    """The answers to good deliveries while attackers hold or open many connections."""
    with server(SLACK_WEBHOOK_URL="console:") as service:
        ways: dict[str, AbstractContextManager[None]] = {
            "no attack": nullcontext(),
            "820 connections of one byte": held_connections(service, 820, ONE_BYTE),
            "20 silent bodies a second": _grown(service, 20, SILENT_BODY),
            "60 connections of one byte a second": _grown(service, 60, ONE_BYTE),
            "850 clients that never stop asking": _asking(service),
        }
        for name, attack in ways.items():
            with attack:
                seconds = _time_good_deliveries(service)
            p99 = _percentile(seconds, 99)
            yield Row(
                f"Good deliveries beside {name}, p99",
                f"{_milliseconds(p99)} ms",
                f"p50 {_milliseconds(statistics.median(seconds))} ms",
                target=f"< {MAX_ATTACKED_ANSWER * 1000:.0f} ms",
                met=p99 < MAX_ATTACKED_ANSWER,
            )


@contextmanager
def _grown(service: Server, per_second: float, sent: bytes) -> Iterator[None]:
    """A stream of connections that has as many open as the service lets it have."""
    with stream_of_connections(service, per_second, sent):
        time.sleep(REQUEST_TIMEOUT + 1)
        yield


@contextmanager
def _asking(service: Server) -> Iterator[None]:
    """Clients that ask again and again, all of them by now."""
    with clients_that_never_stop(service, 850):
        time.sleep(3)
        yield


def _time_good_deliveries(service: Server) -> list[float]:
    """Seconds of deliveries without alerts, each on a connection of its own."""
    seconds = []
    for _ in range(GOOD_DELIVERIES):
        started = time.monotonic()
        assert service.deliver([success()]).status_code == 204
        seconds.append(time.monotonic() - started)
        time.sleep(GOOD_INTERVAL)
    return seconds


def _deliver_as_auth0(service: Server, body: list[dict[str, Any]]) -> int:
    """Deliver until the answer is a 2xx; returns how many attempts it took.

    0 means that it was given up.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        response = service.deliver(body)
        if response.ok:
            return attempt
        time.sleep(min(float(response.headers.get("Retry-After", 1)), MAX_RETRY_WAIT))
    return 0


def throughput(service: Server) -> Iterator[Row]:
    """Deliveries without alerts per second, beside a bare Flask view in gunicorn."""
    command = [*procfile_command()[:-1], "tools.bench_bare:app"]
    with server(command) as bare:
        for size in DELIVERY_SIZES:
            body = json.dumps([success() for _ in range(size)]).encode()
            pairs = _interleave(service.port, bare.port, body)
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            ours = statistics.median(ours for ours, _ in pairs)
            theirs = statistics.median(theirs for _, theirs in pairs)
            yield Row(
                f"No alert, {size} event(s) ({len(body)} bytes) a delivery",
                f"{ours:,.0f} requests/s, {ours * size:,.0f} events/s",
                f"bare view {theirs:,.0f} requests/s",
                f"{ratio:.2f}",
                f"≥ {MIN_THROUGHPUT_RATIO:g}",
                ratio >= MIN_THROUGHPUT_RATIO,
            )


def _interleave(
    service_port: int, bare_port: int, body: bytes
) -> list[tuple[float, float]]:
    """Requests per second of the service and of the bare view in each round."""

    def rate_of(port: int) -> Callable[[], float]:
        return lambda: _rate(port, body, ROUND_SECONDS)

    for port in (service_port, bare_port):
        _rate(port, body, WARM_UP_SECONDS)
    pairs = []
    for i in range(ROUNDS):
        turns = {"service": rate_of(service_port), "bare": rate_of(bare_port)}
        order = ["service", "bare"] if i % 2 == 0 else ["bare", "service"]
        rates = {name: turns[name]() for name in order}
        pairs.append((rates["service"], rates["bare"]))
    return pairs


def _rate(port: int, body: bytes, seconds: float) -> float:
    """Requests per second over some connections, each of which waits for its answer."""
    counts = [0] * CONNECTIONS
    head = (
        f"POST /api/logs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: {TOKEN}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    started = time.perf_counter()

    def send(i: int) -> None:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while time.perf_counter() < started + seconds:
                connection.sendall(request)
                _read_204(connection)
                counts[i] += 1

    threads = [threading.Thread(target=send, args=(i,)) for i in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(counts), "a connection failed; its error stands above"
    return sum(counts) / (time.perf_counter() - started)


def _read_204(connection: socket.socket) -> None:
    """Read an answer without a body, and no more."""
    answer = connection.recv(4096)
    while not answer.endswith(b"\r\n\r\n"):
        received = connection.recv(4096)
        assert received, answer
        answer += received
    assert answer.startswith(b"HTTP/1.1 204 "), answer


def memory_row(when: str, service: Server) -> Row:
    """The memory of the service's processes: PSS, which counts what they share once."""
    shares = _memory(service, "Pss")
    residents = [f"{resident:.0f}" for resident in _memory(service, "Rss")]
    return Row(
        f"Memory {when}, PSS of master + worker",
        f"{sum(shares):.0f} MiB",
        f"RSS {' + '.join(residents)} MiB",
        "",
        f"< {MAX_MEMORY:g} MiB",
        sum(shares) < MAX_MEMORY,
    )


def _memory(service: Server, name: str) -> list[float]:
    """A figure of the smaps_rollup of each of the service's processes, in MiB."""
    pid = service.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    figures = []
    for process in (pid, *children):
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        found = re.search(rf"^{name}: +(\d+) kB$", rollup, re.M)
        if found:
            figures.append(int(found[1]) * KIBIBYTE / MEBIBYTE)
    return figures


def _percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of all do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"


def _sleep_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0.0))


if __name__ == "__main__":
    main()
