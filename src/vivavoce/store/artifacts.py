"""Results by ids that cannot be guessed: written as parts, visible only when whole, read in ranges, swept by age.

They lie in a folder, or in a bucket; the parts are always files of this machine.
"""

import asyncio
import os
import re
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from vivavoce.errors import NotFound
from vivavoce.store.folder import Folder, held_file
from vivavoce.store.places import Held, Place
from vivavoce.store.remains import is_left_behind

__all__ = ["YOUNG", "Artifact", "ArtifactStore"]

YOUNG = 300.0
"""Seconds for which a result is safe from the high-water mark: its client has just been told of it."""
_ID = r"\d{8}_\d{6}_\d{6}_\d{1,6}_[0-9a-f]{16}"
_SUFFIX = r"\.[a-z0-9]{1,8}"
_ARTIFACT = re.compile(rf"(?P<id>{_ID})(?P<suffix>{_SUFFIX})", re.ASCII)
_PART = re.compile(_ID + _SUFFIX + r"\.(?P<pid>\d+)\.part", re.ASCII)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A published result."""

    id: str
    suffix: str
    """``.mp4`` and the like."""
    size: int
    """Bytes."""
    modified: float
    """Unix seconds."""
    etag: str
    """Quoted; the same as long as the bytes are."""
    path: Path | None
    """Its file, when it lies on this machine."""
    _place: Place = field(repr=False, compare=False)

    @classmethod
    def of_file(cls, path: Path) -> "Artifact":
        """A file that is no result of the store, as if it were one. Raises ``NotFound``."""
        held = held_file(path)
        if held is None:
            raise _missing()
        return cls(path.stem, path.suffix, held.size, held.modified, held.etag, path, Folder(path.parent, marks=False))

    def read(self, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes from ``start`` up to ``end``, in blocks. Raises ``NotFound`` when it has been removed since."""
        return self._read(start, self.size if end is None else min(end, self.size))

    def reading(self) -> AbstractAsyncContextManager[None]:
        """No sweep of any process removes it within the block, nor in the minute after it."""
        return self._place.reading(self.id)

    async def _read(self, start: int, end: int) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(self._place.read(self.id + self.suffix, start, end)) as blocks:
                async for block in blocks:
                    yield block
        except FileNotFoundError:
            raise _missing() from None


class ArtifactStore:
    """The results of one or several processes, in the folder ``root`` or, when one is given, in a bucket.

    ``clock`` gives Unix seconds.
    """

    def __init__(self, root: Path, bucket: Place | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._parts = root / "parts"
        self._parts.mkdir(parents=True, exist_ok=True)
        self._place: Place = bucket or Folder(root)
        self._sweep = asyncio.Lock()
        self._clock = clock

    def new_id(self, index: int = 0) -> str:
        """``YYYYMMDD_HHMMSS_ffffff_{index}_{suffix}``, UTC; the suffix makes its address a secret of its client."""
        return f"{datetime.now(UTC):%Y%m%d_%H%M%S_%f}_{index}_{secrets.token_hex(8)}"

    def part(self, id: str, suffix: str) -> Path:  # noqa: A002  the field's own word
        """Where to write a result that is not whole yet; ``suffix`` as in ``.mp4``. Raises ``NotFound`` for no id."""
        return self._parts / f"{_name(id, suffix)}.{os.getpid()}.part"

    async def publish(self, part: Path, id: str, suffix: str) -> None:  # noqa: A002
        """Make a written part visible, at once and whole; the part is gone then.

        Raises ``EngineUnavailable`` when a bucket cannot take it; then nothing is visible and the part is still there.
        """
        await self._place.take(part, _name(id, suffix))

    async def published(self, id: str, suffix: str) -> bool:  # noqa: A002
        """Whether there is such a result."""
        return await self._place.head(_name(id, suffix)) is not None

    async def find(self, id: str, suffix: str) -> Artifact:  # noqa: A002
        """A published result. Raises ``NotFound``, also for an id that is none."""
        held = await self._place.head(_name(id, suffix))
        if held is None:
            raise _missing()
        return Artifact(id, suffix, held.size, held.modified, held.etag, held.path, self._place)

    def reading(self, id: str) -> AbstractAsyncContextManager[None]:  # noqa: A002
        """No sweep of any process removes the result within the block, nor in the minute after it."""
        return self._place.reading(_checked(id))

    async def remove(self, id: str, *, even_if_read: bool = False) -> int:  # noqa: A002
        """Remove all files of a result; returns how many, 0 too when it is being read: then a later sweep takes it."""
        names = await self._place.named(_checked(id))
        return await self._place.remove(id, names, even_if_read=even_if_read)

    async def sweep(
        self,
        older_than: float,
        *,
        keep: Collection[str] = (),
        only: Collection[str] = (),
        high_water: float | None = None,
        young: float = YOUNG,
    ) -> int:
        """Remove results older than ``older_than`` seconds, and parts left behind; returns how many files.

        When more is used than ``high_water`` allows (a fraction of the disk, or above 1 the bytes of all results), the
        oldest go too, but none younger than ``young`` seconds. What is being read stays, and the ids of ``keep``. With
        suffixes in ``only``, results that have another one are left alone.
        """
        removed = await asyncio.to_thread(self.clear_parts)
        async with self._sweep, self._place.sweeping() as alone:
            if not alone:  # another process does the same
                return removed
            results = _by_id(await self._place.list())
            now = self._clock()
            excess = -1.0
            if high_water is not None:
                excess = self._place.excess(high_water, [held.size for files in results.values() for held in files])
            for id_, files in sorted(results.items(), key=lambda item: (_modified(item[1]), item[0])):
                age = now - _modified(files)
                if only and not all(Path(held.name).suffix in only for held in files):
                    continue
                if id_ not in keep and (age >= older_than or (excess > 0 and age >= young)):
                    gone = await self._place.remove(id_, [held.name for held in files])
                    removed += gone
                    excess -= sum(held.size for held in files) if gone else 0
        return removed

    def clear_parts(self) -> int:
        """Remove the parts of processes that are gone; returns how many."""
        removed = 0
        for path in self._parts.iterdir():
            match, held = _PART.fullmatch(path.name), held_file(path)
            if match and held and is_left_behind(int(match["pid"]), held.modified):
                path.unlink(missing_ok=True)
                removed += 1
        return removed


def _checked(id: str) -> str:  # noqa: A002
    if not re.fullmatch(_ID, id, re.ASCII):
        raise _missing()
    return id


def _name(id: str, suffix: str) -> str:  # noqa: A002
    if not re.fullmatch(_SUFFIX, suffix, re.ASCII):
        raise _missing()
    return _checked(id) + suffix


def _by_id(held: Collection[Held]) -> dict[str, list[Held]]:
    """The files of each result; what is none of ours is left out."""
    results = defaultdict(list)
    for file in held:
        if match := _ARTIFACT.fullmatch(file.name):
            results[match["id"]].append(file)
    return results


def _modified(files: Collection[Held]) -> float:
    return max(file.modified for file in files)


def _missing() -> NotFound:
    return NotFound("There is no such result; it may have been removed since, ask for it again.")
