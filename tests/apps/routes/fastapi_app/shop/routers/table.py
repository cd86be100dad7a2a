"""Routes from a table that is kept as data."""
import json
from pathlib import Path

from fastapi import APIRouter

router = APIRouter(prefix="/tables")


async def row(key: str = ""):
    return key


with open(Path(__file__).parent / "table.json") as file:
    for entry in json.load(file)["routes"]:
        getattr(router, entry["method"].lower())(entry["path"])(row)
