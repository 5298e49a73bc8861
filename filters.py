"""Filters: which events are alerts, and in which channels they are shown.

A channel's filter takes an event by its log type (ALERT_TYPES), unless what the event
says is silenced (ALERT_IGNORE). The router asks the filters of all channels.

ALERT_IGNORE is searched for in what strangers type, so a search must end in time.
Python's re says what a pattern means; the package regex, which can stop, searches.
"""

import fnmatch
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import lru_cache
from warnings import catch_warnings

import regex

from alerts import MAX_CODE, MAX_KEPT, Alert, read_alert
from events import Event
from log_types import FAILURES, LIMITS, NAMES
from logs import HourlyWarnings
from privacy import PROVIDERS

MAX_NEW = 100  # log types not in log_types.py that are remembered
MAX_SEARCH = 0.05  # seconds of processor time for one search; most take 0.000005
# Seconds of processor time for all searches, shared by the channels, and in how many
# seconds. However many deliveries come at once, the others have the rest.
MAX_SEARCHES = 1.0
SEARCHES_WITHIN = 10.0
CLOSE = 0.8  # difflib's ratio from which a name is taken for a mistyped one
GROUPS = ("failure", "limit")  # and the default of ALERT_TYPES
# The labels of an alert's values that ALERT_IGNORE sees.
WHO = ("Client", "User", "Connection", "IP")

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
# A pattern that names one of these, such as `^User:`, sees more than the title. Before
# the label may stand an escape (`\nUser:`). After (?i) its letters may have any case.
_LABEL = r"(?:\b|\\\w)(Tenant|Client|User|Connection|IP)\b[)\s]*:"
_NAMES_WHO = re.compile(rf"{_LABEL}|(?is:\(\?[a-z]*i.*{_LABEL})")
SAMPLE_WHO = (
    "Tenant: sample\nClient: Sample\nUser: sample@example.com\nConnection: Sample\n"
    "IP: 192.0.2.1"
)
# What is hardly meant as it is written, and what to say of it.
DOUBTFUL = {
    r"(?<!\\)\[type:": (
        r"where [type: stands for one of these letters: write \[type: CODE\]$"
    ),
    rf"(?<![\w|(])({PROVIDERS})\|\w": (
        r"where the bar of a user's id means 'or': write \| (auth0\|507f1f77)"
    ),
    r"^/.*/[a-z]*$": (
        "where the slashes are searched for too: leave them out, and write (?i) in"
        " front for /i"
    ),
    r"^(?!\(\?[a-z]*x).*\s#\s": "where the comment is searched for too: leave it out",
    r"(?<!\\)\{[0-9 <=]*[deis]\b|\[:\^?[a-z]+:\]": (
        r"where the search allows mistakes or takes a class of letters, unlike Python's"
        r" re module: write \{ for a brace, and a-z for [:alpha:]"
    ),
}

log = logging.getLogger(__name__)


@lru_cache(maxsize=1000)
def group_of(code: str) -> str:
    """The group of a log type: "failure", "limit", or "" for neither."""
    code = code.lower()
    if code in FAILURES:
        return "failure"
    if code in LIMITS:
        return "limit"
    if code in NAMES:
        return ""
    return group_by_spelling(code)


def group_by_spelling(code: str) -> str:
    """The group that a log type's code, in lower case, spells."""
    if _ENDED_WELL.search(code):
        return ""
    if _LIMIT.search(code):
        return "limit"
    if _FAILURE.search(code):
        return "failure"
    return ""


@dataclass(frozen=True)
class AlertFilter:
    """What a channel takes; the entries are groups, codes and patterns of codes."""

    entries: list[str]  # one that begins with ! takes away
    ignore: regex.Pattern[str] | None = None

    @property
    def types(self) -> str:
        """The entries as in ALERT_TYPES."""
        return ",".join(self.entries)

    @property
    def sees_who(self) -> bool:
        """Whether ALERT_IGNORE sees more than the title, because it names a label."""
        return bool(self.ignore and _NAMES_WHO.search(self.ignore.pattern))

    def wants(self, code: str) -> bool:
        """Whether the filter takes this log type, whose code is in lower case."""
        wanted = False
        for entry in self.entries:
            kind = entry.removeprefix("!")
            if kind == group_of(code) or fnmatch.fnmatchcase(code, kind):
                if entry.startswith("!"):
                    return False
                wanted = True
        return wanted

    def ignored_text(self, alert: Alert) -> str | None:
        """The text by which ALERT_IGNORE silences an alert; None if it does not.

        It sees the title, `DESCRIPTION [type: CODE]`. A pattern that names a label, for
        instance `User:`, also sees a line below it for the tenant and each of WHO that
        the event has. Other patterns do not, because what a stranger types as his user
        name must not match them. Raises TimeoutError.
        """
        if self.ignore is None:
            return None
        lines = [alert.title]
        if self.sees_who:
            lines += _who(alert)
        text = "\n".join(lines)
        # Other threads stand still so long. If they did not, this one would wait up to
        # 5 ms after each of 10,000 searches until it may go on.
        found = self.ignore.search(text, timeout=MAX_SEARCH, concurrent=False)
        return found and found[0]


