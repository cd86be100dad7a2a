"""Makes HTTP calls with one client and logs every one of them.

    calls.py CLIENT LOG CERTIFICATE PLAIN_URL TLS_URL [PROXY_URL]

Phases: over connections opened before the signal ("before") and over new ones ("after"), plain and TLS; then one worker
alone whose calls are timed. Paths carry an id that is used once: /KIND/CLIENT/PHASE/WORKER/N.
"""

import asyncio
import sys
import threading
import time

import wire
from common import CALLS, TIMED, WORKERS, Log, clock_ms, ready_then_wait, tasks, threads
from http_clients import CLIENTS

KINDS = [
    ("GET", "ok", None, 200),
    ("POST", "post", b'{"name": "a", "secret": "b"}', 200),
    ("GET", "chunked", None, 200),
    ("GET", "s404", None, 404),
    ("HEAD", "ok", None, 200),
    ("GET", "none", None, 204),
    ("PUT", "s503", b"x" * 3000, 503),
    ("GET", "big", None, 200),
    ("POST", "upload", b"y" * 1_000_000, 200),
    ("DELETE", "ok", None, 200),
]
KINDS += [light for light in KINDS if light[1] not in ("big", "upload")]


def plan(client, phase, worker, n):
    method, kind, body, status = KINDS[(worker * 7 + n) % len(KINDS)]
    return method, "/%s/%s/%s/%d/%d" % (kind, client, phase, worker, n), body, status


class App:
    def __init__(self, name, log, certificate, plain, tls, proxy=None):
        self.name, self.log = name, Log(log)
        self.bases = {"plain": plain, "tls": tls}
        self.client = CLIENTS[name](certificate, proxy)

    def note(self, phase, method, path, status, expected, since, timed=None):
        if status != expected:
            raise AssertionError("%s %s: %s instead of %s" % (method, path, status, expected))
        self.log.add(phase=phase, method=method, path=path, status=status, ms=clock_ms(since), timed=timed is not None,
                     wire=timed and timed.bounds_ms())  # fmt: skip

    # A warm-up call holds its connection until all workers have theirs: a pool then holds one each.

    def run(self):
        barrier = threading.Barrier(WORKERS)
        pools = {tls: self.client.open(base, WORKERS) for tls, base in self.bases.items()}
        for tls, pool in pools.items():

            def warm(worker):
                barrier.wait()
                self.client.call(pool, worker, "GET", "/slow/warm-up/%s/%d" % (tls, worker), None)

            threads(warm, WORKERS)
        ready_then_wait()
        for when in ("before", "after"):
            for tls, base in self.bases.items():
                pool = pools[tls] if when == "before" else self.client.open(base, WORKERS)
                phase = tls + "/" + when

                def work(worker):
                    for n in range(CALLS):
                        method, path, body, expected = plan(self.name, phase, worker, n)
                        since = time.monotonic()
                        self.note(phase, method, path, self.client.call(pool, worker, method, path, body), expected, since)

                threads(work, WORKERS)
                for n in range(TIMED if when == "after" else 0):
                    path = "/slow/%s/%s/timed/%d" % (self.name, phase, n)
                    since, timed = time.monotonic(), wire.begin()
                    status = self.client.call(pool, 0, "GET", path, None)
                    self.note(phase, "GET", path, status, 200, since, timed)

    async def run_async(self):
        pools = {tls: await self.client.open(base, WORKERS) for tls, base in self.bases.items()}
        for tls, pool in pools.items():

            async def warm(worker):
                await self.client.call(pool, worker, "GET", "/slow/warm-up/%s/%d" % (tls, worker), None)

            await tasks(warm, WORKERS)
        ready_then_wait()
        for when in ("before", "after"):
            for tls, base in self.bases.items():
                pool = pools[tls] if when == "before" else await self.client.open(base, WORKERS)
                phase = tls + "/" + when

                async def work(worker):
                    for n in range(CALLS):
                        method, path, body, expected = plan(self.name, phase, worker, n)
                        since = time.monotonic()
                        status = await self.client.call(pool, worker, method, path, body)
                        self.note(phase, method, path, status, expected, since)

                await tasks(work, WORKERS)
                for n in range(TIMED if when == "after" else 0):
                    path = "/slow/%s/%s/timed/%d" % (self.name, phase, n)
                    since, timed = time.monotonic(), wire.begin()
                    status = await self.client.call(pool, 0, "GET", path, None)
                    self.note(phase, "GET", path, status, 200, since, timed)


def main():
    app = App(*sys.argv[1:])
    if not app.client.asynchronous:
        app.run()
    elif app.client.loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(app.run_async())
    else:
        asyncio.run(app.run_async())
    app.log.write()
    print("done", flush=True)


if __name__ == "__main__":
    main()
