"""Makes HTTP calls in many ways and logs, for each, the very line that makes it.

    app.py LOOP LOG PORT

`mark()` stands in the line of the call: it gives the call a path of its own and notes the line it was called from. The
app gets ready, waits for SIGUSR1, makes its calls, writes its log and says "done".
"""

import asyncio
import functools
import http.client
import itertools
import json
import signal
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import aiohttp

if sys.argv[1] == "uvloop":
    import uvloop

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})

LOOP, LOG, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
BASE = "http://127.0.0.1:%d" % PORT
WORKERS = 8
MAKERS_ARE_KNOWN = sys.version_info < (3, 12)
noted = []
numbers = itertools.count()


def mark(site=True):
    """A path; `site` is false where no line of the app makes the call."""
    frame = sys._getframe(1)
    path = "/out/%d" % next(numbers)
    function = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
    noted.append({"path": path, "site": "%s:%d %s" % (frame.f_code.co_filename, frame.f_lineno, function) if site else None})
    return path


# Threads


class Shop:
    def __init__(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", PORT)

    def order(self):
        self.connection.request("GET", mark())
        self.connection.getresponse().read()

    @property
    def price(self):
        self.connection.request("POST", mark(), body=b"x" * 700)
        return self.connection.getresponse().read()


def in_generator(shop):
    for _ in range(2):
        shop.connection.request("GET", mark())
        yield shop.connection.getresponse().read()


def deeply(shop, depth):
    if depth:
        return deeply(shop, depth - 1)
    shop.connection.request("GET", mark())
    return shop.connection.getresponse().read()


def in_thread():
    shop = Shop()
    shop.order()
    assert shop.price == b"ok"
    assert list(in_generator(shop)) == [b"ok", b"ok"]
    for depth in (0, 3, 80):
        deeply(shop, depth)
    (lambda: shop.connection.request("GET", mark()))()
    shop.connection.getresponse().read()
    urllib.request.urlopen(BASE + mark()).read()
    # No code of the app runs in a thread of the pool.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(shop.connection.request, "GET", mark(site=False)).result()
    shop.connection.getresponse().read()


# Tasks


async def by_streams():
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % mark().encode())
    await reader.readuntil(b"ok")
    # The event loop runs this callback: it has no code of the app in it. Where the agent looks for who made tasks, it knows
    # who made callbacks, too.
    head, loop = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n", asyncio.get_event_loop()
    loop.call_soon(functools.partial(writer.write, head % mark(site=MAKERS_ARE_KNOWN).encode()))
    await reader.readuntil(b"ok")
    writer.close()


async def by_aiohttp(session):
    async with session.get(BASE + mark()) as response:
        await response.read()
    response = await session.get(BASE + mark())
    await response.read()
    # Before 3.12 the request with its body is sent by a task of aiohttp's, in which no code of the app runs.
    async with session.post(BASE + mark(), data=b"x" * 700) as response:
        await response.read()


async def awaits(session, depth):
    if depth:
        return await awaits(session, depth - 1)
    async with session.get(BASE + mark()) as response:
        return await response.read()


async def generated(session):
    for _ in range(2):
        async with session.get(BASE + mark()) as response:
            yield await response.read()


async def in_task(session):
    loop = asyncio.get_event_loop()
    await by_streams()
    await by_aiohttp(session)
    await asyncio.gather(awaits(session, 0), awaits(session, 5), loop.run_in_executor(None, in_thread))
    assert [body async for body in generated(session)] == [b"ok", b"ok"]


async def run_tasks():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=WORKERS)) as session:
        await asyncio.gather(*(in_task(session) for _ in range(WORKERS)))


def main():
    print("ready", flush=True)
    signal.sigwait({signal.SIGUSR1})
    with ThreadPoolExecutor(WORKERS) as pool:
        for future in [pool.submit(in_thread) for _ in range(WORKERS)]:
            future.result()
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    if LOOP == "uvloop":
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(run_tasks())
    with open(LOG, "w") as file:
        for line in noted:
            file.write(json.dumps(line) + "\n")
    print("done", flush=True)


if __name__ == "__main__":
    main()
