"""Load over HTTP/2: 5 connections with 10 streams at a time each, asking for another kind of work in turn.

    drive_h2.py BASE_URL CERTIFICATE REQUESTS KIND..

As `drive.py`, but for `http://` it speaks HTTP/2 from the first byte (RFC 9113, 3.3). Of the connections, two stay the same
from before `ready` is printed, the others are made anew for each round of requests.
"""

import asyncio
import itertools
import sys

import httpx

CONNECTIONS, STREAMS = 5, 10
FIRST = 100_000


async def main(base, certificate, requests, *kinds):
    def connect():
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

    ids = itertools.count()
    clients = [connect() for _ in range(CONNECTIONS)]
    for number, client in enumerate(clients):
        await round_of(client, [(kinds[n % len(kinds)], number * STREAMS + n) for n in range(STREAMS)])
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await asyncio.gather(*(rounds(client, number) for number, client in enumerate(clients)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
