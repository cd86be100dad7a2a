"""Correlation headers for an app's own outgoing calls.

The middlewares take the ids of the request that is being served from its headers, or make them; `current_headers` hands
them to outgoing calls. They live in a context variable, so tasks and `asyncio.to_thread` inherit them.
"""

from contextvars import ContextVar
from typing import Dict, NamedTuple, Optional
from uuid import uuid4

__all__ = ["ASGIMiddleware", "Ids", "WSGIMiddleware", "current_headers", "current_ids"]

# Longer ids are cut, as the agent cuts them.
_ID_MAX = 128


class Ids(NamedTuple):
    """The ids of the request that is being served."""

    request_id: str
    """This hop: ``X-Request-ID``, made when absent."""
    correlation_id: str
    """The chain: ``X-Correlation-ID``, else the request id."""
    parent_id: Optional[str]
    """The caller's request: ``X-Parent-Request-ID``."""
    traceparent: Optional[str]
    """W3C ``traceparent`` as received."""


_current: "ContextVar[Optional[Ids]]" = ContextVar("apm_agent_ids", default=None)


def current_ids() -> Optional[Ids]:
    """The ids of the request that is being served; ``None`` outside of one."""
    return _current.get()


def current_headers() -> Dict[str, str]:
    """Headers for an outgoing call made for the current request; empty outside of one."""
    ids = _current.get()
    if ids is None:
        return {}
    headers = {
        "X-Request-ID": str(uuid4()),
        "X-Parent-Request-ID": ids.request_id,
        "X-Correlation-ID": ids.correlation_id,
    }
    if ids.traceparent:
        headers["traceparent"] = ids.traceparent
    return headers


def _clean(value: Optional[str]) -> Optional[str]:
    """An id that may stand in a header: printable ASCII without blanks; ``None`` for anything else."""
    if not value:
        return None
    value = value.strip()[:_ID_MAX]
    return value if value and all("!" <= c <= "~" for c in value) else None


def _ids(get) -> Ids:
    request_id = _clean(get("x-request-id")) or str(uuid4())
    return Ids(
        request_id=request_id,
        correlation_id=_clean(get("x-correlation-id")) or request_id,
        parent_id=_clean(get("x-parent-request-id")),
        traceparent=_clean(get("traceparent")),
    )


class ASGIMiddleware:
    """Sets the current ids for each HTTP and WebSocket request of an ASGI app."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in reversed(scope.get("headers") or [])}

        def get(name):
            value = headers.get(name.encode("latin-1"))
            return value.decode("latin-1") if value is not None else None

        ids = _ids(get)

        async def send_with_id(message):
            if message["type"] == "http.response.start":
                present = list(message.get("headers") or [])
                if not any(name.lower() == b"x-request-id" for name, _ in present):
                    present.append((b"x-request-id", ids.request_id.encode("latin-1")))
                    message = dict(message, headers=present)
            await send(message)

        token = _current.set(ids)
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            _current.reset(token)


class WSGIMiddleware:
    """Sets the current ids for each request of a WSGI app, until its response's body is closed."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        ids = _ids(lambda name: environ.get("HTTP_" + name.upper().replace("-", "_")))

        def start_with_id(status, headers, exc_info=None):
            if not any(name.lower() == "x-request-id" for name, _ in headers):
                headers = list(headers) + [("X-Request-ID", ids.request_id)]
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        token = _current.set(ids)
        try:
            body = self.app(environ, start_with_id)
        except BaseException:
            _current.reset(token)
            raise
        return _Body(body, token)


class _Body:
    """A response's body; the ids are current until it is closed, as a generator may still make calls."""

    def __init__(self, body, token):
        self._body = body
        self._token = token

    def __iter__(self):
        return iter(self._body)

    def close(self):
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if self._token is not None:
                _current.reset(self._token)
                self._token = None
