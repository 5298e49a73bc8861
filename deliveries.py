"""Deliveries: from a request of Auth0's to an honest answer.

What flows is bytes, events (events.py), alerts (filters.py), a message in each channel
that takes them (channels.py), and an outcome. The answer is 2xx only once each channel
has shown the alerts, or has collected them because it has shown their log types before.
Auth0 sends again what is answered anything else.
"""

import hmac
import logging
import math
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flask import Response, request
from werkzeug import exceptions as http
from werkzeug.datastructures import WWWAuthenticate

from channels import Channels, in_channel
from events import (
    NO_EVENT,
    TOO_LARGE,
    TOO_MANY,
    CompressedDelivery,
    EventReader,
    UnreadableDelivery,
)
from filters import Routed, Router
from health import Health
from logs import HourlyWarnings, facts, types_of
from outbox import Entry
from outcome import Verdict

BUDGET = 9.0  # seconds until the answer; the README promises 10, Heroku gives 30
LARGE_BODY = 256 * 1024  # bytes; Auth0's are mostly under 100 kB
# The servers that keep the promise of one process: worker.py's, and `flask run`.
OUR_SERVERS = ("auth0-logs-to-slack", "Werkzeug/")
# What is said instead of werkzeug's words, by the answer's status.
HINTS = {
    404: "deliveries go to POST /api/logs",
    405: "this path takes another method; deliveries go to POST /api/logs",
    413: TOO_LARGE,
}

log = logging.getLogger(__name__)
_large_body = threading.Lock()
_warnings = HourlyWarnings()


def has_token(token: str, authorization: str) -> bool:
    """Whether an Authorization header has the token, as it is or after `Bearer`.

    An empty token lets everybody in.
    """
    if not token:
        return True
    # WSGI hands headers over as Latin-1 (PEP 3333), and compare_digest needs bytes for
    # text that is not ASCII.
    header = authorization.encode("latin-1", "replace").strip()
    sent = re.sub(rb"^bearer\s+", b"", header, flags=re.IGNORECASE)
    return hmac.compare_digest(sent, token.encode())


def receive(token: str, router: Router, channels: Channels, health: Health) -> Response:
    """Take the current request's delivery and answer it.

    `token` is what the Authorization header must have, or empty: then anyone may post.
    docs/troubleshooting.md says what is answered when.
    """
    # Our worker says when the request was whole; it may have waited for a thread since.
    started = request.environ.get("connections.whole_since", time.monotonic())
    said: dict[str, object] = {}
    try:
        _check_authorization(token)
        _warn_of_server(request.environ.get("SERVER_SOFTWARE", "an unknown server"))
        events, routed = _read_alerts(router, started + BUDGET)
        said = _what_came(events, routed)
        health.note_delivery()
        entries = channels.deliver(routed.by_channel, started + BUDGET)
        response = answer(204)
        if entries:
            said |= _what_became(entries)
            response = _answer_to(entries)
    except http.HTTPException as error:
        response = answer_to_error(error)
        said["reason"] = repr(response.get_data(as_text=True).strip())
    status = response.status_code
    milliseconds = round((time.monotonic() - started) * 1000)
    # A WARNING if Auth0 is to send it again.
    level = logging.WARNING if status >= 400 else logging.INFO
    line = facts({"status": status, **said, "ms": milliseconds})
    log.log(level, f"delivery {line}")
    return response


def answer(status: int, body: str = "") -> Response:
    """A response of one line of plain text, or of none, which no cache keeps."""
    response = Response(f"{body}\n" if body else "", status, mimetype="text/plain")
    response.headers["Cache-Control"] = "no-store"
    if not body:
        del response.headers["Content-Type"]
    return response


def answer_to_error(error: http.HTTPException) -> Response:
    """The response that says what is wrong with a request."""
    code = error.code or 500
    response = answer(code, HINTS.get(code, error.description or error.name))
    _content_type, *headers = error.get_headers()
    response.headers.extend(headers)
    return response


