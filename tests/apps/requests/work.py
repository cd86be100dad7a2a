"""What endpoints do: HTTP calls and SQL statements that carry the id of the request that causes them.

A call is `GET /ok/KIND/ID/N`, a statement `SELECT ... AS r_KIND_ID_N`; N odd goes through TLS. Connections come from pools
that all requests share, so that they tell nothing about who uses them. What never comes to a connection carries the id in the
address, or in the name.
"""

import asyncio
import os
import random
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

PLAIN, SECURE = os.environ["APM_HTTP"], os.environ["APM_HTTPS"]
CERTIFICATE = os.environ["APM_CERTIFICATE"]
POSTGRES = dict(host="127.0.0.1", port=int(os.environ["APM_POSTGRES"]), user="apm", password="secret")
DATABASE = "shop"

_local = threading.local()
_pool = ThreadPoolExecutor(8)
_tasks = set()


def _url(kind, rid, n):
    return "%s/ok/%s/%d/%d" % (SECURE if n % 2 else PLAIN, kind, rid, n)


def _sql(kind, rid, n):
    return "SELECT pg_sleep(%.4f) AS r_%s_%d_%d" % (random.uniform(0, 0.005), kind, rid, n)


def _full():
    """The port of a listening socket with no room (listen(2)): who asks it for a connection gets no answer."""
    listening = socket.socket()
    listening.bind(("0.0.0.0", 0))
    listening.listen(0)
    _held.extend([listening, socket.create_connection(("127.0.0.1", listening.getsockname()[1]))])
    return listening.getsockname()[1]


_held = []
_silent = _full()


def _nowhere(kind, rid):
    """A name that does not resolve, without any name server being asked; an address that refuses; one that is silent."""
    block = 77 if rid >= 100_000 else 67
    which = ("failing", "failing_def", "failing_green").index(kind)
    place = "127.%d.%d.%d" % (block + which, rid // 256 % 256, rid % 256)
    # A name that is looked up by threads which work for all is marked as nobody's.
    name = "-r-%s-%d-1.example" % (kind, rid) if which < 2 else "-nobody.example"
    return (name, 443), (place, 1), (place, _silent)


def _patience(address):
    """Only who is silent is given up; a name waits for a thread that looks it up, and would never be asked for."""
    return 0.2 if address[1] == _silent else 30


# Blocking clients: requests and psycopg.


def call(kind, rid, n):
    import requests

    session = getattr(_local, "session", None)
    if session is None:
        session = _local.session = requests.Session()
        session.verify, session.trust_env = CERTIFICATE, False
    session.get(_url(kind, rid, n), timeout=60).raise_for_status()


def query(kind, rid, n):
    import psycopg

    connections = _local.__dict__.setdefault("connections", {})
    mode = "require" if n % 2 else "disable"
    if mode not in connections:
        connections[mode] = psycopg.connect(dbname=DATABASE, sslmode=mode, autocommit=True, **POSTGRES)
    connections[mode].execute(_sql(kind, rid, n)).fetchall()


def plain(kind, rid):
    call(kind, rid, 1)
    query(kind, rid, 2)
    call(kind, rid, 4)
    query(kind, rid, 3)


def pool(kind, rid):
    futures = [_pool.submit(call, kind, rid, n) for n in (1, 2)]
    query(kind, rid, 3)
    for future in futures:
        future.result()


def child(kind, rid):
    thread = threading.Thread(target=call, args=(kind, rid, 1))
    thread.start()
    call(kind, rid, 2)
    thread.join()


def failing_def(kind, rid):
    for address in _nowhere(kind, rid):
        try:
            socket.create_connection(address, timeout=_patience(address))
            raise RuntimeError("%s:%d answers" % address)
        except OSError:
            pass


BLOCKING = {"plain": plain, "pool": pool, "child": child, "failing_def": failing_def, "failing_green": failing_def}

# Clients of an event loop: httpx, aiohttp and asyncpg.


class Clients:
    """Pools of one event loop, and consumers of a queue, which work for no request."""

    async def start(self):
        import aiohttp
        import asyncpg
        import httpx

        context = ssl.create_default_context(cafile=CERTIFICATE)
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=20)
        self.httpx = httpx.AsyncClient(verify=context, limits=limits, timeout=60, trust_env=False)
        self.aiohttp = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20, ssl=context))
        options = dict(min_size=1, max_size=10, database=DATABASE, **POSTGRES)
        self.pools = [await asyncpg.create_pool(ssl=secure, **options) for secure in (False, self.encrypted())]
        self.queue = asyncio.Queue()
        for _ in range(4):
            self.later(self.consume())

    @staticmethod
    def encrypted():
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    async def consume(self):
        while True:
            kind, rid, done = await self.queue.get()
            await self.call(kind, rid, 1)
            done.set_result(None)

    @staticmethod
    def later(work):
        task = asyncio.ensure_future(work)
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    async def call(self, kind, rid, n):
        await asyncio.sleep(random.uniform(0, 0.01))
        (await self.httpx.get(_url(kind, rid, n))).raise_for_status()

    async def other_call(self, kind, rid, n):
        await asyncio.sleep(random.uniform(0, 0.01))
        async with self.aiohttp.get(_url(kind, rid, n)) as response:
            await response.read()

    async def query(self, kind, rid, n):
        async with self.pools[n % 2].acquire() as connection:
            await connection.fetch(_sql(kind, rid, n))

    async def series(self, kind, rid):
        await self.call(kind, rid, 1)
        await self.query(kind, rid, 2)
        await self.other_call(kind, rid, 4)
        await self.query(kind, rid, 3)

    async def gather(self, kind, rid):
        await asyncio.gather(*(self.other_call(kind, rid, n) for n in (1, 2, 3)), self.query(kind, rid, 4))

    async def group(self, kind, rid):
        async with asyncio.TaskGroup() as group:
            group.create_task(self.call(kind, rid, 1))
            group.create_task(self.query(kind, rid, 2))

    async def to_thread(self, kind, rid):
        await asyncio.to_thread(call, kind, rid, 1)
        await asyncio.to_thread(query, kind, rid, 2)
        await self.call(kind, rid, 4)

    async def executor(self, kind, rid):
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            loop.run_in_executor(None, call, kind, rid, 2), loop.run_in_executor(_pool, query, kind, rid, 1)
        )

    async def forget(self, kind, rid):
        self.later(self.afterwards(kind, rid))

    async def afterwards(self, kind, rid):
        await asyncio.sleep(0.02)
        await self.call(kind, rid, 1)
        await self.query(kind, rid, 2)

    async def failing(self, kind, rid):
        await asyncio.sleep(random.uniform(0, 0.01))
        for address in _nowhere(kind, rid):
            try:
                await asyncio.wait_for(asyncio.open_connection(*address), _patience(address))
                raise RuntimeError("%s:%d answers" % address)
            except (OSError, asyncio.TimeoutError):
                pass

    async def consumer(self, kind, rid):
        done = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((kind, rid, done))
        await done


ASYNC = {
    name: getattr(Clients, name)
    for name in ("series", "gather", "group", "to_thread", "executor", "forget", "failing", "consumer")
}
