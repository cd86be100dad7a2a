"""Handlers, a controller, nested routers."""
from litestar import Controller, Litestar, Router, WebSocket, delete, get, post, route, websocket


@get("/")
async def index() -> str:
    return "index"


@get(["/one", "/two/{number:int}"])
async def several(number: int = 0) -> str:
    return str(number)


@route("/both", http_method=["GET", "POST"])
async def both() -> str:
    return "both"


@websocket("/socket/{room:str}")
async def socket(socket: WebSocket, room: str) -> None:
    await socket.accept()


class UserController(Controller):
    path = "/users"

    @get()
    async def listing(self) -> list[str]:
        return []

    @post()
    async def create(self) -> str:
        return "made"

    @get("/{user_id:uuid}")
    async def one(self, user_id: str) -> str:
        return user_id

    @delete("/{user_id:uuid}", status_code=204)
    async def remove(self, user_id: str) -> None:
        return None


@get("/files/{name:path}")
async def files(name: str) -> str:
    return name


inner = Router(path="/inner", route_handlers=[files])
api = Router(path="/api/", route_handlers=[UserController, inner])
app = Litestar(route_handlers=[index, several, both, socket, api], openapi_config=None)