@dataclass
class Routed:
    """What becomes of the events of a delivery."""

    # What each channel takes, without those that take nothing.
    by_channel: dict[str, list[Alert]]
    # Of the events that at least one filter takes, by log type.
    counts: Counter[str] = field(default_factory=Counter)
    # Those that a filter wants, but that no channel gets, because of ALERT_IGNORE.
    ignored: Counter[str] = field(default_factory=Counter)


class Router:
    """Finds the filters that take an event, and remembers how log types were judged."""

    def __init__(
        self,
        filters: Mapping[str, AlertFilter],
        clock: Callable[[], float] = time.monotonic,
        stopwatch: Callable[[], float] = time.thread_time,
    ) -> None:
        self._filters = filters  # by the channels' labels
        self._clock = clock
        self._stopwatch = stopwatch
        # Seconds that each channel may still search, and until when.
        self._left: dict[str, float] = {}
        self._left_until = 0.0
        self._warnings = HourlyWarnings(clock)
        # For each log type known or seen: the channels that want it.
        self._wanted_by = {code: self._judge(code) for code in NAMES}

    def route(self, events: Iterable[Event]) -> Routed:
        """The alerts among the events, in their order, for each channel."""
        routed = Routed({})
        if self._clock() >= self._left_until:
            self._left = dict.fromkeys(self._filters, MAX_SEARCHES / len(self._filters))
            self._left_until = self._clock() + SEARCHES_WITHIN
        for event in events:
            code = event["type"]
            wanted_by = self._wanted_by.get(code)
            if wanted_by is None:
                wanted_by = self._judge_new(code)
            if not wanted_by:
                continue
            alert = read_alert(event, group_of(code[:MAX_CODE]))
            taken = False
            for channel in wanted_by:
                if not self._silences(channel, alert):
                    routed.by_channel.setdefault(channel, []).append(alert)
                    taken = True
            if taken:
                routed.counts[alert.code] += 1
            else:
                routed.ignored[alert.code] += 1
        return routed

    def _silences(self, channel: str, alert: Alert) -> bool:
        """Whether a channel's ALERT_IGNORE silences the alert.

        When no time is left to search, alerts are shown, because that costs less than
        an answer that comes too late.
        """
        if self._left[channel] <= 0:
            return False
        ignored = None
        started = self._stopwatch()
        try:
            ignored = self._filters[channel].ignored_text(alert)
        except TimeoutError:
            self._left[channel] = 0
        self._left[channel] -= self._stopwatch() - started
        if self._left[channel] <= 0:
            whose = f" of channel {channel}" if channel else ""
            self._warnings.warn(
                f"ALERT_IGNORE{whose} takes too long, so alerts that it silences can be"
                " shown: write it with fewer repeats, and none inside another"
            )
        return ignored is not None

    def _judge(self, code: str) -> list[str]:
        """The channels that want a log type."""
        wanted_by = []
        for channel, chosen in self._filters.items():
            if chosen.wants(code):
                wanted_by.append(channel)
        return wanted_by

    def _judge_new(self, code: str) -> list[str]:
        """Judge a type that is not in log_types.py; warn of the first MAX_NEW, once."""
        wanted_by = self._judge(code[:MAX_CODE].lower())
        room = len(self._wanted_by) < len(NAMES) + MAX_NEW
        if room and len(code) <= MAX_CODE:
            self._wanted_by[code] = wanted_by
            _warn_of_new(code, is_alert=bool(wanted_by))
        return wanted_by


def read_types(value: str = "") -> tuple[AlertFilter, list[str]]:
    """Read ALERT_TYPES, which may be empty. The filter has no ALERT_IGNORE yet.

    Returns the filter, and warnings of what is allowed but may be a mistake. Raises
    ValueError for what is malformed, and for a filter that could never take an event.
    What is said goes on after the variable's name.
    """
    entries = []
    for entry in re.findall(r"[^,\s]+", value.lower()):
        if not _ENTRY.fullmatch(entry):
            raise ValueError(
                f"has the entry {entry!r}: give a comma-separated list of groups"
                " (failure, limit), log type codes (fp) and patterns (gd_*); a leading"
                " ! takes away"
            )
        entries.append(entry)
    if all(entry.startswith("!") for entry in entries):
        entries = [*GROUPS, *entries]
    chosen = AlertFilter(entries)
    warnings = _unmatched(chosen)
    if not any(map(chosen.wants, NAMES)):
        raise ValueError(
            f"is {value!r}, which matches no log type that Auth0 documents, so there"
            " would never be an alert: give groups (failure, limit) or codes such as"
            " fp, or leave it empty"
        )
    return chosen, warnings


