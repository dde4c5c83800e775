"""Avatars as folders: those that ship with the package, and the user's own, which appear whole or not at all."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vivavoce.errors import InvalidInput, NotFound
from vivavoce.nouns import Avatar
from vivavoce.store.remains import is_left_behind
from vivavoce.store.swap import swap

__all__ = ["AvatarLibrary"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_UNFINISHED = re.compile(r"\.(?P<pid>\d+)-[0-9a-f]{16}", re.ASCII)


class AvatarLibrary:
    """The folders ``builtin/NAME`` and ``root/NAME``, each with an ``avatar.json`` and a ``poster.jpg``.

    ``avatar.json`` holds ``version``, ``name``, ``engine`` and ``warnings``; engines add what they like. Names are in
    lower case; a client may write them as it likes. Several processes may share the folders.
    """

    def __init__(self, root: Path, builtin: Path) -> None:
        self._root = root
        self._builtin = builtin

    def names(self) -> list[str]:
        """All names, the built-in ones first, each group sorted."""
        shipped = _names(self._builtin)
        return shipped + [name for name in _names(self._root) if name not in shipped]

    def get(self, name: str) -> Avatar:
        """An avatar by name. Raises ``NotFound`` when there is none or its ``avatar.json`` is damaged."""
        name = name.strip().lower()
        facts = self.facts(name)
        try:
            return Avatar(name, self._folder(name), str(facts["engine"]), tuple(map(str, facts.get("warnings", ()))))
        except (KeyError, TypeError) as error:
            raise _damaged(name) from error

    def facts(self, name: str) -> dict[str, Any]:
        """Everything that ``avatar.json`` says: ``kind`` and ``report`` (see ``face.preflight``) where it has them.

        Raises ``NotFound`` as ``get`` does.
        """
        name = name.strip().lower()
        folder = self._folder(name)
        try:
            facts = json.loads((folder / "avatar.json").read_text(encoding="utf-8"))
            return dict(facts)
        except (OSError, ValueError, TypeError) as error:
            raise _damaged(name) from error

    def poster(self, name: str) -> Path:
        """The picture of an avatar, a JPEG. Raises ``NotFound``, which names no others: pictures are for everybody."""
        with suppress(NotFound):
            path = self._folder(name.strip().lower()) / "poster.jpg"
            if path.is_file():
                return path
        raise NotFound(f"There is no picture of an avatar {name[:63]!r}.")

    def add(self, name: str, prepare: Callable[[Path], Avatar]) -> Avatar:
        """Make an avatar: ``prepare`` writes it into an empty folder, which then appears under ``name``.

        Raises ``InvalidInput`` for a malformed or taken name, and what ``prepare`` raises; then nothing is left.
        """
        name = _checked(name)
        if name in self.names():
            raise _taken(name)
        with self._made(name, prepare) as folder:
            self._place(folder, name)
        return self.get(name)

    def put(self, name: str, prepare: Callable[[Path], Avatar]) -> Avatar:
        """Make an avatar as ``add`` does, in place of the user's own of that name if there is one.

        The old one is there until the new one is whole, and always one of the two. Raises what ``add`` raises; the name
        of a built-in one is taken.
        """
        name = _checked(name)
        if name in _names(self._builtin):
            raise _taken(name)
        with self._made(name, prepare) as folder:
            if _is_avatar(self._root / name):
                swap(folder, self._root / name)
            else:
                self._place(folder, name)
        return self.get(name)

    def remove(self, name: str) -> None:
        """Remove one of the user's avatars. Raises ``InvalidInput`` for a built-in one, ``NotFound`` for none."""
        name = name.strip().lower()
        folder = self._folder(name)
        if folder.parent == self._builtin:
            raise InvalidInput(f"The avatar {name!r} is part of the program and cannot be removed.")
        with self._hidden() as trash, suppress(FileNotFoundError):  # at once for readers, whatever it takes to delete
            folder.rename(trash)

    def clear(self) -> None:
        """Remove what processes that died left unfinished."""
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            match = _UNFINISHED.fullmatch(folder.name)
            with suppress(FileNotFoundError):
                if match and is_left_behind(int(match["pid"]), folder.stat().st_mtime):
                    shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, name: str) -> Path:
        if _NAME.fullmatch(name):
            for place in (self._builtin, self._root):
                if _is_avatar(place / name):
                    return place / name
        raise NotFound(f"There is no avatar {name[:63]!r}; there are: {', '.join(self.names())}.")

    @contextmanager
    def _made(self, name: str, prepare: Callable[[Path], Avatar]) -> Iterator[Path]:
        """A hidden folder with the avatar; what lies in it at the end is removed."""
        self._root.mkdir(parents=True, exist_ok=True)
        self.clear()
        with self._hidden() as folder:
            folder.mkdir()
            _describe(folder, name, prepare(folder))
            yield folder

    def _place(self, folder: Path, name: str) -> None:
        try:
            folder.rename(self._root / name)
        except OSError as error:  # somebody was faster: a folder with content is never replaced
            raise _taken(name) from error

    @contextmanager
    def _hidden(self) -> Iterator[Path]:
        """A path beside the avatars that no name can reach; removed at the end."""
        folder = self._root / f".{os.getpid()}-{secrets.token_hex(8)}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _checked(name: str) -> str:
    name = name.strip().lower()
    if not _NAME.fullmatch(name):
        raise InvalidInput("An avatar's name has 1 to 63 letters a-z, digits, - or _, and begins with no - or _.")
    return name


def _taken(name: str) -> InvalidInput:
    return InvalidInput(f"There is an avatar {name!r} already; remove it first or choose another name.")


def _damaged(name: str) -> NotFound:
    return NotFound(f"The avatar {name!r} is damaged; remove it and add it again.")


def _names(place: Path) -> list[str]:
    if not place.is_dir():
        return []
    return sorted(p.name for p in place.iterdir() if _NAME.fullmatch(p.name) and _is_avatar(p))


def _is_avatar(folder: Path) -> bool:
    """Whether it lies here: a symbolic link would lead out of the library."""
    return not folder.is_symlink() and (folder / "avatar.json").is_file()


def _describe(folder: Path, name: str, avatar: Avatar) -> None:
    """Complete the engine's ``avatar.json``, which it need not have written."""
    path = folder / "avatar.json"
    own = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    facts = {"version": 1, **own, "name": name, "engine": avatar.engine, "warnings": list(avatar.warnings)}
    path.write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
