"""The application, made by a factory that nothing here calls."""
import os

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from shop.core.config import settings
from shop.mounted import legacy, partner
from shop.routers import files, users
from shop.routers.items import ItemEndpoints, make_router

HERE = os.path.dirname(__file__)


def create_app() -> FastAPI:
    app = FastAPI(title=settings.NAME, redoc_url=None)

    @app.get("/")
    async def home():
        return {}

    app.include_router(users.router, prefix=settings.API_PREFIX)
    app.include_router(files.router)
    app.include_router(ItemEndpoints("/items").router, prefix=settings.API_PREFIX)
    for name in ("colours", "shapes"):
        app.include_router(make_router(name), prefix="%s/lists" % settings.API_PREFIX)
    app.mount("/legacy", legacy)
    app.mount("/partner/", partner)
    app.mount("/static", StaticFiles(directory=HERE), name="static")
    return app


async def health(request):
    return None


def with_health() -> FastAPI:
    """What the server is told to run: it uses the other factory."""
    app = create_app()
    app.add_route("/health", health)
    return app
