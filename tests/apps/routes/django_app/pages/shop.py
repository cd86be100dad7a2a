"""Included below a language."""
from django.urls import path

from pages.views import status

urlpatterns = [path("cart/", status), path("cart/<int:item>/", status)]
