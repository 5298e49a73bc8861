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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from flask import Response, request
from werkzeug import exceptions as http
from werkzeug.datastructures import WWWAuthenticate

from channels import Channels
from events import (
    NO_EVENT,
    TOO_LARGE,
    TOO_MANY,
    CompressedDelivery,
    EventReader,
    UnreadableDelivery,
)
from filters import Routed, Router
from health import in_channel
from logs import facts, types_of
from outbox import Delivery
from outcome import Outcome, Verdict

BUDGET = 9.0  # seconds until the answer, for 10 at the most; Heroku's router gives 30
LARGE_BODY = 256 * 1024  # bytes; Auth0's are mostly under 100 kB
MAX_QUEUE = 8  # large bodies that wait to be read
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
_places_in_the_queue = threading.Semaphore(MAX_QUEUE)  # for it; each holds a thread


@dataclass
class Record:
    """What the log says about a delivery; what is None is not said."""

    events: int | None = None
    alerts: int | None = None
    types: str | None = None
    skipped: int | None = None  # items that could not be read
    ignored: int | None = None  # by ALERT_IGNORE
    repeated: int | None = None  # alerts that were posted or collected before
    collected: int | None = None
    slack: int | str | None = None  # Slack's HTTP status
    reason: str | None = None


def has_token(token: str, authorization: str) -> bool:
    """Whether an Authorization header has the token, as it is or after `Bearer`.

    An empty token lets everybody in.
    """
    if not token:
        return True
    # WSGI hands headers over as Latin-1 (PEP 3333), and compare_digest takes only bytes
    # beyond ASCII.
    header = authorization.encode("latin-1", "replace").strip()
    bearer = re.sub(rb"^bearer\s+", b"", header, flags=re.IGNORECASE)
    expected = token.encode()
    is_plain = hmac.compare_digest(header, expected)
    is_bearer = hmac.compare_digest(bearer, expected)
    return is_plain or is_bearer


def receive(token: str, router: Router, channels: Channels) -> Response:
    """Take the current request's delivery and answer it.

    `token` is what the Authorization header must have, or empty: then anyone may post.
    docs/troubleshooting.md says what is answered when.
    """
    # Our worker says when the request was whole; it may have waited for a thread since.
    started = request.environ.get("connections.whole_since", time.monotonic())
    record = Record()
    try:
        response = _deliver(token, router, channels, started + BUDGET, record)
    except http.HTTPException as error:
        response = answer_to_error(error)
        record.reason = repr(response.get_data(as_text=True).strip())
    _log(record, response.status_code, time.monotonic() - started)
    return response


def answer(status: int, body: str = "") -> Response:
    """A response of one line of plain text, or of none."""
    if body:
        return Response(f"{body}\n", status, mimetype="text/plain")
    response = Response("", status)
    del response.headers["Content-Type"]
    return response


def answer_to_error(error: http.HTTPException) -> Response:
    """The response that says what is wrong with a request."""
    code = error.code or 500
    response = answer(code, HINTS.get(code, error.description or error.name))
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers.add(name, value)
    return response


def _log(record: Record, status: int, seconds: float) -> None:
    """Write the delivery's line: a WARNING if Auth0 is to send it again."""
    said = facts({"status": status, **vars(record), "ms": round(seconds * 1000)})
    level = logging.WARNING if status >= 400 else logging.INFO
    log.log(level, f"delivery {said}")


def _deliver(
    token: str,
    router: Router,
    channels: Channels,
    deadline: float,
    record: Record,
) -> Response:
    """Answer a delivery, and note for the log what was in it; raises HTTPException."""
    _check_authorization(token)
    _check_server(request.environ.get("SERVER_SOFTWARE", "an unknown server"))
    routed = _read_alerts(router, deadline, record)
    channels.health.note_delivery()
    if not routed.counts:
        return answer(204)
    deliveries = channels.deliver(routed.by_channel, deadline)
    # Of an alert for two channels the log counts one.
    record.collected = max(one.collected for one in deliveries.values())
    record.repeated = max(one.repeated for one in deliveries.values()) or None
    return _answer_to_deliveries(deliveries, record)


def _check_authorization(token: str) -> None:
    """Raise Unauthorized unless the request has the token."""
    authorization = request.environ.get("HTTP_AUTHORIZATION", "")
    if has_token(token, authorization):
        return
    reason = "the Authorization header is not the token"
    if not authorization:
        reason = "the Authorization header is missing"
    raise http.Unauthorized(reason, www_authenticate=WWWAuthenticate("bearer"))


