"""Slack: what is posted, what each answer means, and what to do about it."""

import json
import os
import socket
import ssl
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from message import Message
from outbox import LOST_AFTER
from outcome import Outcome, Verdict
from slack import (
    ANSWER_TIMEOUT,
    CONNECT_TIMEOUT,
    MAX_ANSWER,
    MAX_CONNECT,
    MAX_HOLD,
    MAX_IDLE,
    READ_TIMEOUT,
    WEBHOOK_WORDS,
    Webhook,
)
from tests.slack_stub import PATH, Answer, slack_stub

URL = "https://hooks.slack.example/services/T0/B0/secret"
MESSAGE = Message({"text": "*Failed Login* · naïve \U0001f600"}, frozenset())
Patch = pytest.MonkeyPatch
Mock = responses.RequestsMock
ACCEPTED, UNAVAILABLE = Verdict.ACCEPTED, Verdict.UNAVAILABLE
MALFORMED, REFUSED = Verdict.MALFORMED, Verdict.REFUSED


@pytest.fixture
def slack() -> Any:
    with responses.RequestsMock() as mock:
        yield mock


def post(url: str = URL) -> Outcome:
    return Webhook(url, "W_X").post(MESSAGE)


@pytest.fixture(autouse=True)
def environment(monkeypatch: Patch) -> None:
    """None of the variables that requests obeys."""
    for name in list(os.environ):
        if name.upper().endswith(("_PROXY", "_CA_BUNDLE")):
            monkeypatch.delenv(name)


