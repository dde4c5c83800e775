"""Bundles of an older version are prepared again from the source that they hold, once, whoever asks first."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vivavoce.engines.photo import bundle
from vivavoce.errors import NotFound

__all__ = ["renewed"]

Prepare = Callable[[Path, Path, object | None], object]
"""``prepare(source, into, landmarks)``."""


def renewed(folder: Path, prepare: Prepare) -> dict[str, Any]:
    """What ``avatar.json`` says, after the bundle has been brought to this version if it was older.

    Several processes may come at once: one works, the others wait. The new files take their places one by one and
    ``avatar.json`` last; who sees the old one waits. Raises ``NotFound`` for a bundle that is newer than this program,
    or older and without its source.
    """
    facts = bundle.about(folder)
    if _current(facts):
        return facts
    if facts["version"] > bundle.VERSIONS[facts["kind"]]:
        raise NotFound(
            f"The avatar {folder.name!r} was prepared by a newer version of the program; update the program."
        )
    if not (folder / "source").is_file() or not os.access(folder, os.W_OK):
        raise NotFound(
            f"The avatar {folder.name!r} was prepared by an older version and holds no {facts['kind']} to prepare it "
            f"from again; add its {facts['kind']} again."
        )
    with _alone(folder):
        facts = bundle.about(folder)
        if not _current(facts):
            _again(folder, facts, prepare)
    return bundle.about(folder)


def _current(facts: dict[str, Any]) -> bool:
    return bool(facts["version"] == bundle.VERSIONS[facts["kind"]])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Under a lock that falls with the process that holds it."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _again(folder: Path, facts: dict[str, Any], prepare: Prepare) -> None:
    for left in folder.glob(".again-*"):  # of a process that died; nobody else works here
        shutil.rmtree(left, ignore_errors=True)
    given = folder / "landmarks.json"
    landmarks = given.read_text(encoding="utf-8") if given.is_file() else None
    new = Path(tempfile.mkdtemp(prefix=".again-", dir=folder))
    try:
        prepare(folder / "source", new, landmarks)
        made = bundle.about(new)
        for path in new.iterdir():
            if path.name not in ("avatar.json", "source"):
                path.replace(folder / path.name)
        bundle.write_about(folder, {**facts, **made, "name": facts.get("name", folder.name)})
    finally:
        shutil.rmtree(new, ignore_errors=True)
