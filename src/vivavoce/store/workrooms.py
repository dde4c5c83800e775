"""Folders in which long work keeps what it has reached, until it has ended for good: checkpoints of trainings."""

import fcntl
import hashlib
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vivavoce.errors import Conflict

__all__ = ["WorkRooms"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)
_BY_HAND = "by-hand-"
_YOUNG_SECONDS = 60.0
"""A folder that was changed so lately may belong to a job that began while jobs were counted."""
_KEPT_SECONDS = 7 * 86_400.0
"""How long what a command left is kept for the same command."""


class WorkRooms:
    """The folders ``root/JOB``, and ``root/by-hand-…`` of commands, which have no job."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, id: str) -> Path:  # noqa: A002  the field's own word
        """The folder of a job; it need not be there. Raises ``ValueError`` for what is no id."""
        if not _NAME.fullmatch(id):
            raise ValueError(f"no id: {id!r}")
        return self._root / id

    @contextmanager
    def by_hand(self, *what: object) -> Iterator[Path]:
        """The folder of a command with these arguments, for as long as the block runs; it stays behind.

        Raises ``Conflict`` when the same command is at work.
        """
        digest = hashlib.sha256("\0".join(map(str, what)).encode()).hexdigest()[:24]
        folder = self._root / f"{_BY_HAND}{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict("The same command is at work already; wait for it.") from None
            yield folder

    def remove(self, id: str) -> None:  # noqa: A002
        """Remove the folder of a job that has ended; nothing where there is none."""
        shutil.rmtree(self.path(id), ignore_errors=True)

    def sweep(self, keep: Collection[str]) -> int:
        """Remove the folders of all other jobs but young ones, and what commands left a week ago; returns how many."""
        removed = 0
        for folder in list(self._root.iterdir()) if self._root.is_dir() else ():
            with suppress(FileNotFoundError):
                age = time.time() - folder.stat().st_mtime
                if age > (_KEPT_SECONDS if folder.name.startswith(_BY_HAND) else _YOUNG_SECONDS):
                    if folder.name in keep:
                        continue
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
        return removed
