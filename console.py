"""The console: shows a message in the terminal as Slack would show it in a channel."""

import re
import shutil
import sys
import textwrap
from datetime import datetime
from itertools import zip_longest
from typing import Any

from message import Message
from slack import Outcome, Verdict

_WIDTH = 78  # columns at the most
_BOLD, _DIM, _BLUE, _PINK, _RESET = "\033[1m", "\033[2m", "\033[94m", "\033[38;5;204m", "\033[0m"


def show(message: Message) -> Outcome:
    """Print a message to stdout, in colour on a terminal; takes the place of Webhook.post."""
    width = min(_WIDTH, shutil.get_terminal_size().columns)
    print(render(message, colours=sys.stdout.isatty(), width=width), flush=True)
    return Outcome(Verdict.ACCEPTED, "ok")


def render(message: Message, colours: bool, width: int = _WIDTH) -> str:
    """The message as lines of text, with ANSI colours if asked for."""
    lines = ["", re.sub(r"\*(.+?)\*", rf"{_BOLD}\1{_RESET}", message["text"])]
    for attachment in message.get("attachments", ()):
        red, green, blue = (int(attachment["color"][i : i + 2], 16) for i in (1, 3, 5))
        bar = f"\033[38;2;{red};{green};{blue}m▌{_RESET} "
        lines += [*(bar + line for line in _attachment(attachment, width - 2)), ""]
    text = "\n".join(lines).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return text if colours else re.sub(r"\033\[[0-9;]*m", "", text)


def _attachment(attachment: dict[str, Any], width: int) -> list[str]:
    style = _BOLD + _BLUE if "title_link" in attachment else _BOLD
    lines = [f"{style}{line}{_RESET}" for line in textwrap.wrap(attachment["title"], width)]
    if "title_link" in attachment:
        lines.append(f"{_DIM}{attachment['title_link']}{_RESET}")
    lines += textwrap.wrap(attachment.get("text", ""), width)
    row: list[dict[str, Any]] = []
    for field in attachment.get("fields", ()):
        row.append(field)
        if len(row) == 2 or not field["short"]:
            lines += _row(row, width)
            row = []
    lines += _row(row, width)
    time = datetime.fromtimestamp(attachment["ts"]).astimezone() if "ts" in attachment else None
    footer = [attachment.get("footer", ""), f"{time:%Y-%m-%d %H:%M:%S %Z}" if time else ""]
    if any(footer):
        lines.append(_DIM + " · ".join(filter(None, footer)) + _RESET)
    return lines


def _row(fields: list[dict[str, Any]], width: int) -> list[str]:
    """One or two fields side by side; a value too wide for its half goes on in the next line."""
    half = width if len(fields) == 1 else width // 2
    columns = [
        [field["title"], *textwrap.wrap(field["value"].replace("`", ""), half - 1)]
        for field in fields
    ]
    lines = []
    for i, cells in enumerate(zip_longest(*columns, fillvalue="")):
        style = _BOLD if i == 0 else _PINK
        padded = "".join(f"{cell:<{half}}" for cell in cells).rstrip()
        lines.append(f"{style}{padded}{_RESET}")
    return lines
