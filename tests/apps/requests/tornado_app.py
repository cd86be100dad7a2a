"""Tornado; argument 1 is the port. While a handler that blocks has the loop, the next requests of other connections come: these
are read by the tasks that serve the connections, and not as the loop tells."""

import asyncio
import sys

import work
from tornado import web

clients = work.Clients()


class Endpoint(web.RequestHandler):
    async def get(self, kind, rid):
        if kind in work.ASYNC:
            await work.ASYNC[kind](clients, kind, int(rid))
        else:
            work.BLOCKING[kind](kind, int(rid))
        self.write("ok")


async def main():
    await clients.start()
    web.Application([(r"/(\w+)/(\d+)", Endpoint)], log_function=lambda handler: None).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
