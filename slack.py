"""Slack: one message posted to the incoming webhook, and what Slack's answer means.

https://api.slack.com/messaging/webhooks. The webhook's URL is the credential, so nothing here
lets an exception out: those of requests and urllib3 quote it.
"""

import re
from dataclasses import dataclass
from enum import Enum

import requests

from message import Message, encode

CONNECT_TIMEOUT = (
    3.05  # seconds; over 3, a lost first packet's retransmission, as requests says
)
# Seconds; Slack may accept a message that late, and unheard it is doubled. Under LOST_AFTER.
READ_TIMEOUT = 50.0
MAX_ANSWER = 1000  # bytes of Slack's answer that are read; its words are short
MAX_HOLD = 600  # seconds; the longest Retry-After that is honoured
# Slack and Mattermost answer `ok`, Rocket.Chat this JSON.
ACCEPTED_ANSWERS = ("ok", '{"success":true}')

_WORD = re.compile(r"[a-z][a-z_]{2,60}")
# What to do about each word of https://api.slack.com/messaging/webhooks#handling_errors.
_GONE = "the webhook is gone: make a new one in Slack and set SLACK_WEBHOOK_URL to it"
_FORBIDDEN = "a Slack admin forbids it: ask them, or make a webhook for another channel"
_NO_CHANNEL = "the channel is gone: make a webhook for another one and set SLACK_WEBHOOK_URL to it"
# fmt: off
ADVICE = {
    "no_service": _GONE, "no_service_id": _GONE, "no_team": _GONE, "no_active_hooks": _GONE,
    "invalid_token": _GONE, "user_not_found": _GONE, "action_prohibited": _FORBIDDEN,
    "posting_to_general_channel_denied": _FORBIDDEN, "team_disabled": _FORBIDDEN,
    "channel_not_found": _NO_CHANNEL, "channel_is_archived": _NO_CHANNEL,
}
# fmt: on


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
            with (
                self._session.post(
                    self._url,
                    data=encode(message),
                    headers={"Content-Type": "application/json; charset=utf-8"},
                    timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                    allow_redirects=False,  # where else would the message go, and who would get it?
                    stream=True,
                ) as response
            ):
                answer = response.raw.read(MAX_ANSWER, decode_content=True)
                return _outcome(response, answer.decode(errors="replace").strip())
        except (
            Exception
        ) as error:  # also what urllib3 lets through; its text quotes the URL
            return Outcome(
                Verdict.UNAVAILABLE, f"no answer from Slack ({type(error).__name__})"
            )


def advice(outcome: Outcome) -> str:
    """What a person should do about a message that Slack did not accept."""
    if outcome.status == 429:
        return (
            "wait a minute; if it comes again, what else posts through this Slack app?"
        )
    if outcome.verdict is Verdict.UNAVAILABLE:
        return "nothing, if it passes; else see https://slack-status.com and this machine's network"
    if outcome.verdict is Verdict.MALFORMED:
        return "please report this as a bug; it goes out as mere counts"
    check_url = (
        "check SLACK_WEBHOOK_URL: copy it again from Slack, https://api.slack.com/apps"
    )
    return ADVICE.get(outcome.reason, check_url)


def _outcome(response: requests.Response, answer: str) -> Outcome:
    """What Slack's answer means; https://api.slack.com/messaging/webhooks#handling_errors."""
    status = response.status_code
    if status == 200 and answer in ACCEPTED_ANSWERS:
        return Outcome(Verdict.ACCEPTED, "ok", status)
    # Only a word of Slack's own form is passed on: a proxy's error page may quote the URL.
    reason = answer if _WORD.fullmatch(answer) else f"HTTP {status}"
    if status == 429:
        # Slack documents whole seconds: https://docs.slack.dev/apis/web-api/rate-limits
        header = response.headers.get("Retry-After", "").strip()
        hold = (
            min(int(header), MAX_HOLD) if re.fullmatch("[0-9]{1,9}", header) else None
        )
        reason = "Slack's rate limit is reached" + (f", for {hold} s" if hold else "")
        return Outcome(Verdict.UNAVAILABLE, reason, status, hold)
    if status >= 500:
        return Outcome(Verdict.UNAVAILABLE, f"Slack failed: {reason}", status)
    # With a word that has advice it is about the webhook; with any other about the message, which
    # a proxy on the way may refuse too.
    if status in (400, 403, 413) and reason not in ADVICE:
        return Outcome(Verdict.MALFORMED, reason, status)
    return Outcome(Verdict.REFUSED, reason, status)
