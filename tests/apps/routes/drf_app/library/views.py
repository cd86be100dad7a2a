"""Views of the library."""
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action, api_view
from rest_framework.response import Response
from rest_framework.views import APIView


class BookViewSet(viewsets.ModelViewSet):
    queryset = []
    lookup_field = "isbn"
    lookup_value_regex = "[0-9]{13}"

    @action(detail=True, methods=["post"])
    def borrow(self, request, isbn=None):
        return Response({})

    @action(detail=False, url_path="most-read")
    def most_read(self, request):
        return Response([])


class AuthorViewSet(viewsets.ReadOnlyModelViewSet):
    queryset = []

    @action(detail=True, methods=["get", "put"], url_path=r"works/(?P<year>\d+)")
    def works(self, request, pk=None, year=None):
        return Response([])


class LoanViewSet(mixins.CreateModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet):
    queryset = []

    def list(self, request):
        return Response([])


class ShelfViewSet(viewsets.ViewSet):
    def list(self, request):
        return Response([])

    def add(self, request):
        return Response([])


@api_view(["GET", "POST"])
def ping(request):
    return Response({})


class MemberList(generics.ListCreateAPIView):
    queryset = []


class MemberDetail(generics.RetrieveUpdateDestroyAPIView):
    queryset = []


class Plain(APIView):
    def get(self, request, format=None):
        return Response({})
