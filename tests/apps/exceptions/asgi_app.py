"""Plain ASGI: what it lets through is answered by the server."""

from failing import BY_NAME, handled


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/healthy":
        handled()
    else:
        BY_NAME[scope["path"].rpartition("/")[2]]()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
