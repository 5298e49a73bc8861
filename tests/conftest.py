"""Fixtures that several test modules share."""

import logging
import resource
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.server import Server, server
from tests.slack_stub import SlackStub, slack_stub

# Some tests open a thousand connections.
_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most_files, 4096), most_files))

# `pytest --hypothesis-profile=thorough` tries each property on thousands of cases.
settings.register_profile("quick", max_examples=100, deadline=None)
settings.register_profile("thorough", max_examples=5000, deadline=None)
settings.load_profile("quick")


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what creating an application does to the root logger, and to the process."""
    monkeypatch.setattr(
        "atexit.register", lambda *_: None
    )  # nor a digest posted at pytest's end
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.raiseExceptions = True
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def slack() -> Iterator[SlackStub]:
    """A stub of Slack; some modules share one between their tests instead."""
    with slack_stub() as stub:
        yield stub


@pytest.fixture
def own(slack: SlackStub) -> Iterator[Server]:
    """A service for one test alone, because a fault holds up what follows."""
    with server(SLACK_WEBHOOK_URL=slack.url) as running:
        yield running
