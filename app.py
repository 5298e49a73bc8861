"""The web application: Auth0's deliveries in, an honest answer out.

POST /api/logs    bytes, events (events.py), alerts (filters.py), message (message.py), outcome
                  (outbox.py, slack.py): 2xx only once Slack has said `ok` to every alert, or has
                  shown its log type before and the alert is counted in the next digest.
GET  /healthz     answers `ok`, and touches nothing: for the platform.
GET  /status      says whether Slack takes the messages: for a monitor.
flask send-test   posts a sample alert through the configured webhook.
"""

import atexit
import hmac
import logging
import math
import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from flask import Flask, Response, request
from werkzeug import exceptions as http
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException

import console
from alerts import Alert, read_alert
from events import NO_EVENT, UnreadableDelivery, read_events
from logs import configure
from message import build_message
from outbox import Outbox
from settings import CONSOLE, Settings, read_settings
from slack import Outcome, Verdict, Webhook, advice
from status import Status

MAX_BODY = 10 * 1024 * 1024  # bytes; Auth0 documents no limit of its own
MAX_DRAIN = 4 * MAX_BODY  # bytes that are read of a body that is not wanted
CHUNK = 256 * 1024  # bytes read at a time
BUDGET = 9.0  # seconds until the answer, for 10 at the most; Heroku's router gives 30
STOP_BUDGET = 10.0  # seconds for the digest when the process ends

log = logging.getLogger(__name__)


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """Build the application from environment variables; stops the process if one is wrong."""
    try:
        settings = read_settings(os.environ if environ is None else environ)
    except ValueError as error:
        sys.exit(f"auth0-logs-to-slack cannot start: {error}.")
    configure(settings.log_level, settings.secrets)
    for warning in settings.warnings:
        log.warning(warning)
    show = settings.webhook_url == CONSOLE
    status = Status(console.show if show else Webhook(settings.webhook_url).post)
    build = partial(build_message, fields=settings.fields)
    outbox = Outbox(build, status.post, settings.digest_seconds)
    atexit.register(outbox.close, STOP_BUDGET)
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # which would answer with a redirect
    for path, method, view in (
        ("/api/logs", "POST", lambda: receive(settings, outbox, status)),
        ("/healthz", "GET", lambda: answer(200, "ok")),
        ("/status", "GET", lambda: answer(*status.line())),
    ):
        app.add_url_rule(
            path, path, view, methods=[method], provide_automatic_options=False
        )
    app.register_error_handler(HTTPException, _answer_to_error)

    @app.cli.command("send-test")
    def send_test() -> None:
        """Post a sample alert to Slack and say what happened."""
        outcome = status.post(build([_sample_alert()]))
        if outcome.verdict is not Verdict.ACCEPTED:
            sys.exit(f"not delivered: {outcome.reason}: {advice(outcome)}.")
        where = "the terminal" if show else "the channel"
        print(f"delivered: a sample alert was accepted; look at {where}.")

    return app


def answer(status: int, body: str = "") -> Response:
    """A response of one line of plain text, or of none."""
    response = Response(f"{body}\n" if body else "", status, mimetype="text/plain")
    if not body:
        del response.headers["Content-Type"]
    return response


def receive(settings: Settings, outbox: Outbox, status: Status) -> Response:
    """Take the current request's delivery and answer it; the README's table says what when."""
    # The worker says when it had the request, which may have waited for a thread.
    started = getattr(
        request.environ.get("gunicorn.socket"), "handed_over", time.monotonic()
    )
    counts: dict[str, object] = {}
    try:
        response = _deliver(settings, outbox, status, started + BUDGET, counts)
    except HTTPException as error:
        response = _answer_to_error(error)
        counts["reason"] = repr(error.description)
    said = "".join(f" {name}={count}" for name, count in counts.items())
    milliseconds = (time.monotonic() - started) * 1000
    level = logging.WARNING if response.status_code == 408 else logging.INFO
    log.log(
        level, "delivery status=%d%s ms=%.0f", response.status_code, said, milliseconds
    )
    return response


