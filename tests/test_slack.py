"""Slack: what is posted, what each answer means, and what to do about it."""

import json
import os
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests
import responses
from requests.exceptions import InvalidProxyURL, InvalidSchema, ProxyError, SSLError
from urllib3.exceptions import LocationParseError

from message import Message
from outcome import Outcome, Verdict
from slack import (
    ADVICE,
    ANSWER_TIMEOUT,
    MAX_ANSWER,
    MAX_HOLD,
    MAX_IDLE,
    Webhook,
)
from tests.slack_stub import Answer, slack_stub

URL = "https://hooks.slack.example/services/T0/B0/secret"
MESSAGE = Message({"text": "*Failed Login* · naïve \U0001f600"}, frozenset())


@pytest.fixture
def slack() -> Any:
    with responses.RequestsMock() as mock:
        yield mock


def post(url: str = URL) -> Outcome:
    return Webhook(url).post(MESSAGE)


def meaning(url: str = URL) -> Outcome:
    """What became of a message, without the advice."""
    return replace(post(url), advice="")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_posts_the_message_as_json(slack: responses.RequestsMock) -> None:
    answer = slack.post(URL, body="ok")
    assert meaning() == Outcome(Verdict.ACCEPTED, "ok", 200)
    request = answer.calls[0].request
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(request.body) == MESSAGE.payload


@pytest.mark.parametrize(
    ("status", "body", "verdict", "reason"),
    [
        (200, "ok", Verdict.ACCEPTED, "ok"),
        (200, "ok\n", Verdict.ACCEPTED, "ok"),
        (200, '{"success":true}', Verdict.ACCEPTED, "ok"),
        (200, "", Verdict.REFUSED, "HTTP 200"),
        (200, "<html>Welcome</html>", Verdict.REFUSED, "HTTP 200"),
        (302, "ok", Verdict.REFUSED, "HTTP 302"),
        (400, "invalid_payload", Verdict.MALFORMED, "invalid_payload"),
        (400, "invalid_attachments", Verdict.MALFORMED, "invalid_attachments"),
        (400, "invalid_blocks", Verdict.MALFORMED, "invalid_blocks"),
        (400, "too_many_attachments", Verdict.MALFORMED, "too_many_attachments"),
        (400, "no_text", Verdict.MALFORMED, "no_text"),
        (400, "something_new", Verdict.MALFORMED, "something_new"),
        (413, "", Verdict.MALFORMED, "HTTP 413"),
        (403, "<html>Blocked by policy</html>", Verdict.MALFORMED, "HTTP 403"),
        (400, "invalid_token", Verdict.REFUSED, "invalid_token"),
        (400, "user_not_found", Verdict.REFUSED, "user_not_found"),
        (403, "invalid_token", Verdict.REFUSED, "invalid_token"),
        (403, "action_prohibited", Verdict.REFUSED, "action_prohibited"),
        (404, "no_service", Verdict.REFUSED, "no_service"),
        (404, "channel_not_found", Verdict.REFUSED, "channel_not_found"),
        (404, f"no such page: {URL}", Verdict.REFUSED, "HTTP 404"),
        (410, "channel_is_archived", Verdict.REFUSED, "channel_is_archived"),
        (429, "", Verdict.UNAVAILABLE, "Slack's rate limit is reached"),
        (500, "rollup_error", Verdict.UNAVAILABLE, "Slack failed: rollup_error"),
        (408, "", Verdict.UNAVAILABLE, "Slack failed: HTTP 408"),
        (503, "\xff<html>", Verdict.UNAVAILABLE, "Slack failed: HTTP 503"),
    ],
)
def test_what_an_answer_means(
    slack: responses.RequestsMock, status: int, body: str, verdict: Verdict, reason: str
) -> None:
    slack.post(URL, status=status, body=body.encode("latin-1"))
    assert meaning() == Outcome(verdict, reason, status)


