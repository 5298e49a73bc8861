"""Settings: what may stand in each variable, and what is said where it may not."""

import os

import pytest

from alerts import DEFAULT_FIELDS
from settings import DEFAULTS, EXAMPLE_TOKEN, ChannelSettings, Settings, read_settings
from tests.server import ROOT

TOKEN = "a-token-that-is-long-enough"
WEBHOOK = "https://hooks.slack.com/services/T000/B000/secret"


def read(**variables: str) -> Settings:
    return read_settings(
        {"SLACK_WEBHOOK_URL": WEBHOOK, "AUTH0_LOG_STREAM_TOKEN": TOKEN, **variables}
    )


def read_channel(**variables: str) -> ChannelSettings:
    """The settings of the only channel."""
    (channel,) = read(**variables).channels
    return channel


def test_the_defaults() -> None:
    settings = read()
    assert settings.token == TOKEN
    assert settings.log_level == "INFO"
    (channel,) = settings.channels
    assert channel.name == ""
    assert channel.webhook_url == WEBHOOK
    assert channel.fields == DEFAULT_FIELDS
    assert channel.digest_seconds == 600
    assert channel.alert_filter.wanted == ["failure", "limit"]
    assert channel.alert_filter.unwanted == []
    assert channel.alert_filter.ignore is None
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
    assert settings.token == "a~b"
    assert settings.log_level == "DEBUG"
    (channel,) = settings.channels
    assert channel.webhook_url == WEBHOOK
    assert channel.alert_filter.wanted == ["w"]
    assert channel.alert_filter.ignore
    assert channel.fields == ("ip",)
    assert channel.digest_seconds == 3600
    assert read_channel(ALERT_DIGEST_SECONDS="0").digest_seconds == 0


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
    assert read_channel(SLACK_WEBHOOK_URL=url).webhook_url == url


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
        "https://secret\u2100.example/x",
    ],
)
def test_a_webhook_url_that_will_not_do_is_never_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="_") as raised:
        read(SLACK_WEBHOOK_URL=url)
    assert "SLACK_WEBHOOK_URL" in str(raised.value)
    assert "https://hooks.slack.com/services/..." in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://hooks.slack.com/triggers/T0/1/secret", "a workflow's URL"),
        ("https://hooks.slack.com/workflows/T0/A0/1/secret", "a workflow's URL"),
        ("https://acme.slack.com/archives/secret", "a channel's address for people"),
        ("https://app.slack.com/client/T0/secret", "a channel's address for people"),
        ("https://hooks.slack.com/services/...", "the example's"),
        ("https://hooks.slack.com/services/T0/B0/…", "the example's"),
        ("https://hooks.slack.com/.../secret", "the example's"),
        ("https://hooks.slack.com", "a host without a path"),
        ("https://hooks.slack.com/", "a host without a path"),
        ("https://secret.example:8443", "a host without a path"),
        ("secret", "no https:// URL"),
    ],
)
def test_a_url_that_takes_no_messages_is_told_apart(url: str, wrong: str) -> None:
    with pytest.raises(ValueError, match="SLACK_WEBHOOK_URL is") as raised:
        read(SLACK_WEBHOOK_URL=url)
    assert f"SLACK_WEBHOOK_URL is {wrong}" in str(raised.value)
    assert "https://api.slack.com/apps" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://chat.example/workflows/x",
        "https://chat.example/archives/x",
        "https://notslack.com/triggers/x",
        "https://chat.example/?token=x",
        "https://hooks.slack-gov.com/services/T0/B0/x",
    ],
)
def test_other_hosts_are_allowed(url: str) -> None:
    assert read_channel(SLACK_WEBHOOK_URL=url).webhook_url == url


@pytest.mark.parametrize(
    "environ", [{}, {"SLACK_WEBHOOK_URL": ""}, {"SLACK_WEBHOOK_URL": " "}]
)
def test_a_missing_webhook_url_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(
        ValueError, match="SLACK_WEBHOOK_URL is not set: set it to"
    ) as raised:
        read_settings(environ)
    assert "cp .env.example .env, then flask run" in str(raised.value)
    assert "gunicorn does not" in str(raised.value)


def test_a_missing_webhook_url_may_stand_under_another_name() -> None:
    with pytest.raises(ValueError, match="SLACK_WEBHOOK_URL is not set") as raised:
        read_settings({"SLACK_WEBHOOK": WEBHOOK})
    assert "SLACK_WEBHOOK is set, but nothing reads it" in str(raised.value)
    assert "did you mean SLACK_WEBHOOK_URL?" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALERT_TYPES", "failures"),
        ("ALERT_TYPES", "fp;fu"),
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
        (EXAMPLE_TOKEN, "which everybody knows"),
        ("15characters...", "somebody could guess it"),
    ],
)
def test_warns_of_an_endpoint_that_is_open_or_as_good_as(
    token: str, warning: str
) -> None:
    (said,) = read(AUTH0_LOG_STREAM_TOKEN=token).warnings
    assert warning in said


