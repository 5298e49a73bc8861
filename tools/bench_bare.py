"""The yardstick of bench.py: a Flask view that does no more than parse the body."""

import json

from flask import Flask, Response, request

app = Flask(__name__, static_folder=None)
# What worker.py asks the application for.
app.extensions["has_token"] = lambda authorization: authorization != ""


class NoChannels:
    """Nothing is ever collected."""

    by_label: tuple[()] = ()

    def stop(self, _seconds: float) -> None:
        """Do nothing."""

    def close(self, _seconds: float) -> None:
        """Do nothing."""

    def is_sending(self) -> bool:
        """Say no."""
        return False


app.extensions["channels"] = NoChannels()


@app.post("/api/logs")
def logs() -> Response:
    json.loads(request.get_data())
    return Response(status=204)
