"""Flask, for its development server."""

import time

import answer
import truth
from flask import Flask, Response, request

app = Flask(__name__)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@app.route("/<path:_path>", methods=METHODS, provide_automatic_options=False)
def anything(_path):
    while request.stream.read(65536):
        pass
    wanted = answer.parse(request.path)
    if wanted.delay:
        time.sleep(wanted.delay)
    pieces = answer.body(wanted, request.method)
    response = Response(iter(pieces) if wanted.pieces else b"".join(pieces), status=wanted.status)
    if not wanted.pieces:
        response.headers["Content-Length"] = str(wanted.size)
    truth.served(request.method, request.path, wanted.status, int(request.environ.get("REMOTE_PORT") or 0) or None)
    return response
