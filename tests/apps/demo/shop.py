"""A small shop on the standard library, for `cargo xtask demo`: `shop.py PORT`."""

import json
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        path = self.path.partition("?")[0]
        parts = path.strip("/").split("/")
        if parts[0] == "users" and len(parts) == 2:
            time.sleep(random.uniform(0.001, 0.008))
            if int(parts[1]) % 17 == 0:
                return self.answer(404, {"error": "no such user"})
            return self.answer(200, {"id": int(parts[1]), "name": "user %s" % parts[1]})
        if parts[0] == "products":
            time.sleep(random.uniform(0.002, 0.02))
            return self.answer(200, [{"id": n, "price": n * 3} for n in range(40)])
        if path == "/report":
            time.sleep(random.uniform(0.1, 0.4))
            return self.answer(200, {"rows": 1200})
        return self.answer(200, {"status": "ok"})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(random.uniform(0.01, 0.06))
        if random.random() < 0.1:
            return self.answer(503, {"error": "payment provider does not answer"})
        return self.answer(201, {"order": random.randrange(10_000)})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
