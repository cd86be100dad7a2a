"""Runs Redis commands with redis-py and logs them.

    commands.py CLIENT LOG DIRECTORY PORT TLS_PORT CERTIFICATE

Phases as in calls.py, over TCP, a Unix socket and TLS; each worker has a client with one connection. The agent shows of a
command only its name, so each worker also sends commands whose name is used once and which Redis does not know.
"""

import asyncio
import sys
import time

import redis
import redis.asyncio
import wire
from common import CALLS, TIMED, WORKERS, Log, clock_ms, fail, ready_then_wait, tasks

WHERES = ("tcp", "unix", "tls")
COMMANDS = [("SET", "key", "a secret value"), ("GET", "key"), ("INCR", "counter"), ("LPUSH", "list", "x"), ("PING",)]
LARGE = "z" * 100_000
# More than the probes copy of a run of writes, and of one of replies; by some workers only, as it is much.
KEYS = ["key_%03d" % n for n in range(250)]
PIPELINERS = 4


class Sync:
    """redis-py's blocking client behind the interface of its asyncio client."""

    def __init__(self, **options):
        self._client = redis.Redis(**options)

    async def execute_command(self, *command):
        return await asyncio.to_thread(self._client.execute_command, *command)

    async def pipeline(self, commands, transaction):
        def run():
            pipeline = self._client.pipeline(transaction=transaction)
            for command in commands:
                pipeline.execute_command(*command)
            pipeline.execute(raise_on_error=False)

        await asyncio.to_thread(run)

    async def first_message(self, channel, subscribed):
        subscription = self._client.pubsub(ignore_subscribe_messages=False)
        subscription.subscribe(channel)
        if subscription.get_message(timeout=10)["type"] != "subscribe":
            fail("not subscribed")
        await subscribed()
        message = subscription.get_message(timeout=10)
        subscription.close()
        return message["data"]


class Async:
    def __init__(self, **options):
        self._client = redis.asyncio.Redis(**options)

    async def execute_command(self, *command):
        return await self._client.execute_command(*command)

    async def pipeline(self, commands, transaction):
        pipeline = self._client.pipeline(transaction=transaction)
        for command in commands:
            pipeline.execute_command(*command)
        await pipeline.execute(raise_on_error=False)

    async def first_message(self, channel, subscribed):
        subscription = self._client.pubsub(ignore_subscribe_messages=False)
        await subscription.subscribe(channel)
        if (await subscription.get_message(timeout=10))["type"] != "subscribe":
            fail("not subscribed")
        await subscribed()
        message = await subscription.get_message(timeout=10)
        await subscription.aclose()
        return message["data"]


CLIENTS = {"redis-py": (Sync, 2), "redis-py-resp3": (Sync, 3), "redis-py-async": (Async, 2)}


class App:
    def __init__(self, name, log, directory, port, tls_port, certificate):
        self.kind, protocol = CLIENTS[name]
        self.log = Log(log)
        common = dict(protocol=protocol, single_connection_client=False, max_connections=2)
        self.options = {
            "tcp": dict(host="127.0.0.1", port=int(port), **common),
            "unix": dict(unix_socket_path=directory + "/redis.sock", **common),
            "tls": dict(host="127.0.0.1", port=int(tls_port), ssl=True, ssl_ca_certs=certificate, **common),
        }

    def open(self, where):
        return self.kind(**self.options[where])

    def note(self, phase, name, error=None, ms=0.0, timed=None):
        self.log.add(
            phase=phase, name=name, error=error, ms=ms, timed=timed is not None, wire=timed and timed.bounds_ms()
        )

    async def refused(self, client, phase, error, *command):
        try:
            await client.execute_command(*command)
        except redis.ResponseError:
            self.note(phase, command[0], error)
        else:
            fail("%s did not fail" % (command,))

    async def work(self, client, phase, worker):
        for n in range(CALLS // 2):
            once = "Q.%s.%d.%d" % (phase.replace("/", ".").upper(), worker, n)
            for command in COMMANDS + [("SET", "large", LARGE), ("GET", "large")]:
                await client.execute_command(*command)
                self.note(phase, command[0])
            await self.refused(client, phase, "ERR", "INCR", "key")
            await self.refused(client, phase, "ERR", once)
            await client.pipeline(COMMANDS + [(once + ".PIPE",)] + COMMANDS, transaction=False)
            self.note(phase, once + ".PIPE", "ERR")
            await client.pipeline(COMMANDS, transaction=True)
            for name in [command[0] for command in COMMANDS * 3] + ["MULTI", "EXEC"]:
                self.note(phase, name)

    async def pipelines(self, client, phase):
        values = [("SET", key, "v" * 90) for key in KEYS]
        for commands in (values, [("GET", key) for key in KEYS], [("MGET", *KEYS * 10)]):
            await client.pipeline(commands, transaction=False)
            for name, *_ in commands:
                self.note(phase, name)

    async def messages(self, phase, where):
        """Pub/sub is left alone after its first answer."""
        publisher = self.open(where)

        async def publish():
            await publisher.execute_command("PUBLISH", "channel", "a secret message")

        data = await self.open(where).first_message("channel", publish)
        if data != b"a secret message":
            fail("another message: %r" % data)
        self.note(phase, "SUBSCRIBE")
        self.note(phase, "PUBLISH")

    async def run(self):
        opened = {}
        for where in WHERES:
            opened[where] = [self.open(where) for _ in range(WORKERS)]
            for client in opened[where]:
                await client.execute_command("PING")
        ready_then_wait()
        for when in ("before", "after"):
            for where in WHERES:
                phase = where + "/" + when
                clients = opened[where] if when == "before" else [self.open(where) for _ in range(WORKERS)]
                await tasks(lambda worker: self.work(clients[worker], phase, worker), WORKERS)
                await tasks(lambda worker: self.pipelines(clients[worker], phase), PIPELINERS)
                if when == "before":
                    continue
                await self.messages(phase, where)
                for _ in range(TIMED):
                    since, timed = time.monotonic(), wire.begin()
                    await clients[0].execute_command("BLPOP", "empty", "0.03")
                    self.note(phase, "BLPOP", None, clock_ms(since), timed)


def main():
    app = App(*sys.argv[1:])
    asyncio.run(app.run())
    app.log.write()
    print("done", flush=True)


if __name__ == "__main__":
    main()
