"""Log events as Auth0 sends them, for the tests."""

import json
from itertools import count
from pathlib import Path
from typing import Any

_ids = count(1)


def fixture(name: str) -> str:
    """The text of a file in tests/fixtures/."""
    return (Path(__file__).parent / "fixtures" / name).read_text()


def event(**data: Any) -> dict[str, Any]:
    """A failed login as Auth0 sends it, with an id of its own, changed by `data`."""
    (failed_login,) = json.loads(fixture("failed_login.json"))
    log_id = f"9002026112210000569600000000000000{next(_ids):021}"
    return {
        "log_id": log_id,
        "data": {**failed_login["data"], "log_id": log_id, **data},
    }


def success(**data: Any) -> dict[str, Any]:
    """A successful login, which is no alert."""
    return event(type="s", description="Successful login", **data)
