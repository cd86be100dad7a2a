"""Included twice, under different prefixes."""
from django.urls import path

from . import views

app_name = "news"
urlpatterns = [
    path("", views.index, name="index"),
    path("<int:year>/<str:title>/", views.article, name="article"),
    path("feed", views.Feed.as_view(), name="feed"),
]
