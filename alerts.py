"""Alerts: an event as the team is told of it: what happened, why, to whom or what, where to look.

Auth0 says why an event failed, and what it was about, elsewhere for each log type, and mostly in
`details` (https://auth0.com/docs/tenant-logs, the log schemas): FIELDS is the table of those
places. An alert keeps what a message can show, cleaned and cut, and nothing else of its event.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from events import Event
from log_types import NAMES

MAX_READ = 1000  # characters that are read of any text; a title or a field shows 250
MAX_CODE = 100  # characters of a log type's code; Auth0's have at most 50
MAX_LOG_ID = 100  # characters; Auth0's have about 55, and a longer one is no id
MAX_LISTED = 20  # items that are read of a list

Value = tuple[
    str, ...
]  # what stands under a label: mostly one text; a client's name and its id

# What can be shown: for each name in SLACK_FIELDS the labels under which it stands in Slack, and
# for each label where its texts stand: a string for each text, in it the places, best first. A dot
# in front stands for `details`; a list on the way stands for its first item. "authentoication" is
# what Auth0's schema of feccft says.
# fmt: off
FIELDS: dict[str, dict[str, list[str]]] = {
    "cause": {"Cause": [
        ".error.message .error .errorMsg .error.detail .error.payload.message .error.oauthError"
        " .error.title .failure_details.message .provider_error.message .action_error.message"
        " .client_authentication_error .client_authentoication_error .failure_reason .reason"
        " .error.reason .errors.message .errors .response.message .response .description .details"
        " .title title .error.type .error.code .failure_details.errorCode .provider_error.errorCode"
        " .action_error.name .response.statusCode details"]},
    "subject": {
        "Request": [".request.method", ".request.path .request.backchannel_logout_uri"],
        "Rate limit": [".limit.bucket"], "Action": [".action_name .action_id"],
        "Flow": [".flow_id"], "Form": [".form_id"], "Domain": [".domain .custom_domain"],
        "Recipient": [".to .body.to .phone_number"], "Origin": [".origin"],
        "Return URL": [".return_to"],
        "Factor": [".authenticator.type .authentication_method"]},
    "client": {"Client": [
        "client_name",
        "client_id .qs.client_id .requested_client_id .body.client_id .query.client_id"
        " .invitation.client_id"]},
    "user": {"User": [
        "user_name user_id .body.email .body.username .body.user_id .query.email .query.user_id"
        " .email email .invitation.invitee.email"]},
    "connection": {"Connection": [
        "connection .connection .body.connection .query.connection .connection_name"]},
    "ip": {"IP": ["ip client_ip .request.ip"]},
    "organization": {"Organization": ["organization_name organization_id"]},
    "location": {"Location": [
        "location_info.city_name", "location_info.country_name location_info.country_code"]},
    "audience": {"Audience": ["audience .body.audience"]},
    "strategy": {"Strategy": ["strategy"]},
    "user_agent": {"User agent": ["user_agent"]},
    "hostname": {"Hostname": ["hostname"]},
    "log_id": {"Log ID": ["log_id"]},
}
# fmt: on
DEFAULT_FIELDS = ("cause", "subject", "client", "user", "connection", "ip")


Tree = dict[
    str, Any
]  # for each key (label, text, rank) where it is a place, and the tree below it


def _tree() -> Tree:
    """FIELDS as nested keys."""
    tree: Tree = {}
    for label, texts in (row for labels in FIELDS.values() for row in labels.items()):
        for part, places in enumerate(texts):
            for rank, place in enumerate(places.split()):
                *above, last = re.sub(r"^\.", "details.", place).split(".")
                node = tree
                for key in above:
                    node = node.setdefault(key, (None, {}))[1]
                node[last] = ((label, part, rank), node.get(last, (None, {}))[1])
    return tree


_TREE = _tree()
_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Characters that show nothing or turn the text around them, and can so disguise it: soft hyphen,
# bidirectional marks, overrides and isolates, zero-width spaces, fillers, tags.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb\U00013430-\U00013438"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_TENANT = re.compile(
    r"[a-z0-9-]{1,63}"
)  # so a tenant's name needs no escaping anywhere
_AUTH0_HOST = re.compile(r"([a-z0-9-]{1,63})(?:\.([a-z]{2}))?\.auth0\.com")
_ENVIRONMENT = re.compile(r"[a-z]+-([a-z]{2})-\d+")


@dataclass(frozen=True, slots=True)
class Alert:
    """What the team is told of an event. The texts are cleaned and cut, but not yet escaped."""

    code: str
    name: str  # of the log type; empty for one that Auth0 has added since
    group: str  # "failure", "limit", or empty for what only the user asked for
    description: str
    values: dict[str, Value]  # by label; only what the event says
    log_id: str  # empty where it has none that can be relied on
    time: datetime | None  # in UTC
    tenant: str
    link: str  # to the event in Auth0's Dashboard, or empty

    @property
    def words(self) -> str:
        """What happened, in words: Auth0's of the event, or else of its type."""
        return self.description or self.name or "Auth0 log event"

    @property
    def title(self) -> str:
        """What happened, as ALERT_IGNORE sees it."""
        return f"{self.words} [type: {self.code}]"


