"""Load for a server, with or without TLS: keep-alive connections, one per worker, over HTTP/1.1 or HTTP/2; logs what it asked.

    ask.py VERSION LOG CERTIFICATE URL
"""

import asyncio
import ssl
import sys

import httpx
from common import WORKERS, Log

KINDS = [("GET", "ok", 200), ("POST", "post", 200), ("GET", "s404", 404), ("HEAD", "ok", 200), ("PUT", "s503", 503)]


async def main(version, path, certificate, url):
    log = Log(path)
    limits = httpx.Limits(max_connections=WORKERS, max_keepalive_connections=WORKERS)
    context = ssl.create_default_context(cafile=certificate)
    http2 = version == "2"
    options = dict(base_url=url, verify=context, limits=limits, timeout=60, trust_env=False)
    async with httpx.AsyncClient(http1=not http2, http2=http2, **options) as client:

        async def work(worker):
            for n in range(6):
                method, kind, status = KINDS[(worker + n) % len(KINDS)]
                if worker % 10 == 0 and n == 3:
                    method, kind, status = "GET", "big", 200
                asked = "/%s/%d/%d" % (kind, worker, n)
                body = b"y" * 1_000_000 if worker % 10 == 5 and method == "POST" else b"{}" if method != "GET" else None
                response = await client.request(method, asked, content=body)
                assert response.status_code == status, (asked, response.status_code)
                log.add(method=method, path=asked, status=status)

        await asyncio.gather(*(work(n) for n in range(WORKERS)))
    log.write()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
