"""What things cost, a service of its own: `main.py PORT`."""

import asyncio
import sys

from aiohttp import web

routes = web.RouteTableDef()


@routes.post("/quote")
async def quote(request):
    order = await request.json()
    await asyncio.sleep(0.003 + order["product"] % 10 / 1000)
    return web.json_response({"price": order["product"] * 3})


if __name__ == "__main__":
    app = web.Application()
    app.add_routes(routes)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
