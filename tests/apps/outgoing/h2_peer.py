"""The same answers as peer.py over HTTP/2, by hypercorn: an ASGI app."""

import asyncio

from peer import BIG


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    kind = scope["path"].split("/")[1]
    if kind == "slow":
        await asyncio.sleep(0.03)
    status = {"none": 204, "s404": 404, "s503": 503}.get(kind, 200)
    body = b"" if status == 204 else BIG if kind == "big" else b'{"ok": true}'
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
