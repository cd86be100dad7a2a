"""Tornado: `tornado_app.py PORT`."""

import asyncio
import sys

import answer
import truth
from tornado import web


class Anything(web.RequestHandler):
    async def anything(self):
        wanted = answer.parse(self.request.path)
        if wanted.delay:
            await asyncio.sleep(wanted.delay)
        truth.served(self.request.method, self.request.path, wanted.status, self.request.connection.context.address[1])
        self.set_status(wanted.status)
        if wanted.status in answer.NO_BODY:
            self.clear_header("Content-Type")
            return
        for piece in answer.body(wanted, self.request.method):
            self.write(piece)
            if wanted.pieces:
                await self.flush()

    get = head = post = put = patch = delete = options = anything

    def compute_etag(self):
        """None, or Tornado answers 304 by itself."""


async def main():
    web.Application([(".*", Anything)], log_function=lambda handler: None).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
