"""A route table."""
from aiohttp import web

routes = web.RouteTableDef()


@routes.get("/table")
async def table(request):
    return web.Response(text="table")


@routes.route("LINK", "/table/{name}")
async def link(request):
    return web.Response(text="link")


@routes.view("/table-view")
class TableView(web.View):
    async def post(self):
        return web.Response(text="view")
