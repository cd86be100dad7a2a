"""aiohttp's own server: `aiohttp_app.py PORT`."""

import asyncio
import sys

import answer
import truth
from aiohttp import web


async def anything(request):
    while await request.content.read(65536):
        pass
    wanted = answer.parse(request.path)
    if wanted.delay:
        await asyncio.sleep(wanted.delay)
    truth.served(request.method, request.path, wanted.status, request.transport.get_extra_info("peername")[1])
    pieces = answer.body(wanted, request.method)
    if not wanted.pieces or wanted.status in answer.NO_BODY:
        return web.Response(status=wanted.status, body=b"".join(pieces) or None)
    response = web.StreamResponse(status=wanted.status)
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


async def websocket(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


app = web.Application(client_max_size=1 << 30)
app.router.add_get("/websocket", websocket)
app.router.add_route("*", "/{path:.*}", anything)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
