"""Slack: one message posted to the incoming webhook, and what Slack's answer means.

https://api.slack.com/messaging/webhooks. The webhook's URL is the credential, so
nothing here lets an exception out: those of requests and urllib3 quote it.
"""

import re
from dataclasses import dataclass
from enum import Enum

import requests

from message import Message, encode

# Seconds. A first packet that is lost is sent again after 3: requests' documentation
# of timeouts advises to wait a little longer than that.
CONNECT_TIMEOUT = 3.05
# Seconds. Slack may accept a message that late, and if we do not hear it we post the
# message again. Must be less than the outbox's LOST_AFTER.
READ_TIMEOUT = 50.0
MAX_ANSWER = 1000  # bytes of Slack's answer that are read; its words are short
MAX_HOLD = 600  # seconds; the longest Retry-After that is honoured
# Slack and Mattermost answer `ok`, Rocket.Chat this JSON.
ACCEPTED_ANSWERS = ("ok", '{"success":true}')

_WORD = re.compile(r"[a-z][a-z_]{2,60}")
# What to do about each word of
# https://api.slack.com/messaging/webhooks#handling_errors.
_GONE = "the webhook is gone: make a new one in Slack and set SLACK_WEBHOOK_URL to it"
_FORBIDDEN = "a Slack admin forbids it: ask them, or make a webhook for another channel"
_NO_CHANNEL = (
    "the channel is gone: make a webhook for another one and set SLACK_WEBHOOK_URL to"
    " it"
)
ADVICE = {
    "no_service": _GONE,
    "no_service_id": _GONE,
    "no_team": _GONE,
    "no_active_hooks": _GONE,
    "invalid_token": _GONE,
    "user_not_found": _GONE,
    "action_prohibited": _FORBIDDEN,
    "posting_to_general_channel_denied": _FORBIDDEN,
    "team_disabled": _FORBIDDEN,
    "channel_not_found": _NO_CHANNEL,
    "channel_is_archived": _NO_CHANNEL,
}


class Verdict(Enum):
    """What became of a message."""

    ACCEPTED = "accepted"
    UNAVAILABLE = "unavailable"  # not now: the same message may pass later
    MALFORMED = "malformed"  # not so: the same facts may pass in another form
    REFUSED = "refused"  # not until somebody does something about it


@dataclass(frozen=True)
class Outcome:
    """A verdict, why, the HTTP status behind it, and the seconds Slack said to wait."""

    verdict: Verdict
    reason: str = ""  # one line without secrets, safe in answers and logs
    status: int | None = None
    retry_after: float | None = None


class Webhook:
    """Posts messages to one incoming webhook, one at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()

    def post(self, message: Message) -> Outcome:
        """Post a message; returns what Slack made of it."""
        try:
            with self._session.post(
                self._url,
                data=encode(message),
                headers={"Content-Type": "application/json; charset=utf-8"},
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                allow_redirects=False,  # nobody else is to get the message
                stream=True,
            ) as response:
                answer = response.raw.read(MAX_ANSWER, decode_content=True)
                return _outcome(response, answer.decode(errors="replace").strip())
        except Exception as error:  # also what urllib3 raises past requests
            reason = f"no answer from Slack ({type(error).__name__})"
            return Outcome(Verdict.UNAVAILABLE, reason)


def advice(outcome: Outcome) -> str:
    """What a person should do about a message that Slack did not accept."""
    if outcome.status == 429:
        return (
            "wait a minute; if it comes again, what else posts through this Slack app?"
        )
    if outcome.verdict is Verdict.UNAVAILABLE:
        return (
            "nothing, if it passes; else see https://slack-status.com and this"
            " machine's network"
        )
    if outcome.verdict is Verdict.MALFORMED:
        return "please report this as a bug; it goes out as mere counts"
    check_url = (
        "check SLACK_WEBHOOK_URL: copy it again from Slack, https://api.slack.com/apps"
    )
    return ADVICE.get(outcome.reason, check_url)


def _outcome(response: requests.Response, answer: str) -> Outcome:
    """What Slack's answer means.

    https://api.slack.com/messaging/webhooks#handling_errors
    """
    status = response.status_code
    if status == 200 and answer in ACCEPTED_ANSWERS:
        return Outcome(Verdict.ACCEPTED, "ok", status)
    # Only a word of Slack's own form is passed on: a proxy's error page may quote the
    # URL.
    reason = answer if _WORD.fullmatch(answer) else f"HTTP {status}"
    if status == 429:
        return _limited(response.headers.get("Retry-After", "").strip())
    if status >= 500:
        return Outcome(Verdict.UNAVAILABLE, f"Slack failed: {reason}", status)
    # A word that has advice is about the webhook. Any other is about the message, which
    # a proxy on the way may refuse too.
    if status in (400, 403, 413) and reason not in ADVICE:
        return Outcome(Verdict.MALFORMED, reason, status)
    return Outcome(Verdict.REFUSED, reason, status)


def _limited(retry_after: str) -> Outcome:
    """The outcome of a message over Slack's rate limit, with its Retry-After header.

    https://docs.slack.dev/apis/web-api/rate-limits documents whole seconds.
    """
    reason = "Slack's rate limit is reached"
    if not re.fullmatch("[0-9]{1,9}", retry_after):
        return Outcome(Verdict.UNAVAILABLE, reason, 429)
    hold = min(int(retry_after), MAX_HOLD)
    if hold:
        reason += f", for {hold} s"
    return Outcome(Verdict.UNAVAILABLE, reason, 429, hold)