def _deliver(
    settings: Settings,
    outbox: Outbox,
    status: Status,
    deadline: float,
    counts: dict[str, object],
) -> Response:
    """Answer a delivery, and count for the log what was in it; raises HTTPException."""
    _check_authorization(settings.token, status)
    status.note_delivery()
    try:
        events, skipped = read_events(_read_body(MAX_BODY))
    except UnreadableDelivery as error:
        raise http.BadRequest(str(error)) from error
    alerts = settings.alert_filter.alerts(events)
    counts.update(events=len(events), alerts=len(alerts), skipped=skipped)
    if skipped:
        log.warning("delivery skipped=%d items: %s", skipped, NO_EVENT)
    if not alerts:
        return answer(204)
    delivery = outbox.deliver(alerts, deadline)
    outcome = delivery.outcome or Outcome(Verdict.UNAVAILABLE)
    counts.update(collected=delivery.collected, slack=outcome.status or "none")
    wait = math.ceil(outcome.retry_after or 1)
    if outcome.verdict is Verdict.UNAVAILABLE:
        reason = f"{outcome.reason}; not delivered, please send it again"
        raise http.ServiceUnavailable(reason, retry_after=wait)
    if outcome.verdict is not Verdict.ACCEPTED:
        raise http.BadGateway(f"{outcome.reason}: {advice(outcome)}")
    if count := delivery.collected:
        by = datetime.now(UTC) + timedelta(seconds=wait)
        what = "1 alert goes" if count == 1 else f"{count} alerts go"
        return answer(200, f"ok: {what} out with the next digest, by {by:%H:%M:%S} UTC")
    return answer(200, "ok")


def _check_authorization(token: str, status: Status) -> None:
    """Raise Unauthorized unless the request has the token, as it is or after `Bearer`."""
    # WSGI hands headers over as Latin-1 (PEP 3333); compare_digest takes only bytes beyond ASCII.
    header = (
        request.environ.get("HTTP_AUTHORIZATION", "")
        .encode("latin-1", "replace")
        .strip()
    )
    bearer = re.sub(rb"^bearer\s+", b"", header, flags=re.IGNORECASE)
    expected = os.fsencode(token)
    right = [hmac.compare_digest(value, expected) for value in (header, bearer)]
    if any(right) or not token:
        return
    if count := status.note_wrong_token():
        log.warning(
            f"delivery refused={count}: the Authorization header is not AUTH0_LOG_STREAM_TOKEN; is"
            " it the stream's Authorization Token in Auth0?"
        )
    with suppress(HTTPException):
        _read_body(limit=0)
    reason = "the Authorization header is not the token"
    raise http.Unauthorized(reason, www_authenticate=WWWAuthenticate("bearer"))


def _read_body(limit: int) -> bytes:
    """The current request's body; raises RequestEntityTooLarge where it is over the limit.

    Reads on to its end, though not for ever: a client that is cut off hears no answer.
    """
    stream, length = request.environ["wsgi.input"], request.content_length
    if length is None:  # to be read to its end, if the server knows that
        length = MAX_DRAIN if request.environ.get("wsgi.input_terminated") else 0
    chunks, size = [], 0
    try:
        while chunk := stream.read(min(CHUNK, length - size, MAX_DRAIN - size)):
            size += len(chunk)
            if size <= limit:
                chunks.append(chunk)
    except TimeoutError as error:  # the worker's
        raise http.RequestTimeout(error.strerror) from error
    except (
        Exception
    ) as error:  # gunicorn's own, for broken chunks; a client that went away
        raise http.BadRequest(
            "the body ended early, or its chunks are broken"
        ) from error
    if size > limit:
        raise http.RequestEntityTooLarge(f"the body is over {limit} bytes (10 MiB)")
    if size < (
        request.content_length or 0
    ):  # gunicorn says nothing of a body that is cut short
        raise http.BadRequest("the body ended early")
    return b"".join(chunks)


def _answer_to_error(error: HTTPException) -> Response:
    hints = {404: "deliveries go to POST /api/logs", 405: "use POST /api/logs"}
    code = error.code or 500
    response = answer(code, hints.get(code, error.description or error.name))
    response.headers.extend(h for h in error.get_headers() if h[0] != "Content-Type")
    return response


def _sample_alert() -> Alert:
    description, now = (
        "Test alert: this service can post to Slack",
        datetime.now(UTC).isoformat(),
    )
    event = {
        "type": "f",
        "description": description,
        "date": now,
        "client_name": "flask send-test",
    }
    return read_alert(event, "failure")
