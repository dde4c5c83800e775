"""Films that are watched while they are made: who makes one says how far it is, any number of readers follow.

The registry lives in the process that answers requests. A film is in it from the moment its address is given out until
it is published (or has failed); from then on the store answers. All of it belongs to one event loop.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

from vivavoce.errors import VivavoceError

__all__ = ["Films", "GrowingFilm"]

_BLOCK = 1 << 18  # bytes read at a time
_HEADER = 8  # bytes of a box: its size and name
_UNFINISHED = "The film could not be finished; ask for it again."


class Films:
    """The films that are expected or growing, by id."""

    def __init__(self) -> None:
        self._films: dict[str, GrowingFilm] = {}

    def expect(self, id: str) -> "GrowingFilm":  # noqa: A002 - the field's own word
        """A film that will be made; the same one while it is, so that a second attempt goes on with its readers.

        Whoever calls this must see to it that the film's ``end`` is called, whatever happens.
        """
        if id not in self._films:
            self._films[id] = GrowingFilm(lambda: self._films.pop(id, None))
        return self._films[id]

    def get(self, id: str) -> "GrowingFilm | None":  # noqa: A002
        """The film while it is expected or growing. Ask here first and the store second: it is never in neither."""
        return self._films.get(id)

    def __len__(self) -> int:
        return len(self._films)


class GrowingFilm:
    """One film in the making. Its maker calls ``grown`` and ``end``; readers come and go."""

    def __init__(self, forget: Callable[[], object]) -> None:
        self._forget = forget
        self._file: _File | None = None
        self._size = 0
        self._opened: list[_File] = []
        self._readers = 0
        self._ended = False
        self._failure: VivavoceError | None = None
        self._news = asyncio.Event()

    def grown(self, path: Path, size: int) -> None:
        """``size`` bytes of the fragmented film at ``path`` can be read; another file there is another attempt."""
        if not self._ended and self._open(path) >= size:  # less is there while an attempt begins again
            self._size = size
            self._tell()

    def end(self, error: Exception | None = None) -> None:
        """The film is published and its file complete, or ``error`` came between; Films forgets it.

        Readers get the rest of the file, which may be unlinked then, or the error. Only the first call counts.
        """
        if self._ended:
            return
        if self._file is not None:
            self._open(self._file.path)  # the last attempt may have been too short to be announced
        self._ended = True
        if error is not None:
            self._failure = _bare(error)
        self._forget()
        self._tell()
        self._close()

    async def finished(self) -> None:
        """Wait for the end; raises the error that came between."""
        while not self._ended:
            await self._news.wait()
        self._check()

    async def follow(self, *, fill: int = 1) -> AsyncGenerator[bytes]:
        """The fragmented film from its first byte, as it grows, to its end.

        Some players pass on what they have received in blocks of a fixed size only. With ``fill``, that size, a reader
        that has caught up gets an empty box up to the end of the block, so that the newest fragment is shown at once.
        Raises the error that ends the film, and ``VivavoceError`` when a second attempt makes another film than the
        one of which a part was read. Yields nothing when the film ends before anything of it could be read, or ended
        before the first block was asked for: the store has it then.
        """
        self._readers += 1
        try:
            async with aclosing(self._blocks(fill)) as blocks:
                async for block in blocks:
                    yield block
        finally:
            self._readers -= 1
            self._close()

    async def _blocks(self, fill: int) -> AsyncGenerator[bytes]:
        file: _File | None = None
        read = sent = 0
        while True:
            news, ended = self._news, self._ended  # taken before the look, so that nothing is missed
            self._check()
            if self._file is not None and file is not self._file and (ended or self._size >= read):
                file = await _continued(file, self._file, read)
            limit = _BLOCK if ended else min(_BLOCK, self._size - read)
            block = await asyncio.to_thread(file.read, read, limit) if file and limit > 0 else b""
            if block:
                read, sent = read + len(block), sent + len(block)
                yield block
            elif ended:
                return
            elif sent % fill:
                box = _empty_box(-sent % fill, fill)
                sent += len(box)
                yield box
            else:
                await news.wait()

    def _open(self, path: Path) -> int:
        """See to it that the file which is at ``path`` now is the one that is read; returns its size."""
        try:
            if self._file is None or not self._file.is_at(path):
                self._file, self._size = _File(path), 0
                self._opened.append(self._file)
            return path.stat().st_size
        except FileNotFoundError:
            return 0  # of an attempt that has failed meanwhile

    def _check(self) -> None:
        if self._failure:
            raise _bare(self._failure)

    def _tell(self) -> None:
        """Wake all that wait now; who waits later waits for the next news."""
        self._news.set()
        self._news = asyncio.Event()

    def _close(self) -> None:
        if self._ended and not self._readers:
            self._file = None
            while self._opened:
                self._opened.pop().close()


class _File:
    """A file that is read at any place by any number of readers, whatever becomes of its name."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._known = os.fstat(self._fd)
        self.path = path

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` names this file. Raises ``FileNotFoundError``."""
        return os.path.samestat(path.stat(), self._known)

    def read(self, start: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``start``; none at the end."""
        return os.pread(self._fd, count, start)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)


def _empty_box(size: int, block: int) -> bytes:
    """An MP4 box of ``size`` bytes that says nothing; a block longer where its own header would not fit."""
    size += block if size < _HEADER else 0
    return size.to_bytes(4, "big") + b"free" + bytes(size - _HEADER)


def _bare(error: Exception) -> VivavoceError:
    """An error of the same kind and words, without a traceback: that would keep alive what maker and readers hold."""
    return type(error)(str(error)) if isinstance(error, VivavoceError) else VivavoceError(_UNFINISHED)


async def _continued(old: _File | None, new: _File, read: int) -> _File:
    """``new`` for a reader that has had ``read`` bytes of ``old``: an attempt at the same film makes the same bytes."""

    def same() -> bool:
        return old is None or all(
            old.read(at, min(_BLOCK, read - at)) == new.read(at, min(_BLOCK, read - at))
            for at in range(0, read, _BLOCK)
        )

    if not await asyncio.to_thread(same):
        raise VivavoceError(_UNFINISHED)
    return new
