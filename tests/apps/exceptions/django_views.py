"""Views that fail, one that does not, and one that fails by itself after a library has handled an exception."""

from concurrent.futures import ThreadPoolExecutor

from django.http import HttpResponse
from failing import BY_NAME, handled


def fail(_request, way):
    return HttpResponse(str(BY_NAME[way]()))


def healthy(_request):
    return HttpResponse(handled())


def unrelated(_request):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(BY_NAME["key"]).exception()
    return HttpResponse(status=503)
