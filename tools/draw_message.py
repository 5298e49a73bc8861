"""Draws docs/message.svg: what the service posts, as Slack shows it: `make picture`.

The service's own code makes the messages from example events; only fonts and measures
are this file's.
"""

import re
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap
from typing import Any
from xml.sax.saxutils import escape, unescape

from filters import Router, read_types
from message import Message, build_message

ROOT = Path(__file__).parent.parent

WIDTH, LEFT, LINE = 760, 62, 21  # pixels
COLUMN = 44  # characters
WHOLE = 100  # characters of a field that has the width for itself
HEADLINE = 92  # characters
DATE = re.compile(r"<!date\^(\d+)\^([^|]*)\|[^>]*>")
TEXT, GREY, LINK, CODE = "#1d1c1d", "#616061", "#1264a3", "#c01343"


def events(count: int, **data: Any) -> list[dict[str, Any]]:
    """Example events, a second apart; a list in `data` has a value for each event."""
    return [
        {
            "date": f"2026-11-22T10:0{n // 60}:{n % 60:02}.000Z",
            "connection": "Username-Password-Authentication",
            "client_id": "aI61p8I8aFjmYRliLWgvM9ev97kCCNDB",
            "client_name": "Default App",
            "hostname": "acme.eu.auth0.com",
            "log_id": f"90020261122100005696{n}",
            "ip": f"203.0.113.{n % 3 + 7}",
            "user_name": f"user{n % 37}@example.com",
            **{
                key: value[n] if isinstance(value, list) else value
                for key, value in data.items()
            },
        }
        for n in range(count)
    ]


def messages() -> list[Message]:
    """One message for a lone event, and one for a flood."""
    router = Router({"": read_types()[0]})
    details = {
        "action_name": "enrich-profile",
        "action_error": {
            "message": "Cannot read properties of undefined (reading 'email')"
        },
    }
    lone = events(1, type="actions_execution_failed", details=details)
    blocked = [
        f"User (user{n}@example.com) attempted 10 consecutive logins" for n in range(12)
    ]
    # A victim and an attacker among others.
    users = [
        "neo@example.com" if n > 20 else f"user{n}@example.com" for n in range(143)
    ]
    addresses = ["203.0.113.66" if n > 20 else f"198.51.100.{n}" for n in range(143)]
    wrong = {"type": "fp", "description": "Wrong email or password."}
    signups = [
        *["The user already exists."] * 30,
        *["Password is too weak"] * 12,
        *["Username is not valid"] * 7,
        "PIN is trivial",
    ]
    flood = [
        *events(143, **wrong, user_name=users, ip=addresses),
        *events(50, type="fs", description=signups),
        *events(12, type="limit_wc", description=blocked),
    ]
    return [build_message(router.route(sent).by_channel[""]) for sent in (lone, flood)]


def as_slack_says_it(date: re.Match[str]) -> str:
    """A date as Slack shows it to a reader in UTC."""
    time = datetime.fromtimestamp(int(date[1]), UTC)
    day = f"{time:%b} {time.day}, {time:%Y}"
    words = date[2].replace("{date_short_pretty}", day)
    return words.replace("{time_secs}", f"{time:%I:%M:%S %p}")


class Drawing:
    """Lines of SVG, from top to bottom."""

    def __init__(self) -> None:
        self.y = 14
        self.shapes: list[str] = []

    def text(self, x: int, words: str, style: str, size: int = 15) -> None:
        """Slack's escaped text: `code` and *bold* are drawn as such."""
        spans = []
        for part in re.split(r"(`[^`]*`|\*[^*]*\*)", words):
            look = ""
            shown = part
            if part[:1] in ("`", "*"):
                shown = part.strip("`*")
            if part[:1] == "`":
                look = f' fill="{CODE}" font-family="monospace" font-size="{size - 2}"'
            elif part[:1] == "*":
                look = ' font-weight="bold"'
            shown = escape(unescape(shown))
            spans.append(f"<tspan{look}>{shown}</tspan>")
        start = f'<text x="{x}" y="{self.y}" font-size="{size}" {style}'
        self.shapes.append(f'{start} xml:space="preserve">{"".join(spans)}</text>')

    def attachment(self, attachment: dict[str, Any]) -> None:
        """An attachment, with its bar."""
        top = self.y - 14
        linked = "title_link" in attachment
        self.text(
            LEFT + 14,
            attachment["title"],
            f'fill="{LINK if linked else TEXT}" font-weight="bold"',
        )
        self.y += LINE
        if "text" in attachment:
            text = DATE.sub(as_slack_says_it, attachment["text"])
            self.text(LEFT + 14, text, f'fill="{TEXT}"')
            self.y += LINE
        rows: list[list[dict[str, Any]]] = []
        for field in attachment.get("fields", []):
            if rows and field["short"] and len(rows[-1]) == 1 and rows[-1][0]["short"]:
                rows[-1].append(field)
            else:
                rows.append([field])
        for row in rows:
            for column, field in enumerate(row):
                self.text(
                    LEFT + 14 + column * 350,
                    field["title"],
                    f'fill="{TEXT}" font-weight="bold"',
                    14,
                )
            self.y += LINE - 2
            values = []
            for field in row:
                width = COLUMN if field["short"] else WHOLE
                lines = []
                for line in field["value"].split("\n"):
                    lines += wrap(line, width)
                values.append(lines)
            for line in zip_longest(*values, fillvalue=""):
                for column, words in enumerate(line):
                    self.text(LEFT + 14 + column * 350, words, f'fill="{TEXT}"', 14)
                self.y += LINE - 2
            self.y += 4
        height = self.y - top - LINE + 8
        bar = f'<rect x="{LEFT}" y="{top}" width="4" height="{height}" rx="2"'
        self.shapes.append(f'{bar} fill="{attachment["color"]}"/>')
        self.y += 14

    def message(self, message: Message) -> None:
        """A message, with the app that posts it."""
        icon = f'<rect x="14" y="{self.y - 6}" width="36" height="36" rx="6"'
        self.shapes.append(f'{icon} fill="#eb5424"/>')
        self.y += 8
        self.text(LEFT, "*Auth0 logs*", f'fill="{TEXT}"')
        badge = f'<rect x="{LEFT + 90}" y="{self.y - 12}" width="32" height="15" rx="3"'
        self.shapes.append(f'{badge} fill="#e8e8e8"/>')
        self.text(LEFT + 95, "APP", f'fill="{GREY}" font-weight="bold"', 10)
        self.y += LINE
        for line in wrap(message.payload["text"], HEADLINE):
            self.text(LEFT, line, f'fill="{TEXT}"')
            self.y += LINE
        self.y += 6
        for attachment in message.payload["attachments"]:
            self.attachment(attachment)
        self.y += 6


def draw() -> str:
    """The picture, as SVG."""
    drawing = Drawing()
    for message in messages():
        drawing.message(message)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {drawing.y}"'
        ' font-family="Lato, Helvetica, Arial, sans-serif">',
        f'<rect width="{WIDTH}" height="{drawing.y}" fill="white"/>',
        *drawing.shapes,
        "</svg>\n",
    ])  # fmt: skip


if __name__ == "__main__":
    (ROOT / "docs" / "message.svg").write_text(draw())
