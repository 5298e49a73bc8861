"""Markup: texts as Slack takes them, in which nothing that was typed does anything.

Nothing typed mentions anybody, formats anything, or hides where a link leads. Slack may
still make a link of a bare URL, even within code:
https://api.slack.com/reference/surfaces/formatting.
"""

import html
import re
from datetime import datetime

# https://api.slack.com/reference/surfaces/formatting#date-formatting
DAY_AND_TIME = "{date_short_pretty} {time_secs}"
TIME = "{time_secs}"

# A colon that begins what can be an emoji: a word, then a colon. Of words without a
# letter, only :100:, :1234:, :+1: and :-1: are one, and 10:00:05 is a time.
_EMOJI = re.compile(r":(?=(?:100|1234|(?!\d+:)[\w+'-]+):)")
_WORD_JOINER = "\u2060"  # shows nothing
_HALF_AN_ENTITY = re.compile("&[a-z]*$")
_DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")
_LINK = re.compile("<(https://[^|>]*)>")


def fit(text: str, room: int) -> str:
    """A text with `&`, `<` and `>` escaped, cut to so many characters.

    It is never cut within an entity: `&amp;` is five characters or none.
    """
    text = html.escape(text, quote=False)
    if len(text) > room:
        text = text[: room - 1]
        text = _HALF_AN_ENTITY.sub("", text)
        text += "…"
    return text


def code(text: str, room: int) -> str:
    """A text as code, in which Slack reads nothing as formatting."""
    text = text.replace("`", "ˋ")  # a backtick would end the code
    text = fit(text, room - 2)
    return f"`{text}`"


def date(time: datetime, words: str, fallback: str) -> str:
    """A time that Slack shows in the reader's own time zone.

    `words` are how, such as DAY_AND_TIME; `fallback` is what other clients show.
    """
    seconds = int(time.timestamp())
    return f"<!date^{seconds}^{words}|{fallback}>"


def without_emoji(text: str) -> str:
    """A text in which Slack finds no emoji: it makes one of :sos: even in a title."""
    return _EMOJI.sub(":" + _WORD_JOINER, text)


def plain(text: str) -> str:
    """A text with its dates and links as plain words. It is still escaped."""
    text = _DATE.sub(r"\1", text)
    text = _LINK.sub(r"\1", text)
    return text.replace(_WORD_JOINER, "")
