"""An app whose every text is markup, for the page's test: `main.py PORT POSTGRES_PORT`."""

import contextlib
import sys

import aiohttp
import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

MARKUP = '<img src=x onerror="window.pwned=1">'
# A name in quotes is no literal: it stays in the statement.
ALIAS = MARKUP.replace('"', "")


class Failure(Exception):
    """Raised with markup in its message."""


async def named(request):
    async with request.app.state.pool.acquire() as database:
        await database.fetch(f'SELECT 1 AS "{ALIAS}"')
        await database.fetch('SELECT 1 AS "<script>window.pwned=1</script>"')
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{sys.argv[1]}/leaf/{MARKUP}"
        async with http.get(url, headers={"X-Request-ID": MARKUP}) as answer:
            return Response(await answer.read())


async def leaf(request):
    return HTMLResponse(MARKUP)


async def fail(request):
    local = MARKUP
    raise Failure(local)


@contextlib.asynccontextmanager
async def resources(app):
    dsn = f"postgresql://postgres@127.0.0.1:{sys.argv[2]}/shop?sslmode=disable"
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        app.state.pool = pool
        yield


app = Starlette(
    routes=[
        Route("/<img src=x onerror=window.pwned=1>/{name}", named),
        Route("/leaf/{name}", leaf),
        Route("/fail/{name}", fail),
    ],
    lifespan=resources,
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="critical")
