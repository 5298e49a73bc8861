"""Slack: one message posted to the incoming webhook, and what Slack's answer means.

https://api.slack.com/messaging/webhooks. The webhook's URL is the credential, so
nothing here lets an exception out: those of requests and urllib3 quote it.
"""

import os
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import requests
from requests.auth import HTTPBasicAuth
from requests.exceptions import InvalidSchema, InvalidURL, ProxyError, SSLError
from requests.utils import get_auth_from_url
from urllib3.exceptions import LocationValueError

from message import Message, encode
from outcome import Outcome, Verdict

# Seconds. TCP sends a lost first packet again after 3, and requests' documentation
# advises to wait a little longer than that.
CONNECT_TIMEOUT = 3.05
# Seconds. Slack may accept a message that late, and if we do not hear it we post the
# message again. Must be less than the outbox's LOST_AFTER.
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

_WORD = re.compile(r"[a-z][a-z_]{2,60}")
# What to do about each word of
# https://api.slack.com/messaging/webhooks#handling_errors.
_GONE = "the webhook is gone: make a new one in Slack, and set {variable} to it"
_FORBIDDEN = (
    "an admin of your Slack does not allow this: ask them, or make a webhook for"
    " another channel"
)
_NO_CHANNEL = (
    "the channel is gone: make a webhook for another one, and set {variable} to it"
)
ADVICE = {
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
UNTRUSTED = "the certificate of what answers is not trusted"


class Session(requests.Session):
    """A session that follows no redirect.

    If it is left to requests, the body of a redirect is read without any limit, even
    with `allow_redirects=False`.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """There is none: nobody else is to get the message."""


class Webhook:
    """Posts messages to one incoming webhook.

    `variable` is the environment variable that has its URL, for the advice.
    """

    def __init__(
        self,
        url: str,
        variable: str = "SLACK_WEBHOOK_URL",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._variable = variable
        self._clock = clock
        self._session = Session()
        self._session.auth = _authenticate
        self._used = clock()  # when the connection was last used

    def post(self, message: Message) -> Outcome:
        """Post a message; returns what Slack made of it, and what to do about it."""
        outcome = self._post(message)
        if outcome.verdict is Verdict.ACCEPTED:
            return outcome
        advice = _advice(outcome).format(variable=self._variable)
        return replace(outcome, advice=advice)

    def _post(self, message: Message) -> Outcome:
        if self._clock() > self._used + MAX_IDLE:
            self._session.close()  # the next post opens a new connection
        try:
            with self._session.post(
                self._url,
                data=encode(message),
                headers={"Content-Type": "application/json; charset=utf-8"},
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                allow_redirects=False,
                stream=True,
            ) as response:
                return _outcome(response, self._read_answer(response))
        except Exception as error:  # also what urllib3 raises past requests
            return _failure(error, self._url)
        finally:
            self._used = self._clock()

    def _read_answer(self, response: requests.Response) -> str:
        """The beginning of an answer's body; raises TimeoutError if it takes long.

        The timeout of a socket is for each read. Without a limit to the whole, an
        answer that comes in byte by byte would last for hours.
        """
        until = self._clock() + ANSWER_TIMEOUT
        answer = b""
        for byte in response.iter_content(1):
            answer += byte
            if len(answer) >= MAX_ANSWER:
                break
            if self._clock() > until:
                raise TimeoutError
        return answer.decode(errors="replace").strip()


def _advice(outcome: Outcome) -> str:
    """What a person should do about a message that Slack did not accept."""
    if outcome.status == 429:
        return "wait; if this repeats, find what else posts through this Slack app"
    if outcome.verdict is Verdict.UNAVAILABLE:
        return (
            "wait; if it stays so, see https://slack-status.com and this machine's"
            " network"
        )
    if outcome.reason == UNTRUSTED:
        return (
            "check the host in {variable}, this machine's clock, and its CA"
            " certificates (REQUESTS_CA_BUNDLE can name a file of those to trust)"
        )
    if outcome.verdict is Verdict.REFUSED and outcome.status is None:
        return "correct or remove that variable, and start the service again"
    if outcome.reason == f"HTTP {outcome.status}":
        return f"this answer may not be Slack's own; {_CHECK_URL}, and see what answers"
    if outcome.verdict is Verdict.MALFORMED:
        return (
            "Slack took neither the message nor one of mere counts, so these alerts are"
            " not shown; please report this as a bug"
        )
    return ADVICE.get(outcome.reason, _CHECK_URL)


def _authenticate(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticate as the URL says. If left to itself, requests looks in ~/.netrc too.

    https://requests.readthedocs.io/en/latest/user/authentication/#netrc-authentication
    """
    user, password = get_auth_from_url(request.url or "")
    if user or password:
        HTTPBasicAuth(user, password)(request)
    return request


def _outcome(response: requests.Response, answer: str) -> Outcome:
    """What Slack's answer means.

    https://api.slack.com/messaging/webhooks#handling_errors
    """
    status = response.status_code
    if status == 200 and answer in ACCEPTED_ANSWERS:
        return Outcome(Verdict.ACCEPTED, "ok", status)
    # Only a word of Slack's own form is passed on: a proxy's error page may quote the
    # URL.
    reason = answer if _WORD.fullmatch(answer) else f"HTTP {status}"
    if status == 429:
        return _limited(response.headers.get("Retry-After", "").strip())
    if status >= 500 or status == 408:
        return Outcome(Verdict.UNAVAILABLE, f"Slack failed: {reason}", status)
    # A word that has advice is about the webhook. Any other is about the message, which
    # a proxy on the way may refuse too.
    if status in (400, 403, 413) and reason not in ADVICE:
        return Outcome(Verdict.MALFORMED, reason, status)
    return Outcome(Verdict.REFUSED, reason, status)


def _limited(retry_after: str) -> Outcome:
    """The outcome of a message over Slack's rate limit, with its Retry-After header.

    https://docs.slack.dev/apis/web-api/rate-limits documents whole seconds.
    """
    reason = "Slack's rate limit is reached"
    if not re.fullmatch("[0-9]{1,9}", retry_after):
        return Outcome(Verdict.UNAVAILABLE, reason, 429)
    hold = min(int(retry_after), MAX_HOLD)
    if hold:
        reason += f", for {hold} s"
    return Outcome(Verdict.UNAVAILABLE, reason, 429, hold)


def _failure(error: Exception, url: str) -> Outcome:
    """What it means that there is no answer: mostly weather, which passes."""
    fault = _misconfiguration(error, url)
    if fault:
        return Outcome(Verdict.REFUSED, fault)
    who = "Slack"
    if isinstance(error, ProxyError):
        who = f"the proxy in {_proxy_variable(url)}"
    reason = f"no answer from {who} ({type(error).__name__})"
    return Outcome(Verdict.UNAVAILABLE, reason)


def _misconfiguration(error: Exception, url: str) -> str:
    """What stays wrong until somebody corrects it, without its value; or empty.

    https://requests.readthedocs.io/en/latest/user/advanced/ ("SSL Cert Verification",
    "Proxies") says which environment variables requests obeys.
    """
    if _is_untrusted(error):
        return UNTRUSTED
    # For a file that is missing, requests raises a bare OSError.
    if type(error) is OSError or isinstance(error, SSLError):
        variable = _first_set("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        if variable and not _holds_certificates(os.environ[variable]):
            return f"{variable} names no file of CA certificates"
    refusal = re.search("Tunnel connection failed: (4[0-9]{2})", str(error))
    if refusal:
        return f"the proxy in {_proxy_variable(url)} refuses with {refusal[1]}"
    if isinstance(error, InvalidURL | InvalidSchema):
        # The webhook's own URL has passed the same checks at the start.
        hint = "give http://HOST:PORT; socks5:// needs the package PySocks"
        return f"{_proxy_variable(url)} cannot be used ({hint})"
    if isinstance(error, LocationValueError):
        return "SLACK_WEBHOOK_URL has no host that can be looked up"
    return ""


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether an exception comes from a certificate that is not to be trusted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _holds_certificates(path: str) -> bool:
    if os.path.isdir(path):
        return True
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # an SSLError is one too
        return False
    return True


def _proxy_variable(url: str) -> str:
    """The environment variable that says by which proxy to post to a URL."""
    name = f"{urlsplit(url).scheme}_proxy"
    return _first_set(name, name.upper(), "all_proxy", "ALL_PROXY") or name.upper()


def _first_set(*variables: str) -> str:
    """The first of these environment variables that is set, or empty."""
    for variable in variables:
        if os.environ.get(variable):
            return variable
    return ""
