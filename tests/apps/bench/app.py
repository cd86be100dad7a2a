"""FastAPI with the smallest of routes, for `cargo xtask bench`: what a request costs, not what an app does."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/ping")
async def ping():
    return {"pong": True}
