"""When a call's first byte was written and its last byte read, by the methods of Python's sockets and TLS objects.

Code that moves its bytes in C (libpq, uvloop's plain sockets) is not seen here: such a call has no times of its own.
"""

import functools
import socket
import ssl
import time


class Wire:
    def __init__(self):
        self.sent = None
        self.received = None

    def bounds_ms(self):
        """Least and most milliseconds between the two, or None."""
        if self.sent is None or self.received is None:
            return None
        before, after = self.sent
        return [(self.received - after) * 1e3, (self.received - before) * 1e3]


_wire = Wire()


def begin():
    """A call begins; only one may run at a time."""
    global _wire
    _wire = Wire()
    return _wire


def _watch(kind, name, write):
    method = getattr(kind, name)

    @functools.wraps(method)
    def timed(self, *args, **keywords):
        before = time.monotonic()
        result = method(self, *args, **keywords)
        after = time.monotonic()
        if not write and result:
            _wire.received = after
        elif write and _wire.sent is None:
            _wire.sent = (before, after)
        return result

    # The agent shows the innermost line that is no library's; that is to be the app's own, not this one.
    timed.__code__ = timed.__code__.replace(co_filename="<wire>")
    setattr(kind, name, timed)


for _kind, _sends, _reads in (
    (socket.socket, ("send", "sendall", "sendmsg"), ("recv", "recv_into")),
    (ssl.SSLSocket, ("send", "sendall"), ("read",)),
    (ssl.SSLObject, ("write",), ("read",)),
):
    for _name in _sends:
        _watch(_kind, _name, True)
    for _name in _reads:
        _watch(_kind, _name, False)
