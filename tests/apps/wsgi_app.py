"""WSGI without a framework: for gunicorn and waitress."""

import time
from http import HTTPStatus

import answer
import truth


def app(environ, start_response):
    stream = environ["wsgi.input"]
    while stream.read(65536):
        pass
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    wanted = answer.parse(path)
    if wanted.delay:
        time.sleep(wanted.delay)
    truth.served(method, path, wanted.status, int(environ.get("REMOTE_PORT") or 0) or None)
    start_response("%d %s" % (wanted.status, HTTPStatus(wanted.status).phrase), answer.headers(wanted, method))
    return answer.body(wanted, method)
