"""Makes calls that fail, in each way, and logs how.

    failures.py NAME LOG PLAIN_PORT REFUSED_PORT
"""

import http.client
import socket
import sys

from common import Log, fail, ready_then_wait

EXPECTED = {
    "reset": ConnectionResetError,
    "close": http.client.RemoteDisconnected,
    "part": http.client.IncompleteRead,
    "hang": TimeoutError,
}


def full():
    """A listening socket with no room (listen(2)): who asks it for a connection gets no answer."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    return listening, socket.create_connection(listening.getsockname())


def main():
    log, plain, refused = Log(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    listening, _queued = full()
    silent = listening.getsockname()[1]
    ready_then_wait()
    for n in range(5):
        for kind, expected in EXPECTED.items():
            path = "/%s/failures/%d" % (kind, n)
            # The others are ended by the peer, however long that takes.
            patience = 0.3 if kind == "hang" else 30
            connection = http.client.HTTPConnection("127.0.0.1", plain, timeout=patience)
            try:
                connection.request("GET", path)
                connection.getresponse().read()
                fail(path + " did not fail")
            except expected:
                log.add(kind=kind, path=path)
            finally:
                connection.close()
        try:
            http.client.HTTPConnection("127.0.0.1", refused).request("GET", "/never")
            fail("a connection to a closed port was made")
        except ConnectionRefusedError:
            log.add(kind="refused", path="")
        try:
            http.client.HTTPConnection("127.0.0.1", silent, timeout=0.3).request("GET", "/never")
            fail("a connection was made where there is no room")
        except TimeoutError:
            log.add(kind="unanswered", path="127.0.0.1:%d" % silent)
    log.write()
    print("done", flush=True)


if __name__ == "__main__":
    main()
