"""The console: shows a message in the terminal as Slack would show it in a channel."""

import re
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from message import Message
from slack import Outcome, Verdict

_BOLD, _DIM, _BLUE, _PINK, _RESET = (
    "\033[1m",
    "\033[2m",
    "\033[94m",
    "\033[38;5;204m",
    "\033[0m",
)


def show(message: Message) -> Outcome:
    """Print a message to stdout, in colour on a terminal; takes the place of Webhook.post."""
    print(render(message, colours=sys.stdout.isatty()), flush=True)
    return Outcome(Verdict.ACCEPTED, "ok")


def render(message: Message, colours: bool) -> str:
    """The message as lines of text, with ANSI colours if asked for."""
    lines = ["", re.sub(r"\*(.+?)\*", rf"{_BOLD}\1{_RESET}", message["text"])]
    for attachment in message.get("attachments", ()):
        red, green, blue = bytes.fromhex(attachment["color"].removeprefix("#"))
        bar = f"\033[38;2;{red};{green};{blue}m▌{_RESET} "
        lines += [*(bar + line for line in _lines(attachment)), ""]
    text = (
        "\n".join(lines).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    return text if colours else re.sub(r"\033\[[0-9;]*m", "", text)


def _lines(attachment: dict[str, Any]) -> Iterator[str]:
    """An attachment's lines. The terminal wraps them: links stay whole, and wide letters right."""
    yield f"{_BOLD}{_BLUE}{attachment['title']}{_RESET}"
    if "title_link" in attachment:
        yield f"{_DIM}{attachment['title_link']}{_RESET}"
    if "text" in attachment:
        yield attachment["text"]
    for field in attachment.get("fields", ()):
        value = re.sub("`(.*?)`", rf"{_PINK}\1{_RESET}", field["value"])
        yield f"{_BOLD}{field['title']}:{_RESET} {value}"
    time = (
        datetime.fromtimestamp(attachment["ts"]).astimezone()
        if "ts" in attachment
        else None
    )
    footer = [
        attachment.get("footer", ""),
        f"{time:%Y-%m-%d %H:%M:%S %Z}" if time else "",
    ]
    if any(footer):
        yield _DIM + " · ".join(filter(None, footer)) + _RESET
