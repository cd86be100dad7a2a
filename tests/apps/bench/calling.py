"""FastAPI with a route for each kind of outgoing traffic, for `cargo xtask bench`: one query or one call per request.

Needs BENCH_DATABASE (asyncpg's DSN), BENCH_UPSTREAM and BENCH_UPSTREAM_TLS (URLs), BENCH_CERTIFICATE (of both servers).
"""

import os
import ssl
from contextlib import asynccontextmanager

import asyncpg
import httpx
from fastapi import FastAPI

QUERY = "SELECT id, note FROM items WHERE id = $1"
CONNECTIONS = 32


@asynccontextmanager
async def lifespan(app):
    trusted = ssl.create_default_context(cafile=os.environ["BENCH_CERTIFICATE"])
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    for name, secure in (("plain", False), ("tls", True)):
        pool = await asyncpg.create_pool(
            os.environ["BENCH_DATABASE"], ssl=trusted if secure else False, min_size=CONNECTIONS, max_size=CONNECTIONS
        )
        client = httpx.AsyncClient(
            base_url=os.environ["BENCH_UPSTREAM_TLS" if secure else "BENCH_UPSTREAM"], verify=trusted, limits=limits
        )
        setattr(app.state, name, (pool, client))
    yield


app = FastAPI(lifespan=lifespan)


async def query(name):
    pool, _ = getattr(app.state, name)
    row = await pool.fetchrow(QUERY, 1)
    return {"note": row["note"]}


async def call(name):
    _, client = getattr(app.state, name)
    answer = await client.get("/ping")
    return answer.raise_for_status().json()


@app.get("/db")
async def db():
    return await query("plain")


@app.get("/db-tls")
async def db_tls():
    return await query("tls")


@app.get("/call")
async def call_plain():
    return await call("plain")


@app.get("/call-tls")
async def call_tls():
    return await call("tls")
