"""Filters: which events are alerts, and in which channels they are shown.

A channel's filter takes an event by its log type (ALERT_TYPES), unless what the event
says is silenced (ALERT_IGNORE). The router asks the filters of all channels.
"""

import fnmatch
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from alerts import MAX_CODE, MAX_KEPT, Alert, read_alert
from events import Event
from log_types import NAMES

MAX_NEW = 100  # log types not in log_types.py that are remembered
MAX_IN_A_ROW = 3  # repeats without a bound; four take seconds for a hostile text
MAX_WAYS = 100_000  # in which a repeat may match before we warn of it: about 0.01 s
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
# A pattern that names none of these sees the title alone.
_NAMES_WHO = re.compile("(Tenant|Client|User|Connection|IP):")

# An event with all that ALERT_IGNORE can see, for the check at the start.
SAMPLE = {
    "tenant_name": "sample",
    "client_name": "Sample",
    "user_name": "sample@example.com",
    "connection": "Sample-Connection",
    "ip": "192.0.2.1",
}
# A node of a regular expression's syntax tree: its operation, and what that works on.
Node = tuple[str, Any]

log = logging.getLogger(__name__)


@lru_cache(maxsize=1000)
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
    """What a channel takes; the entries are groups, codes and patterns of codes."""

    wanted: list[str]
    unwanted: list[str]
    ignore: re.Pattern[str] | None = None

    @property
    def types(self) -> str:
        """The entries as in ALERT_TYPES."""
        unwanted = [f"!{entry}" for entry in self.unwanted]
        return ",".join(self.wanted + unwanted)

    def wants(self, code: str) -> bool:
        """Whether the filter takes this log type, whose code is in lower case."""
        if _has(self.unwanted, code):
            return False
        return _has(self.wanted, code)

    def silences(self, alert: Alert) -> bool:
        """Whether ALERT_IGNORE matches what it sees of the alert.

        It sees the title, `DESCRIPTION [type: CODE]`. A pattern that names a label, for
        instance `User:`, also sees a line below it for the tenant and each of WHO that
        the event has. Other patterns do not, because what a stranger types as his user
        name must not match them.
        """
        if self.ignore is None:
            return False
        lines = [alert.title]
        if _NAMES_WHO.search(self.ignore.pattern):
            lines += _who(alert)
        return self.ignore.search("\n".join(lines)) is not None


@dataclass
class Routed:
    """What becomes of the events of a delivery."""

    by_channel: dict[
        str, list[Alert]
    ]  # what each takes, without those that take nothing
    # Of the events that at least one filter takes, by log type.
    counts: Counter[str] = field(default_factory=Counter)
    # Those that a filter wants, but that no channel gets, because of ALERT_IGNORE.
    ignored: int = 0


class Router:
    """Finds the filters that take an event, and remembers how log types were judged."""

    def __init__(self, filters: Mapping[str, AlertFilter]) -> None:
        self._filters = filters  # by the channels' labels
        # For each log type known or seen: the channels that want it.
        self._wanted_by = {code: self._judge(code) for code in NAMES}

    def route(self, events: Iterable[Event]) -> Routed:
        """The alerts among the events, in their order, for each channel."""
        routed = Routed({})
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
                if not self._filters[channel].silences(alert):
                    routed.by_channel.setdefault(channel, []).append(alert)
                    taken = True
            if taken:
                routed.counts[alert.code] += 1
            else:
                routed.ignored += 1
        return routed

    def _judge(self, code: str) -> list[str]:
        """The channels that want a log type."""
        wanted_by = []
        for channel, chosen in self._filters.items():
            if chosen.wants(code):
                wanted_by.append(channel)
        return wanted_by

    def _judge_new(self, code: str) -> list[str]:
        """Judge a log type that is not in log_types.py, and warn of it once."""
        wanted_by = self._judge(code[:MAX_CODE].lower())
        room = len(self._wanted_by) < len(NAMES) + MAX_NEW
        if room and len(code) <= MAX_CODE:
            self._wanted_by[code] = wanted_by
            _warn_of_new(code, is_alert=bool(wanted_by))
        return wanted_by


def read_filter(
    types: str = "",
    ignore: str = "",
    names: tuple[str, str] = ("ALERT_TYPES", "ALERT_IGNORE"),
) -> tuple[AlertFilter, list[str]]:
    """Read ALERT_TYPES and ALERT_IGNORE; both may be empty.

    `names` are the variables' names, for what is said about them. Returns the filter,
    and warnings of what is allowed but may be a mistake. Raises ValueError for what is
    malformed, and for a filter that could never take an event.
    """
    types_name, ignore_name = names
    chosen = _read_types(types, types_name)
    warnings = _unmatched(chosen, types_name)
    if not any(map(chosen.wants, NAMES)):
        raise ValueError(
            f"{types_name} is {types!r}, which matches no log type that Auth0"
            " documents, so there would never be an alert: give groups (failure,"
            " limit) or codes such as fp, or leave it empty"
        )
    if ignore:
        pattern, tree = _read_ignore(ignore, ignore_name)
        chosen = replace(chosen, ignore=pattern)
        warnings += _check_ignore(chosen, pattern, tree, names)
    return chosen, warnings


