"""The message: what Slack shows of one event, of several, of a flood, of an attack."""

import json
import re
import string
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import console
from alerts import DEFAULT_FIELDS, FIELDS, Alert
from filters import Router, read_types
from log_types import NAMES
from message import (
    MAX_ATTACHMENTS,
    MAX_BYTES,
    MAX_HEADLINE,
    MAX_OF_A_KIND,
    MAX_REST,
    MAX_SHORT,
    MAX_SHOWN,
    MAX_SINGLE,
    ROOM,
    SENTENCE_SHARE,
    Message,
    Purpose,
    build_message,
    encode,
)
from tests.events import event

EVERYTHING = Router({"": read_types("*")[0]})
LOGS = "https://manage.auth0.com/dashboard/eu/acme/logs/"
SETTINGS = {"parse": "none", "unfurl_links": False, "unfurl_media": False}
RED = "#e01e5a"
YELLOW = "#ecb22e"
BLUE = "#1d9bd1"
TIME = "<!date^1795341605^{date_short_pretty} {time_secs}|2026-11-22 10:00:05 UTC>"
FAILED = "Failed Login (Incorrect Password)"
WRONG = "Wrong email or password."
CLIENT = "`Default App` `aI61p8I8aFjmYRliLWgvM9ev97kCCNDB`"
CONNECTION = "`Username-Password-Authentication`"


def alerts(*events: dict[str, Any]) -> list[Alert]:
    return EVERYTHING.route([event["data"] for event in events]).by_channel[""]


def payload(*events: dict[str, Any], **options: Any) -> dict[str, Any]:
    """What Slack gets for these events."""
    return build_message(alerts(*events), **options).payload


