"""Prints which handler a framework picks for each of a list of requests, as a JSON list: the handler's name, or `redirect`,
`405`, `none`.

usage: picks.py FRAMEWORK DIRECTORY MODULE:NAME REQUESTS   (for Django: the settings module)

REQUESTS is a file with a JSON list of [method, path].
"""
import asyncio
import functools
import importlib
import inspect
import json
import os
import sys
from urllib.parse import unquote


def name(handler):
    while isinstance(handler, functools.partial):
        handler = handler.func
    handler = inspect.unwrap(handler) if callable(handler) else handler
    if not (inspect.isroutine(handler) or inspect.isclass(handler)):
        handler = type(handler)
    return handler.__name__ if inspect.isclass(handler) else handler.__qualname__.rsplit("<locals>.", 1)[-1]


def starlette(app):
    from starlette.endpoints import HTTPEndpoint

    async def pick(method, path):
        status = []
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "path": unquote(path), "raw_path": path.encode(),
            "query_string": b"", "root_path": "", "scheme": "http", "headers": [(b"host", b"x")], "server": ("x", 80),
            "client": ("x", 1),
        }

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            if message["type"] == "http.response.start":
                status.append(message["status"])

        try:
            await app(scope, receive, send)
        except Exception:
            status.append(500)
        endpoint = scope.get("endpoint")
        if status[0] == 307:
            return "redirect"
        if type(endpoint).__name__ == "StaticFiles":
            return "StaticFiles"
        if status[0] == 405:
            return "405"
        if endpoint is None or not (inspect.isroutine(endpoint) or inspect.isclass(endpoint)):
            return "none"
        if inspect.isclass(endpoint) and issubclass(endpoint, HTTPEndpoint):
            return f"{endpoint.__name__}.{method.lower()}"
        return name(endpoint) if status[0] != 404 else "none"

    loop = asyncio.new_event_loop()
    return lambda method, path: loop.run_until_complete(pick(method, path))


def flask(app):
    from werkzeug.exceptions import MethodNotAllowed, NotFound
    from werkzeug.routing import RequestRedirect

    adapter = app.url_map.bind("localhost")

    def pick(method, path):
        try:
            rule, _ = adapter.match(unquote(path), method, return_rule=True)
        except RequestRedirect:
            return "redirect"
        except MethodNotAllowed:
            return "405"
        except NotFound:
            return "none"
        if rule.endpoint.split(".")[-1] == "static":
            return "static"
        view = app.view_functions[rule.endpoint]
        cls = getattr(view, "view_class", None)
        if cls is None:
            return name(view)
        own = getattr(cls, method.lower(), None)
        return name(own) if own is not None and "dispatch_request" not in vars(cls) else cls.__name__

    return pick


def django(settings):
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    import django as package

    package.setup()
    from django.urls import Resolver404, get_resolver
    from django.utils import translation

    resolver = get_resolver()

    def pick(method, path):
        path = unquote(path)
        # As LocaleMiddleware does: the language of the path, if it begins with one.
        translation.activate(translation.get_language_from_path(path) or "en")
        try:
            found = resolver.resolve(path)
        except Resolver404:
            return "none"
        view = found.func
        # Those of a path of django-ninja.
        cells = getattr(view, "__closure__", None) or ()
        operations = [operation for cell in cells for operation in getattr(cell.cell_contents, "operations", ())]
        if operations:
            return name(next((o for o in operations if method in o.methods), operations[0]).view_func)
        cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
        own = getattr(cls, getattr(view, "actions", None) and view.actions.get(method.lower(), "") or method.lower(), None)
        inside = own is not None and os.path.realpath(inspect.getsourcefile(inspect.unwrap(own))).startswith(sys.path[0])
        return name(own) if inside else cls.__name__ if cls else name(view)

    return pick


def falcon(app):
    def pick(method, path):
        path = unquote(path)
        found = app._router.find(path)
        if found is not None:
            resource, methods, _, _ = found
            responder = methods.get(method)
            return name(responder) if getattr(responder, "__self__", None) is resource else "405"
        for matcher, handler, is_sink in app._sink_and_static_routes:
            if matcher.match(path):
                return name(handler) if is_sink else "static"
        return "none"

    return pick


def bottle(app):
    from bottle import HTTPError

    def pick(method, path):
        try:
            found, _ = app.router.match({"REQUEST_METHOD": method, "PATH_INFO": unquote(path)})
        except HTTPError as error:
            return {405: "405", 400: "400"}.get(error.status_code, "none")
        return name(found.callback)

    return pick


def aiohttp(app):
    from aiohttp import web
    from aiohttp.test_utils import make_mocked_request

    app.freeze()

    async def pick(method, path):
        found = await app.router.resolve(make_mocked_request(method, path))
        if found.http_exception is not None:
            return {405: "405"}.get(found.http_exception.status, "none")
        handler = found.handler
        if inspect.isclass(handler) and issubclass(handler, web.View):
            own = getattr(handler, method.lower(), None)
            return name(own) if own else "405"
        return name(handler)

    loop = asyncio.new_event_loop()
    return lambda method, path: loop.run_until_complete(pick(method, path))


def litestar(app):
    from litestar.utils.path import normalize_path
    from litestar.exceptions import MethodNotAllowedException, NotFoundException

    def pick(method, path):
        try:
            _, handler, *_ = app.asgi_router.handle_routing(normalize_path(unquote(path)), method)
        except MethodNotAllowedException:
            return "405"
        except NotFoundException:
            return "none"
        return name(getattr(handler.fn, "value", handler.fn))

    return pick


def sanic(app):
    from sanic.exceptions import MethodNotAllowed, NotFound

    app.finalize()

    def pick(method, path):
        try:
            route, handler, _ = app.router.get(unquote(path), method, None)
        except MethodNotAllowed:
            return "405"
        except NotFound:
            return "none"
        cls = getattr(handler, "view_class", None)
        if cls is not None:
            return name(getattr(cls, method.lower())) if hasattr(cls, method.lower()) else "405"
        if getattr(route.extra, "websocket", False):
            handler = handler.args[0] if isinstance(handler, functools.partial) else handler
        return name(handler)

    return pick


def tornado(app):
    from tornado.httputil import HTTPServerRequest
    from tornado.web import ErrorHandler, RequestHandler
    from tornado.websocket import WebSocketHandler

    app = getattr(app, "app", app)

    class Connection:
        context = None

        def set_close_callback(self, callback):
            pass

    def pick(method, path):
        found = app.find_handler(HTTPServerRequest(method, path, connection=Connection()))
        cls = found.handler_class
        if issubclass(cls, ErrorHandler):
            return "none"
        own = getattr(cls, method.lower())
        if own is getattr(RequestHandler, method.lower()):
            return "405"
        return cls.__name__ if cls.__module__.startswith("tornado.") or issubclass(cls, WebSocketHandler) else name(own)

    return pick


def main():
    framework, root, target, requests = sys.argv[1:]
    sys.path.insert(0, os.path.realpath(root))
    if framework == "django":
        pick = django(target)
    else:
        module, attribute = target.split(":")
        app = getattr(importlib.import_module(module), attribute)
        if inspect.isfunction(app) or inspect.isclass(app):
            app = app()
        pick = globals()[framework](app)
    with open(requests) as file:
        picks = [pick(method, path) for method, path in json.load(file)]
    print()
    print(json.dumps(picks), flush=True)
    os._exit(0)


main()
