"""FastAPI: async endpoints, and others in the thread pool."""

from failing import BY_NAME, handled
from fastapi import FastAPI

app = FastAPI()


@app.get("/async/{way}")
async def fail(way: str):
    return BY_NAME[way]()


@app.get("/thread/{way}")
def fail_in_thread(way: str):
    return BY_NAME[way]()


@app.get("/healthy")
async def healthy():
    return handled()
