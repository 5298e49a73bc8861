"""The web application: Auth0's deliveries in, an honest answer out.

POST /api/logs    bytes, events (events.py), alerts (filters.py), message (message.py),
                  outcome (outbox.py, slack.py): 2xx only once Slack has said `ok` to
                  every alert, or has shown its log type before and the alert is counted
                  in the next digest.
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
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

from flask import Flask, Response, request
from werkzeug import exceptions as http
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException

import console
from alerts import Alert, read_alert
from events import (
    MAX_BODY,
    NO_EVENT,
    CompressedDelivery,
    EventReader,
    UnreadableDelivery,
)
from filters import Router
from health import Health
from logs import configure
from message import build_message
from outbox import Delivery, Outbox
from settings import CONSOLE, Settings, read_settings
from slack import Outcome, Verdict, Webhook, advice

BUDGET = 9.0  # seconds until the answer, for 10 at the most; Heroku's router gives 30
LARGE_BODY = 1024 * 1024  # bytes; Auth0's are under 100 kB
STOP_BUDGET = (
    10.0  # seconds for the digest when a process ends that is not our worker's
)
# The servers that keep the promise of one process: worker.py's, and `flask run`.
OUR_SERVERS = ("auth0-logs-to-slack", "Werkzeug/")
# What a client is told instead of werkzeug's words, by the answer's status.
HINTS = {
    404: "deliveries go to POST /api/logs",
    405: "use POST /api/logs",
    413: f"the body is over {MAX_BODY} bytes (10 MiB)",
}

log = logging.getLogger(__name__)
_large_body = threading.Lock()


@dataclass
class DeliveryRecord:
    """What the log says about a delivery; None is not said."""

    events: int | None = None
    alerts: int | None = None
    skipped: int | None = None
    collected: int | None = None
    slack: int | str | None = None  # Slack's HTTP status
    reason: str | None = None

    def write(self, status: int, seconds: float) -> None:
        """Write the line, a WARNING where something was refused."""
        said = [f"delivery status={status}"]
        for name, value in vars(self).items():
            if value is not None:
                said.append(f"{name}={value}")
        said.append(f"ms={seconds * 1000:.0f}")
        level = logging.WARNING if status in (401, 404, 405) else logging.INFO
        log.log(level, " ".join(said))


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """Build the application from environment variables.

    Stops the process if one is wrong, with a message that says which.
    """
    try:
        settings = read_settings(os.environ if environ is None else environ)
    except ValueError as error:
        sys.exit(f"auth0-logs-to-slack cannot start: {error}.")
    configure(settings.log_level, settings.secrets)
    for warning in settings.warnings:
        log.warning(warning)
    channel = settings.channels[0]
    router = Router([channel.alert_filter])
    show = channel.webhook_url == CONSOLE
    health = Health({"": console.show if show else Webhook(channel.webhook_url).post})
    build = partial(build_message, fields=channel.fields)
    outbox = Outbox(build, health.channels[""].post, channel.digest_seconds)

    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False  # which would answer with a redirect
    app.register_error_handler(HTTPException, _answer_to_error)
    # What worker.py needs beside requests.
    app.extensions["outbox"] = outbox
    app.extensions["is_authorized"] = partial(is_authorized, settings.token)
    _stop_with_the_process(outbox)

    @app.post("/api/logs")
    def logs() -> Response:
        return receive(settings, router, outbox, health)

    @app.get("/healthz")
    def healthz() -> Response:
        return answer(200, "ok")

    @app.get("/status")
    def tell_status() -> Response:
        return answer(*health.line())

    @app.cli.command("send-test")
    def send_test() -> None:
        """Post a sample alert to Slack and say what happened."""
        outcome = health.channels[""].post(build([_sample_alert()]))
        if outcome.verdict is not Verdict.ACCEPTED:
            sys.exit(f"not delivered: {outcome.reason}: {advice(outcome)}.")
        where = "the terminal" if show else "the channel"
        print(f"delivered: a sample alert was accepted; look at {where}.")

    return app


def answer(status: int, body: str = "") -> Response:
    """A response of one line of plain text, or of none."""
    if body:
        return Response(f"{body}\n", status, mimetype="text/plain")
    response = Response("", status)
    del response.headers["Content-Type"]
    return response


def is_authorized(token: str, authorization: str) -> bool:
    """Whether an Authorization header has the token, as it is or after `Bearer`.

    An empty token lets everybody in.
    """
    if not token:
        return True
    # WSGI hands headers over as Latin-1 (PEP 3333), and compare_digest takes only bytes
    # beyond ASCII.
    header = authorization.encode("latin-1", "replace").strip()
    bearer = re.sub(rb"^bearer\s+", b"", header, flags=re.IGNORECASE)
    expected = os.fsencode(token)
    is_plain = hmac.compare_digest(header, expected)
    is_bearer = hmac.compare_digest(bearer, expected)
    return is_plain or is_bearer


def receive(
    settings: Settings, router: Router, outbox: Outbox, health: Health
) -> Response:
    """Take the current request's delivery and answer it; the README says what when."""
    # Our worker says when the request was whole; it may have waited for a thread since.
    started = request.environ.get("connections.whole_since", time.monotonic())
    record = DeliveryRecord()
    try:
        response = _deliver(settings, router, outbox, health, started + BUDGET, record)
    except HTTPException as error:
        response = _answer_to_error(error)
        record.reason = repr(response.get_data(as_text=True).strip())
    record.write(response.status_code, time.monotonic() - started)
    return response


