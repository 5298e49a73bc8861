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
MAX_KEPT = 300  # characters that are kept of it; a title or a value shows 250
CUT = "…"  # stands at the end of a text of which not all is kept
MAX_CODE = 100  # characters of a log type's code; Auth0's have at most 50
MAX_LOG_ID = 100  # characters; Auth0's have about 55, and a longer one is no id
MAX_LISTED = 20  # items that are read of a list
MAX_MARKS = 4  # accents and joiners in a row; Vietnamese has two on a letter
MIN_TOKEN_HEADER = 12  # characters after "eyJ"; `{"alg":"none"}` gives 16

# What stands under a field's label: mostly one text; a client's name and id are two.
Value = tuple[str, ...]

# What can be shown: for each name in SLACK_FIELDS, its labels, and for each label the
# places in an event of what stands under it: paths, one a line, the best first. A list
# on the way stands for its first item. After an empty line come the places of a second
# text. ALERT_IGNORE sees a line that begins with a label too, such as `User: neo`
# (filters.WHO): to rename that label breaks patterns that people have.
FIELDS: dict[str, dict[str, str]] = {
    "cause": {
        # Auth0's schema of feccft has "authentoication".
        "Cause": """
            details.error.message
            details.error
            details.errorMsg
            details.error.detail
            details.error.payload.message
            details.error.oauthError
            details.error.title
            details.failure_details.message
            details.provider_error.message
            details.action_error.message
            details.client_authentication_error
            details.client_authentoication_error
            details.failure_reason
            details.reason
            details.error.reason
            details.errors.message
            details.errors
            details.response.message
            details.response
            details.response.body.message
            details.response.body.error
            details.response.body
            details.description
            details.body.description
            details.details
            details.title
            title
            details.error.type
            details.error.code
            details.failure_details.errorCode
            details.provider_error.errorCode
            details.action_error.name
            details.response.statusCode
            details
        """,
    },
    "subject": {
        "Request": """
            details.request.method

            details.request.path
            details.request.backchannel_logout_uri
        """,
        "Rate limit": "details.limit.bucket",
        "Action": """
            details.action_name
            details.action_id
        """,
        "Flow": """
            details.flow
            details.flow_id
        """,
        "Form": "details.form_id",
        "Domain": """
            details.domain
            details.custom_domain
        """,
        "Email": "details.email_type",
        "Recipient": """
            details.to
            details.body.to
            details.phone_number
            details.body.phone_number
            details.body.new_phone_number
            details.authenticator.phone_number
            details.enrollment.phone_number
        """,
        "Origin": "details.origin",
        "Return URL": "details.return_to",
        "Factor": """
            details.authenticator.type
            details.authentication_method
            details.delivery_method
        """,
        "Agent": """
            agent_id
            external_agent_id
        """,
        "Target": "details.target",
        "Consent": "details.requestedRichConsentId",
        "Synchronization": "details.synchronization_id",
    },
    "client": {
        "Client": """
            client_name

            client_id
            details.qs.client_id
            details.requested_client_id
            details.body.client_id
            details.query.client_id
            details.invitation.client_id
        """,
    },
    "user": {
        # Who called the Management API: his name, then his address. Then what else
        # names the user: Auth0's own words first, then what was typed, and last who
        # acts in a token exchange. Then the id, so that a pattern with it matches too.
        # A message shows the first text; ALERT_IGNORE sees a line for each.
        "User": """
            details.request.auth.user.name

            details.request.auth.user.email

            user_name
            user_id
            details.body.email
            details.body.username
            details.body.user_id
            details.body.login_hint
            details.query.email
            details.query.user_id
            details.email
            email
            details.invitation.invitee.email
            details.actor.sub

            user_id
        """,
    },
    "connection": {
        "Connection": """
            connection
            details.connection
            details.body.connection
            details.query.connection
            details.connection_name
        """,
    },
    "ip": {
        "IP": """
            ip
            client_ip
            details.request.ip
        """,
    },
    "organization": {
        "Organization": """
            organization_name
            organization_id
        """,
    },
    "location": {
        "Location": """
            location_info.city_name

            location_info.country_name
            location_info.country_code
        """,
    },
    "audience": {
        "Audience": """
            audience
            details.body.audience
        """,
    },
    "strategy": {"Strategy": "strategy"},
    "user_agent": {"User agent": "user_agent"},
    "hostname": {"Hostname": "hostname"},
    "log_id": {"Log ID": "log_id"},
}
DEFAULT_FIELDS = ("cause", "subject", "client", "user", "connection", "ip")


