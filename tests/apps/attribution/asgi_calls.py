"""ASGI without a framework: for uvicorn, hypercorn and gunicorn's uvicorn worker."""

import calls


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await calls.startup()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    kind, rid = scope["path"][1:], int(scope["query_string"].partition(b"=")[2])
    await calls.handle(kind, rid)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
