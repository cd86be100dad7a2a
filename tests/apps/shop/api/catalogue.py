"""What can be bought."""

from aiohttp import web

routes = web.RouteTableDef()


@routes.get("/products")
async def products(request):
    rows = await request.app["pool"].fetch("SELECT id, name, price FROM products ORDER BY name LIMIT 50")
    return web.json_response([dict(row) for row in rows])


@routes.get("/products/{product_id}")
async def product(request):
    number = int(request.match_info["product_id"])
    row = await request.app["pool"].fetchrow("SELECT id, name, price, stock FROM products WHERE id = $1", number)
    return web.json_response(dict(row) if row else {}, status=200 if row else 404)


@routes.get("/search")
async def search(request):
    statement = "SELECT id, name FROM products WHERE name LIKE $1 OR md5(repeat(name, 500)) LIKE $1 LIMIT 20"
    rows = await request.app["pool"].fetch(statement, f"%{request.query.get('q', '')}%")
    return web.json_response([dict(row) for row in rows])
