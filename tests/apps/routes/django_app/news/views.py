"""Views of the news."""
from django.http import HttpResponse
from django.views import View


def index(request, **kwargs):
    return HttpResponse("index")


def article(request, year, title, **kwargs):
    return HttpResponse(title)


class Feed(View):
    def get(self, request, **kwargs):
        return HttpResponse("feed")

    def post(self, request, **kwargs):
        return HttpResponse("feed")