def attachments(*events: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    built = payload(*events, **options)["attachments"]
    assert isinstance(built, list)
    return built


def attachment(**data: Any) -> dict[str, Any]:
    """The attachment for one event with these data, and all fields."""
    (built,) = attachments({"data": {"log_id": "", **data}}, fields=tuple(FIELDS))
    return built


def news(*codes: str) -> Purpose:
    """A message of which these log types are news to the channel."""
    return Purpose(news=frozenset(codes))


def bare(**data: Any) -> dict[str, Any]:
    """An event that says little but these data."""
    common = {
        "date": "2026-11-22T10:00:05.696Z",
        "log_id": "1",
        "tenant_name": "acme",
        "environment_name": "prod-eu-1",
    }
    return {"data": {**common, **data}}


def at(second: int) -> str:
    """A date in a log event, so many seconds after ten."""
    ten = datetime(2026, 11, 22, 10, tzinfo=UTC)
    return (ten + timedelta(seconds=second)).isoformat()


# What arrives in Slack, as whole payloads.


def whole(headline: str, *attachments: dict[str, Any]) -> dict[str, Any]:
    """The payload with this headline and these attachments."""
    return {"text": headline, "attachments": list(attachments), **SETTINGS}


def attached(
    title: str,
    text: str,
    fields: dict[str, str],
    colour: str = RED,
    log_id: str = "1",
) -> dict[str, Any]:
    """The attachment with these fields, by their titles."""
    plain = [title, re.sub(r"<!date[^|]*\|([^>]*)>", r"\1", text)]
    listed = []
    for name, value in fields.items():
        is_wide = name.startswith(("Cause", "Desc"))
        is_short = not is_wide and len(value) <= MAX_SHORT
        listed.append({"title": name, "value": value, "short": is_short})
        if is_wide or name.startswith("User"):
            plain.append(f"{name}: {value}".replace("`", "").replace("\n", ", "))
    built = {
        "color": colour,
        "fallback": " · ".join(plain),
        "title": title,
        "title_link": LOGS + log_id,
        "text": text,
        "fields": listed,
        "mrkdwn_in": ["text", "fields"],
    }
    return {key: value for key, value in built.items() if value}


def test_one_event() -> None:
    assert payload(event(log_id="90020261122")) == {
        "text": "*Failed Login (Incorrect Password)* in acme",
        "attachments": [
            {
                "color": "#e01e5a",
                "fallback": "Wrong email or password. [type: fp]"
                " · 2026-11-22 10:00:05 UTC · User: neo@example.com",
                "title": "Wrong email or password. [type: fp]",
                "title_link": LOGS + "90020261122",
                "text": TIME,
                "fields": [
                    {"title": "Client", "value": CLIENT, "short": True},
                    {"title": "User", "value": "`neo@example.com`", "short": True},
                    {"title": "Connection", "value": CONNECTION, "short": True},
                    {"title": "IP", "value": "`203.0.113.9`", "short": True},
                ],
                "mrkdwn_in": ["text", "fields"],
            }
        ],
        "parse": "none",
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_several_events() -> None:
    blocked = event(log_id="2", type="limit_wc", description="Blocked", client_name="")
    exchange = event(log_id="3", type="fercft", description=None, client_id=None)
    name = "Failed Exchange: Password and MFA Recovery Code"
    user = {"User": "`neo@example.com`"}
    assert payload(exchange, blocked, fields=("user", "client")) == whole(
        f"*2 events* in acme: 1 × Blocked Account: Failed Logins, 1 × {name}",
        attached(
            "Blocked [type: limit_wc]",
            f"Blocked Account: Failed Logins · {TIME}",
            user | {"Client": "`aI61p8I8aFjmYRliLWgvM9ev97kCCNDB`"},
            YELLOW,
            "2",
        ),
        attached(
            f"{name} [type: fercft]",
            TIME,
            user | {"Client": "`Default App`"},
            log_id="3",
        ),
    )


TRINITY = {"name": "Trinity", "email": "trinity@example.com"}


@pytest.mark.parametrize(
    ("code", "data", "details", "fields"),
    [
        (
            "fn",
            {"description": "To: neo@example.com"},
            {"email_type": "verify_email", "error": "blacklisted", "to": "neo@a.org"},
            {
                "Cause": "`blacklisted`",
                "Email": "`verify_email`",
                "Recipient": "`neo@a.org`",
            },
        ),
        (
            "api_limit",
            {"description": "You have exceeded the rate limit"},
            {
                "request": {"method": "PUT", "path": "/api/v2/users"},
                "limit": {"bucket": "management_api", "size": 50, "global": True},
            },
            {"Request": "`PUT /api/v2/users`", "Rate limit": "`management_api`"},
        ),
        (  # the description has the cause
            "f",
            {"description": "URL mismatch. https://a.org is not listed"},
            {"error": {"message": "URL mismatch."}, "qs": {"client_id": "aI61"}},
            {"Client": "`aI61`"},
        ),
        (  # a success has no cause, and a name beats an id
            "sapi",
            {"description": "Delete tenant member", "user_id": "auth0|1"},
            {"request": {"auth": {"user": TRINITY}}, "response": {"statusCode": 204}},
            {"User": "`Trinity`"},
        ),
        (
            "fapi",
            {"user_id": "auth0|1"},
            {"response": {"statusCode": 403}},
            {"Cause": "`403`", "User": "`auth0|1`"},
        ),
    ],
)
def test_an_alert_says_why_and_about_what(
    code: str, data: dict[str, Any], details: Any, fields: dict[str, str]
) -> None:
    name = NAMES[code]
    title = f"{data.get('description') or name} [type: {code}]"
    colour = {"api_limit": YELLOW, "sapi": BLUE}.get(code, RED)
    assert payload(bare(type=code, details=details, **data)) == whole(
        f"*{name}* in acme", attached(title, TIME, fields, colour)
    )


# A message for many says of how many it is true.


def in_console(message: Message) -> list[str]:
    """The lines of a message in a terminal, without the headline."""
    return console.render(message, colours=False).splitlines()[2:]


def most_frequent(first: str, others: list[str], separator: str = ", ") -> str:
    """A field: a value with its count, others of one event each, and how many more."""
    shown = [f"`{value}` ×1" for value in others[: MAX_SHOWN - 1]]
    more = len(others) - len(shown)
    return separator.join([first, *shown, f"{more} more ×{more}"])


SIGNUPS = (
    [""] * 5
    + ["Username is not valid"]
    + ["Password is too weak"] * 12
    + ["PIN is trivial"] * 2
    + ["The user already exists."] * 30
)
CLIENT_OF_ALL = {"client_name": "App", "client_id": "aI61"}
LOGINS = ["access_denied", "Unauthorized", "Wrong realm", "No session"] * 2
CALLS = ["Update a client", "Get logs", *"abcde"]
USERS = [f"{n}@a.example" for n in range(60)]


@pytest.mark.parametrize(
    ("code", "events", "title", "fields"),
    [
        (  # whom one of many names is not blamed for all
            "fertft",
            [{"user_name": "neo@example.com" if n == 7 else None} for n in range(41)],
            "Failed Exchange: Refresh Token [type: fertft] ×41",
            {"User": "`neo@example.com` ×1, none ×40"},
        ),
        (
            "fs",
            [{"description": text, **CLIENT_OF_ALL} for text in SIGNUPS],
            "Failed Signup [type: fs] ×50",
            {
                "Descriptions (4)": "`The user already exists.` ×30\n"
                "`Password is too weak` ×12\n`PIN is trivial` ×2\n"
                "`Username is not valid` ×1\nnone ×5",
                "Client": "`App`",
            },
        ),
        (
            "f",
            [
                {"description": text, "details": {"error": "Timeout" if n == 5 else ""}}
                for n, text in enumerate(LOGINS)
            ],
            "Failed Login [type: f] ×8",
            {
                "Descriptions (4)": "`access_denied` ×2\n`Unauthorized` ×2\n"
                "`Wrong realm` ×2\n`No session` ×2",
                "Cause": "`Timeout` ×1\nnone ×7",
            },
        ),
        (
            "sapi",
            [
                {
                    "description": text,
                    "user_id": "auth0|1",
                    "details": {
                        "request": {"auth": {"user": TRINITY}},
                        "response": {"statusCode": 200 + n % 3},
                    },
                }
                for n, text in enumerate(["Delete tenant member", *CALLS])
            ],
            "Success API Operation [type: sapi] ×8",
            {
                "Descriptions (8)": most_frequent(
                    "`Delete tenant member` ×1", CALLS, "\n"
                ),
                "User": "`Trinity`",
            },
        ),
        (  # what the title says is not shown again, and is not "none"
            "f",
            [
                {"description": "Not now: no realm", "details": {"error": error}}
                for error in ["No realm."] * 5 + ["Timeout", "", ""]
            ],
            "Not now: no realm [type: f] ×8",
            {"Cause": "`Timeout` ×1\nnone ×2"},
        ),
        (  # descriptions that differ in what they quote are one, and name nobody
            "limit_wc",
            [
                {"description": f"User ({user}) attempted 10 logins", "user_name": user}
                for user in [*USERS, "neo@b.example", "neo@b.example"]
            ],
            "User … attempted 10 logins [type: limit_wc] ×62",
            {"Users (61)": most_frequent("`neo@b.example` ×2", USERS)},
        ),
    ],
)
def test_a_group_says_of_how_many_it_speaks(
    code: str, events: list[dict[str, Any]], title: str, fields: dict[str, str]
) -> None:
    message = build_message(alerts(*(bare(type=code, **data) for data in events)))
    name = NAMES[code]
    text = TIME if title.startswith(name) else f"{name} · {TIME}"
    colour = {"limit_wc": YELLOW, "sapi": BLUE}.get(code, RED)
    assert message.payload == whole(
        f"*{len(events)} events* in acme: {len(events)} × {name}",
        attached(title, text, fields, colour),
    )
    lines = [title, LOGS + "1", text.replace(TIME, "2026-11-22 10:00:05 UTC")]
    for name, value in fields.items():
        value = value.replace("`", "")
        if name.startswith(("Cause", "Desc")) and "\n" in value:
            lines.append(f"{name}:")
            lines += [f"  {line}" for line in value.splitlines()]
        else:
            lines.append(f"{name}: {value}")
    assert in_console(message) == [f"▌ {line}" for line in lines]


def test_a_digest_with_news_a_limit_and_a_surge() -> None:
    many = [event(date=at(n), log_id="3") for n in range(430)]
    blocked = [event(type="limit_wc", date=at(5), log_id="2") for _ in range(12)]
    new = event(type="gd_recovery_failed", log_id="1", description="No", date=at(5))
    message = build_message(
        alerts(*many, *blocked, new),
        ("user",),
        Purpose(
            is_digest=True, news=frozenset(["gd_recovery_failed"]), surges={"fp": 43}
        ),
    )
    user = {"User": "`neo@example.com`"}
    limit = "Blocked Account: Failed Logins"
    assert message.payload == whole(
        f"*443 events* in acme: 1 × Recovery failed (new), 12 × {limit},"
        f" 430 × {FAILED}, at most 43 in a message before,"
        " digest since 2026-11-22 10:00:00 UTC",
        attached("No [type: gd_recovery_failed]", f"Recovery failed · {TIME}", user),
        attached(
            f"{WRONG} [type: limit_wc] ×12", f"{limit} · {TIME}", user, YELLOW, "2"
        ),
        attached(
            f"{WRONG} [type: fp] ×430",
            f"{FAILED} · <!date^1795341600^{{date_short_pretty}} {{time_secs}}"
            "|2026-11-22 10:00:00> to <!date^1795342029^{time_secs}|10:07:09 UTC>",
            user,
            log_id="3",
        ),
    )
    assert message.named == {"gd_recovery_failed", "limit_wc", "fp"}


def test_a_client_has_its_id_alone_or_where_two_share_its_name() -> None:
    title, text = "Failed by Connector [type: fc]", TIME
    ids = ["1", *["2"] * 5, "lone", "lone"]
    names = dict.fromkeys("12", "App")
    clients = [bare(type="fc", client_name=names.get(n), client_id=n) for n in ids]
    assert payload(*clients) == whole(
        "*8 events* in acme: 8 × Failed by Connector",
        attached(f"{title} ×5", text, {"Client": "`App` `2`"}),
        attached(f"{title} ×2", text, {"Client": "`lone`"}),
        attached(title, text, {"Client": "`App` `1`"}),
    )


def test_where_no_link_leads_to_the_event_its_id_can_be_copied() -> None:
    private = bare(type="f", hostname="auth.space.auth0.com", log_id="9")
    built = attached("Failed Login [type: f]", f"{TIME} · log_id `9`", {})
    del built["title_link"]
    built["fallback"] = built["fallback"].replace("`", "")
    message = build_message(alerts(private))
    assert message.payload == whole("*Failed Login* in acme", built)
    assert in_console(message)[1] == "▌ 2026-11-22 10:00:05 UTC · log_id 9"


# Titles.


@pytest.mark.parametrize(
    ("description", "title", "text"),
    [
        ("Test failure", "Test failure", f"Failed Login · {TIME}"),
        ("failed login (of a test)!", "failed login (of a test)!", TIME),
        (None, "Failed Login", TIME),
    ],
)
def test_the_title_and_the_name_which_stands_once(
    description: str | None, title: str, text: str
) -> None:
    first, _ = attachments(event(type="f", description=description), event())
    assert first["title"] == f"{title} [type: f]"
    assert first["text"] == text
    unknown = attachment(type="new_failed", description=description)["title"]
    shown = "Auth0 log event" if title == "Failed Login" else title
    assert unknown == f"{shown} [type: new_failed]"


# Like with like.


def grouped(*events: dict[str, Any], **options: Any) -> list[str]:
    return [built["title"] for built in attachments(*events, **options)]


def types(*events: dict[str, Any], **options: Any) -> list[str]:
    """The log types of a message's attachments, in their order."""
    return re.findall(r"\[type: (\w+)\]", " ".join(grouped(*events, **options)))


@pytest.mark.parametrize(
    "description",
    [
        "IP 10.0.0.{} attempted to log in",
        "To: {}@example.com",
        "No auth0|{} here",
        "Callback URL mismatch. https://example/{} is not in the list",
    ],
)
def test_descriptions_that_differ_in_what_they_quote_are_one(description: str) -> None:
    many = [event(type="f", description=description.format(word)) for word in "abcdef"]
    sentence = re.sub(r"\S*{}\S*", "…", description)
    assert grouped(*many) == [f"{sentence} [type: f] ×6"]


def test_three_events_are_listed_and_four_are_grouped() -> None:
    same = [event() for _ in range(MAX_SINGLE + 1)]
    assert grouped(*same[:MAX_SINGLE]) == [f"{WRONG} [type: fp]"] * MAX_SINGLE
    assert grouped(*same) == [f"{WRONG} [type: fp] ×{MAX_SINGLE + 1}"]


@pytest.mark.parametrize(
    ("clients", "descriptions", "groups"),
    [
        (1, MAX_OF_A_KIND, MAX_OF_A_KIND),  # by description
        (MAX_OF_A_KIND, 1, MAX_OF_A_KIND),  # by client
        (MAX_OF_A_KIND, 2, MAX_OF_A_KIND),  # by client
        (1, MAX_OF_A_KIND + 1, 1),
        (MAX_OF_A_KIND + 1, 1, 1),
    ],
)
def test_the_finest_grouping_that_stays_readable(
    clients: int, descriptions: int, groups: int
) -> None:
    logins = [
        event(client_id=f"{client}", description=f"So {'very ' * many}wrong")
        for client in range(clients)
        for many in range(descriptions)
    ]
    counts = [count_of(built) for built in attachments(*logins * 2)]
    assert counts == [2 * len(logins) // groups] * groups


@pytest.mark.parametrize(("room", "groups"), [(3, 3), (2, 2), (1, 1), (-2, 1)])
def test_types_are_grouped_more_coarsely_before_one_of_them_is_hidden(
    room: int, groups: int
) -> None:
    some = [event(type="fp", client_id=client) for client in "aab"]
    some[0]["data"]["description"] = "Another"
    many = [event(type=f"f{n}") for n in range(MAX_ATTACHMENTS - room)]
    shown = types(*some, *many)
    assert shown.count("fp") == groups
    assert len(shown) == (MAX_ATTACHMENTS if room > 0 else MAX_ATTACHMENTS - 1)


def test_news_stands_before_limits_and_limits_before_more_failures() -> None:
    wrong = [event(type="fp") for _ in range(143)]
    blocked = [event(type="limit_wc")] * 12
    assert types(*wrong, *blocked) == ["limit_wc", "fp"]
    few = [event(type="f"), event(type="pwd_leak"), event(type="fs")]
    assert types(*few) == ["pwd_leak", "f", "fs"]
    assert types(*few, purpose=news("fs")) == ["fs", "pwd_leak", "f"]
    assert payload(*few, purpose=news("fs"))["text"] == (
        "*3 events* in acme: 1 × Failed Signup (new), 1 × Breached password,"
        " 1 × Failed Login"
    )
    few.reverse()
    assert types(*few, purpose=news("fs", "pwd_leak")) == ["pwd_leak", "fs", "f"]
    everything = payload(*few, purpose=news("f", "pwd_leak", "fs"))
    assert everything == payload(*few)
    assert "(new)" not in str(everything)  # where all is news, none stands out


def test_what_one_attachment_shows_is_of_one_tenant() -> None:
    prod = [event(tenant_name="acme-prod", log_id="1") for _ in range(5)]
    dev = event(tenant_name="acme-dev", log_id="2", date="2026-11-23T00:00:00Z")
    hosts = [event(tenant_name="", hostname=f"{host}.example") for host in "aabb"]
    built = attachments(*prod, dev, *hosts)
    footers = ["acme-prod", "a.example", "b.example", "acme-dev"]
    assert [one["footer"] for one in built] == footers
    assert built[0]["title_link"].endswith("/acme-prod/logs/1")
    assert built[3]["title_link"].endswith("/acme-dev/logs/2")


def test_more_types_than_attachments_are_counted_in_the_last() -> None:
    codes = [f"new_thing_of_auth0_{n}_failed" for n in range(200)]
    message = build_message(alerts(*(event(type=code) for code in [*codes, codes[50]])))
    built = message.payload["attachments"]
    assert len(built) == MAX_ATTACHMENTS
    assert built[0]["title"] == f"{WRONG} [type: {codes[50]}] ×2"
    counts = built[-1]["text"]
    title = f"and {201 - MAX_ATTACHMENTS} more events"
    assert built[-1] == {
        "color": "#9e9e9e",
        "fallback": f"{title}: {counts}",
        "title": title,
        "text": counts,
    }
    assert counts.startswith(f"1 × {codes[MAX_ATTACHMENTS - 2]}, 1 × ")
    others = re.search(r", (\d+) × other types$", counts)
    assert others
    assert MAX_REST - 100 < len(counts) < MAX_REST + 50
    assert message.named == {*codes[: -int(others[1])]}  # what it names, and no more


def test_the_last_attachment_has_the_order_of_all() -> None:
    many = [event(type=f"f{n}") for n in range(MAX_ATTACHMENTS - 1) for _ in range(5)]
    late = [event(type=code) for code in ("fp", "fs", "fs", "limit_wc")]
    last = attachments(*many, *late, *late)[-1]
    assert last["text"] == (
        f"5 × f{MAX_ATTACHMENTS - 2}, 4 × Failed Signup, 2 × {FAILED}"
    )


# How large a message is.

LONG = ":\U0001f600" * 900
TYPED = dict.fromkeys(
    ["user_name", "client_name", "connection", "audience", "organization_name"], LONG
)


def test_ten_thousand_events_make_one_small_message() -> None:
    many = [event(description=f"{n % 400} <&> " * 60, **TYPED) for n in range(10_000)]
    message = build_message(alerts(*many), tuple(FIELDS))
    check(message, 10_000)
    assert message.payload["text"] == f"*10,000 events* in acme: 10,000 × {FAILED}"


def test_long_texts_are_cut_shorter_until_the_message_fits() -> None:
    many = [
        event(type=f"f{n}", description=LONG, ip=LONG, **TYPED)
        for n in range(MAX_ATTACHMENTS)
    ]
    for fields in (DEFAULT_FIELDS, tuple(FIELDS)):
        message = build_message(alerts(*many), fields)
        check(message, MAX_ATTACHMENTS)
        assert ROOM > len(message.payload["attachments"][0]["title"]) > 50


def test_the_last_resort_fits_whatever_it_shows_and_keeps_the_descriptions() -> None:
    letters = string.ascii_lowercase[: MAX_SHOWN + 1]
    many = [
        event(
            type=f"{'x' * 90}{n}",
            date=at(second * 100_000),
            description=f"Description {letter}{LONG}",
            hostname=f"{n}{LONG}",
            tenant_name="",
            log_id="%" * 100,
            **TYPED,
        )
        for n in range(99)
        for second, letter in enumerate(["a", *letters])
    ]
    message = build_message(alerts(*many), tuple(FIELDS))
    check(message, len(many))
    (field,) = message.payload["attachments"][0]["fields"]
    assert field["title"] == f"Descriptions ({MAX_SHOWN + 1})"
    assert field["value"].startswith("`Description a:")
    assert field["value"].endswith("\n1 more ×1")


# The notification.


@pytest.mark.parametrize(
    ("tenants", "headline"),
    [
        (["acme", "other"], f"*2 events*: 2 × {FAILED}"),
        (["acme", ""], f"*2 events*: 2 × {FAILED}"),
        (["<!here>*"], f"*{FAILED}*"),
    ],
)
def test_the_headline_names_the_tenant_that_all_share(
    tenants: list[str], headline: str
) -> None:
    events = [event(tenant_name=tenant, hostname="") for tenant in tenants]
    assert payload(*events)["text"] == headline


def test_the_headline_names_as_many_types_as_fit_and_counts_the_others() -> None:
    codes = [letter * (MAX_HEADLINE // 4) for letter in "abc"]
    counts = ", ".join(f"1 × {code}" for code in codes)
    last = "d" * (MAX_HEADLINE - len(f"{counts}, 1 × "))
    assert payload(*(event(type=code) for code in [*codes, last]))["text"] == (
        f"*4 events* in acme: {counts}, 1 × {last}"
    )
    too_long = payload(*(event(type=code) for code in [*codes, f"{last}d", "x", "y"]))
    assert too_long["text"] == (
        f"*6 events* in acme: {counts}, 1 × x, 1 × y, 1 × other types"
    )


def test_a_digest_says_that_it_is_one_and_since_when() -> None:
    many = [event(date=date) for date in (at(9), at(3), None)]
    digest = Purpose(is_digest=True)
    assert payload(*many, purpose=digest)["text"] == (
        f"*3 events* in acme: 3 × {FAILED}, digest since 2026-11-22 10:00:03 UTC"
    )
    assert payload(many[-1], purpose=digest)["text"] == f"*{FAILED}* in acme, digest"


def test_the_counts_alone_hold_nothing_that_anyone_typed_and_show_all_types() -> None:
    typed = dict.fromkeys(["description", "user_name", "client_name"], "typed")
    codes = ["fp", "fp", "new_failed", "newer_failed"]
    many = alerts(*(event(type=code, date=None, **typed) for code in codes))
    purpose = Purpose(only_counts=True, is_digest=True, news=frozenset(["new_failed"]))
    message = build_message(many, tuple(FIELDS), purpose)
    assert message.payload == {
        "text": "*4 events* in acme: 1 × new_failed (new), 2 × Failed Login"
        " (Incorrect Password), 1 × newer_failed, digest\n"
        "Slack refused the details: see Auth0's own logs,"
        " <https://manage.auth0.com/#/logs>",
        **SETTINGS,
    }
    assert message.named == set(codes)


# Times and places.


def test_the_footer_stands_only_where_the_headline_does_not_name_the_tenant() -> None:
    assert "footer" not in attachment(type="f", tenant_name="acme")
    assert attachment(type="f", hostname="a.example")["footer"] == "a.example"
    long = "&lt;" * ((MAX_SHORT - 1) // 4) + "…"
    assert attachment(type="f", hostname="<" * 99)["footer"] == long
    assert attachment(type="f", hostname="a:sos:b")["footer"] == "a:\u2060sos:b"


def test_events_at_one_time_or_at_none() -> None:
    undated = attachment(type="f")
    assert "text" not in undated
    assert undated["fallback"] == "Failed Login [type: f]"
    many = [event(date=f"2026-11-22T10:00:05.{n}00Z") for n in range(5)]
    (group,) = attachments(*many)
    assert group["text"] == f"{FAILED} · {TIME}"


def test_a_group_spans_days_and_is_linked_to_its_newest_event() -> None:
    days = [
        event(date=f"2026-11-{n:02}T10:00:00Z", log_id=f"{n}") for n in (12, 20, 13)
    ]
    undated = [event(date=None) for _ in range(9)]
    (group,) = attachments(*days, *undated, fields=())
    assert group == attached(
        f"{WRONG} [type: fp] ×12",
        f"{FAILED} · <!date^1794477600^{{date_short_pretty}} {{time_secs}}"
        "|2026-11-12 10:00:00> to <!date^1795168800^{date_short_pretty} {time_secs}"
        "|2026-11-20 10:00:00 UTC>",
        {},
        log_id="20",
    )
    (group,) = attachments(*undated, *[event(date="", log_id="7")] * 2)
    assert group["title_link"] == LOGS + "7"
    assert group["text"] == FAILED


# Safety: everything an event says may be written by an attacker.


def test_what_a_user_typed_is_shown_and_does_nothing() -> None:
    typed = "<!channel> &lt; `*x*` :sos: \u202eb\x85c eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
    plain = "&lt;!channel&gt; &amp;lt; `*x*` :sos: b c [token]"
    data = dict.fromkeys(["description", "user_name", "client_name"], typed)
    code = plain.replace("`", "ˋ")
    built = attached(
        f"{plain} [type: f]", TIME, {"Client": f"`{code}`", "User": f"`{code}`"}
    )
    built["title"] = built["title"].replace(":sos:", ":\u2060sos:")
    built["fallback"] = f"{plain} [type: f] · 2026-11-22 10:00:05 UTC · User: {code}"
    assert payload(bare(type="f", **data)) == whole("*Failed Login* in acme", built)


def test_the_names_that_stand_where_slack_formats_hold_no_markup() -> None:
    for name in NAMES.values():
        assert not re.search(r"[*_~`<>&]|:\S+:", name)


# Properties: for anything that JSON can hold.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)
long_texts = st.builds(
    lambda text, times: text * times,
    st.text(st.characters(codec=None, categories=None), min_size=1, max_size=12),
    st.sampled_from([1, 1, 40, 500]),
)
real = st.sampled_from(
    ["acme", "prod-eu-1", "acme.eu.auth0.com", "2026-11-22T10:00:05.696Z", "<!here>`&`"]
)
values = json_values | long_texts | real
# Where an event may say something.
places = [
    *("description", "date", "tenant_name", "environment_name", "log_id"),
    *" ".join(text for labels in FIELDS.values() for text in labels.values()).split(),
]


def saying(code: str, texts: dict[str, Any]) -> dict[str, Any]:
    """The event of a log type that says these texts, each at its place."""
    event: dict[str, Any] = {"log_id": None, "type": code}
    for path, value in texts.items():
        *above, key = path.split(".")
        place = event
        for each in above:
            if not isinstance(place.get(each), dict):
                place[each] = {}
            place = place[each]
        place[key] = value
    return {"data": event}


any_event = st.builds(
    saying,
    st.sampled_from(["f", "fp", "limit_wc", "s"]) | long_texts,
    st.dictionaries(st.sampled_from(places), values, max_size=12),
)
any_events = st.lists(any_event, min_size=1, max_size=12) | st.builds(
    lambda seeds, times: seeds * times,
    st.lists(any_event, min_size=1, max_size=25),
    st.integers(2, 12),
)


def stands_for(message: Message) -> int:
    """How many events a message says it stands for, added up over its attachments."""
    total = 0
    for built in message.payload["attachments"]:
        rest = re.match(r"and ([\d,]+) more events$", built["title"])
        if rest and built["color"] == "#9e9e9e":
            counts = re.findall(r"(?:^|, )([\d,]+) × ", built["text"])
            assert sum(map(number, counts)) == number(rest[1])
            total += number(rest[1])
        else:
            total += count_of(built)
    return total


def count_of(built: dict[str, Any]) -> int:
    """How many events an attachment says it stands for."""
    count = re.search(r"\] ×([\d,]+)$", built["title"])
    return number(count[1]) if count else 1


def number(text: str) -> int:
    return int(text.replace(",", ""))


def texts(value: Any) -> list[str]:
    """All strings in a message but the links, which the service makes itself."""
    if isinstance(value, dict):
        value = [each for key, each in value.items() if key != "title_link"]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


def check(message: Message, events: int) -> None:
    encoded = encode(message)
    assert json.loads(encoded) == message.payload
    assert len(encoded) <= MAX_BYTES
    built = message.payload["attachments"]
    assert 1 <= len(built) <= MAX_ATTACHMENTS
    assert stands_for(message) == events
    headline = message.payload["text"]
    count = re.match(r"\*([\d,]+) events\*(?: in [a-z0-9-]+)?: ", headline)
    assert number(count[1] if count else "1") == events
    for text in texts(message.payload):
        text = re.sub(r"<!date\^\d+\^[a-z_{} ]+\|[\d :-]+(UTC)?>", "", text)
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text)
        assert not re.search(
            "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e]", text
        )
        assert not re.search("eyJ[A-Za-z0-9_-]{12,}[.]", text)
    for attachment in built:
        for outside_code in ("title", "footer"):
            shown = attachment.get(outside_code, "")
            assert "\n" not in shown
            assert not re.search(r":(100|1234|\w*[a-z]\w*):", shown)
        assert len(attachment["title"].replace("\u2060", "")) <= ROOM
        assert len(attachment.get("text", "")) < 3000
        assert len(attachment.get("footer", "").replace("\u2060", "")) <= MAX_SHORT
        link = attachment.get("title_link", LOGS)
        assert re.fullmatch(r"https://manage\.auth0\.com/[!-~]+", link)
        for field in attachment.get("fields", []):
            check_field(field, count_of(attachment))


def check_field(field: dict[str, Any], events: int) -> None:
    """What a field says is bounded, and is of all events or says of how many."""
    title, value = field["title"], field["value"]
    code = re.findall("`([^`]*)`", value)
    words = re.sub("`[^`]*`", "", value)
    assert "`" not in words
    counts = [number(count) for count in re.findall(r" ×([\d,]+)", words)]
    if counts and not title.startswith("Cause"):
        assert sum(counts) == events
    assert sum(counts) <= events
    different = re.search(r" \(([\d,]+)\)$", title)
    if different:
        assert len(counts) >= min(number(different[1]), MAX_SHOWN)
    is_list = title.startswith(("Desc", "Cause", "User agent"))
    assert ("\n" in value) == (is_list and len(counts) > 1)
    room = max(ROOM, SENTENCE_SHARE * ROOM * len(code)) if is_list else ROOM
    assert sum(map(len, code)) <= room


@given(any_events, st.permutations(sorted(FIELDS)).map(tuple))
def test_any_events_make_a_safe_bounded_message_that_counts_them(
    events: list[dict[str, Any]], fields: tuple[str, ...]
) -> None:
    check(build_message(alerts(*events), fields), len(events))


@given(any_events, st.sets(st.sampled_from(["f", "fp", "s", "limit_wc"])))
def test_a_message_names_what_it_shows_and_news_first(
    events: list[dict[str, Any]], news: set[str]
) -> None:
    many = alerts(*events)
    message = build_message(many, purpose=Purpose(news=frozenset(news)))
    assert message.named <= {alert.code for alert in many}
    shown = str(message.payload)
    for alert in many:
        if alert.code in message.named:
            assert (alert.name or alert.code) in shown
    attachments = message.payload["attachments"]
    codes = re.findall(r"\[type: (\w+)\]", " ".join(a["title"] for a in attachments))
    if {alert.code for alert in many} - news:
        is_news = [
            code in news for code in codes if code in ("f", "fp", "s", "limit_wc")
        ]
        assert is_news == sorted(is_news, reverse=True)
