"""Logs: one line per record to stdout, in which no secret stands and no text forges a line."""

import logging
import re
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import TextIO

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FLUSH_AFTER = 0.05  # seconds

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LINE_BREAKS_AND_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@lru_cache(maxsize=1)
def _timestamp(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


class OneLineFormatter(logging.Formatter):
    """Formats a record, traceback and all, as one line without the secrets.

    Whoever logged it: urllib3 logs the webhook's path at DEBUG, and its exceptions quote it.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        line = f"{_timestamp(int(record.created))} {record.levelname} {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        for secret in self._secrets:
            line = line.replace(secret, "[secret]")
        if line.isprintable():
            return line
        line = line.encode(errors="backslashreplace").decode()  # half a surrogate pair
        return _LINE_BREAKS_AND_CONTROLS.sub(" | ", _COLOURS.sub("", line).strip())


class BufferedHandler(logging.StreamHandler[TextIO]):
    """Writes lines to stdout; those below WARNING wait for others for up to FLUSH_AFTER.

    A system call for each line would cost a delivery without alerts a tenth of its time
    (`make bench`), because each hands Python's interpreter lock to another thread.
    """

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._flush_is_due = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; the handler's lock is held."""
        try:
            self.stream.write(self.format(record) + "\n")
            if record.levelno >= logging.WARNING:
                self.flush()
            elif not self._flush_is_due:
                self._flush_is_due = True
                timer = threading.Timer(FLUSH_AFTER, self._flush_now)
                timer.daemon = True  # at exit, logging flushes its handlers
                timer.start()
        except Exception:
            self._flush_is_due = False
            self.handleError(record)

    def _flush_now(self) -> None:
        self._flush_is_due = False
        with suppress(OSError, ValueError):  # stdout is full, or closed
            self.flush()


def configure(level: str, secrets: Iterable[str]) -> None:
    """Send what is of that level or above, from every library too, to stdout."""
    logging.raiseExceptions = False  # what cannot be written must not come out on stderr unredacted
    # Nothing here prints them, and each costs a look-up for every record.
    logging.logThreads = logging.logMultiprocessing = False
    handler = BufferedHandler()
    handler.setFormatter(OneLineFormatter(secrets))
    # flask run's own line for each request, alone in having arguments, says less than ours.
    logging.getLogger("werkzeug").addFilter(lambda record: not record.args)
    logging.basicConfig(level=level, handlers=[handler], force=True)
