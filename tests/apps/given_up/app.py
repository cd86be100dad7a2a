"""Requests whose calls end with their connection: `app.py PORT`.

/silent/N asks one who never answers nor closes, and gives up at a time limit; /closing/N asks one whose answer ends as it
closes (RFC 9112, 6.3). Both are answered at once then.
"""

import http.client
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Nobody accepts: the kernel makes the connections, and keeps them after the client's close(2).
silent = socket.create_server(("127.0.0.1", 0), backlog=128)
closing = socket.create_server(("127.0.0.1", 0), backlog=128)


def close_each():
    while True:
        connection, _ = closing.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        peer = silent if self.path.startswith("/silent/") else closing
        host, port = peer.getsockname()
        connection = http.client.HTTPConnection(host, port, timeout=0.2)
        connection.request("GET", "/asked")
        try:
            connection.getresponse().read()
        except TimeoutError:
            pass
        connection.close()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


threading.Thread(target=close_each, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
