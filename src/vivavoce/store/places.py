"""Where results lie, as the store sees it: a folder of this machine or a bucket, with the same promises.

A name appears whole or not at all. Readers of every process can be seen, so that nothing is removed under them.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["READ_LATELY", "Held", "Place"]

READ_LATELY = 60.0
"""Seconds for which a result still counts as read: players fetch it in ranges, one by one."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a place knows of one name."""

    name: str
    size: int
    """Bytes."""
    modified: float
    """Unix seconds."""
    etag: str
    """Quoted, as HTTP wants it."""
    path: Path | None = None
    """Where it lies on this machine, if it does."""


class Place(Protocol):
    """Where results lie."""

    async def take(self, part: Path, name: str) -> None:
        """Make a part visible under ``name``, whole and at once; the part is gone afterwards."""

    async def head(self, name: str) -> Held | None:
        """What there is under ``name``."""

    async def list(self) -> list[Held]:
        """Everything that lies here."""

    async def named(self, id: str) -> Sequence[str]:  # noqa: A002
        """The names that are ``id`` and a suffix."""

    async def remove(self, id: str, names: Sequence[str], *, even_if_read: bool = False) -> int:  # noqa: A002
        """Remove names of a result; returns how many, as far as the place can tell.

        0 when it is read; on this machine nobody begins to read it meanwhile.
        """

    def read(self, name: str, start: int, end: int) -> AsyncGenerator[bytes]:
        """The bytes from ``start`` up to ``end``. Raises ``FileNotFoundError``, before the first block where it can."""

    def reading(self, id: str) -> AbstractAsyncContextManager[None]:  # noqa: A002
        """Show every process that ``id`` is read, until the block ends and for ``READ_LATELY`` seconds beyond."""

    def sweeping(self) -> AbstractAsyncContextManager[bool]:
        """Whether no other process of this machine sweeps now; at the end the marks of readers who left are removed."""

    def excess(self, high_water: float, sizes: Iterable[int]) -> float:
        """Bytes above the mark: a fraction of the disk, or above 1 the bytes of all results (``sizes``) together."""
