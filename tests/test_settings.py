"""Settings: what may stand in each variable, and what is said where it may not."""

import os
import re
from pathlib import Path

import pytest

from alerts import DEFAULT_FIELDS
from settings import (
    DEFAULTS,
    EXAMPLE_TOKEN,
    MAX_DIGEST_SECONDS,
    MIN_TOKEN,
    ChannelSettings,
    Settings,
    read_settings,
)
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


def refusal(**variables: str) -> str:
    """What is said where the service does not start; it never tells a secret."""
    with pytest.raises(ValueError, match="_") as raised:
        read(**variables)
    said = str(raised.value)
    assert "secret" not in said
    return said


def test_the_defaults() -> None:
    settings = read()
    assert (settings.token, settings.log_level, settings.warnings) == (
        TOKEN,
        "INFO",
        (),
    )
    (channel,) = settings.channels
    assert (channel.label, channel.webhook_url) == ("", WEBHOOK)
    assert channel.fields == DEFAULT_FIELDS
    assert channel.digest_seconds == 600
    assert channel.alert_filter.types == "failure,limit"
    assert channel.alert_filter.ignore is None


def test_values_that_will_do() -> None:
    settings = read(
        SLACK_WEBHOOK_URL=f" {WEBHOOK}\n",
        AUTH0_LOG_STREAM_TOKEN=" a~b ",
        ALERT_DIGEST_SECONDS="0",
        LOG_LEVEL="debug",
    )
    assert (settings.token, settings.log_level) == ("a~b", "DEBUG")
    (channel,) = settings.channels
    assert (channel.webhook_url, channel.digest_seconds) == (WEBHOOK, 0)
    most = str(MAX_DIGEST_SECONDS)
    assert str(read_channel(ALERT_DIGEST_SECONDS=most).digest_seconds) == most


@pytest.mark.parametrize(
    "url",
    [
        WEBHOOK,
        "https://hooks.slack-gov.com/services/T0/B0/x",
        "https://chat.example:8443/hooks/x?y=z",
        "https://chat.example/?token=x",
        "https://notslack.com/triggers/x",
        "https://hooks.slack.com.proxy.example/x",
        "http://localhost:9000/x",
        "http://127.0.0.1:443/x",
        "http://[::1]:9000/x",
        "console:",
    ],
)
def test_a_webhook_url_that_will_do(url: str) -> None:
    assert read_channel(SLACK_WEBHOOK_URL=url).webhook_url == url


FOR_THIS_MACHINE = "is an http:// URL, and plain HTTP goes to this machine only"


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("", "is not set"),
        ("hooks.slack.com/services/secret", "is not an https:// URL"),
        ("ftp://hooks.slack.com/secret", "is not an https:// URL"),
        ("https://hooks.slack.com\\[secret]", "is not an https:// URL"),
        ("http://localhost\\@secret.example/x", FOR_THIS_MACHINE),
        ("http://hooks.slack.com/services/secret", FOR_THIS_MACHINE),
        ("http://127.0.0.1.secret.example/", FOR_THIS_MACHINE),
        ("http://localhost:1@secret.example/x", FOR_THIS_MACHINE),
        ("https://", "is a host without a path"),
        ("https://hooks.slack.com", "is a host without a path"),
        ("https:///secret", "is not a valid URL"),
        ("https://*.secret/x", "is not a valid URL"),
        ("https://hooks.slack.com/services /secret", "has U+0020, where only"),
        ("\u200bhttps://hooks.slack.com/services/T/B/secret", "has U+200B, where only"),
        ("https://hooks.slack.com/services/...", "is the example's"),
        ("https://hooks.slack.com/services/T0/B0/…", "is the example's"),
        ("https://hooks.slack.com/services/T/B/${KEY}", "is a placeholder"),
        ("https://chat.example/hooks/<KEY>", "is a placeholder"),
        ("https://hooks.slack.com/triggers/T0/1/secret", "is a workflow's URL"),
        ("https://hooks.slack-gov.com/triggers/T0/secret", "is a workflow's URL"),
        ("https://app.slack.com:443/client/T0/secret", "is a channel's address"),
        ("https://hooks.slack.com/services/secret/B000", "is incomplete, or holds"),
        ("https://hooks.slack.com?secret", "is incomplete, or holds several URLs"),
        ("https://HOOKS.slack.com//services/T/B/secret", "is incomplete, or holds"),
        (f"{WEBHOOK},{WEBHOOK}", "is incomplete, or holds several URLs"),
        ("Console", "is console without its colon"),
    ],
)
def test_a_webhook_url_that_will_not_do_is_never_quoted(url: str, wrong: str) -> None:
    said = refusal(SLACK_WEBHOOK_URL=url)
    assert said.startswith(f"SLACK_WEBHOOK_URL {wrong}")
    assert "https://hooks.slack.com/services/..., made at https://api.slack" in said


