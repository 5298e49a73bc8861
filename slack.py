"""Slack: one message posted to the incoming webhook, and what Slack's answer means.

https://api.slack.com/messaging/webhooks. The webhook's URL is the credential, so
nothing here lets an exception out: those of requests and urllib3 quote it.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from errno import ETIMEDOUT
from itertools import islice

import requests
from requests.utils import get_auth_from_url

from message import Message, encode
from outcome import Outcome, Verdict

Clock = Callable[[], float]  # seconds

# Seconds for each address of the host. TCP sends a lost first packet again after 3, and
# requests' documentation advises to wait a little longer than that.
CONNECT_TIMEOUT = 3.05
# Seconds for looking up the host's name and connecting to it, all addresses together: a
# large host has eight that may all lead nowhere. A post that took longer is not sent.
MAX_CONNECT = 30.0
# Seconds without a byte of the answer. Slack may accept a message that late, and if we
# do not hear it we post the message again.
READ_TIMEOUT = 50.0
# Seconds from the head of Slack's answer to its end: `ok` comes together with it.
ANSWER_TIMEOUT = 5.0
# Seconds. Routers forget a connection without a word if it is idle for minutes (Azure's
# load balancer: 4). One connection a message would be simplest, but a new one with TLS
# takes 20 ms instead of 2 (p50, loopback).
MAX_IDLE = 2.0
MAX_ANSWER = 1000  # bytes of Slack's answer that are read; its words are short
MAX_HOLD = 600  # seconds; the longest Retry-After that is honoured
# Slack and Mattermost answer `ok`, Rocket.Chat this JSON.
ACCEPTED_ANSWERS = ("ok", '{"success":true}')

_GONE = "the webhook is gone: make a new one in Slack, and set {variable} to it"
_FORBIDDEN = (
    "an admin of your Slack does not allow this: ask them, or make a webhook for"
    " another channel"
)
_NO_CHANNEL = (
    "the channel is gone: make a webhook for another one, and set {variable} to it"
)
# Slack's words about the webhook, whatever status they come with, and what to do about
# each: https://api.slack.com/messaging/webhooks#handling_errors. All other words are
# judged by the status.
WEBHOOK_WORDS = {
    "no_service": _GONE,
    "no_service_id": _GONE,
    "no_team": _GONE,
    "no_active_hooks": _GONE,
    "invalid_token": _GONE,
    "user_not_found": _GONE,
    "action_prohibited": _FORBIDDEN,
    "posting_to_general_channel_denied": _FORBIDDEN,
    "team_disabled": _FORBIDDEN,
    "channel_not_found": _NO_CHANNEL,
    "channel_is_archived": _NO_CHANNEL,
}
_CHECK_URL = "check {variable}: copy it again from Slack, https://api.slack.com/apps"
_NOT_SLACKS = f"this answer may not be Slack's own; {_CHECK_URL}, and see what answers"
_NOT_SHOWN = "alerts whose counts are refused too are not shown"
_REPORT = f"please report this as a bug; {_NOT_SHOWN}"
_ASK_ADMIN = f"ask an admin of your Slack what it does not allow; {_NOT_SHOWN}"
_LIMITED = "wait; if this repeats, find what else posts through this Slack app"
_WAIT = "wait; if it stays so, see https://slack-status.com and this machine's network"
# Beginnings of exceptions' texts that quote nothing.
_KNOWN = (
    "Tunnel connection failed: [0-9]+|Could not find a suitable TLS CA certificate"
    " bundle|Remote end closed connection without response"
)
# What a post failed by without an answer, where waiting does not help, and what to do.
LASTING = {
    r".*certificate verify failed": (
        "check the host, this machine's clock, and its CA certificates"
        " (REQUESTS_CA_BUNDLE can name a file of those to trust)"
    ),
    r".*TLS CA certificate bundle|SSLError: Permission|\w+: \[X509": (
        "correct or remove REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE: it names no file of CA"
        " certificates; then start the service again"
    ),
    # The webhook's own URL has passed requests' checks at the start.
    r"Invalid(URL|Schema|Proxy)|"
    r"ProxyError: (Tunnel.*: 4|.*wrong version|.*record layer)": (
        "correct {proxy} (http://HOST:PORT; socks5:// needs the package PySocks), or"
        " remove it; then start the service again"
    ),
    r"SSLError: .*(wrong version|record layer)": (
        "what answers speaks HTTP, not HTTPS: check the host and port in {variable}"
    ),
    "LocationParseError": "check the host in {variable}, and in {proxy} if it is set",
}


class Session(requests.Session):
    """A session that follows no redirect.

    If it is left to requests, the body of a redirect is read without any limit, even
    with `allow_redirects=False`.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """There is none: nobody else is to get the message."""


@dataclass
class Body:
    """A message's bytes, which requests asks for once it has connected.

    So it is known how long connecting took: requests tries all addresses of a host, and
    its timeout is for each. `advice` says what to do if one at least did not answer. If
    it took too long, the outbox may have given the post up: it must not arrive then.
    """

    content: bytes
    clock: Clock
    started: float
    advice: str = ""

    def __len__(self) -> int:
        """For the Content-Length: without it, requests would send chunks."""
        return len(self.content)

    def __iter__(self) -> Iterator[bytes]:
        """The bytes; raises TimeoutError."""
        seconds = self.clock() - self.started
        took = f"connecting took {seconds:.0f} s"
        if seconds > MAX_CONNECT:
            raise TimeoutError(ETIMEDOUT, took)
        if seconds > CONNECT_TIMEOUT:
            self.advice = (
                f"{took}: check DNS, the IPv6 route, and a proxy if there is one"
            )
        yield self.content


