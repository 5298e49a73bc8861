"""The application in the test's own process: its settings, and deliveries to it."""

import json
from typing import Any

import responses
from flask.testing import FlaskClient

WEBHOOK = "https://hooks.slack.example/services/T0/B0/secret"
TOKEN = "the-token-of-the-stream"
SETTINGS = {"SLACK_WEBHOOK_URL": WEBHOOK, "AUTH0_LOG_STREAM_TOKEN": TOKEN}


def deliver(client: FlaskClient, body: Any, authorization: str | None = TOKEN) -> Any:
    """The answer to a delivery of these bytes, or of this value as JSON."""
    headers = {} if authorization is None else {"Authorization": authorization}
    data = body if isinstance(body, bytes) else json.dumps(body)
    return client.post("/api/logs", data=data, headers=headers)


def posted(webhook: responses.RequestsMock, url: str = WEBHOOK) -> list[Any]:
    """The messages that were posted to a webhook."""
    messages = []
    for call in webhook.calls:
        if call.request.url == url:
            body: Any = call.request.body  # an iterable of bytes
            messages.append(json.loads(b"".join(body)))
    return messages