def test_a_missing_webhook_url_is_named() -> None:
    with pytest.raises(ValueError, match="SLACK_WEBHOOK_URL is not set: ") as raised:
        read_settings({"SLACK_WEBHOOK": "x"})
    assert "cp .env.example .env, then flask run" in str(raised.value)
    assert "SLACK_WEBHOOK (did you mean SLACK_WEBHOOK_URL?)" in str(raised.value)


def test_a_digest_that_will_not_do_is_quoted() -> None:
    for value in ("-1", "1.5", str(MAX_DIGEST_SECONDS + 1), "99999", "٣"):
        said = refusal(ALERT_DIGEST_SECONDS=value)
        assert said.startswith(f"ALERT_DIGEST_SECONDS is {value!r}: give whole seconds")


def test_all_that_is_wrong_is_said_at_once() -> None:
    said = refusal(
        SLACK_WEBHOOK_URL="http://secret.example/x",
        SLACK_WEBHOOK_URL_OPS="https://secret.example",
        SLACK_WEBHOOK_URL_SECURITY_FILE="/secret",
        AUTH0_LOG_STREAM_TOKEN="the secret",
        ALERT_TYPES="failures",
        ALERT_IGNORE="(",
        SLACK_FIELDS="email",
        ALERT_DIGEST_SECONDS_OPS="1.5",
        ALERT_TYPES_SECURTIY="limit",
        LOG_LEVEL="loud",
        ALERT_FIELDS="ip",
    )
    starts = """
        SLACK_WEBHOOK_URL_SECURITY_FILE names no file
        ALERT_TYPES_SECURTIY belongs to no channel
        ALERT_TYPES has 'failures'
        SLACK_WEBHOOK_URL is an http:// URL
        ALERT_IGNORE is '('
        SLACK_FIELDS has 'email'
        SLACK_WEBHOOK_URL_OPS is a host without a path
        ALERT_DIGEST_SECONDS_OPS is '1.5'
        AUTH0_LOG_STREAM_TOKEN holds a space
        LOG_LEVEL is 'loud'
        nothing reads these variables: ALERT_FIELDS, ALERT_TYPES_SECURTIY (did you
    """
    for line, start in zip(said.split("\n"), starts.split("\n")[1:-1], strict=True):
        assert line.startswith(start.strip())


def test_warns_of_an_endpoint_that_is_open_or_as_good_as() -> None:
    tokens = {
        "": "anyone can post",
        EXAMPLE_TOKEN: "which everybody knows",
        "x" * (MIN_TOKEN - 1): "somebody could guess it",
    }
    for token, warning in tokens.items():
        # A Kubernetes service named auth0-logs is no token under another name.
        (said,) = read(AUTH0_LOG_STREAM_TOKEN=token, AUTH0_LOGS_PORT="tcp://x").warnings
        assert warning in said
    assert read(AUTH0_LOG_STREAM_TOKEN="x" * MIN_TOKEN).warnings == ()


def test_the_secrets_are_the_token_and_what_is_sent_to_each_webhook() -> None:
    settings = read(
        SLACK_WEBHOOK_URL_A="https://secret.example/hooks/%7Ex?y=z#alerts",
        SLACK_WEBHOOK_URL_B="console:",
        SLACK_WEBHOOK_URL_C="console:",
    )
    assert settings.secrets == {
        TOKEN,
        *(WEBHOOK, "/services/T000/B000/secret"),
        *("https://secret.example/hooks/~x?y=z", "/hooks/~x?y=z"),
    }
    assert "secret" not in repr(settings)
    assert TOKEN not in repr(settings)


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("secret words", "holds a space"),
        ("it's-secret-and-long-enough", "a quote"),
        ("back\\slash-secret-long-enough", "a backslash"),
        ("\u212aelvin-secret-long-enough", "not ASCII"),
        (os.fsdecode(b"t\xff\xfe-secret-long-enough"), "not ASCII"),
        ("Bearer secret-that-is-long-enough", "begins with Bearer"),
        ("${AUTH0_LOG_STREAM_TOKEN:-secret}", "is a placeholder"),
        ("<your secret token>", "is a placeholder"),
        ("ChangeMe-secret-long-enough", "is a placeholder"),
        ("…", "is a placeholder"),
    ],
)
def test_a_token_that_will_not_do_is_never_quoted(token: str, says: str) -> None:
    said = refusal(AUTH0_LOG_STREAM_TOKEN=token)
    assert said.startswith("AUTH0_LOG_STREAM_TOKEN ")
    assert says in said
    assert token not in said


