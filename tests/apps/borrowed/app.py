"""Fails in code that claims to come from the files it is told, as a user who may not read all of them."""

import os
import sys
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer

port, user, *files = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        file = files[int(self.path[1:])]
        try:
            # The second line of the file, whatever it is.
            exec(compile("\nraise ValueError('of ' + str(len(file)))", file, "exec"))
        except ValueError:
            self.send_error(500)
            traceback.print_exc()


server = HTTPServer(("127.0.0.1", int(port)), Handler)
# What a first request needs is imported while it can be.
traceback.format_list(traceback.extract_stack())
os.setgroups([])
os.setgid(int(user))
os.setuid(int(user))
server.serve_forever()
