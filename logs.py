"""Logs: one line per record to stdout, in which no secret stands and no text forges a line."""

import logging
import re
import sys
import time
from collections.abc import Iterable

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MIN_SECRET = 8  # characters; to redact a shorter one would only make the log unreadable

_LINE_BREAKS_AND_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class OneLineFormatter(logging.Formatter):
    """Formats a record, traceback and all, as one line without the secrets.

    Whoever logged it: urllib3 logs the webhook's path at DEBUG, and its exceptions quote it;
    gunicorn quotes what it cannot read of a request.
    """

    converter = staticmethod(time.gmtime)

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        long_enough = (secret for secret in secrets if len(secret) >= MIN_SECRET)
        self._secrets = sorted(long_enough, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        line = super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, "[secret]")
        line = line.encode(errors="backslashreplace").decode()  # half a surrogate pair
        return _LINE_BREAKS_AND_CONTROLS.sub(" | ", line)


def configure(level: str, secrets: Iterable[str]) -> None:
    """Send what is of that level or above, from every library too, to stdout."""
    logging.raiseExceptions = (
        False  # what cannot be written must not come out on stderr unredacted
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(OneLineFormatter(secrets))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("werkzeug").addFilter(_in_our_words)


def _in_our_words(record: logging.LogRecord) -> bool:
    """Of what `flask run` says of itself, let through where it listens, and what goes wrong."""
    if url := re.search(r"Running on (http[^\s\x1b]+)", record.getMessage()):
        record.msg = (
            f"listening on {url[1]}: send it the README's curl; Ctrl-C stops it"
        )
    return bool(url) or record.levelno >= logging.WARNING