def test_a_token_of_any_visible_ascii_but_quotes_and_backslashes_will_do() -> None:
    token = "".join(chr(n) for n in range(0x21, 0x7F) if chr(n) not in "\"'\\")
    assert read(AUTH0_LOG_STREAM_TOKEN=token).token == token
    assert repr(token)[1:-1] == token


def test_the_example_has_what_must_be_set_and_works_as_it_stands() -> None:
    text = (ROOT / ".env.example").read_text()
    example = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", text, re.M))
    assert set(example) == {"SLACK_WEBHOOK_URL", "AUTH0_LOG_STREAM_TOKEN"}
    settings = read_settings(example)
    assert settings.channels[0].webhook_url == "console:"
    assert settings.token == EXAMPLE_TOKEN


# Quotes that nobody takes off.


@pytest.mark.parametrize("variable", DEFAULTS)
def test_a_value_in_quotes_stops_the_start(variable: str) -> None:
    for first, last in ('""', "''", "“”", "‘’", "„“", '“"'):
        for value in ("secret\nin-quotes", ""):
            said = refusal(**{variable: f" {first}{value}{last}"})
            assert said.startswith(f"{variable} starts and ends with a quote: remove")


def test_quotes_within_a_pattern_are_allowed() -> None:
    for ignore in ('say "x"', '["]x["]', '"', '\\"x\\"'):
        assert read_channel(ALERT_IGNORE=ignore).alert_filter.ignore
    said = refusal(SLACK_WEBHOOK_URL_X="console:", ALERT_IGNORE_X='"x"')
    assert "ALERT_IGNORE_X starts and ends with a quote: remove both (" in said
    assert 'is written as ["]' in said


# Secrets in files.


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    for name in ("token", "webhook", "security"):
        (tmp_path / name).write_text(f"\n https://chat.example/{name}\r\n")
    settings = read(
        AUTH0_LOG_STREAM_TOKEN="",
        AUTH0_LOG_STREAM_TOKEN_FILE=f" {tmp_path}/token\n",
        SLACK_WEBHOOK_URL="",
        SLACK_WEBHOOK_URL_FILE=f"{tmp_path}/webhook",
        SLACK_WEBHOOK_URL_SECURITY_FILE=f"{tmp_path}/security",
        SLACK_WEBHOOK_URL_OPS="console:",
        SLACK_WEBHOOK_URL_OPS_FILE="",
    )
    urls = [settings.token, *(channel.webhook_url for channel in settings.channels)]
    host = "https://chat.example"
    assert urls == [f"{host}/token", f"{host}/webhook", "console:", f"{host}/security"]
    assert settings.warnings == ()


