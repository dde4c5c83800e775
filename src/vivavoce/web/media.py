"""Media as players want them, from a file or out of a bucket: HEAD, Range (206, 416), If-Range, ETag, Content-Length.

Nothing is held whole in memory, and nothing that is being sent is swept.
"""

import asyncio
import re
from contextlib import aclosing
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vivavoce.store.artifacts import Artifact

__all__ = ["MEDIA", "media_response"]

_log = structlog.get_logger(__name__)
MEDIA = {
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".srt": "application/x-subrip",
    ".vtt": "text/vtt",
    ".wav": "audio/wav",
}
_RANGE = re.compile(r"bytes\s*=\s*(?P<first>\d{0,18})\s*-\s*(?P<last>\d{0,18})\s*", re.ASCII | re.IGNORECASE)
_PATIENCE = 300.0
"""Seconds that a client may leave a block unread; a player whose picture stands still asks again for the rest."""


async def media_response(artifact: Artifact | Path, *, filename: str | None = None, changes: bool = False) -> Response:
    """A result or a file, whole or in the range that the client asks for; with ``filename`` as an attachment.

    A result never changes under its id, so its own client may keep it; what ``changes`` is asked for again each time.
    Raises ``NotFound`` for a file that is not there.
    """
    found = artifact if isinstance(artifact, Artifact) else await asyncio.to_thread(Artifact.of_file, artifact)
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-cache" if changes else "private, max-age=3600",
        "Content-Length": str(found.size),
        "ETag": found.etag,
        "Last-Modified": formatdate(found.modified, usegmt=True),
    }
    if filename is not None:
        headers["Content-Disposition"] = _attachment(filename)
    return _Media(found, headers=headers, media_type=MEDIA.get(found.suffix, "application/octet-stream"))


class _Media(Response):
    """The answer to a request for media (RFC 9110, 13 and 14)."""

    def __init__(self, artifact: Artifact, **more: Any) -> None:
        super().__init__(**more)
        self._artifact = artifact

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what the client has not got and asks for."""
        asked = Headers(scope=scope)
        wanted = _Span(0, self._artifact.size)
        if self._is_known(asked.get("if-none-match", "")):
            await self._bare(304, "etag", "last-modified", "cache-control")(scope, receive, send)
            return
        if scope["method"] in ("GET", "HEAD") and self._may_be_cut(asked.get("if-range")):
            span = _span(asked.get("range", ""), self._artifact.size)
            if span is None:
                refusal = self._bare(416, "accept-ranges", "etag")
                refusal.headers["Content-Range"] = f"bytes */{self._artifact.size}"
                await refusal(scope, receive, send)
                return
            if span.stated:
                wanted, self.status_code = span, 206
                self.headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{self._artifact.size}"
                self.headers["Content-Length"] = str(span.end - span.start)
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b""})
            return
        gone = asyncio.create_task(_gone(receive))
        try:
            async with self._artifact.reading():
                await self._send(wanted, gone, send)
        finally:
            gone.cancel()

    async def _send(self, wanted: "_Span", gone: "asyncio.Task[None]", send: Send) -> None:
        async with aclosing(self._artifact.read(wanted.start, wanted.end)) as blocks:
            block = await anext(blocks, b"")  # what is gone meanwhile is still answered 404
            await self._start(send)
            left = wanted.end - wanted.start - len(block)
            try:
                while not gone.done():
                    async with asyncio.timeout(_PATIENCE):
                        await send({"type": "http.response.body", "body": block, "more_body": left > 0})
                    if left <= 0 or not (block := await anext(blocks, b"")):
                        return
                    left -= len(block)
            except TimeoutError:
                _log.warning("a client stopped reading", seconds=_PATIENCE)

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    def _bare(self, status: int, *kept: str) -> Response:
        return Response(status_code=status, headers={name: self.headers[name] for name in kept})

    def _is_known(self, tags: str) -> bool:
        """Whether the client has these bytes already (13.1.2: a weak comparison)."""
        known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        return self._artifact.etag in known or known == ["*"]

    def _may_be_cut(self, condition: str | None) -> bool:
        """Whether a range fits what the client has (13.1.5: the very same bytes)."""
        return condition is None or condition in (self._artifact.etag, self.headers["last-modified"])


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes from ``start`` up to ``end``."""

    start: int
    end: int
    stated: bool = False
    """Whether the client asked for just these."""


def _span(header: str, size: int) -> _Span | None:
    """What a Range header asks for (14.1.2); ``None`` when that lies outside.

    Several ranges, and what is no range of bytes, are answered with the whole, as the RFC allows.
    """
    match = _RANGE.fullmatch(header)
    if not match or not (match["first"] or match["last"]):
        return _Span(0, size)
    if not match["first"]:
        length = min(int(match["last"]), size)
        return _Span(size - length, size, stated=True) if length else None
    first, last = int(match["first"]), int(match["last"] or size)
    if last < first and match["last"]:
        return _Span(0, size)
    return _Span(first, min(last + 1, size), stated=True) if first < size else None


def _attachment(filename: str) -> str:
    """The header that names a file (RFC 6266), whatever letters its name has."""
    quoted = quote(filename, safe="")
    return f'attachment; filename="{filename}"' if quoted == filename else f"attachment; filename*=utf-8''{quoted}"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
