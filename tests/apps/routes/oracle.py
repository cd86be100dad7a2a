"""Prints what a framework itself reports about an application's routes, as JSON.

usage: oracle.py FRAMEWORK DIRECTORY MODULE:NAME [PATH]   (for Django: the settings module)

PATH is where the module is imported from; the directory itself unless it is given.

One object a route and method: method, route (each parameter as {name}), file (relative to the directory, or null
where the handler lies elsewhere), function, websocket. What frameworks add by themselves to every route (HEAD to GET,
OPTIONS) is left out.
"""
import functools
import importlib
import inspect
import json
import os
import re
import sys


def braces(path, opening="<", closing=">"):
    """`<int:id>` and `{id:int}` to `{id}`."""
    if opening == "{":
        return re.sub(r"\{([^{}:]+)(:(?:[^{}]|\{[^{}]*\})*)?\}", r"{\1}", path)
    return re.sub(r"<(?:[^<>:]*:)?([^<>:]+)>", r"{\1}", path)


def place(root, handler):
    """File and qualified name of a handler."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    handler = inspect.unwrap(handler) if callable(handler) else handler
    if not (inspect.isroutine(handler) or inspect.isclass(handler)):
        handler = type(handler)
    try:
        file = os.path.realpath(inspect.getsourcefile(handler))
    except TypeError:
        return None, getattr(handler, "__name__", "")
    relative = os.path.relpath(file, root)
    inside = relative if not relative.startswith("..") and "site-packages" not in relative else None
    name = handler.__name__ if inspect.isclass(handler) else handler.__qualname__.rsplit("<locals>.", 1)[-1]
    return inside, name


def row(root, method, route, handler, websocket=False, function=None):
    file, name = place(root, handler) if handler is not None else (None, "")
    return {"method": method, "route": route, "file": file, "function": function or name, "websocket": websocket}


def verbs_of(cls):
    return [verb for verb in ("get", "post", "put", "patch", "delete", "head", "options") if callable(getattr(cls, verb, None))]


def starlette(root, app):
    from starlette.routing import Host, Mount, Route, WebSocketRoute

    try:
        from fastapi.routing import APIRoute, iter_route_contexts
    except ImportError:
        APIRoute, iter_route_contexts = (), None

    def walk(routes, prefix):
        for item in iter_route_contexts(routes) if iter_route_contexts else routes:
            route = getattr(item, "original_route", item)
            path = prefix + (getattr(item, "path", None) or getattr(route, "path", ""))
            shown = braces(path, "{", "}")
            if isinstance(route, WebSocketRoute):
                yield row(root, "GET", shown, route.endpoint, True)
            elif isinstance(route, Route):
                if inspect.isclass(route.endpoint) and route.methods is None:
                    for verb in verbs_of(route.endpoint):
                        yield row(root, verb.upper(), shown, getattr(route.endpoint, verb))
                    continue
                methods = set(getattr(item, "methods", None) or route.methods or ["*"])
                # Starlette adds HEAD to GET; in FastAPI's routes it is there only where it was asked for.
                if "GET" in methods and not isinstance(route, APIRoute):
                    methods.discard("HEAD")
                for method in methods:
                    yield row(root, method, shown, route.endpoint)
            elif isinstance(route, (Mount, Host)):
                inner = getattr(route, "routes", None)
                if inner:
                    yield from walk(inner, path)
                else:
                    yield row(root, "*", shown + "/{path}", None, function=type(route.app).__name__)

    return list(walk(app.routes, ""))


def flask(root, app):
    rows = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        methods = set(rule.methods or ["*"])
        if "GET" in methods:
            methods.discard("HEAD")
        for method in sorted(methods - {"OPTIONS"}):
            cls = getattr(view, "view_class", None)
            handler = view
            if cls is not None:
                verb = getattr(cls, method.lower(), None)
                handler = verb if verb is not None and hasattr(cls, "methods") and not "dispatch_request" in vars(cls) else cls
            if rule.endpoint.split(".")[-1] == "static":
                rows.append(row(root, method, braces(rule.rule), None, function="static"))
            else:
                rows.append(row(root, method, braces(rule.rule), handler))
    return rows


def simplify(regex):
    """A regular expression with its groups as {name} or {var}, without anchors and optional marks."""
    out, i = "", 0
    regex = regex.replace("\\Z", "").replace("\\A", "")
    while i < len(regex):
        c = regex[i]
        if c == "\\":
            out += regex[i + 1] if regex[i + 1] not in "dwsDWS" else regex[i : i + 2]
            i += 2
        elif c == "(":
            depth, j, in_class = 0, i, False
            while True:
                if regex[j] == "\\":
                    j += 2
                    continue
                in_class = regex[j] == "[" or (in_class and regex[j] != "]")
                depth += (regex[j] == "(" and not in_class) - (regex[j] == ")" and not in_class)
                j += 1
                if depth == 0:
                    break
            named = re.match(r"\(\?P<(\w+)>", regex[i:j])
            out += "{%s}" % named.group(1) if named else simplify(regex[i + 3 : j - 1]) if regex[i : i + 3] == "(?:" else "{var}"
            i = j
        else:
            out += c if c not in "^$?" else ""
            i += 1
    return out


def operations(view):
    """Those of a path of django-ninja, whose view is a function within a method of theirs."""
    cells = getattr(view, "__closure__", None) or ()
    return [operation for cell in cells for operation in getattr(cell.cell_contents, "operations", ())]


def django(root, settings):
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    import django as package

    package.setup()
    from django.urls import URLPattern, get_resolver
    from django.urls.resolvers import LocalePrefixPattern, RegexPattern, RoutePattern

    def text(pattern):
        if isinstance(pattern, LocalePrefixPattern):
            return "{language}/"
        if isinstance(pattern, RegexPattern):
            return simplify(str(pattern._regex))
        assert isinstance(pattern, RoutePattern)
        return braces(str(pattern._route))

    def methods(view, base):
        for operation in operations(view):
            for method in operation.methods:
                yield method, operation.view_func, None
        if operations(view):
            return
        actions = getattr(view, "actions", None)
        cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
        if actions:
            for verb, action in actions.items():
                inherited = place(root, getattr(cls, action))[0] is None
                yield verb.upper(), cls if inherited else getattr(cls, action), f"{cls.__name__}.{action}" if inherited else None
        elif cls is not None:
            allowed = [verb for verb in verbs_of(cls) if verb in [name.lower() for name in cls.http_method_names]]
            allowed = [verb for verb in allowed if verb not in ("head", "options")]
            for verb in allowed or ["*"]:
                own = getattr(cls, verb, cls)
                file, _ = place(root, own)
                yield verb.upper(), own if file else cls, None
        else:
            yield "?", view, None

    def walk(patterns, prefix):
        for pattern in patterns:
            path = prefix + text(pattern.pattern)
            if isinstance(pattern, URLPattern):
                for method, handler, name in methods(pattern.callback, path):
                    yield row(root, method, "/" + path, handler, function=name)
            else:
                yield from walk(pattern.url_patterns, path)

    return list(walk(get_resolver().url_patterns, ""))


def aiohttp(root, app):
    from aiohttp import web

    rows = []
    for resource in app.router.resources():
        inner = [resource]
        if isinstance(resource, web.PrefixedSubAppResource):
            inner = list(resource)
        for item in resource if len(inner) == 1 else inner:
            path = braces(item.resource.canonical, "{", "}")
            if inspect.isclass(item.handler) and issubclass(item.handler, web.View):
                for verb in verbs_of(item.handler):
                    rows.append(row(root, verb.upper(), path, getattr(item.handler, verb)))
            elif item.method != "HEAD":
                rows.append(row(root, item.method, path, item.handler))
    return rows


def litestar(root, app):
    rows = []
    for route in app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:
            path = braces(route.path, "{", "}")
            websocket = type(route).__name__ == "WebSocketRoute"
            for method in ["GET"] if websocket else sorted(handler.http_methods):
                if str(method) != "OPTIONS":
                    rows.append(row(root, str(getattr(method, "value", method)), path, getattr(handler.fn, "value", handler.fn), websocket))
    return rows


def sanic(root, app):
    app.finalize()
    rows = []
    for route in app.router.routes:
        for method in sorted(route.methods):
            path = "/" + braces(re.sub(r"<([^:<>]+):[^<>]*>", r"<\1>", route.path))
            cls = getattr(route.handler, "view_class", None)
            websocket = bool(getattr(route.extra, "websocket", False))
            handler = getattr(cls, method.lower(), None) if cls else route.handler
            if cls and handler is None:
                continue
            if websocket:
                handler = getattr(handler, "args", [handler])[0] if isinstance(handler, functools.partial) else handler
            rows.append(row(root, method, path, handler, websocket))
    return rows


def tornado(root, app):
    from tornado.web import RequestHandler, StaticFileHandler
    from tornado.websocket import WebSocketHandler

    app = getattr(app, "app", app)
    rows = []
    for group in app.default_router.rules + app.wildcard_router.rules:
        for rule in getattr(group.target, "rules", None) or [group]:
            pattern = rule.matcher.regex.pattern
            cls = rule.target
            if issubclass(cls, WebSocketHandler):
                rows.append(row(root, "GET", simplify(pattern), cls, True))
            elif issubclass(cls, StaticFileHandler):
                rows.append(row(root, "GET", simplify(pattern), None, function=cls.__name__))
            else:
                for verb in verbs_of(cls):
                    if getattr(cls, verb) is not getattr(RequestHandler, verb):
                        rows.append(row(root, verb.upper(), simplify(pattern), getattr(cls, verb)))
    return rows


def falcon(root, app):
    rows = []

    def walk(nodes):
        for node in nodes:
            for method, responder in (node.method_map or {}).items():
                # What the framework adds by itself.
                if getattr(responder, "__self__", None) is node.resource and node.resource is not None:
                    rows.append(row(root, method, braces(node.uri_template, "{", "}"), responder))
            walk(node.children)

    walk(app._router._roots)
    for matcher, handler, is_sink in app._sink_and_static_routes:
        prefix = matcher.pattern if is_sink else matcher._prefix
        path = simplify(prefix).rstrip("/") + "/{path}"
        rows.append(row(root, "*", path, handler if is_sink else None, function=None if is_sink else "static"))
    return rows


def bottle(root, app):
    def braced(rule):
        rule = re.sub(r"<([a-zA-Z_0-9]+)(:[^<>]*)?>", r"{\1}", rule)
        # As rules were once written.
        return re.sub(r":([a-zA-Z_0-9]+)(#[^#]*#)?", r"{\1}", rule)

    return [row(root, route.method.replace("ANY", "*"), braced(route.rule), route.callback) for route in app.routes]


def main():
    framework, root, target, *path = sys.argv[1:]
    root = os.path.realpath(root)
    sys.path.insert(0, path[0] if path else root)
    if framework == "django":
        rows = django(root, target)
    else:
        module, name = target.split(":")
        app = getattr(importlib.import_module(module), name)
        if inspect.isfunction(app) or inspect.isclass(app):
            app = app()
        rows = globals()[framework](root, app)
    json.dump(rows, sys.stdout)
    sys.stdout.flush()
    # Threads that the application started would keep the interpreter waiting.
    os._exit(0)


main()
