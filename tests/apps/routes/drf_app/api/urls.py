"""Routers, view sets, generic views, function views."""
from django.urls import include, path
from rest_framework import routers
from rest_framework.urlpatterns import format_suffix_patterns

from library import views

router = routers.DefaultRouter()
router.register("books", views.BookViewSet, basename="book")
router.register(r"authors", views.AuthorViewSet, basename="author")

bare = routers.SimpleRouter(trailing_slash=False)
bare.register("loans", views.LoanViewSet, basename="loan")

urlpatterns = [
    path("v1/", include(router.urls)),
    path("v2/", include((bare.urls, "bare"))),
    path("ping/", views.ping),
    path("members/", views.MemberList.as_view()),
    path("members/<int:pk>/", views.MemberDetail.as_view()),
    path("shelf/", views.ShelfViewSet.as_view({"get": "list", "post": "add"})),
]

urlpatterns += format_suffix_patterns([path("plain", views.Plain.as_view())])
