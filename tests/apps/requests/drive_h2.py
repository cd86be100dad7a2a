"""Load over HTTP/2: 5 connections with 10 streams at a time each, asking for another kind of work in turn.

    drive_h2.py BASE_URL CERTIFICATE REQUESTS KIND..

As `drive.py`, but for `http://` it speaks HTTP/2 from the first byte (RFC 9113, 3.3), or with UPGRADED in the environment
asks for it with the first request of each connection (RFC 7540, 3.2). Of the connections, two stay the same from before
`ready` is printed, the others are made anew for each round of requests. With SLOW in the environment it reads little at a time.
"""

import asyncio
import itertools
import os
import socket
import sys
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import h2.connection
import h2.events
import httpx

CONNECTIONS, STREAMS = 5, 10
FIRST = 100_000
START = 30
SLOW_BYTES, SLOW_SECONDS = 16384, 0.002


class Upgraded:
    """A client of one connection that begins as HTTP/1."""

    def __init__(self, base):
        self.at = urlsplit(base)
        self.lock = asyncio.Lock()
        self.answers, self.statuses = {}, {}
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.h2 = self.writer = None

    async def get(self, path):
        # The others wait until the first has made the connection one of HTTP/2.
        async with self.lock:
            stream = await self.open(path) if self.h2 is None else self.ask(path)
            answer = self.answers[stream] = asyncio.get_running_loop().create_future()
            if stream == 1:
                self.reading = asyncio.ensure_future(self.read())
        return SimpleNamespace(status_code=int(await answer), http_version="HTTP/2", text="")

    async def open(self, path):
        if "SLOW" in os.environ:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BYTES)
        await asyncio.get_running_loop().sock_connect(self.socket, (self.at.hostname, self.at.port))
        reader, self.writer = await asyncio.open_connection(sock=self.socket, limit=SLOW_BYTES)
        self.reader = reader
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        settings = self.h2.initiate_upgrade_connection().decode()
        head = "GET %s HTTP/1.1\r\nHost: app\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: %s\r\n\r\n"
        self.writer.write((head % (path, settings)).encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in answer:
            raise RuntimeError(answer)
        self.writer.write(self.h2.data_to_send())
        return 1

    def ask(self, path):
        stream = self.h2.get_next_available_stream_id()
        head = {":method": "GET", ":scheme": "http", ":authority": "app", ":path": path}
        self.h2.send_headers(stream, list(head.items()), end_stream=True)
        self.writer.write(self.h2.data_to_send())
        return stream

    async def read(self):
        try:
            await self.read_on()
        finally:
            # However the connection ends, who waits for an answer is told.
            for answer in self.answers.values():
                if not answer.done():
                    answer.set_exception(ConnectionError("the connection has ended"))

    async def read_on(self):
        while data := await self.reader.read(65536):
            if "SLOW" in os.environ:
                await asyncio.sleep(SLOW_SECONDS)
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    self.statuses[event.stream_id] = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                    self.answers.pop(event.stream_id).set_result(self.statuses.pop(event.stream_id, 0))
            self.writer.write(self.h2.data_to_send())

    async def aclose(self):
        if self.writer is not None:
            self.writer.close()
            self.reading.cancel()


async def main(base, certificate, requests, *kinds):
    def connect():
        if "UPGRADED" in os.environ:
            return Upgraded(base)
        limits = httpx.Limits(max_connections=1)
        return httpx.AsyncClient(
            base_url=base, verify=certificate, http1=False, http2=True, limits=limits, timeout=60, trust_env=False
        )

    async def ask(client, kind, rid):
        response = await client.get("/%s/%d" % (kind, rid))
        if response.status_code != 200 or response.http_version != "HTTP/2":
            raise RuntimeError("/%s/%d: %r %r" % (kind, rid, response, response.text[:300]))

    async def round_of(client, some):
        await asyncio.gather(*(ask(client, kind, rid) for kind, rid in some))

    async def rounds(client, number):
        while some := [n for n in itertools.islice(ids, STREAMS) if n < int(requests)]:
            if number >= 2:
                await client.aclose()
                client = connect()
            await round_of(client, [(kinds[n % len(kinds)], FIRST + n) for n in some])
        await client.aclose()

    async def first_answer():
        """Of a server that may still be starting; whatever else listens there does not answer so."""
        deadline = time.monotonic() + START
        while True:
            client = connect()
            try:
                return await ask(client, kinds[0], FIRST - 1)
            except (ConnectionRefusedError, httpx.ConnectError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.02)
            finally:
                await client.aclose()

    await first_answer()
    ids = itertools.count()
    clients = [connect() for _ in range(CONNECTIONS)]
    for number, client in enumerate(clients):
        await round_of(client, [(kinds[n % len(kinds)], number * STREAMS + n) for n in range(STREAMS)])
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await asyncio.gather(*(rounds(client, number) for number, client in enumerate(clients)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