def _read_table() -> list[tuple[str, list[list[str]]]]:
    """FIELDS, row by row: for each text its label, and the paths to it."""
    rows = []
    for labels in FIELDS.values():
        for label, places in labels.items():
            for places_of_one in places.split("\n\n"):
                paths = [path.split(".") for path in places_of_one.split()]
                rows.append((label, paths))
    return rows


_TEXTS = _read_table()
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
_DASHBOARD = "https://manage.auth0.com"
_ENVIRONMENT = re.compile(r"[a-z]+-([a-z]{2})-\d+")


@dataclass(frozen=True, slots=True)
class Alert:
    """What the team is told of an event. The texts are cleaned and cut, not escaped."""

    code: str  # letters, digits, "_" and "-"
    name: str  # of the log type; empty for one that Auth0 has added since
    group: str  # "failure", "limit", or empty for what only the user asked for
    description: str
    values: dict[str, Value]  # by field label; only what the event says
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
    tenant, dashboard = _tenant(event)
    return Alert(
        code=_code(code),
        name=NAMES.get(code, ""),
        group=group,
        description=clean(event.get("description")),
        values=_values(event),
        log_id=log_id,
        time=_time(event.get("date")),
        tenant=tenant,
        link=_link(log_id, dashboard),
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
        if len(value) > MAX_READ:
            text += CUT
        return _cut(text)
    if isinstance(value, list):
        texts = [clean(item) for item in value[:MAX_LISTED] if type(item) is not list]
        return _cut(", ".join(filter(None, texts)))
    if isinstance(value, int | float):  # also a bool, which JSON writes in lower case
        return _cut(str(value).lower())
    return ""


def _cut(text: str) -> str:
    """What is kept of a text; it says so if that is not all."""
    if len(text) <= MAX_KEPT:
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
    values: dict[str, Value] = {}
    for label, paths in _TEXTS:
        for path in paths:
            value = _find(event, path)
            if value is None:  # as nearly always
                continue
            text = clean(value)
            if text and not _is_success(path, text):
                said = values.get(label, ())
                if text not in said:
                    values[label] = (*said, text)
                break
    return values


def _find(event: Event, path: list[str]) -> object:
    """What stands in an event at a path, or None; JSON has no types but these."""
    value: Any = event
    for key in path:
        if type(value) is list and value:
            value = value[0]
        if type(value) is not dict:
            return None
        value = value.get(key)
    return value


def _is_success(path: list[str], text: str) -> bool:
    """Whether a text is an HTTP status that is no reason for anything: below 400."""
    return path[-1] == "statusCode" and text < "400"


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


def _link(log_id: str, dashboard: str) -> str:
    """The event's page in the Dashboard, where both are known."""
    if not log_id or not dashboard:
        return ""
    return f"{dashboard}/logs/{quote(log_id, safe='')}"


def _time(date: object) -> datetime | None:
    """The time in UTC, or None for what is no date, or none of our time."""
    try:
        time = datetime.fromisoformat(date)  # type: ignore[arg-type]
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC)
        time = time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    # Slack's times count from 1970, and some clients fail on the year 9999.
    return time if 1970 <= time.year < 2100 else None


def _tenant(event: Event) -> tuple[str, str]:
    """The tenant's name and its Dashboard's address, each empty where it is not known.

    A tenant of a private cloud, such as auth.SPACE.auth0.com, has a Dashboard of its
    own, whose address no event tells.
    """
    tenant = clean(event.get("tenant_name"))
    if not _TENANT.fullmatch(tenant):
        tenant = ""
    hostname = clean(event.get("hostname")).lower()
    host = _AUTH0_HOST.fullmatch(hostname)
    if hostname.endswith(".auth0.com") and not host:
        return tenant, ""
    environment = _ENVIRONMENT.fullmatch(clean(event.get("environment_name")))
    if tenant and environment:
        return tenant, f"{_DASHBOARD}/dashboard/{environment[1]}/{tenant}"
    if host and tenant in ("", host[1]):
        return host[1], f"{_DASHBOARD}/dashboard/{host[2] or 'us'}/{host[1]}"
    return tenant, f"{_DASHBOARD}/#"  # of the tenant that the reader has open
