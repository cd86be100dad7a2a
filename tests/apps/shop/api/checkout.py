"""Buying: a price from another service, two statements, and now and then an order that is there already."""

from aiohttp import web

routes = web.RouteTableDef()


@routes.post("/checkout")
async def checkout(request):
    order = await request.json()
    async with request.app["http"].post(f"{request.app['pricing']}/quote", json=order) as answer:
        price = (await answer.json())["price"]
    async with request.app["pool"].acquire() as database, database.transaction():
        await database.execute("UPDATE products SET stock = stock - 1 WHERE id = $1", order["product"])
        if order["product"] % 20 == 0:
            await database.execute("INSERT INTO products (name) VALUES ($1)", f"product {order['product']}")
        await database.execute("INSERT INTO orders (customer) VALUES ($1)", 1000 + order["product"])
    return web.json_response({"price": price}, status=201)
