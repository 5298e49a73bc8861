"""Filters: which events are alerts, by default and by the user's wish."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from alerts import MAX_CODE, Alert, read_alert
from events import Event
from log_types import NAMES

MAX_NEW = 100  # log types not in log_types.py that are remembered
GROUPS = ("failure", "limit")  # and the default of ALERT_TYPES

# How Auth0 names codes: one that ends well is no alert, whatever else it says; then limits and
# attack protection; then what failed. The short old codes without an underscore (fp, fercft)
# have nothing but their first letter, f for failure; coff is "Connector Offline".
_ENDED_WELL = re.compile(r"(^|_)(?<!not_)(start(ed)?|succe[a-z]*|completed?)$")
_LIMIT = re.compile(
    r"limit|too_many|exceed|throttl|quota|exhaust|(?<!un)block|lockout|(^|_)locked|leak|breach"
    r"|brute_force|attack|bot_detect|suspicious"
)
_FAILURE = re.compile(
    r"^f[a-z0-9]{0,8}$|^coff$|fail(?!over)|error|reject|denied|declin|invalid|cancel|refus|abort"
    r"|expired|timeout|offline|incomplete|unsuccess|_not_"
)
_ENTRY = re.compile(r"!?([a-z0-9_*?-]|\[!?[a-z0-9_-]+\])+")

log = logging.getLogger(__name__)


def group_of(code: str) -> str:
    """The group that a log type belongs to: "failure", "limit", or "" for what went well."""
    code = code.lower()
    if _ENDED_WELL.search(code):
        return ""
    if _LIMIT.search(code):
        return "limit"
    return "failure" if _FAILURE.search(code) else ""


@dataclass(frozen=True)
class AlertFilter:
    """The user's filter; its entries are groups, codes and patterns."""

    wanted: list[str]
    unwanted: list[str]
    ignore: re.Pattern[str] | None
    judged: dict[
        str, str | None
    ]  # each log type known or seen: its group if it is an alert

    def alerts(self, events: Iterable[Event]) -> list[Alert]:
        """The alerts among the events, in their order."""
        alerts = []
        for event in events:
            code = event["type"]
            group = self.judged[code] if code in self.judged else self._judge_new(code)
            if group is not None:
                alert = read_alert(event, group)
                if self.ignore is None or not self.ignore.search(alert.title):
                    alerts.append(alert)
        return alerts

    def _judge_new(self, code: str) -> str | None:
        """Judge a log type that is not in log_types.py, and warn of it once."""
        group = self.judge(code[:MAX_CODE].lower())
        if len(code) <= MAX_CODE and len(self.judged) < len(NAMES) + MAX_NEW:
            self.judged[code] = group
            reads = group_of(code) or "neither failure nor limit"
            entry = re.sub("[^a-z0-9_-]", "?", code.lower())
            alert, entry = (
                ("no alert", entry) if group is None else ("an alert", f"!{entry}")
            )
            log.warning(
                f"log type {code!r} is newer than this version: its code reads as {reads}, so it is"
                f" {alert}; to change that, add {entry} to ALERT_TYPES (failure,limit by default)"
            )
        return group

    def judge(self, code: str) -> str | None:
        """The code's group if it is wanted as an alert, else None."""
        group = group_of(code)
        wanted, unwanted = (
            group in entries or any(fnmatchcase(code, entry) for entry in entries)
            for entries in (self.wanted, self.unwanted)
        )
        return group if wanted and not unwanted else None


def read_filter(types: str = "", ignore: str = "") -> tuple[AlertFilter, list[str]]:
    """Read ALERT_TYPES and ALERT_IGNORE; both may be empty.

    Returns the filter, and the entries that match no log type known today, which may be meant
    for a later one or may be mistyped. Raises ValueError for what is malformed, and for a
    filter that lets no known log type or no title through.
    """
    entries = re.findall(r"[^,\s]+", types.lower())
    if wrong := [entry for entry in entries if not _ENTRY.fullmatch(entry)]:
        raise ValueError(
            f"ALERT_TYPES has the entry {wrong[0]!r}: give a comma-separated list of groups"
            " (failure, limit), log type codes (fp) and patterns (gd_*); a leading ! takes away"
        )
    unwanted = [entry[1:] for entry in entries if entry.startswith("!")]
    wanted = [entry for entry in entries if not entry.startswith("!")] or list(GROUPS)
    chosen = AlertFilter(wanted, unwanted, _compile(ignore), {})
    chosen.judged.update((code, chosen.judge(code)) for code in NAMES)
    if set(chosen.judged.values()) == {None}:
        raise ValueError(
            f"ALERT_TYPES is {types!r}, which matches no log type that Auth0 documents, so there"
            f" would never be an alert: leave it empty for the default, {','.join(GROUPS)}"
        )
    named = [entry for entry in wanted + unwanted if entry not in GROUPS]
    return chosen, [e for e in named if not any(fnmatchcase(code, e) for code in NAMES)]


def _compile(ignore: str) -> re.Pattern[str] | None:
    try:
        pattern = re.compile(ignore)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(
            f"ALERT_IGNORE is {ignore!r}, which is no regular expression ({error}): write it as"
            " Python's re module reads it, for instance ^Password is too common"
        ) from None
    if ignore and all(
        pattern.search(f"{name} [type: {code}]") for code, name in NAMES.items()
    ):
        raise ValueError(
            f"ALERT_IGNORE is {ignore!r}, which matches every title, so there would never"
            " be an alert: make it match only what you want to silence"
        )
    return pattern if ignore else None
