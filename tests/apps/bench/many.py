"""FastAPI with fifty routes, for `cargo xtask bench footprint`: one request in a hundred fails."""

from fastapi import FastAPI
from fastapi.responses import JSONResponse

app = FastAPI()


def add(n):
    @app.get(f"/r{n}/{{item}}")
    async def route(item: int):
        return JSONResponse({"item": item}, status_code=500 if item % 100 == 0 else 200)


for n in range(50):
    add(n)
