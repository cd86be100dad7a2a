"""FastAPI behind the middleware of `backtrack_route101`: `python app.py PORT COLLECTOR`.

Handlers take long enough for a hundredth of it to be a time that can be told.
"""

import asyncio
import sys

import httpx
import uvicorn
from backtrack.sdk.fastapi import BacktrackMiddleware
from fastapi import FastAPI

PORT, COLLECTOR = int(sys.argv[1]), sys.argv[2]

app = FastAPI()
client = httpx.AsyncClient()
app.add_middleware(BacktrackMiddleware, service="by-sdk", endpoint=COLLECTOR)


@app.get("/users/{user}")
async def user(user: int):
    await asyncio.sleep(2)
    return {"user": user}


@app.post("/orders", status_code=201)
async def order():
    await asyncio.sleep(2)
    return {}


@app.get("/fail")
async def fail():
    await asyncio.sleep(2)
    raise ValueError("out of stock")


@app.get("/proxy")
async def proxy():
    return (await client.get(f"http://127.0.0.1:{PORT}/leaf")).json()


@app.get("/leaf")
async def leaf():
    await asyncio.sleep(2)
    return {"leaf": True}


async def warm():
    """The first call loads half of the client: it is made before anything is measured."""

    async def answer(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, httpx.AsyncClient() as first:
        await first.get("http://127.0.0.1:{}/".format(server.sockets[0].getsockname()[1]))


asyncio.run(warm())
uvicorn.run(app, host="127.0.0.1", port=PORT, access_log=False, log_level="critical")
