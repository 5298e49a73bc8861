"""Fixtures that several test modules share."""

import logging
import resource
from collections.abc import Iterator

import pytest
import responses
from flask.testing import FlaskClient
from hypothesis import settings

from app import create_app
from tests.application import SETTINGS, WEBHOOK
from tests.server import Server, measured, server
from tests.slack_stub import SlackStub, slack_stub

# Some tests open a thousand connections.
_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most_files, 4096), most_files))

# `pytest --hypothesis-profile=thorough` tries each property on thousands of new cases.
# Without it the cases are always the same, so that no change is blamed for what another
# one broke.
settings.register_profile("quick", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=5000, deadline=None)
settings.load_profile("quick")


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what creating an application does to the root logger, and to the process."""
    # No digest is posted at pytest's end.
    monkeypatch.setattr("atexit.register", lambda *_: None)
    root = logging.getLogger()
    handlers = root.handlers[:]
    level = root.level
    yield
    logging.raiseExceptions = True
    root.handlers[:] = handlers
    root.setLevel(level)


# The application in the test's own process.


@pytest.fixture
def webhook() -> Iterator[responses.RequestsMock]:
    """Slack's webhook without a network; it accepts every message."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post(WEBHOOK, body="ok")
        yield mock


@pytest.fixture
def client() -> FlaskClient:
    """A client of an application that posts to the webhook."""
    return create_app(SETTINGS).test_client()


# The running service.


@pytest.fixture
def slack() -> Iterator[SlackStub]:
    """A stub of Slack for one test alone."""
    with slack_stub() as stub:
        yield stub


@pytest.fixture(scope="module")
def shared_slack() -> Iterator[SlackStub]:
    """The stub of Slack to which `service` posts."""
    with slack_stub() as stub:
        yield stub


@pytest.fixture(scope="module")
def service(shared_slack: SlackStub) -> Iterator[Server]:
    """A service that the tests of a module share, because none of them harms it."""
    with server(SLACK_WEBHOOK_URL=shared_slack.url, **measured()) as running:
        yield running
