"""Every way to add a route to an aiohttp application."""
from aiohttp import web

from tables import routes


async def index(request):
    return web.Response(text="index")


async def item(request):
    return web.Response(text="item")


class Thing(web.View):
    async def get(self):
        return web.Response(text="thing")

    async def delete(self):
        return web.Response(text="gone")


def make_admin():
    admin = web.Application()
    admin.add_routes([web.get("/", index), web.post("/users/{name}", item)])
    return admin


def make_app():
    app = web.Application()
    app.router.add_get("/", index)
    app.router.add_post("/items", item)
    app.router.add_route("PUT", r"/items/{number:\d+}", item)
    app.router.add_route("*", "/any/{tail:.*}", item)
    app.router.add_view("/thing/{name}", Thing)
    app.add_routes([web.get("/a/{b}/c", item), web.view("/view", Thing), web.patch("/patch", index)])
    app.add_routes(routes)
    resource = app.router.add_resource("/resource/{id}")
    resource.add_route("GET", item)
    resource.add_route("DELETE", index)
    app.add_subapp("/admin/", make_admin())
    return app


if __name__ == "__main__":
    web.run_app(make_app())
