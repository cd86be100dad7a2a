"""Requests whose work passes through `queue.SimpleQueue`, by waitress: `app.py PORT PEER`.

/pooled/N takes a connection to the peer from a pool that is such a queue, asks on it for /pooled/N twice and puts it back;
/executor/N has an executor's thread do that; /threads/N has a pool of `multiprocessing.pool` ask on a connection of its own.
"""

import http.client
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import waitress

port, peer = int(sys.argv[1]), int(sys.argv[2])
connections = queue.SimpleQueue()
own = threading.local()


def connect():
    connection = http.client.HTTPConnection("127.0.0.1", peer)
    connection.connect()
    return connection


def ask(connection, path):
    for _ in range(2):
        connection.request("GET", path)
        connection.getresponse().read()


def pooled(path):
    connection = connections.get()
    ask(connection, path)
    connections.put(connection)


def alone(path):
    if not hasattr(own, "connection"):
        own.connection = connect()
    ask(own.connection, path)


executor = ThreadPoolExecutor(3)
threads = ThreadPool(3)
work = {
    "pooled": pooled,
    "executor": lambda path: executor.submit(pooled, path).result(),
    "threads": lambda path: threads.apply(alone, (path,)),
}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    kind = path.split("/")[1]
    if kind in work:
        work[kind](path)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


for _ in range(3):
    connections.put(connect())
waitress.serve(app, host="127.0.0.1", port=port, threads=4, _quiet=True)
