"""Fixtures that several test modules share."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

# `pytest --hypothesis-profile=thorough` tries each property on thousands of cases.
settings.register_profile("quick", max_examples=100, deadline=None)
settings.register_profile("thorough", max_examples=5000, deadline=None)
settings.load_profile("quick")


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Undo what creating an application does to the root logger."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.raiseExceptions = True
    root.handlers[:] = handlers
    root.setLevel(level)
