"""The standard library's threading HTTP server: argument 1 is the port."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import calls


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        calls.handle_blocking(*calls.parse(self.path))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


ThreadingHTTPServer.request_queue_size = 256
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
