"""Load: 50 clients at a time, each asking for another kind of work in turn.

    drive.py BASE_URL CERTIFICATE REQUESTS KIND..

Waits until the server answers, prints `ready` once every client has had some answers, waits for a line on standard input, and then asks for
`/KIND/ID` with ids from 100000 on: REQUESTS in all, by clients that keep the connection they have or make a new one for
each request. With PIPELINED set to a number, so many requests are sent at once, each time over a new connection. With UWSGI set, they
are sent as a web server hands them on by the uwsgi protocol, a connection for each.
"""

import http.client
import itertools
import os
import socket
import ssl
import struct
import sys
import threading
import time
from urllib.parse import urlsplit

CLIENTS = 50
FIRST = 100_000
START = 30
PIPELINED = int(os.environ.get("PIPELINED", "0"))
UWSGI = "UWSGI" in os.environ


class Uwsgi(http.client.HTTPConnection):
    """Requests by the uwsgi protocol (<https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html>); responses are HTTP."""

    def request(self, method, url):
        def text(value):
            return struct.pack("<H", len(value)) + value.encode()

        self.close()
        self.connect()
        variables = {"QUERY_STRING": "", "REQUEST_METHOD": method, "CONTENT_LENGTH": "", "REQUEST_URI": url, "PATH_INFO": url}
        variables.update(SERVER_PROTOCOL="HTTP/1.1", SERVER_NAME="app", SERVER_PORT="80", HTTP_HOST="app")
        block = b"".join(text(name) + text(value) for name, value in variables.items())
        self.sock.sendall(struct.pack("<BHB", 0, len(block), 0) + block)

    def getresponse(self):
        response = http.client.HTTPResponse(self.sock, method="GET")
        response.begin()
        return response


def main(base, certificate, requests, *kinds):
    url = urlsplit(base)
    context = ssl.create_default_context(cafile=certificate)
    ids = itertools.count()
    failures = []
    warm = threading.Barrier(CLIENTS + 1)
    go = threading.Event()

    def connect():
        if UWSGI:
            return Uwsgi(url.hostname, url.port, timeout=60)
        if url.scheme == "https":
            return http.client.HTTPSConnection(url.hostname, url.port, timeout=60, context=context)
        return http.client.HTTPConnection(url.hostname, url.port, timeout=60)

    def ask(connection, kind, rid):
        connection.request("GET", "/%s/%d" % (kind, rid))
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError("/%s/%d: %d %r" % (kind, rid, response.status, body[:300]))

    def ask_at_once(some):
        with socket.create_connection((url.hostname, url.port), timeout=60) as connection:
            heads = ("GET /%s/%d HTTP/1.1\r\nHost: app\r\n\r\n" % (kinds[n % len(kinds)], FIRST + n) for n in some)
            connection.sendall("".join(heads).encode())
            answers = connection.makefile("rb")
            for n in some:
                status = answers.readline()
                length = http.client.parse_headers(answers)["content-length"]
                answers.read(int(length))
                if b" 200 " not in status:
                    raise RuntimeError("%d: %r" % (n, status))

    def client(number):
        connection = connect()
        try:
            for n in range(2):
                ask(connection, kinds[(number + n) % len(kinds)], number * 10 + n)
            warm.wait()
            go.wait()
            while PIPELINED and (some := [n for n in itertools.islice(ids, PIPELINED) if n < int(requests)]):
                ask_at_once(some)
            while (n := next(ids)) < int(requests):
                if number % 3 == 0:
                    connection.close()
                    connection = connect()
                ask(connection, kinds[n % len(kinds)], FIRST + n)
        except threading.BrokenBarrierError:
            pass  # the one that broke it tells why
        except Exception as error:  # told by the exit status
            failures.append(error)
            warm.abort()

    def first_answer():
        """Of a server that may still be starting; whatever else listens there does not answer so."""
        deadline = time.monotonic() + START
        while True:
            connection = connect()
            try:
                return ask(connection, kinds[0], FIRST - 1)
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            finally:
                connection.close()

    first_answer()
    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        warm.wait()
        print("ready", flush=True)
        sys.stdin.readline()
    except threading.BrokenBarrierError:
        pass
    go.set()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit("%d clients failed: %s" % (len(failures), "; ".join(sorted({repr(error) for error in failures}))))


if __name__ == "__main__":
    main(*sys.argv[1:])
