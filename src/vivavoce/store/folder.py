"""Results in a folder: published by one rename, read from their paths; who reads holds a lock that falls with him."""

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from vivavoce.store.places import READ_LATELY, Held

__all__ = ["Folder", "held_file"]

_BLOCK = 256 * 1024
"""Bytes read at a time."""


def held_file(path: Path) -> Held | None:
    """What there is to know of a file; ``None`` when there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    return Held(path.name, stat.st_size, stat.st_mtime, etag, path)


class Folder:
    """A folder that several processes of a machine may share.

    Whoever reads a result holds a shared lock on ``reading/ID`` and sets its time; who removes one must have that
    lock alone.
    """

    def __init__(self, root: Path, *, marks: bool = True) -> None:
        self._root = root
        self._marks = root / "reading"
        self._marked = marks  # a folder that nobody sweeps needs none
        if marks:
            self._marks.mkdir(parents=True, exist_ok=True)

    async def take(self, part: Path, name: str) -> None:
        """One rename; it cannot be cancelled halfway."""
        _rename(part, self._root / name)

    async def head(self, name: str) -> Held | None:
        """Its size and time."""
        return held_file(self._root / name)

    async def list(self) -> list[Held]:
        """The files."""
        return await asyncio.to_thread(lambda: list(_files(self._root)))

    async def named(self, id: str) -> Sequence[str]:  # noqa: A002  the field's own word
        """The files of one result."""
        return await asyncio.to_thread(lambda: [path.name for path in self._root.glob(f"{id}.*")])

    async def remove(self, id: str, names: Sequence[str], *, even_if_read: bool = False) -> int:  # noqa: A002
        """A file that is open stays readable to its end: Linux keeps it after its name is gone."""
        return await asyncio.to_thread(self._remove, id, names, even_if_read)

    async def read(self, name: str, start: int, end: int) -> AsyncGenerator[bytes]:
        """Blocks of a file."""
        with _opened(self._root / name) as file:
            file.seek(start)
            while start < end and (block := await asyncio.to_thread(file.read, min(_BLOCK, end - start))):
                start += len(block)
                yield block

    @asynccontextmanager
    async def reading(self, id: str) -> AsyncIterator[None]:  # noqa: A002
        """Hold the mark of a result; where none can be written, on a full disk, it is read all the same."""
        mark = None
        with suppress(OSError):
            mark = self._mark(id) if self._marked else None
        try:
            yield
        finally:
            if mark is not None:
                os.utime(mark)
                os.close(mark)

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[bool]:
        """Hold a lock on the folder."""
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield _taken(folder, fcntl.LOCK_EX)
            await asyncio.to_thread(self._forget_readers)
        finally:
            os.close(folder)

    def excess(self, high_water: float, sizes: Iterable[int]) -> float:
        """As `df` counts: what only the administrator may use is no space."""
        if high_water > 1:
            return sum(sizes) - high_water
        disk = shutil.disk_usage(self._root)
        return disk.used - high_water * (disk.used + disk.free)

    def _remove(self, id: str, names: Sequence[str], even_if_read: bool) -> int:  # noqa: A002
        """In one thread and at once: readers wait for it, on the loop too."""
        with _alone(self._marks / id) as unread:
            return sum(_unlinked(self._root / name) for name in names) if unread or even_if_read else 0

    def _mark(self, id: str) -> int:  # noqa: A002
        """The mark's file, open, locked and of now."""
        while True:
            mark = os.open(self._marks / id, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(mark, fcntl.LOCK_SH)
                os.utime(mark)
                if os.fstat(mark).st_nlink:  # else a sweeper was faster: a lock on a removed file tells nobody
                    return mark
            except OSError:
                os.close(mark)
                raise
            os.close(mark)

    def _forget_readers(self) -> None:
        for mark in self._marks.iterdir():
            with _alone(mark):  # which removes it
                pass


@contextmanager
def _alone(mark: Path) -> Iterator[bool]:
    """Whether nobody holds a mark or did lately; then it is ours until the block ends, and removed there.

    One that is not there is made, since a reader might make it within the block.
    """
    try:
        file, left = _locked_alone(mark)
    except OSError:  # a full disk takes no marks, of readers neither
        yield True
        return
    try:
        yield left
        if left:
            mark.unlink(missing_ok=True)
    finally:
        os.close(file)


def _locked_alone(mark: Path) -> tuple[int, bool]:
    """A mark, open, and whether its lock is ours alone and it is of long ago."""
    while True:
        made = True
        try:
            file = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            made = False
            file = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _taken(file, fcntl.LOCK_EX):
            return file, False
        stat = os.fstat(file)
        if stat.st_nlink:  # else another sweeper was faster, and a reader may have made a new one
            return file, made or time.time() - stat.st_mtime >= READ_LATELY
        os.close(file)


def _taken(file: int, lock: int) -> bool:
    """Whether the lock could be had at once."""
    try:
        fcntl.flock(file, lock | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _files(folder: Path) -> Iterator[Held]:
    for path in folder.iterdir():
        if not path.is_dir() and (held := held_file(path)):  # None: another sweeper was faster
            yield held


def _unlinked(path: Path) -> bool:
    with suppress(FileNotFoundError):
        path.unlink()
        return True
    return False


def _rename(part: Path, to: Path) -> None:
    part.replace(to)


def _opened(path: Path) -> BufferedReader:
    return path.open("rb")
