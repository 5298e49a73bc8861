"""Alerts: what the team is told of an event: what, why, to whom, where to look.

Auth0 says why an event failed, and what it was about, in another place for each log
type, mostly in `details` (https://auth0.com/docs/tenant-logs, the log schemas). FIELDS
is the table of those places. An alert keeps what a message can show, cleaned and cut,
and nothing else of its event.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from events import Event
from log_types import NAMES

MAX_READ = 1000  # characters that are read of any text
MAX_KEPT = 300  # characters that are kept of it; a title or a field shows 250
CUT = "…"  # stands at the end of a text of which not all is kept
MAX_CODE = 100  # characters of a log type's code; Auth0's have at most 50
MAX_LOG_ID = 100  # characters; Auth0's have about 55, and a longer one is no id
MAX_LISTED = 20  # items that are read of a list
MAX_MARKS = 4  # accents and joiners in a row; Vietnamese has two on a letter
MIN_TOKEN_HEADER = 12  # characters after "eyJ"; `{"alg":"none"}` gives 16

# What stands under a label: mostly one text; for a client its name and its id.
Value = tuple[str, ...]


@dataclass(frozen=True)
class Label:
    """What stands under one label in Slack.

    `texts` has an entry for each text: the places where it may stand, the best first.
    A dot in front stands for `details.`, and a list on the way for its first item:
    `.error.message` is the message in `details.error`.
    """

    plural: str
    texts: list[str]


# What can be shown: for each name in SLACK_FIELDS, the labels under which it stands.
FIELDS: dict[str, dict[str, Label]] = {
    "cause": {
        "Cause": Label(
            "Causes",
            [
                ".error.message .error .errorMsg .error.detail .error.payload.message"
                " .error.oauthError .error.title .failure_details.message"
                " .provider_error.message .action_error.message"
                # Auth0's schema of feccft has the second of these two.
                " .client_authentication_error .client_authentoication_error"
                " .failure_reason .reason .error.reason .errors.message .errors"
                " .response.message .response .response.body.message"
                " .response.body.error .response.body .description .body.description"
                " .details .title title .error.type .error.code"
                " .failure_details.errorCode .provider_error.errorCode"
                " .action_error.name .response.statusCode details"
            ],
        )
    },
    "subject": {
        "Request": Label(
            "Requests",
            [".request.method", ".request.path .request.backchannel_logout_uri"],
        ),
        "Rate limit": Label("Rate limits", [".limit.bucket"]),
        "Action": Label("Actions", [".action_name .action_id"]),
        "Flow": Label("Flows", [".flow_id .flow"]),
        "Form": Label("Forms", [".form_id"]),
        "Domain": Label("Domains", [".domain .custom_domain"]),
        "Recipient": Label(
            "Recipients",
            [
                ".to .body.to .phone_number .body.phone_number .body.new_phone_number"
                " .authenticator.phone_number .enrollment.phone_number"
            ],
        ),
        "Origin": Label("Origins", [".origin"]),
        "Return URL": Label("Return URLs", [".return_to"]),
        "Factor": Label(
            "Factors", [".authenticator.type .authentication_method .delivery_method"]
        ),
        "Agent": Label("Agents", ["agent_id external_agent_id"]),
        "Target": Label("Targets", [".target"]),
        "Consent": Label("Consents", [".requestedRichConsentId"]),
        "Synchronization": Label("Synchronizations", [".synchronization_id"]),
    },
    "client": {
        "Client": Label(
            "Clients",
            [
                "client_name",
                "client_id .qs.client_id .requested_client_id .body.client_id"
                " .query.client_id .invitation.client_id",
            ],
        )
    },
    "user": {
        "User": Label(
            "Users",
            [
                "user_name user_id .body.email .body.username .body.user_id"
                " .body.login_hint .query.email .query.user_id .email email"
                " .invitation.invitee.email"
                # Who called the Management API; and who acts in a token exchange.
                " .request.auth.user.name .request.auth.user.email .actor.sub"
            ],
        )
    },
    "connection": {
        "Connection": Label(
            "Connections",
            [
                "connection .connection .body.connection .query.connection"
                " .connection_name"
            ],
        )
    },
    "ip": {"IP": Label("IPs", ["ip client_ip .request.ip"])},
    "organization": {
        "Organization": Label("Organizations", ["organization_name organization_id"])
    },
    "location": {
        "Location": Label(
            "Locations",
            [
                "location_info.city_name",
                "location_info.country_name location_info.country_code",
            ],
        )
    },
    "audience": {"Audience": Label("Audiences", ["audience .body.audience"])},
    "strategy": {"Strategy": Label("Strategies", ["strategy"])},
    "user_agent": {"User agent": Label("User agents", ["user_agent"])},
    "hostname": {"Hostname": Label("Hostnames", ["hostname"])},
    "log_id": {"Log ID": Label("Log IDs", ["log_id"])},
}
DEFAULT_FIELDS = ("cause", "subject", "client", "user", "connection", "ip")

# A place, as it is walked: the path of the object that holds it ("" for the event
# itself), and its key in there.
Place = tuple[str, str]


def _place(path: str) -> Place:
    above, _, key = path.rpartition(".")
    return above, key


def _read_table() -> list[tuple[str, list[Place]]]:
    """FIELDS, row by row: for each text its label, and its places, the best first."""
    rows = []
    for labels in FIELDS.values():
        for name, label in labels.items():
            for text in label.texts:
                text = re.sub(r"(^| )\.", r"\1details.", text)
                rows.append((name, [_place(path) for path in text.split()]))
    return rows


def _find_objects() -> list[tuple[str, Place]]:
    """The paths of all objects that hold a place.

    They are sorted, so that a path comes after those that it begins with.
    """
    paths = set()
    for _, places in _TEXTS:
        for path, _ in places:
            while path:
                paths.add(path)
                path, _ = _place(path)
    return [(path, _place(path)) for path in sorted(paths)]


_TEXTS = _read_table()
_OBJECTS = _find_objects()
_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Characters that show nothing or turn the text around them, and can so disguise it:
# soft hyphen, bidirectional marks, overrides and isolates, zero-width spaces, fillers,
# tags.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U00013430-\U00013438\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Accents that are put on the letter before, and joiners, which some scripts and emoji
# need: a few in a row are writing, more are a stack that covers other lines. Those
# beyond U+FFFF are left out: a pattern that has them takes 80 times as long.
_MARKS = "\u200c\u200d" + "".join(
    chr(code)
    for code in range(0x300, 0x10000)
    if unicodedata.category(chr(code)) in ("Mn", "Me")
)
_STACK = re.compile(f"([{_MARKS}]{{{MAX_MARKS}}})[{_MARKS}]+")
_NOTHING_TO_SEE = re.compile(f"[\\s{_MARKS}]*")
# What may hold a JSON Web Token, which is three runs of such characters with dots
# between, and begins with the base64 of `{"`.
_TOKEN_CHARACTERS = re.compile("[A-Za-z0-9_.-]+")
_JWT_START = "eyJ"
_LOG_ID = re.compile(f"[!-~]{{1,{MAX_LOG_ID}}}")
_NOT_IN_A_CODE = re.compile("[^A-Za-z0-9_-]+")
# A tenant's name needs no escaping anywhere.
_TENANT = re.compile(r"[a-z0-9-]{1,63}")
_AUTH0_HOST = re.compile(r"([a-z0-9-]{1,63})(?:\.([a-z]{2}))?\.auth0\.com")
_ENVIRONMENT = re.compile(r"[a-z]+-([a-z]{2})-\d+")


@dataclass(frozen=True, slots=True)
class Alert:
    """What the team is told of an event. The texts are cleaned and cut, not escaped."""

    code: str  # letters, digits, "_" and "-"
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
        """What happened, and the log type: what ALERT_IGNORE sees first."""
        return f"{self.words} [type: {self.code}]"


def read_alert(event: Event, group: str) -> Alert:
    """The alert of an event, whatever JSON holds in its fields."""
    code = event["type"]
    log_id = _log_id(event)
    tenant, region = _tenant(event)
    return Alert(
        code=_code(code),
        name=NAMES.get(code, ""),
        group=group,
        description=clean(event.get("description")),
        values=_values(event),
        log_id=log_id,
        time=_time(event.get("date")),
        tenant=tenant,
        link=_link(log_id, tenant, region),
    )


def read_fields(value: str = "") -> tuple[str, ...]:
    """Read SLACK_FIELDS: the fields to show, in order.

    Raises ValueError, which continues after the variable's name, and quotes the wrong
    one.
    """
    names = list(dict.fromkeys(re.findall(r"[^,\s]+", value.lower())))
    if names == ["none"]:
        return ()
    for name in names:
        if name not in FIELDS:
            raise ValueError(
                f"has {name!r}, which is no field: give none alone, or a list of"
                f" {', '.join(FIELDS)}, separated by commas"
            )
    return tuple(names) or DEFAULT_FIELDS


def clean(value: object) -> str:
    """A value as one line of visible text, cut to MAX_KEPT, its tokens masked.

    Empty for what is neither a text nor a number, nor a list of such.
    """
    if isinstance(value, str):
        text = _clean_text(value[:MAX_READ])
        return _cut(text, len(value) > MAX_READ)
    if isinstance(value, list):
        texts = [clean(item) for item in value[:MAX_LISTED] if type(item) is not list]
        return _cut(", ".join(filter(None, texts)))
    if isinstance(value, int | float):  # also a bool, which JSON writes in lower case
        return _cut(str(value).lower())
    return ""


def _cut(text: str, was_cut: bool = False) -> str:
    """What is kept of a text; it says so if that is not all."""
    if not was_cut and len(text) <= MAX_KEPT:
        return text
    return text[: MAX_KEPT - len(CUT)] + CUT


def _clean_text(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        text = _SURROGATE.sub("\ufffd", text)
        text = _CONTROL.sub(" ", text)
        text = _INVISIBLE.sub("", text)
        text = _STACK.sub(r"\1", text)
        if _NOTHING_TO_SEE.fullmatch(text):
            return ""
    if _JWT_START in text:
        text = _TOKEN_CHARACTERS.sub(_mask_token, text)
    return text.strip()


def _mask_token(run: re.Match[str]) -> str:
    """Put `[token]` in the place of a JSON Web Token, whole or cut off.

    In `error%3DeyJhbGciOiJIUzI1NiJ9.eyJzdWI` the run is what follows the percent sign:
    a token may begin within a run if it has a dot. Without a dot it must begin the run,
    or else some random ids would be taken for one.
    """
    before, _, token = run[0].partition(_JWT_START)
    header, dot, _ = token.partition(".")
    if len(header) < MIN_TOKEN_HEADER:
        return run[0]
    if before and not dot:
        return run[0]
    return before + "[token]"


def _values(event: Event) -> dict[str, Value]:
    """What an event says under each label that it says something under."""
    objects = _objects(event)
    values: dict[str, Value] = {}
    for label, places in _TEXTS:
        text = _best_text(objects, places)
        if text:
            values[label] = (*values.get(label, ()), text)
    return values


def _objects(event: Event) -> dict[str, dict[str, Any]]:
    """The objects of an event in which a text may stand, by their path."""
    objects = {"": event}
    for path, (above, key) in _OBJECTS:
        if above in objects:
            value = objects[above].get(key)
            if isinstance(value, list) and value:
                value = value[0]
            if isinstance(value, dict):
                objects[path] = value
    return objects


def _best_text(objects: dict[str, dict[str, Any]], places: list[Place]) -> str:
    """The text in the first of the places that has one."""
    for path, key in places:
        holder = objects.get(path)
        if holder and key in holder:
            text = clean(holder[key])
            if text:
                return text
    return ""


def _code(log_type: str) -> str:
    """A log type's code without what is not in one, and what would format it.

    What is left must not pass for another log type: `:fp:` is not `fp`.
    """
    code = _NOT_IN_A_CODE.sub("", clean(log_type))[:MAX_CODE]
    code = code.strip("_-")
    if not code or (code in NAMES and code != log_type):
        return "unknown"
    return code


def _log_id(event: Event) -> str:
    """The event's id, or nothing where it cannot be one.

    It is taken as it is: two ids that look alike once they are cleaned are two.
    """
    log_id = event.get("log_id")
    if isinstance(log_id, str) and _LOG_ID.fullmatch(log_id):
        return log_id
    return ""


def _link(log_id: str, tenant: str, region: str) -> str:
    """The event's page in the Dashboard; without a region, the open tenant's."""
    if not log_id:
        return ""
    page = f"dashboard/{region}/{tenant}" if region else "#"
    return f"https://manage.auth0.com/{page}/logs/{quote(log_id, safe='')}"


def _time(date: object) -> datetime | None:
    """The time in UTC, or None for what is no date, or one before 1970."""
    try:
        time = datetime.fromisoformat(date)  # type: ignore[arg-type]
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC)
        time = time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return time if time.year >= 1970 else None  # Slack's times count from there


def _tenant(event: Event) -> tuple[str, str]:
    """The tenant's name and its region, each empty where the event does not tell."""
    tenant = clean(event.get("tenant_name"))
    if not _TENANT.fullmatch(tenant):
        tenant = ""
    environment = _ENVIRONMENT.fullmatch(clean(event.get("environment_name")))
    if tenant and environment:
        return tenant, environment[1]
    host = _AUTH0_HOST.fullmatch(clean(event.get("hostname")).lower())
    if host and tenant in ("", host[1]):
        return host[1], host[2] or "us"
    return tenant, ""