def test_does_not_warn_of_a_token_of_16_characters() -> None:
    assert read(AUTH0_LOG_STREAM_TOKEN="16-characters...").warnings == ()


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
        ("Bearer long-enough-to-be-one", "begins with Bearer: leave that word out"),
    ],
)
def test_a_token_that_would_be_written_in_several_ways_stops_the_start(
    token: str, says: str
) -> None:
    with pytest.raises(ValueError, match="AUTH0_LOG_STREAM_TOKEN") as raised:
        read(AUTH0_LOG_STREAM_TOKEN=token)
    assert says in str(raised.value)
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
    assert settings.channels[0].webhook_url == "console:"
    assert settings.token == EXAMPLE_TOKEN


# Quotes that nobody takes off.


@pytest.mark.parametrize("variable", list(DEFAULTS))
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"', '"'),
        ("'", "'"),
        ("“", "”"),
        ("‘", "’"),
        ("„", "“"),
        ("”", "”"),
        ("“", '"'),
    ],
)
def test_a_value_in_quotes_stops_the_start(
    variable: str, before: str, after: str
) -> None:
    for value in ("secret-in-quotes", ""):
        with pytest.raises(
            ValueError, match=f"the value of {variable} starts and ends"
        ) as raised:
            read(**{variable: f" {before}{value}{after}"})
        assert "remove both quotes" in str(raised.value)
        assert "secret" not in str(raised.value)


def test_quotes_within_a_pattern_are_allowed() -> None:
    for ignore in ('say "x"', '["]x["]', '"', '\\"x\\"'):
        assert read_channel(ALERT_IGNORE=ignore).alert_filter.ignore
    with pytest.raises(
        ValueError, match="ALERT_IGNORE_X starts and ends with a quote"
    ) as raised:
        read(SLACK_WEBHOOK_URL_X="console:", ALERT_IGNORE_X='"x"')
    assert 'as ["]' in str(raised.value)


# Names that are nearly ours.


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ALERT_TYPE", "ALERT_TYPES"),
        ("SLACK_WEBHOOK", "SLACK_WEBHOOK_URL"),
        ("SLACK_WEBHOOK_URLS", "SLACK_WEBHOOK_URL"),
        ("SLACK_FIELD", "SLACK_FIELDS"),
        ("slack_fields", "SLACK_FIELDS"),
        ("ALERT_IGNORED", "ALERT_IGNORE"),
        ("ALERT_DIGEST_SECOND", "ALERT_DIGEST_SECONDS"),
        ("AUTH0_LOGSTREAM_TOKEN", "AUTH0_LOG_STREAM_TOKEN"),
        ("AUTH0_LOG_STREAM_TOKEN_SECURITY", "AUTH0_LOG_STREAM_TOKEN"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("ALERT_TYPE_SECURITY", "ALERT_TYPES_SECURITY"),
    ],
)
def test_warns_of_a_name_that_is_nearly_ours(name: str, meant: str) -> None:
    variables = {"SLACK_WEBHOOK_URL_SECURITY": "console:", name: "'secret'"}
    (warning,) = read(**variables).warnings
    assert warning.startswith(f"{name} is set, but nothing reads it")
    assert f"did you mean {meant}?" in warning
    assert "secret" not in warning


def test_does_not_warn_of_what_a_platform_sets() -> None:
    names = (
        "PATH HOME PORT DYNO LANG LC_ALL WEB_CONCURRENCY FLASK_RUN_PORT TZ HOSTNAME"
        " GUNICORN_CMD_ARGS PYTHONUNBUFFERED HTTPS_PROXY REQUESTS_CA_BUNDLE LOG_FORMAT"
        " AUTH0_DOMAIN AUTH0_CLIENT_ID SLACK_TOKEN SLACK_CHANNEL ALERTS WEBHOOK_URL"
    )
    assert read(**dict.fromkeys(names.split(), "x")).warnings == ()


# Several channels.


