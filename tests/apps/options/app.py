"""Each request makes a call and fails: `app.py PORT PEER_PORT`, the standard library alone."""

import http.client
import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, PEER = int(sys.argv[1]), int(sys.argv[2])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            self.work()
        except ValueError:
            traceback.print_exc()
            self.send_error(500)

    def work(self):
        peer = http.client.HTTPConnection("127.0.0.1", PEER, timeout=30)
        peer.request("GET", self.path.replace("/fail/", "/called/"))
        peer.getresponse().read()
        peer.close()
        raise ValueError("out of stock")

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
