"""Applications that are served over TLS: the request's path says what to answer, as in peer.py."""

BIG = b"x" * 1_000_000


def _answer(path, method):
    kind = path.split("/")[1]
    status = {"s404": 404, "s503": 503}.get(kind, 200)
    return status, b"" if method == "HEAD" else BIG if kind == "big" else b'{"ok": true}'


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    status, body = _answer(scope["path"], scope["method"])
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ, start_response):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    status, body = _answer(environ["PATH_INFO"], environ["REQUEST_METHOD"])
    start_response("%d Reason" % status, [("Content-Length", str(len(body)))])
    return [body]