def test_a_channel_has_its_own_variables_and_shares_the_others() -> None:
    settings = read(
        ALERT_TYPES="failure",
        ALERT_IGNORE="^Noise",
        SLACK_FIELDS="ip",
        ALERT_DIGEST_SECONDS="30",
        SLACK_WEBHOOK_URL_SECURITY=f"{WEBHOOK}2",
        ALERT_TYPES_SECURITY="limit",
        SLACK_FIELDS_SECURITY="",
        SLACK_WEBHOOK_URL_OPS_2="console:",
        ALERT_IGNORE_OPS_2=" ",
        ALERT_DIGEST_SECONDS_OPS_2="",
    )
    first, ops, security = settings.channels
    assert [channel.name for channel in settings.channels] == ["", "OPS_2", "SECURITY"]
    assert first.webhook_url == WEBHOOK
    assert ops.webhook_url == "console:"
    assert security.webhook_url == f"{WEBHOOK}2"
    assert first.alert_filter.types == ops.alert_filter.types == "failure"
    assert security.alert_filter.types == "limit"
    assert first.alert_filter.ignore == security.alert_filter.ignore
    assert first.alert_filter.ignore is not None
    assert ops.alert_filter.ignore is None
    assert first.fields == ops.fields == ("ip",)
    assert security.fields == DEFAULT_FIELDS
    assert first.digest_seconds == security.digest_seconds == 30
    assert ops.digest_seconds == 600
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("variables", "name", "says"),
    [
        (
            {"ALERT_TYPES_SECURTIY": "limit"},
            "ALERT_TYPES_SECURTIY",
            "did you mean ALERT_TYPES_SECURITY?",
        ),
        ({"SLACK_FIELDS_OPS": ""}, "SLACK_FIELDS_OPS", "set SLACK_WEBHOOK_URL_OPS too"),
        (
            {"ALERT_TYPES_security": "w"},
            "ALERT_TYPES_security",
            "ALERT_TYPES_SECURITY?",
        ),
        ({"SLACK_WEBHOOK_URL_ops": "console:"}, "SLACK_WEBHOOK_URL_ops", "capital"),
        ({"SLACK_WEBHOOK_URL_": "console:"}, "SLACK_WEBHOOK_URL_", "capital"),
        ({"SLACK_WEBHOOK_URL_OPS": " "}, "SLACK_WEBHOOK_URL_OPS", "not set: set it"),
        ({"SLACK_WEBHOOK_URL_OPS": "secret"}, "SLACK_WEBHOOK_URL_OPS", "no https://"),
        ({"SLACK_WEBHOOK_URL_OPS": f"{WEBHOOK}"}, "SLACK_WEBHOOK_URL_OPS", "same web"),
        (
            {"SLACK_WEBHOOK_URL_OPS": f"{WEBHOOK}#x"},
            "SLACK_WEBHOOK_URL_OPS",
            "same web",
        ),
        (
            {"SLACK_WEBHOOK_URL_OPS": WEBHOOK.replace("hooks.slack", "HOOKS.Slack")},
            "SLACK_WEBHOOK_URL_OPS",
            "same webhook as SLACK_WEBHOOK_URL:",
        ),
        ({"ALERT_TYPES_SECURITY": "limits"}, "ALERT_TYPES_SECURITY", "mean limit?"),
        ({"ALERT_IGNORE_SECURITY": "."}, "ALERT_IGNORE_SECURITY", "never be an alert"),
        (
            {"SLACK_FIELDS_SECURITY": "x"},
            "SLACK_FIELDS_SECURITY",
            "has 'x', which is no field",
        ),
        (
            {"ALERT_DIGEST_SECONDS_SECURITY": "x"},
            "ALERT_DIGEST_SECONDS_SECURITY",
            "0 f",
        ),
        (
            {"ALERT_TYPES_SECURITY": "fp", "ALERT_IGNORE": r"\[type: fp\]"},
            "ALERT_IGNORE",
            "that ALERT_TYPES_SECURITY lets through",
        ),
    ],
)
def test_what_is_wrong_with_a_channel_stops_the_start(
    variables: dict[str, str], name: str, says: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name} ") as raised:
        read(**{"SLACK_WEBHOOK_URL_SECURITY": f"{WEBHOOK}2", **variables})
    assert says in str(raised.value)
    assert "secret" not in str(raised.value)


def test_the_console_may_be_several_channels() -> None:
    variables = {"SLACK_WEBHOOK_URL_A": "console:", "SLACK_WEBHOOK_URL_B": "console:"}
    settings = read(SLACK_WEBHOOK_URL="console:", **variables)
    assert [channel.name for channel in settings.channels] == ["", "A", "B"]
    assert settings.secrets == {TOKEN}


def test_a_warning_of_a_shared_variable_is_given_once() -> None:
    (warning,) = read(SLACK_WEBHOOK_URL_A="console:", ALERT_TYPES="failure,zz").warnings
    assert "'zz'" in warning


def test_every_webhook_is_a_secret() -> None:
    settings = read(SLACK_WEBHOOK_URL_A=f"{WEBHOOK}2", SLACK_WEBHOOK_URL_B="console:")
    path = "/services/T000/B000/secret"
    assert settings.secrets == {TOKEN, WEBHOOK, path, f"{WEBHOOK}2", f"{path}2"}
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("name", ["ALERT_DIGEST", "SLACK_WEBHOOK", "AUTH0_LOG_STREAM"])
def test_the_beginning_of_a_name_is_a_near_miss_too(name: str) -> None:
    (warning,) = read(**{name: "x"}).warnings
    assert warning.startswith(f"{name} is set, but nothing reads it (did you mean ")


def test_console_without_its_colon_is_named() -> None:
    with pytest.raises(ValueError, match="without the colon of console:"):
        read(SLACK_WEBHOOK_URL="Console")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/",
        "https://hooks.slack.com/services/T000/B000",
        "https://hooks.slack.com/services/T/B/${KEY}",
        "https://hooks.slack.com/services/T/B/x,https://hooks.slack.com/services/T/B/y",
        "https://hooks.slack.com//triggers/T/B/secret",
        "https://chat.example/hooks/<KEY>",
    ],
)
def test_a_webhook_that_can_never_work_stops_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="SLACK_WEBHOOK_URL is ") as raised:
        read(SLACK_WEBHOOK_URL=url)
    assert "T000" not in str(raised.value)