def _what_came(events: EventReader, routed: Routed) -> dict[str, object]:
    """What the log says of what was in a delivery."""
    if events.skipped:
        log.warning("delivery skipped=%d items: %s", events.skipped, NO_EVENT)
    return {
        "events": events.read,
        "alerts": routed.counts.total(),
        "types": types_of(routed.counts),
        "skipped": events.skipped or None,
        "ignored": types_of(routed.ignored),
    }


def _what_became(entries: Mapping[str, Entry]) -> dict[str, object]:
    """What the log says of what became of the alerts, of which there are some."""
    # An alert for two channels counts once.
    repeated = max(entry.repeated for entry in entries.values())
    collected = max(entry.collected for entry in entries.values())
    statuses = []
    for entry in entries.values():
        status = entry.outcome.status or "none"
        statuses.append(str(status))
    return {
        "repeated": repeated or None,
        "collected": collected,
        "slack": ",".join(statuses),
    }


def _check_authorization(token: str) -> None:
    """Raise Unauthorized unless the request has the token."""
    authorization = request.environ.get("HTTP_AUTHORIZATION", "")
    if has_token(token, authorization):
        return
    reason = "the Authorization header does not match the token"
    if not authorization:
        reason = "the Authorization header is missing"
    raise http.Unauthorized(reason, www_authenticate=WWWAuthenticate("bearer"))


def _warn_of_server(server: str) -> None:
    """Warn where another server than ours runs the application."""
    if not server.startswith(OUR_SERVERS):
        _warnings.warn(
            f"{server} runs the service, not the Procfile's command: alerts can be lost"
            ' or doubled; start gunicorn "app:create_app()" in the project\'s folder,'
            " where gunicorn.conf.py is"
        )


def _read_alerts(router: Router, deadline: float) -> tuple[EventReader, Routed]:
    """The events in the request's body, which is freed, and the alerts among them."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise http.UnsupportedMediaType("the body is compressed: send it as it is")
    # Our worker holds the body too.
    free_body = request.environ.get("connections.free_body", lambda: None)
    with _turn_to_read(deadline):
        try:
            events = EventReader(request.get_data(cache=False))
            free_body()
            return events, router.route(events)
        except CompressedDelivery as error:
            raise http.UnsupportedMediaType(str(error)) from error
        except UnreadableDelivery as error:
            raise http.BadRequest(str(error)) from error


@contextmanager
def _turn_to_read(deadline: float) -> Iterator[None]:
    """Let one large body be read at a time.

    Reading a body takes several times its size in memory, and reading two at a time is
    not faster. Raises ServiceUnavailable if its turn does not come by the deadline.
    """
    if (request.content_length or 0) <= LARGE_BODY:
        yield
        return
    if not _large_body.acquire(timeout=max(deadline - time.monotonic(), 0)):
        raise http.ServiceUnavailable(TOO_MANY, retry_after=1)
    try:
        yield
    finally:
        _large_body.release()


def _answer_to(entries: Mapping[str, Entry]) -> Response:
    """What became of a delivery in all channels, or the worst of it.

    Raises ServiceUnavailable where a channel does not have its alerts. What Slack
    refuses is answered 503 too, because Cloudflare replaces a 502 by a page of its own.
    """
    said = []
    wrong = []
    retry_after = 1.0
    is_refused = False
    for label, entry in entries.items():
        outcome = entry.outcome
        if outcome.verdict is Verdict.UNAVAILABLE:
            wrong.append(in_channel(label, f"{outcome.reason}; please send it again"))
            retry_after = max(retry_after, outcome.retry_after or 0)
        elif outcome.verdict is not Verdict.ACCEPTED:
            wrong.append(in_channel(label, f"{outcome.reason}: {outcome.advice}"))
            is_refused = True
        elif entry.collected:
            what = "1 alert" if entry.collected == 1 else f"{entry.collected} alerts"
            what += " will be counted in the next message"
            said.append("ok: " + in_channel(label, what))
    if not wrong:
        return answer(200, "; ".join(said) or "ok")
    raise http.ServiceUnavailable(
        "; ".join(wrong), retry_after=None if is_refused else math.ceil(retry_after)
    )
