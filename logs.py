"""Logs: one line per record, in which no secret stands and no text forges a line."""

import logging
import re
import sys
import time
from collections.abc import Iterable

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MIN_SECRET = 8  # characters; redacting a shorter one would make the log unreadable

_LINE_BREAKS_AND_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LISTENING = re.compile(r"Running on (http[^\s\x1b]+)")


class OneLineFormatter(logging.Formatter):
    """Formats a record, its traceback too, as one line without the secrets.

    It redacts the records of every library: urllib3 logs the webhook's path at DEBUG,
    and its exceptions quote it; gunicorn quotes what it cannot read of a request.
    """

    converter = staticmethod(time.gmtime)

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        # The longest first: the webhook's URL contains its path.
        self._secrets = sorted(secrets, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        line = super().format(record)
        for secret in self._secrets:
            if len(secret) >= MIN_SECRET:
                line = line.replace(secret, "[secret]")
        # Half of a surrogate pair, which JSON can hold, cannot be encoded.
        line = line.encode(errors="backslashreplace").decode()
        return _LINE_BREAKS_AND_CONTROLS.sub(" | ", line)


def configure(level: str, secrets: Iterable[str]) -> None:
    """Send the records of that level or above, of every library, to stdout."""
    # logging would print a record that cannot be written on stderr, unredacted.
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(OneLineFormatter(secrets))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("werkzeug").addFilter(_in_our_words)


def _in_our_words(record: logging.LogRecord) -> bool:
    """Of what `flask run` says, let through where it listens, and what goes wrong."""
    listening = _LISTENING.search(record.getMessage())
    if listening is None:
        return record.levelno >= logging.WARNING
    record.msg = (
        f"listening on {listening[1]}: send it the README's curl; Ctrl-C stops it"
    )
    return True
