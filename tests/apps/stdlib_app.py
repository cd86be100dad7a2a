"""The standard library's http.server: `stdlib_app.py PORT`."""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import answer
import truth


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def anything(self):
        self.read_body()
        path = self.path.partition("?")[0]
        wanted = answer.parse(path)
        if wanted.delay:
            time.sleep(wanted.delay)
        truth.served(self.command, path, wanted.status, self.client_address[1])
        streamed = wanted.pieces and wanted.status not in answer.NO_BODY
        chunked = streamed and self.request_version == "HTTP/1.1"
        self.send_response(wanted.status)
        for name, value in answer.headers(wanted, self.command):
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif streamed:
            self.send_header("Connection", "close")
        self.end_headers()
        for piece in answer.body(wanted, self.command):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked and self.command != "HEAD":
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = anything

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while True:
                size = int(self.rfile.readline(), 16)
                self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
