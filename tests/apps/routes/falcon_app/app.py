"""An application of Falcon: resources, suffixes, converters, a sink and static files."""
import falcon

from resources import Album, Archive, Health, Images


def proxy(request, response):
    response.text = "elsewhere"


def fallback(request, response):
    response.status = falcon.HTTP_404


def create_app():
    app = falcon.App()
    images = Images()
    app.add_route("/images", images, suffix="collection")
    app.add_route("/images/{image:int}", images)
    app.add_route("/images/latest", images, suffix="latest")
    app.add_route("/albums/{album}", Album(max_size=10))
    app.add_route("/albums/{album}/covers/{number:int(num_digits=4)}", Album(), suffix="cover")
    app.add_route("/albums/{album}/{start:dt('%Y-%m-%d')}", Archive())
    app.add_route("/archive/{name}.{extension}", Archive())
    app.add_route("/archive/{key:uuid}", Archive(), suffix="key")
    app.add_route("/files/{path:path}", Archive(), suffix="file")
    app.add_route("/{anything}/about", Health())
    for path in ("/health", "/ready"):
        app.add_route(path, Health())
    app.add_sink(proxy, prefix="/proxy")
    app.add_sink(fallback, r"/v[0-9]+/legacy")
    app.add_static_route("/static", "/srv/files")
    return app
