"""Routes whose views stand with those of the other Django application."""

from django.urls import path
from django_views import fail, healthy, unrelated

urlpatterns = [path("fail/<str:way>", fail), path("healthy", healthy), path("unrelated", unrelated)]
