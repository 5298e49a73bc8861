"""The web application: Auth0's deliveries in, an honest answer out.

POST /api/logs    bytes, events (events.py), alerts (filters.py), message (message.py), outcome
                  (outbox.py, slack.py): 2xx only once Slack has said `ok` to every alert.
GET  /healthz     answers `ok`, and touches nothing.
flask send-test   posts a sample alert through the configured webhook.
"""

import hmac
import logging
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

import console
from alerts import Alert, read_alert
from events import UnreadableDelivery, read_events
from logs import configure
from message import Message, build_message, plain_form
from outbox import Outbox
from settings import CONSOLE, Settings, read_settings
from slack import Outcome, Verdict, Webhook, advice

MAX_BODY = 10 * 1024 * 1024  # bytes; Auth0 documents no limit of its own
MAX_DRAIN = 4 * MAX_BODY  # bytes that are read of a body that is not wanted
ENDED_EARLY = "the body ended early, or its chunks are broken"
CHUNK = 256 * 1024  # bytes read at a time
BUDGET = 9.0  # seconds until the answer, for 10 at the most; Heroku's router gives 30

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
    send = console.show if settings.webhook_url == CONSOLE else Webhook(settings.webhook_url).post

    def build(alerts: Sequence[Alert], plain: bool = False) -> Message:
        message = build_message(alerts, settings.fields)
        return plain_form(message) if plain else message

    outbox = Outbox(build, send)
    app = Flask(__name__, static_folder=None)

    @app.post("/api/logs", provide_automatic_options=False)
    def logs() -> Response:
        return receive(settings, outbox)

    @app.get("/healthz", provide_automatic_options=False)
    def healthz() -> Response:
        return answer(200, "ok")

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Response:
        hint = {404: "deliveries go to POST /api/logs", 405: "use POST /api/logs"}
        response = answer(error.code or 500, hint.get(error.code or 500, error.name))
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(error.valid_methods or ())
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
    if not body:
        return Response(status=status)
    return Response(f"{body}\n", status, content_type="text/plain; charset=utf-8")


def receive(settings: Settings, outbox: Outbox) -> Response:
    """Take the current request's delivery and answer it; the README's table says what when."""
    started = time.monotonic()
    response, outcome, counts = _handle(settings, outbox, started + BUDGET)
    milliseconds = (time.monotonic() - started) * 1000
    status = response.status_code
    log.info("delivery status=%d%s ms=%.0f outcome=%s", status, counts, milliseconds, outcome)
    return response


def _handle(settings: Settings, outbox: Outbox, deadline: float) -> tuple[Response, str, str]:
    """The response to the current request; for the log, what became of it and the counts."""
    if not _is_authorized(settings.token):
        with suppress(RequestEntityTooLarge, UnreadableDelivery):
            _read_body(limit=0)
        return answer(401, "the Authorization header is not the token"), "unauthorized", ""
    try:
        events, problems = read_events(_read_body(MAX_BODY))
    except RequestEntityTooLarge:
        return answer(413, f"the body is over {MAX_BODY} bytes (10 MiB)"), "too_large", ""
    except UnreadableDelivery as error:
        return answer(400, str(error)), "unreadable", ""
    skipped = problems.total() if problems else 0
    if skipped:
        why = ", ".join(f"{count} × {problem}" for problem, count in problems.items())
        log.warning("delivery skipped=%d of %d items: %s", skipped, skipped + len(events), why)
    alerts = settings.alert_filter.alerts(events)
    counts = f" events={len(events)} alerts={len(alerts)} skipped={skipped}"
    if not alerts:
        return answer(204), "no_alerts", counts
    delivery = outbox.deliver(alerts, deadline)
    outcome = delivery.outcome or Outcome(Verdict.UNAVAILABLE)
    counts += f" duplicates={delivery.duplicates} slack={outcome.status or 'none'}"
    return _answer_to(outcome), outcome.verdict.value, counts


def _is_authorized(token: str) -> bool:
    """Whether the request carries the token, as it is or after `Bearer`; in constant time."""
    if not token:
        return True
    # WSGI hands headers over as Latin-1 (PEP 3333); compare_digest takes only bytes beyond ASCII.
    header = request.environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace").strip()
    expected = os.fsencode(token)
    if hmac.compare_digest(header, expected):
        return True
    scheme, _, value = header.partition(b" ")
    return hmac.compare_digest(value.strip(), expected) and scheme.lower() == b"bearer"


def _read_body(limit: int) -> bytes:
    """The current request's body; raises RequestEntityTooLarge where it is over the limit.

    Reads on to its end, though not for ever: a client that is cut off hears no answer.
    """
    stream, length = get_input_stream(request.environ), request.content_length
    chunks, size = [], 0
    try:
        while size != length and size <= MAX_DRAIN and (chunk := stream.read(CHUNK)):
            size += len(chunk)
            if size <= limit:
                chunks.append(chunk)
    except Exception as error:  # gunicorn's own, for broken chunks; a client that went away
        raise UnreadableDelivery(ENDED_EARLY) from error
    if size > limit:
        raise RequestEntityTooLarge
    if size < (length or 0):  # gunicorn says nothing of a body that is cut short
        raise UnreadableDelivery(ENDED_EARLY)
    return b"".join(chunks)


def _answer_to(outcome: Outcome) -> Response:
    if outcome.verdict is Verdict.ACCEPTED:
        return answer(200, "ok")
    if outcome.verdict is Verdict.UNAVAILABLE:
        response = answer(503, f"{outcome.reason}; not delivered, please send it again")
        response.headers["Retry-After"] = str(math.ceil(outcome.retry_after or 1))
        return response
    return answer(502, f"{outcome.reason}: {advice(outcome)}")


def _sample_alert() -> Alert:
    event = {
        "type": "f",
        "description": "Test alert: this service can post to Slack",
        "date": datetime.now(UTC).isoformat(),
        "client_name": "flask send-test",
        "log_id": "",
    }
    return read_alert(event, "failure")
