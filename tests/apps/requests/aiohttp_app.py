"""aiohttp.web; argument 1 is the port, argument 2 the loop."""

import sys

import work
from aiohttp import web

clients = work.Clients()


async def start(_app):
    await clients.start()


def endpoint(kind, function):
    async def handler(request):
        await function(clients, kind, int(request.match_info["rid"]))
        return web.Response(text="ok")

    return web.get("/%s/{rid}" % kind, handler)


app = web.Application()
app.on_startup.append(start)
app.add_routes([endpoint(kind, function) for kind, function in work.ASYNC.items()])

if sys.argv[2] == "uvloop":
    import uvloop

    uvloop.install()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, backlog=256)
