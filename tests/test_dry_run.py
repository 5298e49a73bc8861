"""The dry run: which events are shown, and how; and by which setting others are not."""

import json
from typing import Any

import pytest
from click.testing import Result

from app import create_app
from tests.events import event, fixture

BARE = {"type": "flo", "log_id": "901", "_id": "901"}
SHOWN = "flo (Failed Logout): Failed Logout\n    shown\n"


def dry_run(body: Any, **variables: str) -> Result:
    """What `flask dry-run` says of a text, or of a value as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    app = create_app({"SLACK_WEBHOOK_URL": "console:", **variables})
    return app.test_cli_runner().invoke(args=["dry-run"], input=text)


@pytest.mark.parametrize(
    "body",
    [
        [{"data": BARE}],
        BARE,
        [BARE],
        {"logs": [BARE]},
        json.dumps(BARE) + "\n" + json.dumps(5),
        json.dumps({"data": BARE}) + "\n" + json.dumps(5),
        {"detail": {"data": BARE}},
    ],
)
def test_reads_what_auth0_sends_and_what_its_api_gives(body: Any) -> None:
    done = dry_run(body)
    assert SHOWN in done.output
    assert "\nFailed Logout\n▌ Failed Logout [type: flo]\n" in done.output
    assert done.exit_code == 0
    assert ("1 skipped: a log event is" in done.output) == isinstance(body, str)


def test_says_which_setting_hides_an_event_from_which_channel() -> None:
    events = [
        event(),
        event(type="new_thing_failed", description=""),
        event(type="s", description="Noise"),
    ]
    output = dry_run(
        events,
        SLACK_WEBHOOK_URL_SECURITY="console:",
        ALERT_TYPES_SECURITY="s",
        ALERT_IGNORE="^(Wrong|Noise)",
    ).output
    verdicts, _, messages = output.partition("\n\n")
    assert verdicts.splitlines()[-9:] == [
        "fp (Failed Login (Incorrect Password)): Wrong email or password.",
        "    channel first: not shown, because ALERT_IGNORE matches 'Wrong'",
        "    channel SECURITY: not shown, because of ALERT_TYPES=s",
        "new_thing_failed (unknown): Auth0 log event",
        "    channel first: shown",
        "    channel SECURITY: not shown, because of ALERT_TYPES=s",
        "s (Success Login): Noise",
        "    channel first: not shown, because of ALERT_TYPES=failure,limit",
        "    channel SECURITY: not shown, because ALERT_IGNORE matches 'Noise'",
    ]
    assert messages.startswith("[channel first]\nnew_thing_failed in acme\n")
    assert "[channel SECURITY]" not in messages


def test_a_pattern_that_takes_too_long_silences_nothing_as_in_the_service(
    capsys: pytest.CaptureFixture[str],
) -> None:
    slow = event(description="a" * 290 + "!")
    quiet = event(description="Quiet [now]")
    output = dry_run([slow, quiet], ALERT_IGNORE=r"^(Quiet|(a|aa)+) \[").output
    assert output.count("\n    shown\n") == 2
    assert "WARNING ALERT_IGNORE takes too long" in capsys.readouterr().out


def test_what_cannot_be_read_and_a_wrong_setting_are_told() -> None:
    done = dry_run(fixture("failed_login.json")[:-5])
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].startswith("the body is not JSON: ")
    with pytest.raises(SystemExit, match="ALERT_TYPES is 'x', which matches no log"):
        dry_run([], ALERT_TYPES="x")
