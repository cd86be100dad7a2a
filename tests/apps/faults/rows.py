"""A reply of many rows: `rows.py PORT PG_PORT`. GET /rows/N selects N rows, all at once; any other path asks for one."""

import functools
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import psycopg2


@functools.cache
def connection():
    """Made by the first request, so that the agent sees it from its first byte."""
    made = psycopg2.connect(host="127.0.0.1", port=int(sys.argv[2]), user="apm", password="secret", dbname="shop", sslmode="disable")
    made.autocommit = True
    return made


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        count = int(self.path.rsplit("/", 1)[1]) if self.path.startswith("/rows/") else 1
        with connection().cursor() as cursor:
            cursor.execute("SELECT n, 'a row of some text' FROM generate_series(1, %s) AS n", (count,))
            body = b"%d" % len(cursor.fetchall())
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
