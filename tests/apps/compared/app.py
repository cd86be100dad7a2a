"""FastAPI behind the middleware of `backtrack_route101`: `python app.py PORT COLLECTOR`.

`own` and `statements` work in the context of their request, which is all that the middleware can follow; `gather` and
`threads` work in copies of it.
"""

import asyncio
import os
import sys
from contextlib import asynccontextmanager

import httpx
import sqlalchemy
import uvicorn
from backtrack.sdk import instrument_sqlalchemy
from backtrack.sdk.fastapi import BacktrackMiddleware
from fastapi import FastAPI

PORT, COLLECTOR = int(sys.argv[1]), sys.argv[2]
SLOW = os.environ["APM_HTTP"] + "/slow"

engine = sqlalchemy.create_engine(
    "postgresql+psycopg://apm:secret@127.0.0.1:%s/shop" % os.environ["APM_POSTGRES"],
    isolation_level="AUTOCOMMIT",
)
instrument_sqlalchemy(engine)
client = httpx.AsyncClient(trust_env=False, timeout=60)
blocking = httpx.Client(trust_env=False, timeout=60)


def execute(sql):
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(sql)).all()


@asynccontextmanager
async def lifespan(_app):
    # What comes with the first use of each is not part of any request.
    execute("SELECT 1")
    await client.get(SLOW)
    blocking.get(SLOW)
    yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(BacktrackMiddleware, service="by-sdk", endpoint=COLLECTOR)


@app.get("/own/{number}")
async def own(number: int):
    for _ in range(2):
        await client.get(SLOW)


@app.get("/statements/{number}")
async def statements(number: int):
    for n in range(3):
        execute("SELECT pg_sleep(0.02), %d" % (number + n))


@app.get("/fails/{number}")
async def fails(number: int):
    # The middleware writes the traceback down before the response goes out, and does not count the time that takes.
    await asyncio.sleep(0.2)
    execute("SELECT %d" % number)
    raise ValueError(number)


@app.get("/gather/{number}")
async def gather(number: int):
    await asyncio.gather(*(client.get(SLOW) for _ in range(3)))


@app.get("/threads/{number}")
async def threads(number: int):
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(None, blocking.get, SLOW) for _ in range(3)))


uvicorn.run(app, host="127.0.0.1", port=PORT, access_log=False, log_level="critical")
