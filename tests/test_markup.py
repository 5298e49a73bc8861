"""Markup: what Slack makes of a text, and what it does not."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import markup

JOINER = "\u2060"


@pytest.mark.parametrize(
    ("text", "room", "fitted"),
    [
        ("<!channel>", 99, "&lt;!channel&gt;"),
        ("&lt;", 99, "&amp;lt;"),
        ("abc'", 4, "abc'"),
        ("abcde", 4, "abc…"),
        ("a&b", 7, "a&amp;b"),
        ("a&bc", 7, "a&amp;…"),
        ("ab&bc", 7, "ab…"),
    ],
)
def test_a_text_is_escaped_and_cut_between_characters(
    text: str, room: int, fitted: str
) -> None:
    assert markup.fit(text, room) == fitted


def test_a_backtick_ends_no_code() -> None:
    assert markup.code("a`*b*`<", 99) == "`aˋ*b*ˋ&lt;`"
    assert markup.code("abcdef", 5) == "`ab…`"


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("2001:18:a:b:100::1", "2001:18:_a:_b:_100::1"),
        (":100: :1234:", ":_100: :_1234:"),
        (":+1: :-1: :e-mail: :8ball:", ":_+1: :_-1: :_e-mail: :_8ball:"),
        (":wave::skin-tone-2: :日本:", ":_wave::_skin-tone-2: :_日本:"),
        ("2026-11-22T10:00:05.696Z", "2026-11-22T10:00:05.696Z"),
        ("1:101:1 ::1 a:b a: b: :a b:", "1:101:1 ::1 a:b a: b: :a b:"),
        ("https://a.example:8080/", "https://a.example:8080/"),
    ],
)
def test_what_can_be_an_emoji_is_broken_up(text: str, broken: str) -> None:
    assert markup.without_emoji(text) == broken.replace(":_", f":{JOINER}")
    assert markup.plain(markup.without_emoji(text)) == text


@given(st.text(alphabet="ab1+-_:' é日&;", max_size=40))
def test_no_emoji_is_left_and_nothing_else_is_changed(text: str) -> None:
    broken = markup.without_emoji(text)
    assert broken.replace(JOINER, "") == text
    assert not re.search(r":(100|1234|[+-]1|[\w-]*[^\W\d_][\w-]*):", broken)


def test_dates_and_links_read_as_plain_words() -> None:
    time = datetime(2026, 11, 22, 10, 0, 5, tzinfo=UTC)
    date = markup.date(time, "{time}", "10:00 UTC")
    assert date == "<!date^1795341605^{time}|10:00 UTC>"
    text = f"a · {date}, see <https://a.example/#/b>, &lt;https://a.example&gt;"
    assert markup.plain(text) == (
        "a · 10:00 UTC, see https://a.example/#/b, &lt;https://a.example&gt;"
    )
