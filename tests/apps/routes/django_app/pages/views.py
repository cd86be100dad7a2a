"""Views of the pages."""
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from django.views.generic import TemplateView, View


def home(request):
    return HttpResponse("home")


@require_http_methods(["GET", "POST"])
def status(request, **kwargs):
    return HttpResponse("status")


@csrf_exempt
def year(request, year):
    return HttpResponse(year)


def month(request, year, month):
    return HttpResponse(month)


def old(request, name=""):
    return HttpResponse(name)


def files(request, name):
    return HttpResponse(name)


class Base(View):
    def get(self, request, **kwargs):
        return HttpResponse("base")


class Item(Base):
    def put(self, request, **kwargs):
        return HttpResponse("item")

    def delete(self, request, **kwargs):
        return HttpResponse("item")


class About(TemplateView):
    template_name = "about.html"