@cache  # so that it is said once
def _check_server(server: str) -> None:
    """Warn where another server than ours runs the application."""
    if not server.startswith(OUR_SERVERS):
        log.warning(
            f"{server} runs the service, not the Procfile's command: alerts can be lost"
            ' or doubled; start gunicorn "app:create_app()" in the project\'s folder,'
            " where gunicorn.conf.py is"
        )


def _read_alerts(router: Router, deadline: float, record: Record) -> Routed:
    """The alerts in the request's body. It is freed before the alerts wait."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise http.UnsupportedMediaType("the body is compressed: send it as it is")
    # Our worker holds the body too.
    free_body = request.environ.get("connections.free_body", _do_nothing)
    with _turn_to_read(deadline):
        try:
            events = EventReader(request.get_data(cache=False))
            free_body()
            routed = router.route(events)
        except CompressedDelivery as error:
            raise http.UnsupportedMediaType(str(error)) from error
        except UnreadableDelivery as error:
            raise http.BadRequest(str(error)) from error
    record.events = events.read
    record.alerts = routed.counts.total()
    record.types = types_of(routed.counts) or None
    record.skipped = events.skipped or None
    record.ignored = routed.ignored or None
    if events.skipped:
        log.warning("delivery skipped=%d items: %s", events.skipped, NO_EVENT)
    return routed


def _do_nothing() -> None:
    pass


@contextmanager
def _turn_to_read(deadline: float) -> Iterator[None]:
    """Let one large body be read at a time.

    Reading a body takes several times its size in memory, and reading two at a time is
    not faster. Raises ServiceUnavailable if its turn does not come by the deadline.
    """
    if (request.content_length or 0) <= LARGE_BODY:
        yield
        return
    busy = http.ServiceUnavailable(TOO_MANY, retry_after=1)
    if not _places_in_the_queue.acquire(blocking=False):
        raise busy
    try:
        if not _large_body.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise busy
        try:
            yield
        finally:
            _large_body.release()
    finally:
        _places_in_the_queue.release()


def _answer_to_deliveries(
    deliveries: Mapping[str, Delivery],
    record: Record,
) -> Response:
    """What became of a delivery in all channels, or the worst of it.

    Raises BadGateway or ServiceUnavailable where a channel does not have its alerts.
    """
    outcomes = {}
    for label, delivery in deliveries.items():
        # Each has its outcome now; the other one is for the type checker.
        outcomes[label] = delivery.outcome or Outcome(Verdict.UNAVAILABLE)
    worst = max(outcomes.values(), key=_badness)
    record.slack = worst.status or "none"
    if worst.verdict is Verdict.ACCEPTED:
        return answer(200, "; ".join(_what_was_collected(deliveries)) or "ok")
    said = []
    for label, outcome in outcomes.items():
        if outcome.verdict is Verdict.UNAVAILABLE:
            reason = f"{outcome.reason}; please send it again"
            said.append(in_channel(label, reason))
        elif outcome.verdict is not Verdict.ACCEPTED:
            said.append(in_channel(label, f"{outcome.reason}: {outcome.advice}"))
    if worst.verdict is not Verdict.UNAVAILABLE:
        raise http.BadGateway("; ".join(said))
    raise http.ServiceUnavailable(
        "; ".join(said), retry_after=_seconds_to_retry(deliveries)
    )


def _seconds_to_retry(deliveries: Mapping[str, Delivery]) -> int:
    """After how long the last of the channels that are not ready may be ready."""
    waits = [1.0]
    for delivery in deliveries.values():
        if delivery.outcome and delivery.outcome.verdict is Verdict.UNAVAILABLE:
            waits.append(delivery.wait_seconds)
    return math.ceil(max(waits))


def _badness(outcome: Outcome) -> int:
    """How bad an outcome is; worst is what does not pass until somebody acts."""
    if outcome.verdict is Verdict.ACCEPTED:
        return 0
    if outcome.verdict is Verdict.UNAVAILABLE:
        return 1
    return 2


def _what_was_collected(deliveries: Mapping[str, Delivery]) -> list[str]:
    """For each channel that has collected alerts, how many, and when they go out."""
    said = []
    for label, delivery in deliveries.items():
        count = delivery.collected
        if count:
            by = datetime.now(UTC) + timedelta(seconds=math.ceil(delivery.wait_seconds))
            what = "1 alert" if count == 1 else f"{count} alerts"
            when = f"will be counted in the next message, by {by:%H:%M:%S} UTC"
            said.append("ok: " + in_channel(label, f"{what} {when}"))
    return said
