"""Bodies and answers without measure: `streams.py PORT`.

POST /sink takes any body and tells its length; GET /large/N answers with N MiB; GET /endless and GET /events go on, as chunks
and as an event stream, until the client leaves; GET /exec answers and has the main thread put this program anew in its process's place.
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = b"x" * 65536


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        left = int(self.headers["Content-Length"])
        taken = 0
        while taken < left:
            taken += len(self.rfile.read(min(left - taken, len(PIECE))))
        self.answer(str(taken).encode())

    def do_GET(self):
        if self.path.startswith("/large/"):
            size = int(self.path.rsplit("/", 1)[1]) << 20
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            for _ in range(size // len(PIECE)):
                self.wfile.write(PIECE)
        elif self.path in ("/endless", "/events"):
            self.stream(self.path == "/events")
        else:
            self.answer(b"%d" % os.getpid())
            if self.path == "/exec":
                os.kill(os.getpid(), signal.SIGUSR1)

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, events):
        self.send_response(200)
        if events:
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        number = 0
        try:
            while True:
                number += 1
                self.wfile.write(b"data: %d\n\n" % number if events else b"10000\r\n%s\r\n" % PIECE)
        except OSError:
            self.close_connection = True

    def log_message(self, *args):
        pass


def again(*_):
    os.execv(sys.executable, [sys.executable, *sys.argv])


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, again)
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
