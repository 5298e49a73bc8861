"""Slack: what is posted, what each answer means, and what to do about it."""

import json
from typing import Any

import pytest
import requests
import responses

from slack import ADVICE, MAX_HOLD, Outcome, Verdict, Webhook, advice

URL = "https://hooks.slack.example/services/T0/B0/secret"
MESSAGE = {"text": "*Auth0 log alert* · naïve \U0001f600"}


@pytest.fixture
def slack() -> Any:
    with responses.RequestsMock() as mock:
        yield mock


def post() -> Outcome:
    return Webhook(URL).post(MESSAGE)


def test_posts_the_message_as_json(slack: responses.RequestsMock) -> None:
    answer = slack.post(URL, body="ok")
    assert post() == Outcome(Verdict.ACCEPTED, "ok", 200)
    request = answer.calls[0].request
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(request.body) == MESSAGE


@pytest.mark.parametrize(
    ("status", "body", "verdict", "reason"),
    [
        (200, "ok", Verdict.ACCEPTED, "ok"),
        (200, "ok\n", Verdict.ACCEPTED, "ok"),
        (200, '{"success":true}', Verdict.ACCEPTED, "ok"),
        (200, "", Verdict.REFUSED, "HTTP 200"),
        (200, "<html>Welcome</html>", Verdict.REFUSED, "HTTP 200"),
        (302, "ok", Verdict.REFUSED, "HTTP 302"),
        (400, "invalid_payload", Verdict.MALFORMED, "invalid_payload"),
        (400, "invalid_attachments", Verdict.MALFORMED, "invalid_attachments"),
        (400, "invalid_blocks", Verdict.MALFORMED, "invalid_blocks"),
        (400, "too_many_attachments", Verdict.MALFORMED, "too_many_attachments"),
        (400, "no_text", Verdict.MALFORMED, "no_text"),
        (400, "something_new", Verdict.MALFORMED, "something_new"),
        (413, "", Verdict.MALFORMED, "HTTP 413"),
        (403, "<html>Blocked by policy</html>", Verdict.MALFORMED, "HTTP 403"),
        (400, "invalid_token", Verdict.REFUSED, "invalid_token"),
        (400, "user_not_found", Verdict.REFUSED, "user_not_found"),
        (403, "invalid_token", Verdict.REFUSED, "invalid_token"),
        (403, "action_prohibited", Verdict.REFUSED, "action_prohibited"),
        (404, "no_service", Verdict.REFUSED, "no_service"),
        (404, "channel_not_found", Verdict.REFUSED, "channel_not_found"),
        (404, f"no such page: {URL}", Verdict.REFUSED, "HTTP 404"),
        (410, "channel_is_archived", Verdict.REFUSED, "channel_is_archived"),
        (429, "", Verdict.UNAVAILABLE, "Slack's rate limit is reached"),
        (500, "rollup_error", Verdict.UNAVAILABLE, "Slack failed: rollup_error"),
        (503, "\xff<html>", Verdict.UNAVAILABLE, "Slack failed: HTTP 503"),
    ],
)
def test_what_an_answer_means(
    slack: responses.RequestsMock, status: int, body: str, verdict: Verdict, reason: str
) -> None:
    slack.post(URL, status=status, body=body.encode("latin-1"))
    assert post() == Outcome(verdict, reason, status)


def test_a_redirect_is_not_followed(slack: responses.RequestsMock) -> None:
    slack.post(URL, status=307, headers={"Location": "https://elsewhere.example/"})
    assert (
        post().verdict is Verdict.REFUSED
    )  # and responses would raise for another request


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectTimeout(URL),
        requests.ReadTimeout(URL),
        requests.ConnectionError(URL),
        requests.exceptions.SSLError(URL),
        UnicodeError(URL),
    ],
)
def test_an_exception_becomes_an_outcome_without_the_url(
    slack: responses.RequestsMock, error: Exception
) -> None:
    slack.post(URL, body=error)
    reason = f"no answer from Slack ({type(error).__name__})"
    assert post() == Outcome(Verdict.UNAVAILABLE, reason)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        ("90000", MAX_HOLD),
        ("999999999", MAX_HOLD),
        ("9" * 5000, None),
        ("1.5", None),
        ("Sun, 06 Nov 9994 08:49:37 GMT", None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
    ],
)
def test_says_how_long_slack_wants_to_be_left_alone(
    slack: responses.RequestsMock, header: str, seconds: int | None
) -> None:
    slack.post(URL, status=429, headers={"Retry-After": header})
    outcome = post()
    assert outcome.retry_after == seconds
    assert (f", for {seconds} s" in outcome.reason) == bool(seconds)


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Outcome(Verdict.REFUSED, "no_service"), "make a new one"),
        (Outcome(Verdict.REFUSED, "channel_is_archived"), "another one"),
        (Outcome(Verdict.REFUSED, "action_prohibited"), "admin"),
        (Outcome(Verdict.REFUSED, "HTTP 404"), "check SLACK_WEBHOOK_URL"),
        (Outcome(Verdict.MALFORMED, "no_text"), "report this"),
        (Outcome(Verdict.UNAVAILABLE, "Slack failed"), "slack-status.com"),
        (
            Outcome(Verdict.UNAVAILABLE, "Slack's rate limit is reached", 429),
            "wait a minute",
        ),
    ],
)
def test_advice(outcome: Outcome, says: str) -> None:
    assert says in advice(outcome)


@pytest.mark.parametrize("word", ADVICE)
def test_every_error_with_advice_is_told_apart_from_a_malformed_message(
    slack: responses.RequestsMock, word: str
) -> None:
    slack.post(URL, status=400, body=word)
    assert post() == Outcome(Verdict.REFUSED, word, 400)
