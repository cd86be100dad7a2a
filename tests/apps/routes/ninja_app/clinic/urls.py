"""Two APIs of django-ninja beside a view of Django's."""
from django.http import HttpResponse
from django.urls import path

from .api import api, internal


def health(request):
    return HttpResponse("ok")


urlpatterns = [
    path("health", health),
    path("api/", api.urls),
    path("internal/", internal.urls),
]