def _deliver(
    settings: Settings,
    router: Router,
    outbox: Outbox,
    health: Health,
    deadline: float,
    record: DeliveryRecord,
) -> Response:
    """Answer a delivery, and note for the log what was in it; raises HTTPException."""
    if not is_authorized(settings.token, request.environ.get("HTTP_AUTHORIZATION", "")):
        raise http.Unauthorized(
            "the Authorization header is not the token",
            www_authenticate=WWWAuthenticate("bearer"),
        )
    health.note_delivery()
    _check_server(request.environ.get("SERVER_SOFTWARE", "an unknown server"))
    try:
        with _memory_to_read():
            events = EventReader(request.get_data(cache=False))
            alerts = router.route(events).by_channel[0]
    except CompressedDelivery as error:
        raise http.UnsupportedMediaType(str(error)) from error
    except UnreadableDelivery as error:
        raise http.BadRequest(str(error)) from error
    record.events = events.read
    record.alerts = len(alerts)
    record.skipped = events.skipped
    if events.skipped:
        log.warning("delivery skipped=%d items: %s", events.skipped, NO_EVENT)
    if not alerts:
        return answer(204)
    delivery = outbox.put(alerts, deadline)
    outbox.wait(delivery)
    return _answer_to_delivery(delivery, record)


def _memory_to_read() -> AbstractContextManager[object]:
    """What to hold while a body is read: of the large ones, one is read at a time.

    To read one takes several times its size. Two would not be read faster at a time.
    """
    is_large = (request.content_length or 0) > LARGE_BODY
    return _large_body if is_large else nullcontext()


def _answer_to_delivery(delivery: Delivery, record: DeliveryRecord) -> Response:
    """What became of a delivery's alerts; raises HTTPException where Slack has them not."""
    outcome = delivery.outcome or Outcome(Verdict.UNAVAILABLE)
    record.collected = delivery.collected
    record.slack = outcome.status or "none"
    wait = math.ceil(delivery.wait_seconds or 1)
    if outcome.verdict is Verdict.UNAVAILABLE:
        reason = f"{outcome.reason}; not delivered, please send it again"
        raise http.ServiceUnavailable(reason, retry_after=wait)
    if outcome.verdict is not Verdict.ACCEPTED:
        raise http.BadGateway(f"{outcome.reason}: {advice(outcome)}")
    count = delivery.collected
    if not count:
        return answer(200, "ok")
    by = datetime.now(UTC) + timedelta(seconds=wait)
    what = "1 alert goes" if count == 1 else f"{count} alerts go"
    return answer(200, f"ok: {what} out with the next digest, by {by:%H:%M:%S} UTC")


def _answer_to_error(error: HTTPException) -> Response:
    code = error.code or 500
    response = answer(code, HINTS.get(code, error.description or error.name))
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers.add(name, value)
    return response


@cache  # so that it is said once
def _check_server(server: str) -> None:
    """Warn where another server than ours runs the application."""
    if not server.startswith(OUR_SERVERS):
        log.warning(
            f"{server} runs the service, not the Procfile's command:"
            ' alerts can be lost or doubled; start gunicorn "app:create_app()" in the'
            " project's folder, where gunicorn.conf.py is"
        )


def _stop_with_the_process(outbox: Outbox) -> None:
    """Have what is collected posted when the process ends, also one of `flask run`."""

    def close() -> None:
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, signal.SIG_IGN)
        outbox.close(STOP_BUDGET)

    def exit_on_signal(*_: Any) -> None:
        sys.exit(0)

    atexit.register(close)
    if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
        # A terminal's Ctrl-C ends `flask run` as this does; SIGTERM would kill it.
        signal.signal(signal.SIGTERM, exit_on_signal)


def _sample_alert() -> Alert:
    event = {
        "type": "f",
        "description": "Test alert: this service can post to Slack",
        "date": datetime.now(UTC).isoformat(),
        "client_name": "flask send-test",
    }
    return read_alert(event, "failure")
