"""The yardstick of tests/bench.py: a Flask view that does no more than parse the body."""

import json

from flask import Flask, Response, request

app = Flask(__name__, static_folder=None)


@app.post("/api/logs")
def logs() -> Response:
    json.loads(request.get_data())
    return Response(status=204)
