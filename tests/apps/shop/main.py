"""A shop on aiohttp, PostgreSQL and a second service, for the page's test: `main.py PORT POSTGRES_PORT PRICING_PORT`."""

import sys

import aiohttp
import asyncpg
from aiohttp import web

from api import cart, catalogue, checkout, orders

SCHEMA = """
CREATE TABLE products (id serial PRIMARY KEY, name text UNIQUE, price int, stock int);
CREATE TABLE orders (id serial PRIMARY KEY, customer int);
CREATE TABLE order_lines (order_id int, product_id int, quantity int);
INSERT INTO products (name, price, stock) SELECT 'product ' || n, n * 3, 1000000 FROM generate_series(1, 200) n;
INSERT INTO orders (customer) SELECT n % 20 FROM generate_series(1, 400) n;
INSERT INTO order_lines SELECT n % 400 + 1, n % 200 + 1, 2 FROM generate_series(1, 1200) n;
"""


async def nothing(connection):
    """Between two requests the pool would send four statements of its own."""


async def resources(app):
    port, pricing = sys.argv[2:4]
    app["pricing"] = f"http://127.0.0.1:{pricing}"
    dsn = f"postgresql://postgres@127.0.0.1:{port}/shop?sslmode=disable"
    async with asyncpg.create_pool(dsn, min_size=4, max_size=8, reset=nothing) as pool, aiohttp.ClientSession() as http:
        await pool.execute(SCHEMA)
        app["pool"], app["http"] = pool, http
        yield


async def healthz(request):
    return web.json_response({"ok": True})


def make_app():
    app = web.Application()
    app.cleanup_ctx.append(resources)
    app.router.add_get("/healthz", healthz)
    for module in (catalogue, orders, cart, checkout):
        app.add_routes(module.routes)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
