"""The root: includes by name, by module, by list and by tuple; regular expressions; languages."""
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path, re_path

from news import urls as news_urls
from pages import views

api_patterns = [
    path("status/", views.status),
    path("items/<int:pk>/", views.Item.as_view()),
]

extra = (
    [
        path("one/", views.status, name="one"),
        path("<slug:slug>/<uuid:key>/", views.status, name="two"),
    ],
    "extra",
)

urlpatterns = [
    path("", views.home, name="home"),
    path("news/", include("news.urls")),
    path("again/<int:edition>/", include(news_urls)),
    path("api/", include(api_patterns)),
    path("extra/", include(extra, namespace="extra")),
    re_path(r"^articles/(?P<year>[0-9]{4})/$", views.year),
    re_path(r"^articles/([0-9]{4})/([0-9]{1,2})/$", views.month),
    re_path(r"^old/", include([re_path(r"^(?P<name>\w+)/?$", views.old), path("plain", views.old)])),
    path("files/<path:name>", views.files),
]

if settings.DEBUG:
    urlpatterns += [path("__debug__/", views.status)]

urlpatterns += i18n_patterns(
    path("about/", views.About.as_view()),
    path("shop/", include("pages.shop")),
)