class Clock:
    """A clock that stands until it is moved, or moves by `step` when it is read."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_posts_the_message_as_json(slack: Mock) -> None:
    answer = slack.post(URL, body="ok")
    assert post() == Outcome(Verdict.ACCEPTED, "ok", 200)
    request: Any = answer.calls[0].request
    body = b"".join(request.body)
    assert json.loads(body) == MESSAGE.payload
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert request.headers["Content-Length"] == str(len(body))


GONE = "is gone: make a new one in Slack, and set W_X to it"
COPY = "check W_X: copy it again from Slack"
NOT_SLACKS = f"may not be Slack's own; {COPY}"
WAIT = "wait; if it stays so, see https://slack-status.com"


@pytest.mark.parametrize(
    ("status", "body", "verdict", "reason", "advice"),
    [
        (200, "ok\n", ACCEPTED, "ok", ""),
        (200, '{"success":true}', ACCEPTED, "ok", ""),
        (200, "", REFUSED, "HTTP 200", NOT_SLACKS),
        (302, "ok", REFUSED, "HTTP 302", NOT_SLACKS),
        (400, "no_text", MALFORMED, "no_text", "please report this as a bug"),
        (413, "", MALFORMED, "HTTP 413", NOT_SLACKS),
        (403, "<html>Blocked by policy</html>", MALFORMED, "HTTP 403", NOT_SLACKS),
        (403, "something_new", MALFORMED, "something_new", "ask an admin of your"),
        (404, "no_service", REFUSED, "no_service", GONE),
        (404, "something_new", REFUSED, "something_new", COPY),
        (404, f"no such page: {URL}", REFUSED, "HTTP 404", NOT_SLACKS),
        (403, "action_prohibited", REFUSED, "action_prohibited", "ask them, or make a"),
        (410, "channel_is_archived", REFUSED, "channel_is_archived", "for another one"),
        (408, "", UNAVAILABLE, "Slack failed: HTTP 408", WAIT),
        (500, "rollup_error", UNAVAILABLE, "Slack failed: rollup_error", WAIT),
        (501, '{"id":"…disabled"}', REFUSED, "HTTP 501", NOT_SLACKS),
        (503, "\xff<html>", UNAVAILABLE, "Slack failed: HTTP 503", WAIT),
    ],
)
def test_what_an_answer_means_and_what_to_do(
    slack: Mock,
    status: int,
    body: str,
    verdict: Verdict,
    reason: str,
    advice: str,
) -> None:
    slack.post(URL, status=status, body=body.encode("latin-1", "replace"))
    outcome = post()
    assert (outcome.verdict, outcome.reason, outcome.status) == (
        verdict,
        reason,
        status,
    )
    assert advice in outcome.advice
    assert bool(advice) == bool(outcome.advice)


@pytest.mark.parametrize("word", WEBHOOK_WORDS)
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_a_word_about_the_webhook_means_the_same_at_any_status(
    slack: Mock, word: str, status: int
) -> None:
    slack.post(URL, status=status, body=word)
    advice = WEBHOOK_WORDS[word].format(variable="W_X")
    assert post() == Outcome(Verdict.REFUSED, word, status, advice=advice)


SECONDS = {"30": 30, f"{MAX_HOLD}": MAX_HOLD, "999999999": MAX_HOLD}
NO_SECONDS = ["0", "9" * 5000, "1.5", "Sun, 06 Nov 9994 08:49:37 GMT", "", "-5", "٣"]


@pytest.mark.parametrize("header", [*SECONDS, *NO_SECONDS])
def test_says_how_long_slack_wants_to_be_left_alone(slack: Mock, header: str) -> None:
    seconds = SECONDS.get(header)
    slack.post(URL, status=429, headers={"Retry-After": header})
    outcome = post()
    hold = f", for {seconds} s" if seconds else ""
    reason = f"Slack's rate limit is reached{hold}"
    advice = "wait; if this repeats, find what else posts through this Slack app"
    assert outcome == Outcome(UNAVAILABLE, reason, 429, seconds, advice)


def test_an_answer_that_drips_in_is_no_answer(slack: Mock) -> None:
    slack.post(URL, body="o" * 100)
    clock = Clock(step=ANSWER_TIMEOUT / 5)
    outcome = Webhook(URL, clock=clock).post(MESSAGE)
    assert (outcome.verdict, outcome.reason) == (
        UNAVAILABLE,
        "no answer from Slack (TimeoutError: its answer has no end)",
    )
    assert clock.now < 3 * ANSWER_TIMEOUT


def test_no_more_of_an_answer_is_read_than_it_needs(slack: Mock) -> None:
    slack.post(URL, body="ok" + " " * MAX_ANSWER + "not for us")
    assert post().verdict is ACCEPTED


@pytest.mark.parametrize("location", ["http://[::1/x", "https://x.example/"])
def test_a_redirect_is_refused_and_its_body_is_not_read(location: str) -> None:
    with slack_stub() as stub:
        big = "x" * 20_000_000
        stub.script(Answer(302, big, {"Location": location}))
        outcome = post(stub.url)
    assert (outcome.verdict, outcome.reason) == (REFUSED, "HTTP 302")


def test_no_connection_is_used_that_was_idle_for_long() -> None:
    clock = Clock()
    with slack_stub() as stub:
        webhook = Webhook(stub.url, clock=clock)
        for idle in (0, MAX_IDLE, MAX_IDLE + 0.1, MAX_IDLE):
            clock.now += idle
            assert webhook.post(MESSAGE).verdict is ACCEPTED
    first, second, third, fourth = [post.port for post in stub.posts]
    assert first == second != third == fourth


# Connecting that takes long.


@pytest.mark.parametrize(
    "seconds", [CONNECT_TIMEOUT, 12.2, MAX_CONNECT, MAX_CONNECT + 1]
)
def test_slow_connecting_is_told_and_too_slow_connecting_posts_nothing(
    monkeypatch: Patch, seconds: float
) -> None:
    clock = Clock()
    look_up = socket.getaddrinfo

    def look_up_slowly(*args: Any) -> Any:
        clock.now += seconds
        return look_up(*args)

    took = f"connecting took {seconds:.0f} s"
    with slack_stub() as stub:
        monkeypatch.setattr(socket, "getaddrinfo", look_up_slowly)
        webhook = Webhook(stub.url, clock=clock)
        outcome = webhook.post(MESSAGE)
        arrives = seconds <= MAX_CONNECT
        assert len(stub.posts) == arrives
        if arrives:
            told = f"{took}: check DNS, the IPv6 route, and a proxy if there is one"
            advice = told if seconds > CONNECT_TIMEOUT else ""
            assert outcome == Outcome(ACCEPTED, "ok", 200, advice=advice)
            assert webhook.post(MESSAGE).advice == ""  # it is still connected
        else:
            reason = f"no answer from Slack (ConnectionError: {took})"
            assert (outcome.verdict, outcome.reason) == (UNAVAILABLE, reason)


def test_a_post_that_may_still_arrive_is_not_given_up() -> None:
    """The head of the request and a few TLS records are sent, each in its time.

    An answer can stall before its head, and once more before its end.
    """
    sending = 4 * CONNECT_TIMEOUT
    answer = READ_TIMEOUT + ANSWER_TIMEOUT + READ_TIMEOUT
    assert MAX_CONNECT + sending + answer < LOST_AFTER


# Posts that get no answer.


LOOK_UP = (socket, "getaddrinfo")
CONNECT = (socket.socket, "connect")
TLS = (ssl.SSLContext, "wrap_socket")
BUNDLE = (ssl.SSLContext, "load_verify_locations")
EXPIRED = "[SSL] certificate verify failed: certificate has expired (_ssl.c:1)"
PLAIN = "[SSL] record layer failure (_ssl.c:1020)"  # by OpenSSL 3.2 and later
CHECK = "check the host, this machine's clock"
HTTP = "what answers speaks HTTP, not HTTPS: check the host and port in W_X"
BUNDLES = "correct or remove REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
LONG = f"http://{'x' * 64}"  # a label has 63 letters at most
CORRECT = "correct HTTPS_PROXY (http://HOST:PORT;"


@pytest.mark.parametrize(
    ("place", "error", "kind", "verdict", "advice"),
    [
        (LOOK_UP, socket.gaierror(-2, "Unknown"), "ConnectionError", UNAVAILABLE, WAIT),
        (CONNECT, OSError(101, "Unreachable"), "ConnectionError", UNAVAILABLE, WAIT),
        (CONNECT, PermissionError(13, "Denied"), "ConnectionError", UNAVAILABLE, WAIT),
        (CONNECT, TimeoutError("timed out"), "ConnectTimeout", UNAVAILABLE, WAIT),
        (TLS, ssl.SSLCertVerificationError(1, EXPIRED), "SSLError", REFUSED, CHECK),
        (TLS, ssl.SSLError(1, PLAIN), "SSLError", REFUSED, HTTP),
        (TLS, ssl.SSLError(1, "alert"), "SSLError", UNAVAILABLE, WAIT),
        (BUNDLE, OSError(13, "Permission denied"), "SSLError", REFUSED, BUNDLES),
    ],
)
def test_the_innermost_words_say_why_there_is_no_answer(
    monkeypatch: Patch,
    tmp_path: Path,
    place: tuple[Any, str],
    error: OSError,
    kind: str,
    verdict: Verdict,
    advice: str,
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise error

    with slack_stub() as stub:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
        monkeypatch.setattr(*place, fail)
        outcome = post(stub.url.replace("http:", "https:"))
    said = f"{kind}: {error.strerror}" if error.strerror else kind
    assert outcome.verdict is verdict
    assert outcome.reason == f"no answer from Slack ({said})"
    assert outcome.advice.startswith(advice)


@pytest.mark.parametrize(
    ("variable", "value", "verdict", "said", "advice"),
    [
        ("ANY", "", REFUSED, "SSLError: [SSL", HTTP),
        ("HTTPS_PROXY", "https://{}", REFUSED, "ProxyError: [SSL", CORRECT),
        ("HTTPS_PROXY", '"http://{}"', REFUSED, "InvalidURL: it is in quotes", CORRECT),
        ("HTTPS_PROXY", "socks5://{}", REFUSED, "InvalidSchema", CORRECT),
        ("https_proxy", "ftp://{}", REFUSED, "InvalidURL", "correct https_proxy ("),
        ("ALL_PROXY", "http://:80", REFUSED, "InvalidProxyURL", "correct ALL_PROXY"),
        ("HTTPS_PROXY", "http://{}", REFUSED, "ProxyError: Tunnel", CORRECT),
        ("HTTPS_PROXY", LONG, REFUSED, "LocationParseError", "W_X, and in HTTPS_PROXY"),
        ("ALL_PROXY", "127.0.0.1:1", UNAVAILABLE, "ProxyError: Connection", WAIT),
        ("REQUESTS_CA_BUNDLE", "/word", REFUSED, "OSError: Could", BUNDLES),
        ("CURL_CA_BUNDLE", __file__, REFUSED, "SSLError: [X509", BUNDLES),
    ],
)
def test_a_wrong_setting_is_told_at_once_and_not_quoted(
    monkeypatch: Patch,
    variable: str,
    value: str,
    verdict: Verdict,
    said: str,
    advice: str,
) -> None:
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        handler.send_error(407, "word")

    monkeypatch.setattr(BaseHTTPRequestHandler, "do_CONNECT", refuse, raising=False)
    with slack_stub() as stub:
        port = stub.url.removesuffix(PATH).rpartition(":")[2]
        monkeypatch.setenv(variable, value.format(f"user:word@127.0.0.1:{port}"))
        monkeypatch.setenv("HTTP_PROXY", "")
        outcome = post(f"https://localhost:{port}{PATH}")
    assert outcome.verdict is verdict
    assert f"({said}" in outcome.reason
    assert advice in outcome.advice
    is_the_proxys = said.startswith(("Proxy", "Invalid"))
    assert (f"the proxy in {variable} " in outcome.reason) == is_the_proxys
    assert "word" not in str(outcome)


@pytest.mark.parametrize(
    "error", [requests.ReadTimeout(URL), requests.ConnectionError(URL), UnicodeError()]
)
def test_an_exception_becomes_an_outcome_without_the_url(
    slack: Mock, error: Exception
) -> None:
    slack.post(URL, body=error)
    outcome = post()
    assert outcome.verdict is Verdict.UNAVAILABLE
    assert outcome.reason == f"no answer from Slack ({type(error).__name__})"


# Whom it tells what.


def test_only_the_url_authenticates_and_no_netrc(
    slack: Mock, monkeypatch: Patch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for user, authorization in (("", None), ("user:word@", "Basic dXNlcjp3b3Jk")):
        url = URL.replace("//", f"//{user}")
        answer = slack.post(url, body="ok")
        post(url)
        assert answer.calls[0].request.headers.get("Authorization") == authorization
