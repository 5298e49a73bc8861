"""Logs: one line for each record, without secrets; no text can fake another line."""

import io
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

FORMAT = "%(asctime)s %(levelname)s %(message)s"
TIME = "%Y-%m-%dT%H:%M:%SZ"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MAX_TYPES = 10  # log types in one line
HOUR = 3600.0  # seconds
MIN_SECRET = 8  # characters; redacting a shorter one would make the log unreadable

log = logging.getLogger(__name__)
_LINE_BREAKS_AND_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LISTENING = re.compile(r"Running on (http://[^\s\x1b]+:([0-9]+))")


class HourlyWarnings:
    """Warnings that anybody can cause: each at once, and then once an hour at most.

    A line ends with how many there were since the line before it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()  # of those that are not written yet
        self._silent_until: dict[str, float] = {}

    def warn(self, text: str) -> None:
        """Write this, or count it."""
        now = self._clock()
        self._counts[text] += 1
        if now >= self._silent_until.get(text, now):
            self._silent_until[text] = now + HOUR
            log.warning(f"{text} count={self._counts.pop(text)}")


class OneLineFormatter(logging.Formatter):
    """Formats a record, its traceback too, as one line without the secrets.

    It redacts the records of every library: urllib3 logs the webhook's path at DEBUG,
    and its exceptions quote it; gunicorn quotes what it cannot read of a request.
    """

    converter = staticmethod(time.gmtime)

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(FORMAT, TIME)
        self._secrets = []
        # The longest first: the webhook's URL contains its path. Whatever the case,
        # because gunicorn quotes the name of a header in capitals.
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= MIN_SECRET:
                pattern = re.compile(re.escape(secret), re.IGNORECASE)
                self._secrets.append(pattern)

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        line = super().format(record)
        for secret in self._secrets:
            line = secret.sub("[secret]", line)
        # Half of a surrogate pair, which JSON can hold, cannot be encoded.
        encoded = line.encode(errors="backslashreplace")
        line = encoded.decode()
        return _LINE_BREAKS_AND_CONTROLS.sub(" | ", line)


def types_of(counts: Counter[str]) -> str:
    """The most frequent log types with their counts, as in `fp:12,limit_wc:1`."""
    types = []
    for code, count in counts.most_common(MAX_TYPES):
        types.append(f"{code}:{count}")
    return ",".join(types)


def facts(values: Mapping[str, object]) -> str:
    """As `name=value name=value`, without what is None or empty."""
    said = []
    for name, value in values.items():
        if value not in (None, ""):
            said.append(f"{name}={value}")
    return " ".join(said)


def configure(level: str, secrets: Iterable[str]) -> None:
    """Send the records of that level or above, of every library, to stdout."""
    # On a write error, logging prints the record to stderr, unredacted.
    logging.raiseExceptions = False
    # Outside UTF-8 a letter that stdout does not have costs itself, not its line. This
    # holds for what the console prints too.
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="replace")
    handler = logging.StreamHandler(stdout)
    handler.setFormatter(OneLineFormatter(secrets))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    werkzeug = logging.getLogger("werkzeug")
    werkzeug.addFilter(_in_our_words)


def _in_our_words(record: logging.LogRecord) -> bool:
    """Of what `flask run` says, let through where it listens, and what goes wrong."""
    listening = _LISTENING.search(record.getMessage())
    if listening is None:
        return record.levelno >= logging.WARNING
    record.msg = (
        f"listening on {listening[1]}: send the README's curl to port {listening[2]};"
        " Ctrl-C stops it"
    )
    return True
