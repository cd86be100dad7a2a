"""HTTP clients behind one interface: open(base) makes what a pool or a worker needs, call(...) returns the status.

A blocking client has `call(state, worker, method, path, body)`; an asynchronous one has the same as a coroutine and says
so with `asynchronous = True`. `context` trusts the test's certificate.
"""

import asyncio
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from urllib.parse import urlsplit


class Client:
    asynchronous = False
    loop = "asyncio"
    reuses = True
    http2 = False

    def __init__(self, certificate, proxy=None):
        self.certificate = certificate
        self.context = ssl.create_default_context(cafile=certificate)
        self.proxy = proxy


class HttpxSync(Client):
    def open(self, base, workers):
        import httpx

        limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
        return httpx.Client(base_url=base, verify=self.context, limits=limits, timeout=60, trust_env=False)

    def call(self, client, worker, method, path, body):
        return client.request(method, path, content=body).status_code


class HttpxAsync(Client):
    asynchronous = True

    async def open(self, base, workers):
        import httpx

        limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
        return httpx.AsyncClient(
            base_url=base, verify=self.context, limits=limits, timeout=60, trust_env=False,
            http1=not self.http2, http2=self.http2,
        )  # fmt: skip

    async def call(self, client, worker, method, path, body):
        return (await client.request(method, path, content=body)).status_code


class HttpxUvloop(HttpxAsync):
    loop = "uvloop"


class HttpxHttp2(HttpxAsync):
    """One connection for all; large uploads have one of their own and take turns.

    httpcore waits for room to send by reading: if another of the connection's readers has taken the last WINDOW_UPDATE, it
    waits for ever.
    """

    http2 = True

    async def open(self, base, workers):
        return await super().open(base, workers), await super().open(base, 1), asyncio.Lock()

    async def call(self, pool, worker, method, path, body):
        client, uploads, turn = pool
        if body is None or len(body) < 60_000:
            return await super().call(client, worker, method, path, body)
        async with turn:
            return await super().call(uploads, worker, method, path, body)


class Requests(Client):
    def open(self, base, workers):
        import requests

        session = requests.Session()
        session.trust_env = False
        session.verify = self.certificate
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=workers, pool_block=True))
        if self.proxy:
            session.proxies = {"http": self.proxy, "https": self.proxy}
        return base, session

    def call(self, state, worker, method, path, body):
        base, session = state
        return session.request(method, base + path, data=body, timeout=60).status_code


class Urllib3(Client):
    def open(self, base, workers):
        import urllib3

        pool = urllib3.PoolManager(maxsize=workers, block=True, ca_certs=self.certificate, retries=False)
        return base, pool

    def call(self, state, worker, method, path, body):
        base, pool = state
        return pool.request(method, base + path, body=body, timeout=60).status


class PyOpenssl(Urllib3):
    """TLS by way of `cryptography`, whose extension has an OpenSSL of its own linked in, without symbols."""

    def open(self, base, workers):
        from urllib3.contrib import pyopenssl

        pyopenssl.inject_into_urllib3()
        return super().open(base, workers)


class Aiohttp(Client):
    asynchronous = True

    async def open(self, base, workers):
        import aiohttp

        connector = aiohttp.TCPConnector(limit=workers, ssl=self.context)
        return aiohttp.ClientSession(base, connector=connector)

    async def call(self, session, worker, method, path, body):
        async with session.request(method, path, data=body) as response:
            await response.read()
            return response.status


class AiohttpUvloop(Aiohttp):
    loop = "uvloop"


class Urllib(Client):
    """A connection per call."""

    reuses = False

    def open(self, base, workers):
        handlers = [urllib.request.HTTPSHandler(context=self.context), urllib.request.ProxyHandler({})]
        return base, urllib.request.build_opener(*handlers)

    def call(self, state, worker, method, path, body):
        base, opener = state
        try:
            with opener.open(urllib.request.Request(base + path, data=body, method=method), timeout=60) as response:
                response.read()
                return response.status
        except urllib.error.HTTPError as error:
            error.read()
            return error.code


class HttpClient(Client):
    """One connection per worker."""

    def open(self, base, workers):
        return base, {}

    def call(self, state, worker, method, path, body):
        base, connections = state
        url = urlsplit(base)
        if worker not in connections:
            if url.scheme == "https":
                connections[worker] = http.client.HTTPSConnection(url.netloc, context=self.context, timeout=60)
            else:
                connections[worker] = http.client.HTTPConnection(url.netloc, timeout=60)
        connection = connections[worker]
        connection.request(method, path, body=body)
        response = connection.getresponse()
        response.read()
        return response.status


class RawSockets(Client):
    """One socket per worker; a request in three writes, a response in many small reads."""

    def open(self, base, workers):
        return base, {}

    def call(self, state, worker, method, path, body):
        base, sockets = state
        url = urlsplit(base)
        if worker not in sockets:
            plain = socket.create_connection((url.hostname, url.port), timeout=60)
            secure = url.scheme == "https"
            stream = self.context.wrap_socket(plain, server_hostname=url.hostname) if secure else plain
            sockets[worker] = stream
        stream = sockets[worker]
        head = "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n" % (method, path, url.netloc, len(body or b""))
        stream.sendall(head[:7].encode())
        stream.sendall(head[7:].encode())
        if body:
            stream.sendall(body)
        return read_response(stream, method)


def read_response(stream, method):
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(stream, 37)
    head, rest = data.split(b"\r\n\r\n", 1)
    lines = head.decode().lower().split("\r\n")
    status = int(lines[0].split()[1])
    fields = dict(line.split(": ", 1) for line in lines[1:])
    if method == "HEAD" or status == 204:
        return status
    if fields.get("transfer-encoding") == "chunked":
        while not rest.endswith(b"0\r\n\r\n"):
            rest += receive(stream, 4096)
        return status
    left = int(fields["content-length"]) - len(rest)
    while left:
        left -= len(receive(stream, min(left, 8192)))
    return status


def receive(stream, size):
    data = stream.recv(size)
    if not data:
        raise ConnectionError("closed within a response")
    return data


CLIENTS = {
    "httpx-sync": HttpxSync,
    "httpx-async": HttpxAsync,
    "httpx-uvloop": HttpxUvloop,
    "httpx-http2": HttpxHttp2,
    "requests": Requests,
    "requests-proxy": Requests,
    "urllib3": Urllib3,
    "urllib3-pyopenssl": PyOpenssl,
    "aiohttp": Aiohttp,
    "aiohttp-uvloop": AiohttpUvloop,
    "urllib": Urllib,
    "http.client": HttpClient,
    "raw-sockets": RawSockets,
}
