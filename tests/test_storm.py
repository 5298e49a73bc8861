"""A storm, end to end: few messages, everything shown, and what a stop or a kill can lose."""

import json
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from digest import BURST
from tests.events import event
from tests.server import Server, procfile_command, server
from tests.slack_stub import SlackStub, slack_stub

STORM = 70  # deliveries
EVERY = 0.2  # seconds; so it lasts for longer than ten messages take


def storm(running: Server) -> tuple[set[str], set[str]]:
    """The users whose alerts were answered ok, and those that were answered as collected."""
    posted: set[str] = set()
    collected: set[str] = set()

    def deliver(n: int) -> None:
        response = running.deliver([event(user_name=f"user{n}.")])
        assert response.status_code == 200
        (collected if "next digest" in response.text else posted).add(f"user{n}.")

    with ThreadPoolExecutor(16) as pool:
        answers = []
        for n in range(STORM):
            answers.append(pool.submit(deliver, n))
            time.sleep(EVERY)
        for answer in answers:
            answer.result()
    assert len(posted) + len(collected) == STORM
    return posted, collected


def stormed(
    command: Sequence[str], end: signal.Signals
) -> tuple[SlackStub, set[str], set[str]]:
    """What Slack got of a storm that ends with a signal; who was posted, and who collected."""
    with (
        slack_stub(interval=0.9) as slack,
        server(command, SLACK_WEBHOOK_URL=slack.url) as running,
    ):
        posted, collected = storm(running)
        assert len(collected) > STORM / 10
        assert len(slack.posts) <= BURST
        if end is signal.SIGKILL:
            before = time.monotonic()
            assert running.deliver([event(type="limit_wc")]).text == "ok\n"  # news
            assert time.monotonic() - before < 5
            assert slack.events == STORM + 1  # it took along what was collected
            again = running.deliver([event(user_name="lost.")])
            assert "next digest" in again.text
            worker = running.worker
            running.process.send_signal(
                signal.SIGSTOP
            )  # so that it cannot stop the worker kindly
            os.kill(worker, signal.SIGKILL)
            running.process.kill()
        assert running.stop(end) in (0, -end)
        assert "Traceback" not in running.output
    return slack, posted, collected


def test_a_storm_and_its_end() -> None:
    """Three at once, because each takes as long as ten messages do."""
    flask = ["flask", "run"]
    with ThreadPoolExecutor(3) as pool:
        stopped = pool.submit(stormed, procfile_command(), signal.SIGTERM)
        killed = pool.submit(stormed, procfile_command(), signal.SIGKILL)
        interrupted = pool.submit(stormed, flask, signal.SIGINT)
        for future in (stopped, interrupted):
            slack, _, _ = future.result()
            assert slack.events == STORM  # the last message is the digest
            assert len(slack.posts) <= BURST + 1
            assert ", digest since " in slack.messages[-1]["text"]
        slack, posted, _ = killed.result()
        assert slack.events == STORM + 1  # all but what was collected last
        assert "lost." not in json.dumps(slack.messages)
        assert all(len(post.message["attachments"]) <= 3 for post in slack.posts)
        assert posted
