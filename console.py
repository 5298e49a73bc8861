"""The console: shows a message in the terminal as Slack would show it in a channel."""

import re
import sys
from datetime import datetime
from typing import Any

from message import Message
from slack import Outcome, Verdict

_BOLD = "\033[1m"
_DIM = "\033[2m"
_BLUE = "\033[94m"
_PINK = "\033[38;5;204m"
_RESET = "\033[0m"


def show(message: Message) -> Outcome:
    """Print a message to stdout, in colour on a terminal.

    It takes the place of Webhook.post.
    """
    print(render(message, colours=sys.stdout.isatty()), flush=True)
    return Outcome(Verdict.ACCEPTED, "ok")


def render(message: Message, colours: bool) -> str:
    """The message as lines of text, with ANSI colours if asked for."""
    headline = re.sub(r"\*(.+?)\*", rf"{_BOLD}\1{_RESET}", message["text"])
    lines = ["", headline]
    for attachment in message.get("attachments", ()):
        bar = _bar(attachment["color"])
        for line in _lines(attachment):
            lines.append(f"{bar} {line}")
        lines.append("")
    text = "\n".join(lines)
    text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    if colours:
        return text
    return re.sub(r"\033\[[0-9;]*m", "", text)


def _bar(colour: str) -> str:
    """The bar on the left of an attachment, in its colour, such as `#e01e5a`."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return f"\033[38;2;{red};{green};{blue}m▌{_RESET}"


def _lines(attachment: dict[str, Any]) -> list[str]:
    """An attachment's lines.

    The terminal wraps them, so that links stay whole, and wide letters are measured
    right.
    """
    lines = [f"{_BOLD}{_BLUE}{attachment['title']}{_RESET}"]
    if "title_link" in attachment:
        lines.append(f"{_DIM}{attachment['title_link']}{_RESET}")
    if "text" in attachment:
        lines.append(attachment["text"])
    for field in attachment.get("fields", ()):
        value = re.sub("`(.*?)`", rf"{_PINK}\1{_RESET}", field["value"])
        lines.append(f"{_BOLD}{field['title']}:{_RESET} {value}")
    footer = []
    if "footer" in attachment:
        footer.append(attachment["footer"])
    if "ts" in attachment:
        time = datetime.fromtimestamp(attachment["ts"]).astimezone()
        footer.append(f"{time:%Y-%m-%d %H:%M:%S %Z}")
    if footer:
        lines.append(_DIM + " · ".join(footer) + _RESET)
    return lines
