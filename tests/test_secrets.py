"""Secrets: the webhook's URL and the token stand in no output, at any level, in any failure."""

import re
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.events import event
from tests.raw_http import ODD_REQUESTS, QUOTED, exchange
from tests.server import SECRETS, TOKEN, procfile_command, server
from tests.slack_stub import PATH, Answer, slack_stub

REFUSALS = [
    Answer(),
    Answer(404, "no_service"),
    Answer(404, f"no such page: {PATH}"),
    Answer(403, "x" * 5000),
    Answer(302, "", {"Location": f"http://127.0.0.1:1{PATH}"}),
    Answer(400, "invalid_attachments"),
    Answer(400, "invalid_payload"),
]
TROUBLES = [
    Answer(500, "rollup_error"),
    Answer(),
    Answer(drop=True),
    Answer(),
    Answer(200, "no", {"Content-Encoding": "gzip"}),
    Answer(200, "no", {"Content-Length": "abc"}),
    Answer(429, "", {"Retry-After": "100"}),
]


def drive(script: list[Answer]) -> tuple[list[int], list[str], str]:
    """The statuses, all answers and the output of a service that meets this script at DEBUG."""
    with (
        slack_stub() as slack,
        server(
            [*procfile_command(), "--log-level", "debug"],
            SLACK_WEBHOOK_URL=slack.url,
            LOG_LEVEL="debug",
        ) as running,
    ):
        slack.script(*script)
        statuses, said = [], []
        while len(slack.posts) < len(script):
            response = running.deliver([event()])
            statuses.append(response.status_code)
            said.append(response.text + str(response.headers))
        said.append(running.deliver(data=b"{").text)
        said.append(
            running.deliver([event()], headers={"Authorization": f"x{TOKEN}"}).text
        )
        said += [
            exchange(running, odd).decode(errors="replace") for odd, _ in ODD_REQUESTS
        ]
        quoted = [exchange(running, sent).decode(errors="replace") for sent in QUOTED]
        assert all(re.match(r"HTTP/1.[01] (204|[45])", answer) for answer in quoted)
        said += quoted
        said.append(requests.get(f"{running.url}/api/logs", timeout=30).text)
        return statuses, said, running.output


def test_no_secret_leaks_whatever_fails_at_debug() -> None:
    with ThreadPoolExecutor(2) as pool:
        for statuses, said, output in pool.map(drive, [REFUSALS, TROUBLES]):
            assert {200, 502} <= set(statuses) or {200, 503} <= set(statuses)
            assert "DEBUG" in output
            assert "[secret]" in output  # urllib3 did log the path
            for secret in SECRETS:
                assert secret not in output
                assert not [answer for answer in said if secret in answer]
