"""A server of bare callbacks on uvloop, all of whose connections share one context. Argument 1 is the port; with a certificate
and its key as arguments 2 and 3 it speaks HTTPS.

What a request of kind `left` causes belongs to none: it is done as its client leaves, in the callbacks that tell of that, between
those that hand on what other clients ask.
"""

import asyncio
import ssl
import sys

import uvloop
import work

clients = work.Clients()


class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.read, self.left, self.told = transport, b"", None, set()

    def data_received(self, data):
        *heads, self.read = (self.read + data).split(b"\r\n\r\n")
        for head in heads:
            _, kind, rid = head.split()[1].decode().split("/")
            if kind == "left":
                self.left = int(rid)
                self.answer(b"Connection: close\r\n")
            else:
                clients.later(self.handle(kind, int(rid)))

    async def handle(self, kind, rid):
        await work.ASYNC[kind](clients, kind, rid)
        self.answer(b"")

    def answer(self, header):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + header + b"\r\nok")

    def eof_received(self):
        self.leaves(1)

    def connection_lost(self, _error):
        self.leaves(2)
        # Through TLS not every client's end is told before.
        self.leaves(1)

    def leaves(self, n):
        if self.left is not None and n not in self.told:
            self.told.add(n)
            clients.later(clients.call("left", self.left, n))


async def main():
    await clients.start()
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[2:])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Protocol, "127.0.0.1", int(sys.argv[1]), backlog=256, ssl=context)
    await server.serve_forever()


uvloop.install()
asyncio.run(main())
