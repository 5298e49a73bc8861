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
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from flask import Flask, Response, g, request
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    MethodNotAllowed,
    RequestEntityTooLarge,
    RequestTimeout,
    Unauthorized,
)

import console
from alerts import Alert, read_alert
from events import UnreadableDelivery, read_events
from logs import configure
from message import FORMS, Message, build_message
from outbox import Delivery, Outbox
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
    post = console.show if settings.webhook_url == CONSOLE else Webhook(settings.webhook_url).post
    status = Status()

    def send(message: Message) -> Outcome:
        outcome = post(message)
        status.note_outcome(outcome)
        return outcome

    def build(alerts: Sequence[Alert], form: str = FORMS[0], digest: bool = False) -> Message:
        return build_message(alerts, settings.fields, form, digest)

    outbox = Outbox(build, send, settings.digest_seconds)
    atexit.register(outbox.close, STOP_BUDGET)
    app = Flask(__name__, static_folder=None)

    @app.post("/api/logs", provide_automatic_options=False)
    def logs() -> Response:
        # The worker says when it had the request, which may have waited for a thread.
        socket = request.environ.get("gunicorn.socket")
        g.started = getattr(socket, "handed_over", time.monotonic())
        return receive(settings, outbox, status, g.started + BUDGET)

    @app.get("/healthz", provide_automatic_options=False)
    def healthz() -> Response:
        return answer(200, "ok")

    @app.get("/status", provide_automatic_options=False)
    def status_line() -> Response:
        return answer(*status.line())

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Response:
        hint = {404: "deliveries go to POST /api/logs", 405: "use POST /api/logs"}
        response = answer(error.code or 500, hint.get(error.code or 500, error.description or ""))
        if isinstance(error, Unauthorized):
            response.headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(error.valid_methods or ())
        return response

    @app.after_request
    def log_delivery(response: Response) -> Response:
        if "started" in g:
            milliseconds = (time.monotonic() - g.started) * 1000
            counts = "".join(f" {name}={count}" for name, count in g.get("counts", {}).items())
            log.info("delivery status=%d%s ms=%.0f", response.status_code, counts, milliseconds)
        return response

    @app.cli.command("send-test")
    def send_test() -> None:
        """Post a sample alert to Slack and say what happened."""
        outcome = send(build([_sample_alert()]))
        if outcome.verdict is not Verdict.ACCEPTED:
            sys.exit(f"not delivered: {outcome.reason}: {advice(outcome)}.")
        where = "the terminal" if settings.webhook_url == CONSOLE else "the channel"
        print(f"delivered: a sample alert was accepted; look at {where}.")

    return app


def answer(status: int, body: str = "") -> Response:
    """A response of one line of plain text; Auth0 shows it in the stream's Health tab."""
    response = Response(f"{body}\n" if body else "", status, mimetype="text/plain")
    if not body:
        del response.headers["Content-Type"]
    return response


def receive(settings: Settings, outbox: Outbox, status: Status, deadline: float) -> Response:
    """Take the current request's delivery and answer it; the README's table says what when.

    Leaves in flask.g what the log says of it. Raises HTTPException for what cannot be taken.
    """
    _check_authorization(settings.token, status)
    status.note_delivery()
    try:
        events, problems = read_events(_read_body(MAX_BODY))
    except UnreadableDelivery as error:
        raise BadRequest(str(error)) from error
    alerts = settings.alert_filter.alerts(events)
    skipped = problems.total()
    g.counts = {"events": len(events), "alerts": len(alerts), "skipped": skipped}
    if skipped:
        why = ", ".join(f"{count} × {problem}" for problem, count in problems.items())
        log.warning("delivery skipped=%d of %d items: %s", skipped, skipped + len(events), why)
    if not alerts:
        return answer(204)
    delivery = outbox.deliver(alerts, deadline)
    outcome = delivery.outcome or Outcome(Verdict.UNAVAILABLE)
    g.counts |= {"collected": delivery.collected, "slack": outcome.status or "none"}
    return _answer_to(delivery, outcome)


def _check_authorization(token: str, status: Status) -> None:
    """Raise Unauthorized unless the request has the token, as it is or after `Bearer`."""
    # WSGI hands headers over as Latin-1 (PEP 3333); compare_digest takes only bytes beyond ASCII.
    header = request.environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace").strip()
    scheme, _, value = header.partition(b" ")
    expected, bearer = os.fsencode(token), scheme.lower() == b"bearer"
    as_it_is = hmac.compare_digest(header, expected)
    if token and not as_it_is and not (bearer and hmac.compare_digest(value.strip(), expected)):
        if count := status.note_wrong_token():
            log.warning(
                "delivery refused=%d: the Authorization header is not AUTH0_LOG_STREAM_TOKEN; is it"
                " the stream's Authorization Token in Auth0?",
                count,
            )
        with suppress(HTTPException):
            _read_body(limit=0)
        raise Unauthorized("the Authorization header is not the token")


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
        log.warning("delivery refused: %s", error.strerror)
        raise RequestTimeout(error.strerror) from error
    except Exception as error:  # gunicorn's own, for broken chunks; a client that went away
        raise BadRequest("the body ended early, or its chunks are broken") from error
    if size > limit:
        raise RequestEntityTooLarge(f"the body is over {limit} bytes (10 MiB)")
    if size < (request.content_length or 0):  # gunicorn says nothing of a body that is cut short
        raise BadRequest("the body ended early")
    return b"".join(chunks)


def _answer_to(delivery: Delivery, outcome: Outcome) -> Response:
    wait = math.ceil(outcome.retry_after or 1)
    if delivery.collected:
        by = datetime.now(UTC) + timedelta(seconds=wait)
        count = delivery.collected
        what = "1 alert goes" if count == 1 else f"{count} alerts go"
        return answer(200, f"ok: {what} out with the next digest, by {by:%H:%M:%S} UTC")
    if outcome.verdict is Verdict.ACCEPTED:
        return answer(200, "ok")
    if outcome.verdict is Verdict.UNAVAILABLE:
        response = answer(503, f"{outcome.reason}; not delivered, please send it again")
        response.headers["Retry-After"] = str(wait)
        return response
    return answer(502, f"{outcome.reason}: {advice(outcome)}")


def _sample_alert() -> Alert:
    event = {
        "type": "f",
        "description": "Test alert: this service can post to Slack",
        "date": datetime.now(UTC).isoformat(),
        "client_name": "flask send-test",
    }
    return read_alert(event, "failure")
