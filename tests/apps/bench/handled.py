"""Handled exceptions, timed: `python handled.py PORT`.

`GET /WAY/N` raises and handles N of them in one way and answers how much processor time that took, seconds. `GET /fails` answers 500 with
no exception at hand, after which the agent looks at exceptions on their way.
"""

import sys
import time
from collections import ChainMap
from wsgiref.simple_server import WSGIRequestHandler, make_server


def own(times):
    """Raised and caught by one function of the application."""
    empty = {}
    for _ in range(times):
        try:
            empty["x"]
        except KeyError:
            pass


def library(times):
    """Raised and caught by one function of a library."""
    both = ChainMap({}, {"x": 1})
    for _ in range(times):
        both["x"]


class Mapping(dict):
    def __getitem__(self, key):
        raise KeyError(key)


def passing(times):
    """Raised by the application, caught by the library that has called it."""
    both = ChainMap(Mapping(), {"x": 1})
    for _ in range(times):
        both["x"]


WAYS = {"own": own, "library": library, "passing": passing}


def app(environ, start_response):
    _, way, *times = environ["PATH_INFO"].split("/")
    if way not in WAYS:
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return [b""]
    began = time.thread_time()
    WAYS[way](int(times[0]))
    took = str(time.thread_time() - began).encode()
    start_response("200 OK", [("Content-Length", str(len(took)))])
    return [took]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_args):
        """Nothing."""


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), app, handler_class=Quiet).serve_forever()
