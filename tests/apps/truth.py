"""What a server under test itself knows about each request it served, one JSON line per request.

The directory is named by APM_TRUTH; each process writes a file of its own there. A line holds

    {"method": "GET", "path": "/r/...", "status": 200, "read": [10.25, 10.251], "write": [10.31, 10.312]}

`read` are the moments before and after the call that read the request's first byte, `write` those around the call that
wrote the response's last one, in seconds of CLOCK_MONOTONIC: a thread that comes back from a call waits for the
interpreter lock, so that the moment itself lies in between. They are as close to the socket as Python code can look, since
handlers of frameworks run later. Both are null for a request whose bytes arrived together with the one before it
(pipelining), because no read of its own marks its start.

An app says what it served with `served()`; everything else here watches sockets.
"""

import atexit
import functools
import json
import os
import socket
import sys
import threading
import time

# A thread that comes back from a system call waits for the interpreter lock, by default up to 5 ms per competing thread,
# and would read the clock that much too late.
sys.setswitchinterval(0.00002)

_directory = os.environ.get("APM_TRUTH")
_by_descriptor = {}
_by_peer = {}
_local = threading.local()
_files = {}


class Connection:
    """The times of one accepted connection."""

    __slots__ = ("peer", "read", "write", "unsent", "pending")

    def __init__(self, peer):
        self.peer = peer
        self.read = self.write = self.pending = None
        self.unsent = False

    def received(self, before, after):
        """Bytes came: they end the request that was answered, and start one if none is open."""
        if self.unsent:
            # The answer has left, since the client goes on; nobody told us when.
            self.write, self.unsent = (self.write[0], after), False
        self.flush()
        if self.read is None:
            self.read = (before, after)

    def sent(self, before, after):
        self.write = (before, after)

    def flush(self):
        """Writes the answered request's line, now that its last write is known."""
        if self.pending is None:
            return
        (method, path, status), self.pending = self.pending, None
        timed = self.read is not None and self.write is not None
        read, write = (self.read, self.write) if timed else (None, None)
        self.read = None
        _write({"method": method, "path": path, "status": status, "read": read, "write": write})


def served(method, path, status, peer=None):
    """The app is about to answer: call it when the request is read whole and before the answer's last byte is written.

    `peer` is the client's port where the server tells it; without it the connection this thread read last is meant.
    """
    connection = _by_peer.get(peer) or getattr(_local, "connection", None)
    if connection is None:
        _write({"method": method, "path": path, "status": status, "read": None, "write": None})
        return
    connection.flush()
    connection.pending = (method, path, status)


def _write(line):
    if _directory is None:
        return
    pid = os.getpid()
    file = _files.get(pid)
    if file is None:
        name = os.path.join(_directory, "%d.jsonl" % pid)
        file = _files[pid] = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(file, (json.dumps(line) + "\n").encode())


def _of_library(function):
    """These functions stand in for the socket module's, and what passes through them passes no line of the app."""
    function.__code__ = function.__code__.replace(co_filename=socket.__file__)
    return function


def _watch_sockets():
    """Times the methods of Python's socket class: every server but those on uvloop reads and writes through it."""
    plain = socket.socket
    accept, close = plain.accept, plain._real_close

    @_of_library
    @functools.wraps(accept)
    def timed_accept(self):
        accepted, address = accept(self)
        peer = address[1] if isinstance(address, tuple) else None  # a Unix socket's client has no name
        connection = _by_descriptor[accepted.fileno()] = Connection(peer)
        if peer is not None:
            _by_peer[peer] = connection
        return accepted, address

    @_of_library
    def timed_close(self, *args):
        connection = _by_descriptor.pop(self.fileno(), None)
        if connection is not None:
            connection.flush()
            if _by_peer.get(connection.peer) is connection:
                del _by_peer[connection.peer]
        return close(self, *args)

    def reading(name):
        method = getattr(plain, name)

        @_of_library
        @functools.wraps(method)
        def timed(self, *args):
            before = time.monotonic()
            result = method(self, *args)
            after = time.monotonic()
            connection = _by_descriptor.get(self.fileno())
            if connection is not None:
                if result:
                    _local.connection = connection
                    connection.received(before, after)
                else:
                    connection.flush()
            return result

        return timed

    def writing(name):
        method = getattr(plain, name)

        @_of_library
        @functools.wraps(method)
        def timed(self, *args):
            before = time.monotonic()
            result = method(self, *args)
            after = time.monotonic()
            connection = _by_descriptor.get(self.fileno())
            # `sendall` tells nothing. Servers do "write" empty bodies.
            written = len(args[0]) if result is None else result
            if connection is not None and written > 0:
                connection.sent(before, after)
            return result

        return timed

    plain.accept, plain._real_close = timed_accept, timed_close
    for name in ("recv", "recv_into"):
        setattr(plain, name, reading(name))
    for name in ("send", "sendall", "sendmsg"):
        setattr(plain, name, writing(name))


def _watch_uvloop():
    """Times the protocol's calls under uvloop, whose sockets no Python code touches.

    uvloop writes at the end of its turn: what it was handed has left by its next turn, or when the client's next bytes
    arrive, should that be earlier.
    """
    try:
        import uvloop
    except ImportError:
        return
    create_server = uvloop.Loop.create_server

    class TimedTransport:
        def __init__(self, transport, connection, loop):
            self._transport, self._connection, self._loop = transport, connection, loop

        def __getattr__(self, name):
            return getattr(self._transport, name)

        def _timed(self, method, data):
            before = time.monotonic()
            method(data)
            if not data:
                return  # nothing leaves
            self._connection.sent(before, time.monotonic())
            self._connection.unsent = True
            self._loop.call_soon(self._written, before)

        def _written(self, before):
            if self._connection.unsent and self._connection.write[0] == before:
                self._connection.sent(before, time.monotonic())
                self._connection.unsent = False

        def write(self, data):
            self._timed(self._transport.write, data)

        def writelines(self, data):
            self._timed(self._transport.writelines, data)

    async def timed_create_server(self, factory, *args, **kwargs):
        def timed_factory():
            protocol = factory()
            connection = Connection(None)
            made, received, lost = protocol.connection_made, protocol.data_received, protocol.connection_lost

            def connection_made(transport):
                peer = transport.get_extra_info("peername")
                if peer:
                    connection.peer = peer[1]
                    _by_peer[peer[1]] = connection
                made(TimedTransport(transport, connection, self))

            def data_received(data):
                now = time.monotonic()
                connection.received(now, now)
                received(data)

            def connection_lost(error):
                connection.flush()
                if _by_peer.get(connection.peer) is connection:
                    del _by_peer[connection.peer]
                lost(error)

            protocol.connection_made = connection_made
            protocol.data_received = data_received
            protocol.connection_lost = connection_lost
            return protocol

        return await create_server(self, timed_factory, *args, **kwargs)

    uvloop.Loop.create_server = timed_create_server


@atexit.register
def _flush_all():
    for connection in list(_by_peer.values()):
        connection.flush()


_watch_sockets()
_watch_uvloop()
