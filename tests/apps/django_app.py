"""Django in one file: `django_app.py runserver ADDRESS`."""

import sys
import time

import answer
import truth
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import re_path

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DEBUG=False,
        LOGGING_CONFIG=None,
        MIDDLEWARE=[],
        ROOT_URLCONF=__name__,
        SECRET_KEY="only for tests",
    )


def anything(request):
    while request.read(65536):
        pass
    wanted = answer.parse(request.path)
    if wanted.delay:
        time.sleep(wanted.delay)
    pieces = answer.body(wanted, request.method)
    if wanted.pieces:
        response = StreamingHttpResponse(iter(pieces), status=wanted.status)
    else:
        response = HttpResponse(b"".join(pieces), status=wanted.status)
    truth.served(request.method, request.path, wanted.status)
    return response


urlpatterns = [re_path("^.*$", anything)]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
