"""Resources."""


class Images:
    def on_get(self, request, response, image):
        response.media = {}

    def on_delete(self, request, response, image):
        response.status = 204

    def on_get_collection(self, request, response):
        response.media = []

    def on_post_collection(self, request, response):
        response.status = 201

    def on_get_latest(self, request, response):
        response.media = {}


class Base:
    def on_options(self, request, response, **parameters):
        response.set_header("Allow", "GET")


class Album(Base):
    def __init__(self, max_size=1):
        self.max_size = max_size

    def on_get(self, request, response, album):
        response.media = {}

    def on_put(self, request, response, album):
        response.media = {}

    def on_get_cover(self, request, response, album, number):
        response.media = {}


class Archive:
    def on_get(self, request, response, **parameters):
        response.media = {}

    def on_get_key(self, request, response, key):
        response.media = {}

    def on_get_file(self, request, response, path):
        response.media = {}


class Health:
    def on_get(self, request, response, **parameters):
        response.media = {"ok": True}
