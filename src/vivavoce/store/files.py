"""Files that clients keep by name: made safe and unique, never overwritten, one folder for each owner.

Names are told to clients and can be guessed, so whose key it is decides who may read them.
"""

import os
import re
import secrets
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vivavoce.errors import NotFound
from vivavoce.store.remains import is_left_behind

__all__ = ["FileStore"]

_LONGEST = 100
"""Characters of a name, without its suffix."""
_NAME = re.compile(r"[^\W_][\w.\- ]*", re.UNICODE)
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_OWNER = re.compile(r"[0-9a-f]{16}")
_EVERYBODY = "everybody"
_PART = re.compile(r"\.(?P<pid>\d+)-[0-9a-f]{16}\.part")


class FileStore:
    """A folder of files. ``clock`` gives Unix seconds."""

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._clock = clock

    @contextmanager
    def part(self, owner: str) -> Iterator[Path]:
        """Where to write a file that is not whole yet; removed when the block ends without ``keep``."""
        folder = self._folder(owner)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{os.getpid()}-{secrets.token_hex(8)}.part"
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    def keep(self, part: Path, name: str) -> str:
        """Give a written file a name like ``name``, at once and whole; returns the name that it got.

        A name that is taken already gets a suffix that cannot be guessed: nothing is ever overwritten.
        """
        stem, suffix = _safe(name)
        wanted = stem + suffix
        while True:
            try:
                os.link(part, part.parent / wanted)  # unlike a rename it fails where something is
            except FileExistsError:
                wanted = f"{stem}-{secrets.token_hex(4)}{suffix}"
            else:
                part.unlink()
                os.utime(part.parent / wanted, (self._clock(), self._clock()))
                return wanted

    def replace(self, part: Path, name: str) -> str:
        """Give a written file just this name, in place of the file that has it; returns the name, made safe."""
        stem, suffix = _safe(name)
        part.replace(part.parent / (stem + suffix))
        return stem + suffix

    def find(self, owner: str, name: str) -> Path:
        """The file of that name. Raises ``NotFound``, in the same way for what is no name at all."""
        path = self._folder(owner) / name
        if not _is_name(name) or path.is_symlink() or not path.is_file():
            raise NotFound("File not found")
        return path

    def sweep(self, older_than: float, most_bytes: int) -> int:
        """Remove files older than so many seconds, then the oldest beyond ``most_bytes``; returns how many."""
        removed, kept = 0, []
        now = self._clock()
        for path in self._files():
            with suppress(FileNotFoundError):  # another process sweeps too
                stat = path.stat()
                part = _PART.fullmatch(path.name)
                if part:
                    if is_left_behind(int(part["pid"]), stat.st_mtime):
                        path.unlink()
                        removed += 1
                elif now - stat.st_mtime >= older_than:
                    path.unlink()
                    removed += 1
                else:
                    kept.append((stat.st_mtime, stat.st_size, path))
        excess = sum(size for _, size, _ in kept) - most_bytes
        for _, size, path in sorted(kept):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size
            removed += 1
        return removed

    def _files(self) -> Iterator[Path]:
        if self._root.is_dir():
            for folder in self._root.iterdir():
                if folder.is_dir() and not folder.is_symlink():
                    yield from (path for path in folder.iterdir() if not path.is_dir())

    def _folder(self, owner: str) -> Path:
        return self._root / (owner if _OWNER.fullmatch(owner) else _EVERYBODY)


def _is_name(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and ".." not in name and len(name) <= _LONGEST + 20


def _safe(name: str) -> tuple[str, str]:
    """Stem and suffix of a name without anything that could lead elsewhere; letters of all scripts stay."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    stem, dot, ending = last.rpartition(".")
    suffix = dot + ending if stem and _SUFFIX.fullmatch(dot + ending) else ""
    stem = stem if suffix else last
    stem = re.sub(r"\.{2,}", ".", re.sub(r"[^\w.\- ]", "_", stem)).strip(" .-_")
    encoded = stem[:_LONGEST].encode()[:180]  # file systems count bytes
    stem = encoded.decode(errors="ignore").strip(" .-_")
    return stem or "file", suffix
