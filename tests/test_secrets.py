"""Secrets: the webhook's URL and the token stand in no output, whatever fails."""

import re
from concurrent.futures import ThreadPoolExecutor

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
    Answer(200, "no", {"Content-Length": "abc", "Connection": "close"}),
    Answer(429, "", {"Retry-After": "100"}),
]


def drive(script: list[Answer]) -> tuple[set[int], str, str]:
    """The statuses, all answers and the output of a service that meets this script.

    It runs at DEBUG, where the libraries say most.
    """
    command = [*procfile_command(), "--log-level", "debug"]
    with (
        slack_stub() as slack,
        server(command, SLACK_WEBHOOK_URL=slack.url, LOG_LEVEL="debug") as running,
    ):
        slack.script(*script)
        statuses = set()
        said = []
        while len(slack.posts) < len(script):
            response = running.deliver([event()])
            statuses.add(response.status_code)
            said.append(response.text + str(response.headers))
        wrong = {"Authorization": f"x{TOKEN}"}
        said.append(running.deliver([event()], headers=wrong).text)
        for odd, _ in ODD_REQUESTS:
            said.append(exchange(running, odd).decode(errors="replace"))
        for sent in QUOTED:
            answer = exchange(running, sent).decode(errors="replace")
            assert re.match(r"HTTP/1.[01] (204|[45])", answer)
            said.append(answer)
        return statuses, "\n".join(said), running.output


def test_no_secret_leaks_whatever_fails_at_debug() -> None:
    with ThreadPoolExecutor(2) as pool:
        driven = list(pool.map(drive, [REFUSALS, TROUBLES]))
    (refused, _, _), (troubled, _, _) = driven
    assert refused == {200, 503}
    assert troubled >= {200, 503}
    for _, said, output in driven:
        assert "DEBUG" in output
        assert "[secret]" in output  # urllib3 did log the path
        for secret in SECRETS:
            assert secret not in output
            assert secret not in said
