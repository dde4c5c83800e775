"""Avatars by the names of family B: one row for each avatar and height, ``anna_720p``, with a path that is only a name.

The paths look like those of the document that the family is from, but nothing is opened by them: a path names an avatar
when it is, letter for letter, one that the list has.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vivavoce.errors import NotFound
from vivavoce.media.picture import open_picture
from vivavoce.nouns import Avatar
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.studio.sizes import shaped

__all__ = ["RESOLUTIONS", "Row", "by_name", "by_path", "listed", "size_of"]

RESOLUTIONS = ("720p", "480p", "360p")
"""Heights of films, the usual one first."""
_SUFFIXED = re.compile(rf"(?P<base>.+)_(?P<resolution>{'|'.join(RESOLUTIONS)})", re.ASCII)
_PICKLE = ".pkl"
"""How the document spells the paths; as a name it is as good as ours."""
_OURS = ".npz"


@dataclass(frozen=True, slots=True)
class Row:
    """An avatar in one resolution."""

    base: str
    """The name without a resolution."""
    resolution: str
    avatar: str
    """Its name in the library."""

    @property
    def id(self) -> str:
        """As the list shows it."""
        return f"{self.base}_{self.resolution}"

    @property
    def path(self) -> str:
        """As the list shows it; there need not be such a file."""
        return f"precomputed/{self.resolution}/{self.id}_precomputed{_OURS}"


def listed(library: AvatarLibrary) -> list[Row]:
    """Every avatar that can be played, in every resolution; looks at the disk."""
    return list(_rows(library))


def _rows(library: AvatarLibrary) -> Iterator[Row]:
    names = library.names()
    for name in names:
        try:
            library.get(name)
        except NotFound:  # damaged: it must not hide the others
            continue
        if suffixed := _SUFFIXED.fullmatch(name):
            yield Row(suffixed["base"], suffixed["resolution"], name)
        else:
            yield from (Row(name, r, name) for r in RESOLUTIONS if f"{name}_{r}" not in names)


def by_name(rows: Sequence[Row], name: str, resolution: str | None) -> Row | None:
    """The row of ``name``, with or without its resolution; a ``resolution`` that is asked for besides decides."""
    wanted = name.strip().lower()
    known = {row.id: row for row in rows}
    found = known.get(f"{wanted}_{resolution or RESOLUTIONS[0]}") or known.get(wanted)
    if found is not None and resolution not in (None, found.resolution):
        return known.get(f"{found.base}_{resolution}")
    return found


def by_path(rows: Sequence[Row], path: str, resolution: str | None) -> Row | None:
    """The row whose path this is; a ``resolution`` that is asked for besides decides."""
    written = path.removesuffix(_PICKLE) + _OURS if path.endswith(_PICKLE) else path
    found = next((row for row in rows if row.path == written), None)
    return found if found is None or resolution is None else by_name(rows, found.base, resolution)


def size_of(avatar: Avatar, resolution: str) -> str:
    """The size of a film of that height in the shape of the avatar's own picture; looks at the disk."""
    return shaped(resolution, *_picture_of(avatar.path))


def _picture_of(folder: Path) -> tuple[int, int]:
    """Width and height, pixels: as the engine noted them, else of the poster."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        facts = json.loads((folder / "avatar.json").read_text(encoding="utf-8"))
        width, height = int(facts["width"]), int(facts["height"])
        if width > 0 < height:
            return width, height
    with suppress(OSError):
        height, width = open_picture(folder / "poster.jpg").rgb.shape[:2]
        return width, height
    return 16, 9