def read_ignore(value: str, chosen: AlertFilter) -> tuple[AlertFilter, list[str]]:
    """Read ALERT_IGNORE, which may be empty, for the filter that ALERT_TYPES chose.

    Returns the filter with it, warnings, and raises ValueError, as read_types does.
    """
    if not value:
        return chosen, []
    try:
        with catch_warnings(action="ignore"):  # of what DOUBTFUL says too
            re.compile(value, re.MULTILINE)
        pattern = regex.compile(value, regex.VERSION0 | regex.MULTILINE)
    except (re.error, regex.error, RecursionError, OverflowError) as error:
        raise ValueError(
            f"is {value!r}, which is no regular expression ({error}): write it as"
            r" Python's re module reads it, with \{ for a brace, for instance ^Password"
            " is too common"
        ) from None
    chosen = replace(chosen, ignore=pattern)
    doubts = _doubts(value)
    if _silences_all(chosen, pattern):
        said = (
            f"is {value!r}, which matches every title tried that ALERT_TYPES lets"
            " through, or a line that every event has, so there would never be an"
            " alert: make it match only what you want to silence"
        )
        # With "not followed by" or "not behind", the samples cannot tell for sure.
        if not re.search(r"\(\?<?!", value):
            raise ValueError(said)
        doubts.append(said)
    return chosen, doubts


def _doubts(ignore: str) -> list[str]:
    """Warnings of what does something else in ALERT_IGNORE than was probably meant."""
    doubts = []
    entries = re.findall(r"[^!^$(),|\s]+", ignore.lower())
    if entries and NAMES.keys() >= set(entries):
        types = ",!".join(entries)
        doubts.append(
            f"is {ignore!r}, which is searched for in titles: to silence log types,"
            f" ALERT_TYPES=!{types}"
        )
    for looks, said in DOUBTFUL.items():
        if re.search(looks, ignore):
            doubts.append(f"is {ignore!r}, {said}")
    return doubts


def _who(alert: Alert) -> list[str]:
    """A line for the tenant, and for each label of WHO that the event has.

    A user has one each for what names him: his name, his address, his id.
    """
    lines = []
    if alert.tenant:
        lines.append(f"Tenant: {alert.tenant}")
    for label in WHO:
        texts = alert.values.get(label, ())
        if label == "Client":
            texts = (" ".join(texts),)
        for text in filter(None, texts):
            lines.append(f"{label}: {text}")
    return lines


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
        f"log type {code!r} is unknown: its code reads as {reads}, so it is {judged}."
        f" To change that, add {entry} to ALERT_TYPES (failure,limit by default)"
    )


def _unmatched(chosen: AlertFilter) -> list[str]:
    """Warnings of the entries that match no log type known today.

    They may be meant for a later one, or be mistyped. Raises ValueError for what looks
    like the name of a group: `failures` would switch all failures off.
    """
    warnings = []
    for entry in chosen.entries:
        entry = entry.removeprefix("!")
        if entry in GROUPS or fnmatch.filter(NAMES, entry):
            continue
        said = f"has {entry!r}, which matches no log type known today"
        group = get_close_matches(entry, GROUPS, 1, CLOSE)
        if re.fullmatch("fail(ed)?|errors?", entry):
            group = ["failure"]
        if group:
            raise ValueError(f"{said} (did you mean {group[0]}?)")
        code = get_close_matches(entry, NAMES, 1, CLOSE)
        if code:
            warnings.append(f"{said} (did you mean {code[0]}?)")
        else:
            warnings.append(f"{said}: is it mistyped?")
    return warnings


def _silences_all(chosen: AlertFilter, pattern: regex.Pattern[str]) -> bool:
    """Whether ALERT_IGNORE silences the samples of each log type that is wanted.

    Among them is what the pattern spells: `^(?!Wrong)` silences all but "Wrong ...".
    """
    spelled = re.findall(r"(?:\\\W|[\w :@-])+", pattern.pattern)
    for code in filter(chosen.wants, NAMES):
        for words in (NAMES[code], "?", "?" * MAX_KEPT, *spelled):
            words = words.replace("\\", "")
            text = f"{words} [type: {code}]"
            if chosen.sees_who:
                text += f"\n{SAMPLE_WHO}\n{words}"
            try:
                if not pattern.search(text, timeout=MAX_SEARCH):
                    return False
            except TimeoutError:
                return False
    return True