@pytest.mark.parametrize("secret", ["AUTH0_LOG_STREAM_TOKEN", "SLACK_WEBHOOK_URL_X"])
def test_a_file_without_a_secret_stops_the_start(secret: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(" \n")
    for path, wrong in (
        ("", "_FILE names no file that can be read (Is a directory)"),
        ("https://secret.example/x", "_FILE names no file that can be read (No such"),
        (str(file), "_FILE names an empty file: write the value into it"),
        ('"/run/secrets/x"', "_FILE starts and ends with a quote"),
    ):
        said = refusal(**{secret: "", f"{secret}_FILE": path})
        assert said.startswith(secret + wrong)
        assert "\n" not in said
    said = refusal(**{secret: "console:", f"{secret}_FILE": str(file)})
    assert said == f"{secret}_FILE is set, and the one without _FILE too: keep one"
    file.write_bytes(b"\xffsecret words")
    said = refusal(**{secret: "", f"{secret}_FILE": str(file)})
    assert said.startswith(f"{secret} h")  # has, or holds, what no secret does


# Names that are nearly ours.


def test_one_warning_names_all_that_look_like_ours() -> None:
    """Those are left out that a platform sets, or another program reads."""
    strays = {
        "ALERT_FIELDS": "",
        "ALERT_TYPE": "ALERT_TYPES",
        "ALERT_TYPE_SECURITY": "ALERT_TYPES_SECURITY",
        "AUTH0_LOGSTREAM_TOKEN": "AUTH0_LOG_STREAM_TOKEN",
        "AUTH0_LOG_STREAM_TOKEN_SECURITY": "AUTH0_LOG_STREAM_TOKEN",
        "LOGLEVEL": "LOG_LEVEL",
        "SECURITY_SLACK_WEBHOOK_URL": "",
        "SLACK_URL": "",
        "SLACK_WEBHOOKURL_SECURITY": "SLACK_WEBHOOK_URL_SECURITY",
        "slack_fields": "SLACK_FIELDS",
    }
    others = (
        "PATH HOME PORT DYNO LANG LC_ALL WEB_CONCURRENCY FLASK_RUN_PORT TZ HOSTNAME"
        " GUNICORN_CMD_ARGS PYTHONUNBUFFERED HTTPS_PROXY REQUESTS_CA_BUNDLE LOG_FORMAT"
        " AUTH0_DOMAIN AUTH0_CLIENT_ID ALERTS WEBHOOK_URL AUTH0_LOGS_SERVICE_HOST"
        " AUTH0_LOGS_SERVICE_PORT AUTH0_LOGS_SERVICE_PORT_HTTP AUTH0_LOGS_PORT"
        " SLACK_WEBHOOK_PORT_80_TCP_ADDR"
    )
    variables = dict.fromkeys([*strays, *others.split()], "'secret'")
    said = []
    for name, meant in strays.items():
        said.append(f"{name} (did you mean {meant}?)" if meant else name)
    assert read(SLACK_WEBHOOK_URL_SECURITY="console:", **variables).warnings == (
        "nothing reads these variables: " + ", ".join(said),
    )


@pytest.mark.parametrize(
    "name",
    [
        "AUTH0_LOG_TOKEN",
        "auth0_log_stream_token",
        "AUTH0_LOG_STREAM_TOKEN_FILES",
        "MY_OWN_SERVICES_AUTH0_LOG_STREAM_TOKEN",
    ],
)
def test_a_token_under_another_name_does_not_open_the_endpoint(name: str) -> None:
    said = refusal(**{"AUTH0_LOG_STREAM_TOKEN": "", name: "secret"})
    assert said.startswith("AUTH0_LOG_STREAM_TOKEN is not set, but something like it")
    assert f"nothing reads these variables: {name}" in said


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
    found = [
        (
            channel.label,
            channel.webhook_url,
            channel.alert_filter.types,
            bool(channel.alert_filter.ignore),
            channel.fields,
            channel.digest_seconds,
        )
        for channel in settings.channels
    ]
    assert found == [
        ("first", WEBHOOK, "failure", True, ("ip",), 30),
        ("OPS_2", "console:", "failure", False, ("ip",), 600),
        ("SECURITY", f"{WEBHOOK}2", "limit", True, DEFAULT_FIELDS, 30),
    ]
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("ALERT_TYPES_SECURTIY=w", "mean ALERT_TYPES_SECURITY?"),
        ("ALERT_TYPES_security=w", "mean ALERT_TYPES_SECURITY?"),
        ("ALERT_TYPES_FILE=w", "neither FILE nor"),
        ("SLACK_WEBHOOK_URL_X_FILE_FILE=secret", "ends in _FILE"),
        ("SLACK_WEBHOOK_URL__FILE=secret", "ends in _FILE"),
        ("SLACK_WEBHOOK_URL_ops=console:", "capital"),
        ("SLACK_WEBHOOK_URL_=console:", "capital"),
        ("SLACK_WEBHOOK_URL_OPS=", "not set: set it"),
        (f"SLACK_WEBHOOK_URL_OPS={WEBHOOK}", "the same webhook as SLACK_WEBHOOK_URL:"),
        (f"SLACK_WEBHOOK_URL_OPS={WEBHOOK}#x", "the same webhook"),
        (f"SLACK_WEBHOOK_URL_OPS={WEBHOOK.replace('hooks', 'HOOKS')}", "the same"),
        (f"SLACK_WEBHOOK_URL_OPS={WEBHOOK.replace('.com', '.com:443')}", "the same"),
        ("ALERT_IGNORE_SECURITY=.", "never be an alert"),
        (r"ALERT_TYPES_SECURITY=fp ALERT_IGNORE=type:.fp\]", "never be an alert"),
    ],
)
def test_what_is_wrong_with_a_channel_stops_the_start(given: str, says: str) -> None:
    variables = dict(variable.split("=", 1) for variable in given.split())
    *_, wrong = variables
    said = refusal(**{"SLACK_WEBHOOK_URL_SECURITY": f"{WEBHOOK}2", **variables})
    assert said.startswith(f"{wrong} ")
    assert says in said


def test_a_warning_of_a_shared_variable_is_given_once() -> None:
    (warning,) = read(SLACK_WEBHOOK_URL_A="console:", ALERT_TYPES="failure,zz").warnings
    assert "'zz'" in warning
