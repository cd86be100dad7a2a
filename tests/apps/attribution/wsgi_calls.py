"""WSGI without a framework: for gunicorn's workers and waitress."""

import calls


def app(environ, start_response):
    rid = int(environ["QUERY_STRING"].partition("=")[2])
    calls.handle_blocking(environ["PATH_INFO"][1:], rid)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
