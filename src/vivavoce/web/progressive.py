"""A film by its address, whether it is finished or still being made.

``<video src=…>`` asks for everything and shows a fragmented film as it comes, if nothing says that it could seek in it.
A player that asks for a part (Safari begins with two bytes) needs the finished file, and waits for it.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from vivavoce.errors import VivavoceError
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.studio.films import Films, GrowingFilm
from vivavoce.web.media import MEDIA, media_response
from vivavoce.web.streams import Flow, until_gone

__all__ = ["film_response"]

_log = structlog.get_logger(__name__)
_MP4 = ".mp4"
_ALL = ("", "bytes=0-")
_BLOCK = 1 << 15
"""Bytes. Chromium's media stack sees what it has loaded in blocks of this size (``kUrlDataBlockSizeShift``), and a
quarter of a second of film is a tenth of one: without filling them up the first picture comes half as late again."""
_HEADERS = {"Cache-Control": "no-store", "Accept-Ranges": "none"}
"""What is sent now is another file than the one that stays: neither may be kept for the other."""


async def film_response(
    request: Request,
    id: str,  # noqa: A002 - the field's own word
    films: Films,
    artifacts: ArtifactStore,
    *,
    patience: float,
) -> Response:
    """Answer GET or HEAD for the film ``id``.

    Published: the file, whole or in ranges. Being made: the fragmented film as it grows, or, for a range other than
    ``bytes=0-``, the range of the file once that is finished. Nothing is answered before there is something to show,
    so what fails until then is an answer like any other; later the body breaks off. ``patience`` is in seconds, as
    ``Flow`` takes it. Raises ``NotFound``, ``Cancelled`` when the client leaves, and what ended the film.
    """
    # First here, then the store: a film leaves the one only when the other has it.
    if (film := films.get(id)) is not None:
        if request.method == "HEAD":
            return _head()
        wanted = request.headers.get("range", "").replace(" ", "").lower()
        if wanted not in _ALL:
            await until_gone(request, film.finished())
        # Players name a range, even for everything; whoever wants just the bytes gets just these.
        elif flow := await _followed(request, film, _BLOCK if wanted else 1, patience):
            return flow
    return await media_response(await artifacts.find(id, _MP4))


def _head() -> Response:
    """Nobody knows yet how long it will be."""
    response = Response(media_type=MEDIA[_MP4], headers=_HEADERS)
    del response.headers["Content-Length"]
    return response


async def _followed(request: Request, film: GrowingFilm, fill: int, patience: float) -> Response | None:
    """The film as it grows; None when it was finished before anything of it could be followed."""
    blocks = film.follow(fill=fill)
    try:
        first = await until_gone(request, anext(blocks))
    except StopAsyncIteration:
        return None
    except BaseException:  # also when the client leaves: its place among the readers goes with it
        await blocks.aclose()
        raise
    flow = _Following(_resumed(first, blocks), patience=patience, media_type=MEDIA[_MP4])
    flow.headers.update(_HEADERS)
    return flow


async def _resumed(first: bytes, blocks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(blocks):
        yield first
        async for block in blocks:
            yield block


class _Following(Flow):
    """A body that does not look complete when its film breaks off: the server then cuts the connection."""

    async def stream_response(self, send: Send) -> None:
        """Send the film as it grows."""
        try:
            await super().stream_response(send)
        except VivavoceError as e:
            _log.warning("a film broke off while it was sent", code=e.code)
