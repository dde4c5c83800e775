"""Paths that clients send: told apart by their letters alone, and never given to the file system.

A document of old speaks of ``/path/to/audio.wav``; what is meant is the name of something that lies in one of our
folders. So a path is worth its last part where the rest names such a folder, and nothing otherwise.
"""

import re
import unicodedata
from collections.abc import Collection

__all__ = ["path_name"]

_LONGEST = 1000
"""Characters."""
_DRIVE = re.compile(r"[A-Za-z]:/", re.ASCII)


def path_name(text: str, roots: Collection[str]) -> str | None:
    """The name that a path gives to something right inside one of ``roots``; None for every other path.

    With the root ``uploads``: ``name``, ``uploads/name``, ``/uploads/name``, ``./uploads/name``, and each with
    backslashes, as Windows writes it. An absolute root (``/srv/files``) has to be written in full. The name may still
    be one of nothing; it has no slash of either kind, is not ``.`` or ``..``, and its letters are composed (NFC).
    """
    path = text.strip(" ").replace("\\", "/")
    if not path or len(path) > _LONGEST or not path.isprintable() or "%" in path or path.startswith("~"):
        return None
    parts = _parts(path)
    if parts is None or parts[-1].startswith("~"):
        return None
    folder, name = parts[:-1], unicodedata.normalize("NFC", parts[-1])
    relative = folder[1:] if folder[:1] == [""] else folder
    if not relative and folder:  # "/name": an absolute path, and of no root
        return None
    for root in roots:
        wanted = _parts(root.replace("\\", "/"))
        if wanted is not None and (folder == wanted or (_is_relative(wanted) and relative == wanted)):
            return name
    return None if folder else name


def _parts(path: str) -> list[str] | None:
    """What stands between the slashes, "" first in an absolute path; None for what no plain path of ours has."""
    drive = _DRIVE.match(path)
    if ":" in (path[drive.end() :] if drive else path):
        return None
    parts = path.removeprefix("./").split("/")
    inner = parts[1:] if parts[0] == "" else parts
    return None if not inner or any(part in ("", ".", "..") for part in inner) else parts


def _is_relative(parts: list[str]) -> bool:
    return parts[0] != "" and not parts[0].endswith(":")
