"""Two small services for the page's tests: `python app.py PORT [PORT_OF_THE_OTHER]`."""

import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OTHER = sys.argv[2] if len(sys.argv) > 2 else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/chain"):
            with urllib.request.urlopen(f"http://127.0.0.1:{OTHER}/leaf") as answer:
                self.answer(200, answer.read())
        elif self.path.startswith("/fail"):
            self.answer(500, b"broken")
        else:
            self.answer(200, b"fine")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
