"""Plain Starlette parts: Mount, Route, an endpoint class, a WebSocket route, a mounted FastAPI application."""
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute


class Status(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse("ok")

    async def delete(self, request):
        return PlainTextResponse("gone")


def plain(request):
    return PlainTextResponse("plain")


async def socket(websocket):
    await websocket.accept()


inner = Router(routes=[Route("/deep/{name}", plain, methods=["GET", "PUT"])])

legacy = Starlette(
    routes=[
        Route("/status", Status),
        Route("/plain", endpoint=plain),
        WebSocketRoute("/socket", socket),
        Mount("/nested", routes=[Route("/{number:int}", plain)]),
        Mount("/router", app=inner),
    ]
)

partner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


@partner.get("/orders/{order_id}")
def partner_order(order_id: int):
    return order_id
