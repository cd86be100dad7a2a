import asyncio
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from apm_agent import ASGIMiddleware, WSGIMiddleware, current_headers, current_ids  # noqa: E402


def asgi(headers, app):
    """Runs one request through an ASGI app; what it sent."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "headers": headers}
    asyncio.run(ASGIMiddleware(app)(scope, None, send))
    return sent


class Asgi(unittest.TestCase):
    def test_ids_of_the_request_go_out_with_its_calls(self):
        seen = []

        async def app(scope, receive, send):
            async def task():
                seen.append(current_headers())

            await asyncio.gather(task(), task())
            await send({"type": "http.response.start", "status": 200, "headers": []})

        sent = asgi([(b"X-Request-Id", b"r1"), (b"x-correlation-id", b"c1"), (b"traceparent", b"00-a-b-01")], app)
        for headers in seen:
            self.assertEqual(headers["X-Parent-Request-ID"], "r1")
            self.assertEqual(headers["X-Correlation-ID"], "c1")
            self.assertEqual(headers["traceparent"], "00-a-b-01")
        self.assertNotEqual(seen[0]["X-Request-ID"], seen[1]["X-Request-ID"])
        self.assertEqual(sent[0]["headers"], [(b"x-request-id", b"r1")])
        self.assertIsNone(current_ids())

    def test_ids_are_made_where_absent_or_unfit(self):
        async def app(scope, receive, send):
            ids = current_ids()
            self.assertEqual(ids.correlation_id, ids.request_id)
            self.assertEqual(len(ids.request_id), 36)
            self.assertIsNone(ids.parent_id)

        asgi([], app)
        asgi([(b"x-request-id", b"evil\r\nSet-Cookie: x")], app)

    def test_the_app_s_own_header_is_left_alone(self):
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Request-ID", b"own")]})

        self.assertEqual(asgi([], app)[0]["headers"], [(b"X-Request-ID", b"own")])

    def test_lifespan_passes(self):
        called = []

        async def app(scope, receive, send):
            called.append(current_ids())

        asyncio.run(ASGIMiddleware(app)({"type": "lifespan"}, None, None))
        self.assertEqual(called, [None])


class Wsgi(unittest.TestCase):
    def test_ids_last_until_the_body_is_closed(self):
        started = []

        def app(environ, start_response):
            start_response("200 OK", [])
            yield current_headers()["X-Parent-Request-ID"].encode()

        environ = {"HTTP_X_REQUEST_ID": "r2"}
        body = WSGIMiddleware(app)(environ, lambda *arguments: started.append(arguments))
        self.assertEqual(list(body), [b"r2"])
        body.close()
        body.close()
        self.assertEqual(started, [("200 OK", [("X-Request-ID", "r2")])])
        self.assertEqual(current_headers(), {})

    def test_an_app_that_fails_leaves_no_ids(self):
        def app(environ, start_response):
            raise ValueError

        with self.assertRaises(ValueError):
            WSGIMiddleware(app)({}, None)
        self.assertIsNone(current_ids())


if __name__ == "__main__":
    unittest.main()
