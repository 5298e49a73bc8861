"""The console: shows a message in the terminal as Slack would show it in a channel."""

import html
import re
import sys
from typing import Any

import markup
from message import Message
from outcome import Outcome, Verdict

_BOLD = "\033[1m"
_DIM = "\033[2m"
_BLUE = "\033[94m"
_PINK = "\033[38;5;204m"
_RESET = "\033[0m"


def show(message: Message, channel: str = "") -> Outcome:
    """Print a message to stdout, in colour on a terminal; it says for which channel.

    It takes the place of Webhook.post.
    """
    text = render(message, colours=sys.stdout.isatty())
    if channel:
        text = f"\n[channel {channel}]{text}"
    print(text, flush=True)
    return Outcome(Verdict.ACCEPTED, "ok")


def render(message: Message, colours: bool) -> str:
    """The message as lines of text, with ANSI colours if asked for."""
    payload = message.payload
    bold = _styled(r"\1", _BOLD)
    headline = re.sub(r"\*(.+?)\*", bold, payload["text"])
    lines = ["", headline]
    for attachment in payload.get("attachments", ()):
        bar = _bar(attachment["color"])
        for line in _lines(attachment):
            lines.append(f"{bar} {line}")
        lines.append("")
    text = markup.plain("\n".join(lines))
    if not colours:
        text = re.sub(r"\033\[[0-9;]*m", "", text)
    return html.unescape(text)


def _bar(colour: str) -> str:
    """The bar on the left of an attachment, in its colour, such as `#e01e5a`."""
    colour = colour.removeprefix("#")
    red, green, blue = bytes.fromhex(colour)
    style = f"\033[38;2;{red};{green};{blue}m"
    return _styled("▌", style)


def _styled(text: str, style: str) -> str:
    return style + text + _RESET


def _code(text: str) -> str:
    """A text whose code is in a colour of its own, without the backticks."""
    return re.sub("`(.*?)`", _styled(r"\1", _PINK), text)


def _lines(attachment: dict[str, Any]) -> list[str]:
    """An attachment's lines.

    The terminal wraps them, so that links stay whole, and wide letters are measured
    right.
    """
    title = attachment["title"]
    lines = [_styled(title, _BOLD + _BLUE)]
    if "title_link" in attachment:
        link = attachment["title_link"]
        lines.append(_styled(link, _DIM))
    if "text" in attachment:
        lines.append(_code(attachment["text"]))
    for field in attachment.get("fields", ()):
        title = _styled(field["title"], _BOLD)
        value = _code(field["value"])
        gap = " "
        if "\n" in value:  # sentences, one a line
            gap = "\n  "
            value = value.replace("\n", gap)
        lines += f"{title}:{gap}{value}".split("\n")
    if "footer" in attachment:
        footer = attachment["footer"]
        lines.append(_styled(footer, _DIM))
    return lines
