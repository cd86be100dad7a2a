"""What may be bought next."""

from aiohttp import web

routes = web.RouteTableDef()

PRICES = {number: number * 3 for number in range(200)}


@routes.get("/cart/{cart_id}")
async def cart(request):
    number = int(request.match_info["cart_id"])
    return web.json_response({"total": PRICES[number]})


@routes.put("/cart/{cart_id}")
async def fill(request):
    await request.read()
    return web.json_response({"items": 1})
