"""The yardstick of bench.py: a Flask view that does no more than parse the body."""

import json

from flask import Flask, Response, request

from message import Message
from outbox import Outbox
from slack import Outcome, Verdict

app = Flask(__name__, static_folder=None)
# What worker.py asks the application for.
app.extensions["is_authorized"] = lambda _authorization: True
nothing = Message({}, frozenset())
app.extensions["outbox"] = Outbox(
    lambda *_: nothing, lambda _: Outcome(Verdict.ACCEPTED), 0
)


@app.post("/api/logs")
def logs() -> Response:
    json.loads(request.get_data())
    return Response(status=204)
