"""Outgoing calls that carry the id of the request that causes them: what the attribution of the agent is scored by.

Every call is `GET /out?rid=ID` over a pooled keep-alive connection to the port in APM_BACKEND, so that connections are
shared by all requests and tell nothing about who uses them.
"""

import asyncio
import http.client
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

PORT = int(os.environ["APM_BACKEND"])

_idle = []
_local = threading.local()
_pool = ThreadPoolExecutor(8)
_tasks = set()
_queue = None


async def call(rid):
    """One call on the event loop."""
    await asyncio.sleep(random.uniform(0, 0.005))
    reader, writer = _idle.pop() if _idle else await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET /out?rid=%d HTTP/1.1\r\nHost: backend\r\n\r\n" % rid)
    await reader.readuntil(b"ok")
    _idle.append((reader, writer))


def call_blocking(rid):
    """One call that blocks the thread."""
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = http.client.HTTPConnection("127.0.0.1", PORT)
    connection.request("GET", "/out?rid=%d" % rid)
    connection.getresponse().read()


async def _later(rid):
    await asyncio.sleep(0.01)
    await call(rid)


async def _consume(queue):
    while True:
        rid, done = await queue.get()
        await call(rid)
        done.set_result(None)


async def startup():
    """Starts consumers that belong to no request."""
    global _queue
    _queue = asyncio.Queue()
    for _ in range(4):
        _tasks.add(asyncio.ensure_future(_consume(_queue)))


async def handle(kind, rid):
    """The work of an asynchronous endpoint."""
    loop = asyncio.get_event_loop()
    if kind == "seq":
        await call(rid)
        await call(rid)
    elif kind == "gather":
        await asyncio.gather(call(rid), call(rid), call(rid))
    elif kind == "executor":
        await loop.run_in_executor(None, call_blocking, rid)
        await call(rid)
    elif kind == "to_thread":
        await asyncio.to_thread(call_blocking, rid)
        await call(rid)
    elif kind == "background":
        task = asyncio.ensure_future(_later(rid))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
    elif kind == "queue":
        done = loop.create_future()
        _queue.put_nowait((rid, done))
        await done
    else:
        raise ValueError(kind)


def handle_blocking(kind, rid):
    """The work of a synchronous endpoint."""
    if kind == "seq":
        call_blocking(rid)
        call_blocking(rid)
    elif kind == "pool":
        futures = [_pool.submit(call_blocking, rid) for _ in range(2)]
        call_blocking(rid)
        for future in futures:
            future.result()
    elif kind == "child":
        thread = threading.Thread(target=call_blocking, args=(rid,))
        thread.start()
        call_blocking(rid)
        thread.join()
    else:
        raise ValueError(kind)


def parse(target):
    """`/kind?rid=7` -> ("kind", 7)"""
    path, _, query = target.partition("?")
    return path[1:], int(query.partition("=")[2])