def _check_ignore(
    chosen: AlertFilter, pattern: re.Pattern[str], tree: Any, names: tuple[str, str]
) -> list[str]:
    """Warn of what may be a mistake; raise ValueError for what certainly is one."""
    types_name, ignore_name = names
    ignore = pattern.pattern
    nodes = list(_nodes(tree))
    warnings = []
    if "[type:" in ignore.replace(r"\[type:", ""):
        warnings.append(
            f"{ignore_name} has [type: without a backslash before it, which stands for"
            r" one of these letters: write \[type: CODE\]"
        )
    if not _may_hang(tree, nodes):
        if _silences_all(chosen, nodes):
            raise ValueError(
                f"{ignore_name} is {ignore!r}, which matches every title that"
                f" {types_name} lets through, or a line that every event has, so there"
                " would never be an alert: make it match only what you want to silence"
            )
        return warnings
    # It is not tried on samples: a start that hangs would not say why.
    if pattern.search(""):
        raise ValueError(
            f"{ignore_name} is {ignore!r}, which matches even the empty text, and so"
            " every alert: make it match only what you want to silence"
        )
    warnings.append(
        f"{ignore_name} repeats what can itself match in several ways, as (a+)+ and"
        " (a|b?)+ do, or has many repeats in a row: a hostile description or user name"
        " can keep it, and the service, busy for ever; write it with fewer repeats, and"
        " none inside another"
    )
    return warnings


def _read_types(types: str, name: str) -> AlertFilter:
    """The filter that ALERT_TYPES describes."""
    wanted = []
    unwanted = []
    for entry in re.findall(r"[^,\s]+", types.lower()):
        if not _ENTRY.fullmatch(entry):
            raise ValueError(
                f"{name} has the entry {entry!r}: give a comma-separated list of groups"
                " (failure, limit), log type codes (fp) and patterns (gd_*); a leading"
                " ! takes away"
            )
        if entry.startswith("!"):
            unwanted.append(entry[1:])
        else:
            wanted.append(entry)
    return AlertFilter(wanted or list(GROUPS), unwanted)


def _has(entries: list[str], code: str) -> bool:
    """Whether one of these entries stands for the log type."""
    for entry in entries:
        if entry == group_of(code) or fnmatch.fnmatchcase(code, entry):
            return True
    return False


def _who(alert: Alert) -> list[str]:
    """A line for each that the event has of: the tenant, the client, the user, ...

    A user who called the Management API has one for his name, address and id each.
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


def _unmatched(chosen: AlertFilter, name: str) -> list[str]:
    """Warnings of the entries that match no log type known today.

    They may be meant for a later one, or be mistyped. Raises ValueError for what looks
    like the name of a group: `failures` would switch all failures off.
    """
    warnings = []
    for entry in chosen.wanted + chosen.unwanted:
        if entry in GROUPS or fnmatch.filter(NAMES, entry):
            continue
        said = f"{name} has {entry!r}, which matches no log type known today"
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


def _read_ignore(ignore: str, name: str) -> tuple[re.Pattern[str], Any]:
    """ALERT_IGNORE compiled, and its syntax tree."""
    try:
        pattern = re.compile(ignore, re.MULTILINE)
        # Python's own parser is not documented, but another one would be wrong sooner.
        tree = re._parser.parse(ignore, re.MULTILINE)  # type: ignore[attr-defined]
        return pattern, tree
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(
            f"{name} is {ignore!r}, which is no regular expression ({error}): write it"
            " as Python's re module reads it, for instance ^Password is too common"
        ) from None


def _nodes(part: Any) -> Iterator[Node]:
    """The nodes in a part of a syntax tree, each before those within it."""
    if isinstance(part, tuple | list):
        for inner in part:
            yield from _nodes(inner)
    elif hasattr(part, "getwidth"):  # a sequence of nodes
        for operation, argument in part:
            yield operation.name, argument
            yield from _nodes(argument)


def _may_hang(tree: Any, nodes: list[Node]) -> bool:
    """Whether a pattern may try very many ways before it finds that none will do.

    `(a+)+$` splits "aaaa!" in 8 ways, and in twice as many for each letter more. And
    `.*-.*-.*-.*-.*@` tries each dash of a hundred for each of its own.
    """
    if _repeats_in_a_row(tree) > MAX_IN_A_ROW:
        return True
    for operation, argument in nodes:
        if operation in ("MAX_REPEAT", "MIN_REPEAT"):
            _least, most, repeated = argument
            if _ways(repeated) ** min(most, MAX_KEPT) > MAX_WAYS:
                return True
    return False


def _repeats_in_a_row(part: Any) -> int:
    """How many repeats without a bound stand one after the other in a pattern."""
    count = 0
    for operation, argument in part:
        if operation.name in ("MAX_REPEAT", "MIN_REPEAT"):
            _least, most, _repeated = argument
            if most >= MAX_KEPT:
                count += 1
        elif operation.name == "SUBPATTERN":
            count += _repeats_in_a_row(argument[-1])
        elif operation.name == "BRANCH":
            count += max(map(_repeats_in_a_row, argument[1]))
    return count


def _ways(part: Any) -> int:
    """In how many ways, about, a part of a pattern can match: lengths, alternatives."""
    shortest, longest = part.getwidth()
    shortest = min(shortest, MAX_KEPT)
    longest = min(longest, MAX_KEPT)
    ways: int = longest - shortest + 1
    for operation, _argument in _nodes(part):
        if operation == "BRANCH":
            ways *= 2
    return ways


def _silences_all(chosen: AlertFilter, nodes: list[Node]) -> bool:
    """Whether ALERT_IGNORE silences the samples of each log type that is wanted.

    One sample has no description; one has some; and one has what the pattern spells,
    because `^(?!Wrong)` silences all but "Wrong ...", and so not all.
    """
    spelled = ""
    for operation, argument in nodes:
        if operation == "LITERAL":
            spelled += chr(argument)
    for code in filter(chosen.wants, NAMES):
        for description in ("", "A sample", spelled):
            sample = {**SAMPLE, "type": code, "description": description}
            if not chosen.silences(read_alert(sample, "")):
                return False
    return True
