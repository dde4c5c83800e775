"""What every request passes through: an id, a log line without its words, the key, the body's limit.

A WebSocket passes through too. A browser can give it no header of its own, so its key may also come as a subprotocol
or in the address; and no browser asks before it connects, so the origin is checked here instead of by CORS.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from time import perf_counter
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vivavoce.web.dialects import Fault, answer

__all__ = ["Envelope"]

_log = structlog.get_logger(__name__)
_DRAINED = 64_000_000
"""Bytes of a refused body that are still read: most clients hear an answer only after they have sent everything."""
_OPEN = frozenset(
    {
        *("/", "/realtime", "/chat", "/avatars", "/training", "/voices", "/microphone", "/history", "/status"),
        "/api-test",
        *("/docs", "/redoc", "/openapi.json", "/favicon.ico"),
        "/vivavoce-avatar.js",
        *("/livez", "/readyz", "/api/health", "/api/avatar"),
    }
)
_OPEN_MEDIA = (
    *("/ui/", "/api/chunk/", "/video/", "/assets/audio/", "/v1/media/"),
    *("/static/videos/", "/static/voices/"),
)
"""Read by <video> and <script>, which cannot send a key; results have ids that cannot be guessed."""

_WORKERS = "/v1/workers/"
"""A door with a lock of its own: the token of workers."""
_SUBPROTOCOLS = ("key.", "openai-insecure-api-key.")
"""What a key is sent behind where only a subprotocol can be chosen; the second is OpenAI's own."""
_NEEDED = "A key is needed: send it as X-API-Key, or as Authorization: Bearer"


