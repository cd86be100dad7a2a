"""Converters, add_api_route, api_route, a WebSocket."""
from fastapi import APIRouter, WebSocket

from ..core import config
from . import table

router = APIRouter()


def head_file(path: str):
    return None


@router.api_route("/files/{path:path}", methods=["GET", "DELETE"])
def any_file(path: str):
    return path


router.add_api_route("/heads/{path:path}", head_file, methods=["HEAD"])


@router.websocket("/ws/{room}")
async def room(websocket: WebSocket, room: str):
    await websocket.accept()


@router.get(f"/{config.ADMIN}/stats")
def stats():
    return {}


@router.get("/sizes/" + "{size:float}")
def size(size: float):
    return size


@router.get("/ids/{item:uuid}")
def by_id(item: str):
    return item


router.include_router(table.router, prefix="/data")
