"""A router made by a function, and endpoints that are methods."""
from functools import wraps

from fastapi import APIRouter


def logged(function):
    @wraps(function)
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)

    return wrapper


class ItemEndpoints:
    def __init__(self, prefix):
        self.router = APIRouter(prefix=prefix)
        self.router.add_api_route("/", self.index, methods=["GET"])
        self.router.add_api_route("/{item_id}", self.show, methods=["GET", "POST"])

    async def index(self):
        return []

    async def show(self, item_id: int):
        return item_id


def make_router(name):
    router = APIRouter()

    @router.get(f"/{name}")
    @logged
    async def listing():
        return name

    return router
