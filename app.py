"""The web application: what it serves, and what it is built of.

POST /api/logs    Auth0's deliveries (deliveries.py)
OPTIONS           of the same: Azure Event Grid asks whether it may deliver
GET  /healthz     answers `ok`, and touches nothing: for the platform; so does /health
GET  /status      whether all channels take their messages: for a monitor (health.py)
flask send-test   posts a sample alert to each channel
flask dry-run     says which of some events are shown, and how (dry_run.py)
"""

import sys

# Checked first: a failing import would say less.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "auth0-logs-to-slack cannot start: it needs Python 3.11 or newer, and this is"
        f" {sys.version_info[0]}.{sys.version_info[1]}: make .venv anew with a newer"
        " one, for instance python3.13 -m venv --clear .venv"
    )

import atexit
import logging
import os
import re
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from typing import Any, BinaryIO

import click
from flask import Flask, Response, request
from werkzeug import exceptions as http

import dry_run
from alerts import read_alert
from channels import Channels, in_channel
from deliveries import answer, answer_to_error, has_token, receive
from events import MAX_BODY, UnreadableDelivery
from filters import Router
from health import Health
from logs import configure, facts
from outcome import Verdict
from settings import Settings, read_settings

CLOSE_WITHIN = 10.0  # seconds to post what is collected, if worker.py has not done it
PARAMETER = "max_silence"
MAX_QUERY = 200  # bytes behind the ? of /status
SIMILAR = 0.7  # difflib's ratio from which another name is taken for it
HOW_TO_ASK = "max_silence takes whole seconds: /status?max_silence=3600"

log = logging.getLogger(__name__)


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """Build the application from environment variables, by default the process's.

    Stops the process if one is wrong, with a message that says which.
    """
    try:
        settings = read_settings(os.environ if environ is None else environ)
    except ValueError as error:
        sys.exit(f"auth0-logs-to-slack cannot start: {error}.")
    configure(settings.log_level, settings.secrets)
    if os.environ.get("WERKZEUG_RUN_MAIN") == "true":
        log.warning("--debug: the reloader loses what is collected when it ends")
    channels = Channels(settings.channels)
    _log_settings(settings)

    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False  # which would answer with a redirect
    app.register_error_handler(http.HTTPException, _answer_to_stray)
    _add_routes(app, channels, settings.token)
    _add_send_test(app, channels)
    _add_dry_run(app, channels)
    # What worker.py needs in addition to the WSGI application.
    app.extensions["has_token"] = partial(has_token, settings.token)
    app.extensions["channels"] = channels
    _stop_with_the_process(channels)
    return app


def _log_settings(settings: Settings) -> None:
    """Say what is doubtful in the settings, and what each channel gets."""
    for warning in settings.warnings:
        log.warning(warning)
    for channel in settings.channels:
        ignore = channel.alert_filter.ignore
        said = {
            "channel": channel.label,
            "types": channel.alert_filter.types,
            "fields": ",".join(channel.fields) or "none",
            "digest": channel.digest_seconds,
            "to": "console" if channel.is_console else "webhook",
            # As it arrived: shells and platforms eat backslashes. Last, for its blanks.
            "ignore": ignore and ignore.pattern,
        }
        log.info(f"alerts {facts(said)}")


def _add_routes(app: Flask, channels: Channels, token: str) -> None:
    router = Router(channels.filters)
    health = Health(channels)

    @app.post("/api/logs")
    def take_delivery() -> Response:
        return receive(token, router, channels, health)

    app.add_url_rule("/api/logs", view_func=_grant_delivery, methods=["OPTIONS"])

    @app.get("/healthz")
    @app.get("/health")  # Google's front end keeps paths that end in z to itself
    def say_ok() -> Response:
        return answer(200, "ok")

    @app.get("/status")
    def tell_status() -> Response:
        # Monitors add parameters of their own, against caches. Many would take long.
        if len(request.query_string) > MAX_QUERY:
            return answer(400, HOW_TO_ASK)
        close = get_close_matches(PARAMETER, request.args, 1, SIMILAR)
        if not close:
            return answer(*health.line())
        seconds = request.args[close[0]]
        if close[0] != PARAMETER or not re.fullmatch("[0-9]{1,8}", seconds):
            return answer(400, HOW_TO_ASK)
        return answer(*health.line(int(seconds)))


def _grant_delivery() -> Response:
    """Answer the handshake with which Azure Event Grid asks whether it may deliver.

    CloudEvents, HTTP 1.1 Web Hooks for Event Delivery, 4 (abuse protection). Whoever
    delivers still needs the token.
    """
    origin = request.headers.get("WebHook-Request-Origin")
    if origin is None:
        raise http.MethodNotAllowed(valid_methods=["POST"])
    response = answer(200)
    response.headers["WebHook-Allowed-Origin"] = origin
    response.headers["WebHook-Allowed-Rate"] = "*"
    response.headers["Allow"] = "POST"
    return response


def _add_send_test(app: Flask, channels: Channels) -> None:
    @app.cli.command("send-test")
    def send_test() -> None:
        """Post a sample alert to each channel, and say what happened."""
        sample = {
            "type": "f",
            "description": "Test alert: this service can post to Slack",
            "client_name": "flask send-test",
            "date": datetime.now(UTC).isoformat(),
        }
        alert = read_alert(sample, "failure")
        failed = False
        for label, channel in channels.by_label.items():
            outcome = channel.post(channel.build([alert]))
            if outcome.verdict is Verdict.ACCEPTED:
                where = "above" if channel.settings.is_console else "at the channel"
                said = f"delivered: a sample alert was accepted; look {where}"
                if outcome.advice:
                    said += f" ({outcome.advice})"
            else:
                failed = True
                said = f"not delivered: {outcome.reason}: {outcome.advice}"
            print(in_channel(label, said) + ".")
        if failed:
            sys.exit(1)


def _add_dry_run(app: Flask, channels: Channels) -> None:
    @app.cli.command("dry-run")
    @click.argument("file", type=click.File("rb"), default="-")
    def dry_run_file(file: BinaryIO) -> None:
        """Say which of the log events in FILE are shown, and how; or why not."""
        try:
            dry_run.run(file.read(), channels)
        except UnreadableDelivery as error:
            sys.exit(f"{error}.")


def _answer_to_stray(error: http.HTTPException) -> Response:
    """Answer what no route answers, and log it: perhaps the Payload URL is wrong."""
    response = answer_to_error(error)
    reason = response.get_data(as_text=True).strip()
    log.warning("request status=%d reason=%r", response.status_code, reason)
    return response


def _stop_with_the_process(channels: Channels) -> None:
    """Have what is collected posted when the process ends, also one of `flask run`."""

    def close() -> None:
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signal_number, signal.SIG_IGN)
        channels.stop(CLOSE_WITHIN)
        channels.close(CLOSE_WITHIN)

    def exit_on_signal(*_: Any) -> None:
        sys.exit(0)

    atexit.register(close)
    if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
        # Ctrl-C ends `flask run` in order; these two would kill it. HUP comes when the
        # terminal is closed.
        signal.signal(signal.SIGTERM, exit_on_signal)
        signal.signal(signal.SIGHUP, exit_on_signal)


if __name__ == "__main__":
    sys.exit(
        'app.py does not start by itself: flask run, or gunicorn "app:create_app()"'
    )