def test_a_redirect_is_not_followed(slack: responses.RequestsMock) -> None:
    slack.post(URL, status=307, headers={"Location": "https://elsewhere.example/"})
    # `responses` would raise for another request.
    assert post().verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectTimeout(URL),
        requests.ReadTimeout(URL),
        requests.ConnectionError(URL),
        requests.exceptions.SSLError(URL),
        UnicodeError(URL),
    ],
)
def test_an_exception_becomes_an_outcome_without_the_url(
    slack: responses.RequestsMock, error: Exception
) -> None:
    slack.post(URL, body=error)
    reason = f"no answer from Slack ({type(error).__name__})"
    assert meaning() == Outcome(Verdict.UNAVAILABLE, reason)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        ("90000", MAX_HOLD),
        ("999999999", MAX_HOLD),
        ("9" * 5000, None),
        ("1.5", None),
        ("Sun, 06 Nov 9994 08:49:37 GMT", None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
    ],
)
def test_says_how_long_slack_wants_to_be_left_alone(
    slack: responses.RequestsMock, header: str, seconds: int | None
) -> None:
    slack.post(URL, status=429, headers={"Retry-After": header})
    outcome = post()
    assert outcome.retry_after == seconds
    assert (f", for {seconds} s" in outcome.reason) == bool(seconds)


def test_an_answer_that_drips_in_is_no_answer(slack: responses.RequestsMock) -> None:
    slack.post(URL, body="o" * 100)
    clock = Clock(step=ANSWER_TIMEOUT / 5)
    outcome = Webhook(URL, clock=clock).post(MESSAGE)
    assert outcome.verdict is Verdict.UNAVAILABLE
    assert outcome.reason == "no answer from Slack (TimeoutError)"
    assert clock.now < 3 * ANSWER_TIMEOUT


def test_no_more_of_an_answer_is_read_than_it_needs(
    slack: responses.RequestsMock,
) -> None:
    slack.post(URL, body="ok" + " " * MAX_ANSWER + "not for us")
    assert meaning() == Outcome(Verdict.ACCEPTED, "ok", 200)


def test_no_connection_is_used_that_was_idle_for_long() -> None:
    clock = Clock()
    with slack_stub() as stub:
        webhook = Webhook(stub.url, clock=clock)
        for idle in (0, MAX_IDLE, MAX_IDLE + 0.1, MAX_IDLE):
            clock.now += idle
            assert webhook.post(MESSAGE).verdict is Verdict.ACCEPTED
    first, second, third, fourth = [post.port for post in stub.posts]
    assert first == second
    assert second != third
    assert third == fourth


# Whom it trusts, and whom it tells what.


@pytest.mark.parametrize(
    ("url", "authorization"),
    [
        (URL, None),
        (URL.replace("//", "//user:word@"), "Basic dXNlcjp3b3Jk"),
    ],
)
def test_only_the_url_authenticates_and_no_netrc(
    slack: responses.RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    url: str,
    authorization: str | None,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    answer = slack.post(url, body="ok")
    post(url)
    assert answer.calls[0].request.headers.get("Authorization") == authorization


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


TUNNEL = "Tunnel connection failed: {} Whatever"
NO_PROXY = (
    "HTTPS_PROXY cannot be used"
    " (give http://HOST:PORT; socks5:// needs the package PySocks)"
)
UNTRUSTED_CAUSE = ssl.SSLCertVerificationError("self-signed certificate")


@pytest.mark.parametrize(
    ("error", "verdict", "reason"),
    [
        (InvalidSchema("Missing dependencies"), Verdict.REFUSED, NO_PROXY),
        (InvalidProxyURL("no host"), Verdict.REFUSED, NO_PROXY),
        (
            LocationParseError(URL),
            Verdict.REFUSED,
            "SLACK_WEBHOOK_URL has no host that can be looked up",
        ),
        (
            raised_from(SSLError(URL), UNTRUSTED_CAUSE),
            Verdict.REFUSED,
            "the certificate of what answers is not trusted",
        ),
        (
            raised_from(ProxyError(URL), UNTRUSTED_CAUSE),
            Verdict.REFUSED,
            "the certificate of what answers is not trusted",
        ),
        (
            ProxyError(TUNNEL.format(407)),
            Verdict.REFUSED,
            "the proxy in HTTPS_PROXY refuses with 407",
        ),
        (
            ProxyError(TUNNEL.format(502)),
            Verdict.UNAVAILABLE,
            "no answer from the proxy in HTTPS_PROXY (ProxyError)",
        ),
    ],
)
def test_configuration_is_told_apart_from_weather(
    slack: responses.RequestsMock, error: Exception, verdict: Verdict, reason: str
) -> None:
    slack.post(URL, body=error)
    assert meaning() == Outcome(verdict, reason)


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        (
            "HTTPS_PROXY",
            "socks5://user:word@127.0.0.1:1",
            "HTTPS_PROXY cannot be used (give",
        ),
        (
            "https_proxy",
            "ftp://user:word@127.0.0.1:1",
            "https_proxy cannot be used (give",
        ),
        ("ALL_PROXY", "http://user:word@:80", "ALL_PROXY cannot be used (give"),
        ("REQUESTS_CA_BUNDLE", "/missing", "REQUESTS_CA_BUNDLE names no file of CA"),
        ("CURL_CA_BUNDLE", "/missing", "CURL_CA_BUNDLE names no file of CA"),
    ],
)
def test_a_wrong_variable_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(variable, value)
    outcome = post("https://127.0.0.1:9/")  # is not reached: what is wrong comes first
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.reason.startswith(reason)
    assert "word" not in outcome.reason
    assert "missing" not in outcome.reason
    assert "correct or remove that variable" in outcome.advice


