"""Logs: one line per record to stdout, in which no secret stands and no text forges a line."""

import logging
import re
import sys
from collections.abc import Iterable

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_LINE_BREAKS_AND_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class OneLineFormatter(logging.Formatter):
    """Formats a record, traceback and all, as one line without the secrets.

    Whoever logged it: urllib3 logs the webhook's path at DEBUG, and its exceptions quote it.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        line = super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, "[secret]")
        return _LINE_BREAKS_AND_CONTROLS.sub(" | ", line)


def configure(level: str, secrets: Iterable[str]) -> None:
    """Send what is of that level or above, from every library too, to stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(OneLineFormatter(secrets))
    logging.basicConfig(level=level, handlers=[handler], force=True)
