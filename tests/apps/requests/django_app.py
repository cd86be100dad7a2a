"""Django, as WSGI and as ASGI: synchronous views, asynchronous ones, and each from within the other."""

import asyncio
import sys

import work
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings

settings.configure(DEBUG=False, SECRET_KEY="of-a-test", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import execute_from_command_line  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

_clients = None
_starting = asyncio.Lock()


async def clients():
    """Made by the first request that needs them, within that request: what they keep running is not its work."""
    global _clients
    async with _starting:
        if _clients is None:
            made = work.Clients()
            await made.start()
            _clients = made
    return _clients


def blocking(kind):
    def view(_request, rid):
        work.BLOCKING[kind](kind, rid)
        return HttpResponse("ok")

    return path("%s/<int:rid>" % kind, view)


def asynchronous(kind):
    async def view(_request, rid):
        await work.ASYNC[kind](await clients(), kind, rid)
        return HttpResponse("ok")

    return path("%s/<int:rid>" % kind, view)


async def to_sync(_request, rid):
    await sync_to_async(work.plain)("to_sync", rid)
    await sync_to_async(work.call, thread_sensitive=False)("to_sync", rid, 6)
    return HttpResponse("ok")


async def _own_clients(kind, rid):
    import httpx

    async with httpx.AsyncClient(trust_env=False) as client:
        await asyncio.gather(*(client.get(work._url(kind, rid, n)) for n in (2, 4)))


def to_async(_request, rid):
    async_to_sync(_own_clients)("to_async", rid)
    work.call("to_async", rid, 1)
    return HttpResponse("ok")


async def async_alone(_request, rid):
    await _own_clients("async_alone", rid)
    return HttpResponse("ok")


urlpatterns = [
    *(blocking(kind) for kind in work.BLOCKING),
    *(asynchronous(kind) for kind in work.ASYNC if kind != "consumer"),
    path("to_sync/<int:rid>", to_sync),
    path("to_async/<int:rid>", to_async),
    path("async_alone/<int:rid>", async_alone),
]

if __name__ == "__main__":
    execute_from_command_line([*sys.argv, "--noreload"])
else:
    wsgi, asgi = get_wsgi_application(), get_asgi_application()
