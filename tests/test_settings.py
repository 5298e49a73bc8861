"""Settings: what may stand in each variable, and what is said where it may not."""

import os

import pytest

from alerts import DEFAULT_FIELDS
from settings import EXAMPLE_TOKEN, Settings, read_settings
from tests.server import ROOT

TOKEN = "a-token-that-is-long-enough"
WEBHOOK = "https://hooks.slack.com/services/T000/B000/secret"


def read(**variables: str) -> Settings:
    return read_settings(
        {"SLACK_WEBHOOK_URL": WEBHOOK, "AUTH0_LOG_STREAM_TOKEN": TOKEN, **variables}
    )


def test_the_defaults() -> None:
    settings = read()
    assert settings.webhook_url == WEBHOOK
    assert settings.token == TOKEN
    assert settings.fields == DEFAULT_FIELDS
    assert settings.digest_seconds == 60
    assert settings.log_level == "INFO"
    assert settings.alert_filter.wanted == ["failure", "limit"]
    assert settings.alert_filter.unwanted == []
    assert settings.alert_filter.ignore is None
    assert settings.warnings == ()


def test_all_of_them() -> None:
    settings = read(
        SLACK_WEBHOOK_URL=f" {WEBHOOK}\n",
        AUTH0_LOG_STREAM_TOKEN=" a~b ",
        ALERT_TYPES="w",
        ALERT_IGNORE="^x",
        SLACK_FIELDS="ip",
        ALERT_DIGEST_SECONDS="3600",
        LOG_LEVEL="debug",
    )
    assert settings.webhook_url == WEBHOOK
    assert settings.token == "a~b"
    assert settings.alert_filter.wanted == ["w"]
    assert settings.alert_filter.ignore
    assert settings.fields == ("ip",)
    assert settings.digest_seconds == 3600
    assert settings.log_level == "DEBUG"
    assert read(ALERT_DIGEST_SECONDS="0").digest_seconds == 0


@pytest.mark.parametrize(
    "url",
    [
        WEBHOOK,
        "https://chat.example:8443/hooks/x?y=z",
        "http://localhost:9000/x",
        "http://127.0.0.1:9000/x",
        "http://[::1]:9000/x",
        "console:",
    ],
)
def test_a_webhook_url_that_will_do(url: str) -> None:
    assert read(SLACK_WEBHOOK_URL=url).webhook_url == url


@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "console",
        "hooks.slack.com/services/secret",
        "http://hooks.slack.com/services/secret",
        "http://127.0.0.1.secret.example/",
        "ftp://hooks.slack.com/secret",
        "https://",
        "https:///secret",
        "https://*.secret/",
        "https://secret:port/",
        "https://[secret/",
        "https://hooks.slack.com/services /secret",
        "HTTPS//secret",
        "https://hooks.slack.com/services/...",
        "https://hooks.slack.com\\[secret]",
        "https://hooks.slack.com]secret",
        "https://[::1/secret",
    ],
)
def test_a_webhook_url_that_will_not_do_is_never_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="_") as raised:
        read(SLACK_WEBHOOK_URL=url)
    assert "SLACK_WEBHOOK_URL" in str(raised.value)
    assert "https://hooks.slack.com/services/..." in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "environ", [{}, {"SLACK_WEBHOOK_URL": ""}, {"SLACK_WEBHOOK_URL": " "}]
)
def test_a_missing_webhook_url_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="SLACK_WEBHOOK_URL is not set: set it to"):
        read_settings(environ)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALERT_TYPES", "failures"),
        ("ALERT_IGNORE", "("),
        ("SLACK_FIELDS", "email"),
        ("LOG_LEVEL", "loud"),
        ("ALERT_DIGEST_SECONDS", "a minute"),
        ("ALERT_DIGEST_SECONDS", "-1"),
        ("ALERT_DIGEST_SECONDS", "1.5"),
        ("ALERT_DIGEST_SECONDS", "3601"),
        ("ALERT_DIGEST_SECONDS", "٣"),
    ],
)
def test_a_wrong_variable_is_named_and_quoted(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match="_") as raised:
        read(**{variable: value})
    assert variable in str(raised.value)
    assert repr(value) in str(raised.value)


@pytest.mark.parametrize(
    ("token", "warning"),
    [
        ("", "anyone can post"),
        ("  ", "anyone can post"),
        (EXAMPLE_TOKEN, "can be guessed"),
        ("15characters...", "can be guessed"),
    ],
)
def test_warns_of_an_endpoint_that_is_open_or_as_good_as(
    token: str, warning: str
) -> None:
    (said,) = read(AUTH0_LOG_STREAM_TOKEN=token).warnings
    assert warning in said


def test_warns_of_types_that_may_be_mistyped() -> None:
    (said,) = read(ALERT_TYPES="failure,wm").warnings
    assert "'wm'" in said


def test_repr_shows_no_secret() -> None:
    shown = repr(read(AUTH0_LOG_STREAM_TOKEN="the-token"))
    assert "the-token" not in shown
    assert "secret" not in shown


def test_the_secrets_are_what_is_sent() -> None:
    assert read(
        SLACK_WEBHOOK_URL="https://chat.example/hooks/%7Ex?y=z#alerts"
    ).secrets == {
        TOKEN,
        "https://chat.example/hooks/~x?y=z",
        "/hooks/~x?y=z",
    }
    assert read(SLACK_WEBHOOK_URL="console:").secrets == {TOKEN}


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("two words", "holds a space"),
        ("it's-long-enough-to-be-one", "a quote"),
        ('"inch"-long-enough-to-be-one', "a quote"),
        ("back\\slash-long-enough", "a backslash"),
        ("pässword-long-enough-to-be-one", "not ASCII"),
        (os.fsdecode(b"t\xff\xfe-long-enough-to-be-one"), "not ASCII"),
        ("tab\tin-the-middle-of-a-token", "holds a space"),
        ("Bearer long-enough-to-be-one", "without quotes, backslashes and a leading"),
        ('"long-enough-to-be-a-token"', "is in quotes, which were taken literally"),
        ("'long-enough-to-be-a-token'", "is in quotes, which were taken literally"),
    ],
)
def test_a_token_that_would_be_written_in_several_ways_stops_the_start(
    token: str, says: str
) -> None:
    with pytest.raises(ValueError, match="AUTH0_LOG_STREAM_TOKEN") as raised:
        read(AUTH0_LOG_STREAM_TOKEN=token)
    assert says in str(raised.value)
    assert "visible ASCII" in str(raised.value)
    assert token not in str(raised.value)


def test_a_token_of_any_visible_ascii_but_quotes_and_backslashes_will_do() -> None:
    token = "".join(chr(n) for n in range(0x21, 0x7F) if chr(n) not in "\"'\\")
    assert read(AUTH0_LOG_STREAM_TOKEN=token).token == token
    assert repr(token)[1:-1] == token


def test_the_example_works_as_it_stands() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(
        line.split("=", 1) for line in lines if line and not line.startswith("#")
    )
    settings = read_settings(example)
    assert settings.webhook_url == "console:"
    assert settings.token == EXAMPLE_TOKEN
