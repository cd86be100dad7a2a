"""A server on one thread and `select.epoll` alone, as Twisted and bjoern are: no contexts, no tasks. Argument 1 is the port.

A request of kind `turns` makes two calls, one after the other. Each of their steps is taken in a turn of the loop, between steps of
other requests and reads of new ones: nothing that the kernel sees tells whose they are.
"""

import os
import select
import socket
import sys
from urllib.parse import urlsplit

HTTP = urlsplit(os.environ["APM_HTTP"])
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

epoll = select.epoll()
steps = {}
held = {}


def wait(sock, events, step):
    """The step that follows once `sock` is ready."""
    if sock.fileno() in held:
        epoll.modify(sock, events)
    else:
        held[sock.fileno()] = sock
        epoll.register(sock, events)
    steps[sock.fileno()] = step


def close(sock):
    epoll.unregister(sock)
    del held[sock.fileno()], steps[sock.fileno()]
    sock.close()


def accept(listening):
    client, _ = listening.accept()
    client.setblocking(False)
    wait(client, select.EPOLLIN, lambda: read(client))


def read(client):
    data = client.recv(65536)
    if not data:
        return close(client)
    _, kind, rid = data.split()[1].decode().split("/")
    call(client, kind, rid, [2, 4])


def call(client, kind, rid, left):
    if not left:
        # Once there is room for it, as such servers do.
        return wait(client, select.EPOLLOUT, lambda: answer(client))
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex((HTTP.hostname, HTTP.port))
    head = "GET /ok/%s/%s/%d HTTP/1.1\r\nHost: peer\r\nConnection: close\r\n\r\n" % (kind, rid, left[0])
    wait(sock, select.EPOLLOUT, lambda: ask(sock, head.encode(), lambda: call(client, kind, rid, left[1:])))


def ask(sock, head, then):
    sock.sendall(head)
    wait(sock, select.EPOLLIN, lambda: asked(sock, then))


def asked(sock, then):
    if not sock.recv(65536):
        close(sock)
        then()


def answer(client):
    client.sendall(ANSWER)
    wait(client, select.EPOLLIN, lambda: read(client))


listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=256)
listening.setblocking(False)
wait(listening, select.EPOLLIN, lambda: accept(listening))
while True:
    for ready, _ in epoll.poll():
        if ready in steps:
            steps[ready]()
