"""FastAPI: `async def` and `def` endpoints, background tasks."""

import os
from contextlib import asynccontextmanager
from functools import partial

import work
from fastapi import BackgroundTasks, FastAPI

clients = work.Clients()
# What coroutines answer with: nothing, or so much that a slow client keeps it waiting.
ANSWER = "." * int(os.environ.get("APM_PADDING", 0)) or None


@asynccontextmanager
async def lifespan(_app):
    await clients.start()
    yield


app = FastAPI(lifespan=lifespan)


def add(kind, function):
    async def endpoint(rid: int):
        await function(clients, kind, rid)
        return ANSWER

    app.get("/%s/{rid}" % kind)(endpoint)


def add_blocking(kind, function):
    def endpoint(rid: int):
        function(kind, rid)

    app.get("/%s/{rid}" % kind)(endpoint)


for name, function in work.ASYNC.items():
    add(name, function)
for name, function in work.BLOCKING.items():
    add_blocking(name, function)


@app.get("/background/{rid}")
async def background(rid: int, tasks: BackgroundTasks):
    tasks.add_task(partial(clients.afterwards, "background", rid))


@app.get("/background_def/{rid}")
def background_def(rid: int, tasks: BackgroundTasks):
    tasks.add_task(work.call, "background_def", rid, 1)
