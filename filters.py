"""Filters: which events are alerts, by default and by the user's wish."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from alerts import MAX_CODE, Alert, read_alert
from events import Event
from log_types import NAMES

MAX_NEW = 100  # log types not in log_types.py that are remembered
GROUPS = ("failure", "limit")  # and the default of ALERT_TYPES

# How Auth0 names its codes. A code that ends well is no alert, whatever else it says.
# Then come limits and attack protection, then what failed. The short old codes without
# an underscore (fp, fercft) say it with their first letter: f for failure; and coff is
# "Connector Offline".
_ENDED_WELL = re.compile(r"(^|_)(?<!not_)(start(ed)?|succe[a-z]*|completed?)$")
_LIMIT = re.compile(
    r"limit|too_many|exceed|throttl|quota|exhaust|(?<!un)block|lockout|(^|_)locked"
    r"|leak|breach|brute_force|attack|bot_detect|suspicious"
)
_FAILURE = re.compile(
    r"^f[a-z0-9]{0,8}$|^coff$|fail(?!over)|error|reject|denied|declin|invalid|cancel"
    r"|refus|abort|expired|timeout|offline|incomplete|unsuccess|_not_"
)
_ENTRY = re.compile(r"!?([a-z0-9_*?-]|\[!?[a-z0-9_-]+\])+")

log = logging.getLogger(__name__)


def group_of(code: str) -> str:
    """The group of a log type: "failure", "limit", or "" for what went well."""
    code = code.lower()
    if _ENDED_WELL.search(code):
        return ""
    if _LIMIT.search(code):
        return "limit"
    if _FAILURE.search(code):
        return "failure"
    return ""


@dataclass(frozen=True)
class AlertFilter:
    """The user's filter; its entries are groups, codes and patterns."""

    wanted: list[str]
    unwanted: list[str]
    ignore: re.Pattern[str] | None
    # Each log type known or seen: its group if it is an alert, else None.
    judged: dict[str, str | None] = field(default_factory=dict)

    def alerts(self, events: Iterable[Event]) -> list[Alert]:
        """The alerts among the events, in their order."""
        alerts = []
        for event in events:
            code = event["type"]
            if code not in self.judged:
                group = self._judge_new(code)
            else:
                group = self.judged[code]
            if group is None:
                continue
            alert = read_alert(event, group)
            if self.ignore is None or not self.ignore.search(alert.title):
                alerts.append(alert)
        return alerts

    def judge(self, code: str) -> str | None:
        """The code's group if it is wanted as an alert, else None."""
        group = group_of(code)
        if not _names(self.wanted, code, group) or _names(self.unwanted, code, group):
            return None
        return group

    def _judge_new(self, code: str) -> str | None:
        """Judge a log type that is not in log_types.py, and warn of it once."""
        group = self.judge(code[:MAX_CODE].lower())
        room = len(self.judged) < len(NAMES) + MAX_NEW
        if room and len(code) <= MAX_CODE:
            self.judged[code] = group
            _warn_of_new(code, is_alert=group is not None)
        return group


def read_filter(types: str = "", ignore: str = "") -> tuple[AlertFilter, list[str]]:
    """Read ALERT_TYPES and ALERT_IGNORE; both may be empty.

    Returns the filter, and the entries that match no log type known today: they may be
    meant for a later one, or be mistyped. Raises ValueError for what is malformed, and
    for a filter that lets no known log type or no title through.
    """
    wanted = []
    unwanted = []
    for entry in re.findall(r"[^,\s]+", types.lower()):
        if not _ENTRY.fullmatch(entry):
            raise ValueError(
                f"ALERT_TYPES has the entry {entry!r}: give a comma-separated list of"
                " groups (failure, limit), log type codes (fp) and patterns (gd_*); a"
                " leading ! takes away"
            )
        if entry.startswith("!"):
            unwanted.append(entry[1:])
        else:
            wanted.append(entry)
    chosen = AlertFilter(wanted or list(GROUPS), unwanted, _compile(ignore))
    for code in NAMES:
        chosen.judged[code] = chosen.judge(code)
    if set(chosen.judged.values()) == {None}:
        raise ValueError(
            f"ALERT_TYPES is {types!r}, which matches no log type that Auth0 documents,"
            " so there would never be an alert: leave it empty for the default,"
            f" {','.join(GROUPS)}"
        )
    unmatched = []
    for entry in wanted + unwanted:
        if not any(_names([entry], code, group_of(code)) for code in NAMES):
            unmatched.append(entry)
    return chosen, unmatched


def _names(entries: list[str], code: str, group: str) -> bool:
    """Whether one of these entries names the log type, or its group."""
    return group in entries or any(fnmatchcase(code, entry) for entry in entries)


def _warn_of_new(code: str, is_alert: bool) -> None:
    """Say how a log type was judged that Auth0 has added since this version."""
    reads = group_of(code) or "neither failure nor limit"
    entry = re.sub("[^a-z0-9_-]", "?", code.lower())
    if is_alert:
        judged = "an alert"
        entry = f"!{entry}"
    else:
        judged = "no alert"
    log.warning(
        f"log type {code!r} is newer than this version: its code reads as {reads}, so"
        f" it is {judged}; to change that, add {entry} to ALERT_TYPES (failure,limit by"
        " default)"
    )


def _compile(ignore: str) -> re.Pattern[str] | None:
    """The compiled ALERT_IGNORE, or None where it is empty."""
    if not ignore:
        return None
    try:
        pattern = re.compile(ignore)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(
            f"ALERT_IGNORE is {ignore!r}, which is no regular expression ({error}):"
            " write it as Python's re module reads it, for instance ^Password is too"
            " common"
        ) from None
    if all(pattern.search(f"{name} [type: {code}]") for code, name in NAMES.items()):
        raise ValueError(
            f"ALERT_IGNORE is {ignore!r}, which matches every title, so there would"
            " never be an alert: make it match only what you want to silence"
        )
    return pattern