def read_alert(event: Event, group: str) -> Alert:
    """The alert of an event, whatever JSON holds in its fields."""
    log_id = clean(event.get("log_id"))
    log_id = (
        log_id
        if isinstance(event.get("log_id"), str) and len(log_id) <= MAX_LOG_ID
        else ""
    )
    tenant, region = _tenant(event)
    page = f"dashboard/{region}/{tenant}" if region else "#"
    link = (
        f"https://manage.auth0.com/{page}/logs/{quote(log_id, safe='')}"
        if log_id
        else ""
    )
    code, description = clean(event["type"])[:MAX_CODE], clean(event.get("description"))
    time, name = _time(event.get("date")), NAMES.get(event["type"], "")
    return Alert(
        code, name, group, description, _values(event), log_id, time, tenant, link
    )


def read_fields(value: str = "") -> tuple[str, ...]:
    """Read SLACK_FIELDS: the fields to show, in order. Raises ValueError, quoting a wrong one."""
    names = dict.fromkeys(re.findall(r"[^,\s]+", value.lower()))
    if list(names) == ["none"]:
        return ()
    if wrong := [name for name in names if name not in FIELDS]:
        raise ValueError(
            f"SLACK_FIELDS has the field {wrong[0]!r}: give none alone, or a comma-separated list"
            f" of {', '.join(FIELDS)}"
        )
    return tuple(names) or DEFAULT_FIELDS


def clean(value: object) -> str:
    """A value as one line of visible text, cut to MAX_READ; empty for what is no text or number."""
    if isinstance(value, str):
        value = value[:MAX_READ]
        if value.isascii() and value.isprintable():
            return value.strip()
        return _INVISIBLE.sub(
            "", _CONTROL.sub(" ", _SURROGATE.sub("\ufffd", value))
        ).strip()
    if isinstance(value, list):
        return ", ".join(
            filter(None, (clean(x) for x in value[:MAX_LISTED] if type(x) is not list))
        )
    if isinstance(value, int | float):  # also a bool, which JSON writes in lower case
        return str(value).lower()[:MAX_READ]
    return ""


def _values(event: Event) -> dict[str, Value]:
    """What an event says under each label that it says something under."""
    found = sorted(_texts(event, _TREE), reverse=True)
    best = {
        (label, part): text for label, part, _rank, text in found
    }  # the best comes last
    values: dict[str, Value] = {}
    for (label, _part), text in reversed(best.items()):
        values[label] = (*values.get(label, ()), text)
    return values


def _texts(value: Any, tree: Tree) -> list[tuple[str, int, int, str]]:
    """Each text that stands in a place of the table, with its label, which text of it, and rank."""
    if isinstance(value, list) and value:
        value = value[0]
    texts = []
    for key in value.keys() & tree.keys() if isinstance(value, dict) else ():
        place, below = tree[key]
        if place and (text := clean(value[key])):
            texts.append((*place, text))
        if below:
            texts += _texts(value[key], below)
    return texts


def _time(date: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(date)  # type: ignore[arg-type]
        time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return time if time.year >= 1970 else None  # Slack's `ts` counts from there


def _tenant(event: Event) -> tuple[str, str]:
    """The tenant's name and its region, each empty where the event does not tell."""
    tenant, environment = (
        clean(event.get("tenant_name")),
        clean(event.get("environment_name")),
    )
    tenant = tenant if _TENANT.fullmatch(tenant) else ""
    if tenant and (region := _ENVIRONMENT.fullmatch(environment)):
        return tenant, region[1]
    if host := _AUTH0_HOST.fullmatch(clean(event.get("hostname")).lower()):
        return tenant or host[1], host[2] or "us" if tenant in ("", host[1]) else ""
    return tenant, ""