@pytest.mark.parametrize("content", ["no certificate", None])
def test_a_proper_ca_bundle_is_not_blamed_for_other_failures(
    slack: responses.RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: str | None,
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is None:
        bundle.mkdir()
    else:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    slack.post(URL, body=SSLError(URL))
    assert (post().verdict is Verdict.REFUSED) == (content is not None)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert post().verdict is Verdict.UNAVAILABLE


@pytest.mark.parametrize("proxy", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_does_not_answer_is_weather_but_named(
    slack: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv(proxy, "http://user:word@127.0.0.1:1")
    slack.post(URL, body=ProxyError("http://user:word@127.0.0.1:1"))
    reason = f"no answer from the proxy in {proxy} (ProxyError)"
    assert meaning() == Outcome(Verdict.UNAVAILABLE, reason)


def test_an_empty_variable_is_not_blamed(
    slack: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    slack.post(URL, body=ProxyError(URL))
    assert "the proxy in ALL_PROXY" in post().reason


# What to do about it.


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (
            404,
            "no_service",
            "is gone: make a new one in Slack, and set W_X to it",
        ),
        (410, "channel_is_archived", "make a webhook for another one, and set W_X to"),
        (403, "action_prohibited", "an admin of your Slack does not allow this"),
        (404, "new_word", "check W_X: copy it again from Slack"),
        (404, "<html>", "may not be Slack's own; check W_X: copy it again from Slack"),
        (302, "", "may not be Slack's own; check W_X: copy it again from Slack"),
        (400, "", "may not be Slack's own; check W_X: copy it again from Slack"),
        (400, "no_text", "please report this as a bug"),
        (500, "", "wait; if it stays so, see https://slack-status.com"),
        (429, "", "wait; if this repeats, find what else posts through this Slack app"),
    ],
)
def test_advice(
    slack: responses.RequestsMock, status: int, body: str, says: str
) -> None:
    slack.post(URL, status=status, body=body)
    assert says in Webhook(URL, "W_X").post(MESSAGE).advice


@pytest.mark.parametrize("word", ADVICE)
def test_every_error_with_advice_is_told_apart_from_a_malformed_message(
    slack: responses.RequestsMock, word: str
) -> None:
    slack.post(URL, status=400, body=word)
    assert meaning() == Outcome(Verdict.REFUSED, word, 400)


@pytest.mark.parametrize(
    "location", ["/elsewhere", "http://[::1/x", "https://x.example/"]
)
def test_a_redirect_is_refused_and_its_body_is_not_read(
    location: str,
) -> None:
    with slack_stub() as stub:
        big = "x" * 20_000_000
        stub.script(Answer(302, big, {"Location": location}))
        outcome = Webhook(stub.url).post(MESSAGE)
    assert (outcome.verdict, outcome.reason) == (Verdict.REFUSED, "HTTP 302")