class Envelope:
    """ASGI middleware; it sits inside CORS, so that a browser can read every answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body: int,
        max_upload: int,
        api_keys: Sequence[str] = (),
        origins: Sequence[str] = ("*",),
    ) -> None:
        self._app = app
        self._origins = origins
        self._max_body = max_body
        self._max_upload = max_upload
        self._api_keys = [key.encode() for key in api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one WebSocket."""
        if scope["type"] == "websocket":
            await self._connect(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        form = headers.get("content-type", "").startswith("multipart/form-data")
        max_body = self._max_upload if form or scope["path"].startswith(_WORKERS) else self._max_body
        passage = _Passage(scope, receive, send, max_body)
        try:
            if not self._admits(scope, headers):
                await passage.refuse(Fault(401, "unauthorized", f"{_NEEDED}."), {"WWW-Authenticate": "Bearer"})
            elif int(headers.get("content-length", "0")) > max_body:
                await passage.refuse_body()
            else:
                await self._app(scope, passage.receive, passage.send)
        except Exception as e:  # noqa: BLE001 - the last resort: a client never sees a traceback
            _log.exception("request failed", request=passage.id, error=type(e).__name__)
            if not passage.status:
                await passage.refuse(Fault(500, "internal", "Something went wrong on the server; it has been logged."))
        finally:
            passage.log()

    def _admits(self, scope: Scope, headers: Headers) -> bool:
        if not self._api_keys or scope["path"] in _OPEN or scope["method"] == "OPTIONS":
            return True
        if scope["method"] in ("GET", "HEAD") and scope["path"].startswith(_OPEN_MEDIA):
            return True
        if scope["path"].startswith(_WORKERS):
            return True
        return self._knows(scope, headers.get("x-api-key") or _bearer(headers))

    def _knows(self, scope: Scope, key: str) -> bool:
        """Whether it is one of our keys; whose, is noted."""
        given = key.encode("latin-1", "replace")
        # All are tried, whichever fits.
        if sum(hmac.compare_digest(given, key) for key in self._api_keys) == 0:
            return False
        scope.setdefault("state", {})["owner"] = sha256(given).hexdigest()[:16]
        return True

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket: refused before it is accepted, which a client sees as 403."""
        headers, crossing = Headers(scope=scope), _Crossing(scope, send)
        key = _taken_out(scope) or headers.get("x-api-key") or _bearer(headers)
        try:
            if self._api_keys and not self._knows(scope, key):
                words = f"{_NEEDED}; in a browser as the subprotocol {_SUBPROTOCOLS[0]}YOUR-KEY, or as ?key=."
                await crossing.refuse(receive, Fault(403, "unauthorized", words))
            elif not self._welcomes(headers):
                await crossing.refuse(
                    receive, Fault(403, "forbidden", "Pages of this origin may not call this server.")
                )
            else:
                await self._app(scope, receive, crossing.send)
        finally:
            crossing.log()

    def _welcomes(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None or "*" in self._origins or origin in self._origins:
            return True
        return urlsplit(origin).netloc == headers.get("host", "")


def _taken_out(scope: Scope) -> str:
    """The key in a WebSocket's address or among its subprotocols.

    It is taken out of the address, which the web server logs. Of the subprotocols it goes last: the first is answered.
    """
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    key = next((value for name, value in query if name == "key"), "")
    if key:
        scope["query_string"] = urlencode([pair for pair in query if pair[0] != "key"]).encode()
    offered: list[str] = scope.get("subprotocols", [])
    scope["subprotocols"] = sorted(offered, key=lambda name: name.startswith(_SUBPROTOCOLS))
    hidden = next((name for name in offered if name.startswith(_SUBPROTOCOLS)), "")
    return key or hidden.partition(".")[2]


def _bearer(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


class _Passage:
    """One request on its way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body: int) -> None:
        self.id = uuid4().hex[:16]
        self.status = 0
        self._scope, self._receive, self._send = scope, receive, send
        self._max_body = max_body
        self._taken = 0
        self._began = perf_counter()

    async def receive(self) -> Message:
        """The next message; raises 413 when the body grows over the limit, whatever its header said."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._taken += len(message.get("body", b""))
            if self._taken > self._max_body:
                await self._drain(message)
                raise HTTPException(413)
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on, with the request's id in its headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.id
            headers["X-Content-Type-Options"] = "nosniff"
        await self._send(message)

    async def refuse(self, fault: Fault, headers: dict[str, str] | None = None) -> None:
        """Answer without asking the app."""
        await answer(self._scope["path"], fault, headers)(self._scope, self._receive, self.send)

    async def refuse_body(self) -> None:
        """Answer 413 after most of the body has been read and thrown away."""
        await self._drain({"type": "http.request", "more_body": True})
        await self.refuse(
            Fault(413, "too-large", f"The body is too large; at most {self._max_body} bytes are allowed.")
        )

    async def _drain(self, message: Message) -> None:
        while message["type"] == "http.request" and message.get("more_body") and self._taken < _DRAINED:
            message = await self._receive()
            self._taken += len(message.get("body", b""))

    def log(self) -> None:
        """One line: the route, not the path, since a path may hold a result's secret id."""
        route = getattr(self._scope.get("route"), "path", None)
        milliseconds = round((perf_counter() - self._began) * 1000, 1)
        _log.info("request", id=self.id, method=self._scope["method"], route=route, status=self.status, ms=milliseconds)


class _Crossing:
    """One WebSocket on its way through."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._id = uuid4().hex[:16]
        self._began = perf_counter()
        self._code: int | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on; what it is closed with is noted."""
        if message["type"] == "websocket.close":
            self._code = message.get("code", 1000)
        await self._send(message)

    async def refuse(self, receive: Receive, fault: Fault) -> None:
        """Do not accept it; with words where the web server can carry them."""
        self._code = fault.status
        if "websocket.http.response" in self._scope.get("extensions", {}):
            await answer(self._scope["path"], fault)(self._scope, receive, self._send)
        else:
            await self._send({"type": "websocket.close", "code": 1008})

    def log(self) -> None:
        """One line when it is over: the route, how long, and the code if it was closed from here."""
        route = getattr(self._scope.get("route"), "path", None)
        seconds = round(perf_counter() - self._began, 1)
        _log.info("connection", id=self._id, route=route, code=self._code, seconds=seconds)