class Webhook:
    """Posts messages to one incoming webhook.

    `variable` is the environment variable that has its URL, for the advice.
    """

    def __init__(
        self,
        url: str,
        variable: str = "SLACK_WEBHOOK_URL",
        clock: Clock = time.monotonic,
    ) -> None:
        self._url = url
        self._variable = variable
        self._proxy = _proxy_variable(url)
        self._clock = clock
        self._session = Session()
        # If it is left to itself, requests looks in ~/.netrc too:
        # https://requests.readthedocs.io/en/latest/user/authentication/
        self._session.auth = lambda request: request
        if "@" in url:
            self._session.auth = get_auth_from_url(url)
        self._used = clock()  # when the connection was last used

    def post(self, message: Message) -> Outcome:
        """Post a message; returns what Slack made of it, and what to do about it.

        An accepted one has advice too if connecting was slow.
        """
        body = Body(encode(message), self._clock, self._clock())
        outcome = self._post(body)
        self._used = self._clock()
        advice = outcome.advice.format(variable=self._variable, proxy=self._proxy)
        return replace(outcome, advice=advice or body.advice)

    def _post(self, body: Body) -> Outcome:
        if self._clock() > self._used + MAX_IDLE:
            self._session.close()  # the next post opens a new connection
        try:
            with self._session.post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json; charset=utf-8"},
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                allow_redirects=False,
                stream=True,
            ) as response:
                return _outcome(response, self._read_answer(response))
        except Exception as error:  # also what urllib3 raises past requests
            return _failure(error, self._proxy)

    def _read_answer(self, response: requests.Response) -> str:
        """The beginning of an answer's body; raises TimeoutError if it takes long.

        The timeout of a socket is for each read. Without a limit to the whole, an
        answer that comes in byte by byte would last for hours.
        """
        until = self._clock() + ANSWER_TIMEOUT
        answer = b""
        for byte in islice(response.iter_content(1), MAX_ANSWER):
            answer += byte
            if self._clock() > until:
                raise TimeoutError(ETIMEDOUT, "its answer has no end")
        return answer.decode(errors="replace").strip()


def _outcome(response: requests.Response, answer: str) -> Outcome:
    """What Slack's answer means.

    https://api.slack.com/messaging/webhooks#handling_errors
    """
    status = response.status_code
    if status == 200 and answer in ACCEPTED_ANSWERS:
        return Outcome(Verdict.ACCEPTED, "ok", status)
    # Only a word of Slack's own form is passed on: a proxy's error page may quote the
    # URL.
    word = answer if re.fullmatch("[a-z][a-z_]{2,60}", answer) else ""
    reason = word or f"HTTP {status}"
    if word in WEBHOOK_WORDS:
        advice = WEBHOOK_WORDS[word]
        return Outcome(Verdict.REFUSED, word, status, advice=advice)
    if status == 429:
        return _limited(response.headers.get("Retry-After", "").strip())
    # Mattermost answers 501 where webhooks are turned off: that does not pass.
    if status == 408 or (status >= 500 and status != 501):
        reason = f"Slack failed: {reason}"
        return Outcome(Verdict.UNAVAILABLE, reason, status, advice=_WAIT)
    verdict = Verdict.REFUSED
    advice = _CHECK_URL
    # Other words are about the message, which a proxy on the way may refuse too.
    if status in (400, 403, 413):
        verdict = Verdict.MALFORMED
        advice = _ASK_ADMIN if status == 403 else _REPORT
    if not word:
        advice = _NOT_SLACKS
    return Outcome(verdict, reason, status, advice=advice)


def _limited(retry_after: str) -> Outcome:
    """The outcome of a message over Slack's rate limit, with its Retry-After header.

    https://docs.slack.dev/apis/web-api/rate-limits documents whole seconds.
    """
    reason = "Slack's rate limit is reached"
    hold = None
    if re.fullmatch("[1-9][0-9]{0,8}", retry_after):
        hold = min(int(retry_after), MAX_HOLD)
        reason += f", for {hold} s"
    return Outcome(Verdict.UNAVAILABLE, reason, 429, hold, _LIMITED)


def _failure(error: Exception, proxy: str) -> Outcome:
    """What it means that there is no answer: mostly weather, which passes.

    `proxy` is the environment variable of the proxy.
    """
    fault = _fault(error)
    if os.environ.get(proxy, "").startswith(("'", '"')):
        fault = "InvalidURL: it is in quotes"
    who = "Slack"
    if re.match("Proxy|Invalid(URL|Schema|Proxy)", fault):
        who = f"the proxy in {proxy}"
    reason = f"no answer from {who} ({fault})"
    for lasting, advice in LASTING.items():
        if re.match(lasting, fault):
            return Outcome(Verdict.REFUSED, reason, advice=advice)
    return Outcome(Verdict.UNAVAILABLE, reason, advice=_WAIT)


def _fault(error: Exception) -> str:
    """What an exception is, and why, such as `ConnectionError: Connection refused`.

    requests wraps exceptions of urllib3, which wrap those of Python. Only words of the
    system and of OpenSSL, and known ones, are handed on: others quote the URL, or what
    a proxy wrote.
    """
    fault = type(error).__name__
    behind: BaseException | None = error
    while behind:
        known = re.match(_KNOWN, str(behind))
        words = known[0] if known else getattr(behind, "strerror", None)
        if words:
            fault = f"{type(error).__name__}: {words}"
        behind = behind.__context__
    return fault


def _proxy_variable(url: str) -> str:
    """The environment variable that says by which proxy requests posts to a URL.

    https://requests.readthedocs.io/en/latest/user/advanced/#proxies
    """
    scheme = url.partition(":")[0]
    name = f"{scheme}_proxy"
    for variable in (name, name.upper(), "all_proxy", "ALL_PROXY"):
        if os.environ.get(variable):
            return variable
    return name.upper()
