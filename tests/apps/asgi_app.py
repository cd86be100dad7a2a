"""ASGI without a framework: for uvicorn, hypercorn and gunicorn's uvicorn worker."""

import asyncio

import answer
import truth


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    more = True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
    method, path = scope["method"], scope["path"]
    wanted = answer.parse(path)
    if wanted.delay:
        await asyncio.sleep(wanted.delay)
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers(wanted, method)]
    truth.served(method, path, wanted.status, scope["client"][1])
    await send({"type": "http.response.start", "status": wanted.status, "headers": headers})
    for piece in answer.body(wanted, method):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
