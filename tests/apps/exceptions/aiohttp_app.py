"""aiohttp.web"""

import logging
import sys

from aiohttp import web
from failing import BY_NAME, handled


async def fail(request):
    return web.Response(text=str(BY_NAME[request.match_info["way"]]()))


async def healthy(_request):
    return web.Response(text=handled())


logging.basicConfig(level=logging.ERROR)
app = web.Application()
app.add_routes([web.get("/fail/{way}", fail), web.get("/healthy", healthy)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
