"""What was said in conversations: by session, for each owner apart, for a while.

A conversation belongs to whoever began it, and is forgotten when nobody has gone on with it. Its oldest turns fall out
as new ones come, so it never grows beyond what a model can be sent.
"""

import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vivavoce.errors import Conflict, InvalidInput, NotFound
from vivavoce.nouns import Turn
from vivavoce.store.documents import scrubbed
from vivavoce.text.tokens import recent

__all__ = ["ConversationStore", "Talk"]

_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_OWNER = re.compile(r"[0-9a-f]{16}")
_EVERYBODY = "everybody"
_VERSION = 1
_MOST_SESSIONS = 10_000
"""Of one owner; with another one the oldest goes."""


class Talk:
    """A conversation while somebody has the floor in it; see ``ConversationStore.turn``."""

    def __init__(self, turns: tuple[Turn, ...], keep: Callable[[tuple[Turn, ...]], tuple[Turn, ...]]) -> None:
        self._turns = turns
        self._keep = keep

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What was said, the oldest first."""
        return self._turns

    def add(self, *turns: Turn) -> None:
        """Keep what was said, all or nothing."""
        self._turns = self._keep((*self._turns, *turns))


class ConversationStore:
    """Files ``root/OWNER/SESSION.json``, each written whole by one rename; several processes may share the folder.

    File names are case-sensitive, as on Linux. ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        root: Path,
        *,
        turns: int = 40,
        tokens: int = 4000,
        seconds: float = 86_400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``turns`` and ``tokens`` (estimated) are what is kept of a conversation, ``seconds`` for how long."""
        self._root = root
        self._turns, self._tokens, self._seconds = turns, tokens, seconds
        self._clock = clock

    @contextmanager
    def turn(self, owner: str, session: str) -> Iterator[Talk]:
        """The floor in a conversation, which is begun when there is none.

        Raises ``InvalidInput`` for a malformed session, ``Conflict`` while another turn of it is not over, ``NotFound``
        when what is kept of it is damaged.
        """
        path = self._path(owner, session)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone(path) as free:
            if not free:
                raise Conflict(
                    "This conversation is still answering; wait for the answer, cancel it, or use another session_id."
                )
            if not path.exists():
                self._make_room(path.parent)
            yield Talk(self._read(path), lambda turns: self._write(path, turns))

    def get(self, owner: str, session: str) -> tuple[Turn, ...]:
        """What was said, the oldest first; nothing when there is no such conversation, or none any more.

        Raises ``InvalidInput`` for a malformed session, ``NotFound`` when what is kept of it is damaged.
        """
        return self._read(self._path(owner, session))

    def sessions(self, owner: str) -> list[str]:
        """Sessions of an owner that are remembered, the latest first."""
        found = [(when, path.stem) for when, path in _files(self._folder(owner)) if not self._is_over(when)]
        return [session for _, session in sorted(found, key=lambda one: (-one[0], one[1]))]

    def remove(self, owner: str, session: str) -> None:
        """Forget a conversation. Raises ``NotFound`` when there is none, ``Conflict`` while it is still answering."""
        path = self._path(owner, session)
        if not path.is_file():
            raise NotFound("There is no such conversation.")
        if not self._forget(path):
            raise Conflict("This conversation is still answering; wait for the answer or cancel it first.")

    def sweep(self) -> int:
        """Remove the conversations that are over, and what dead processes left; returns how many went."""
        removed = 0
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            for when, path in _files(folder):
                removed += self._is_over(when) and self._forget(path)
            for left in folder.glob(".*"):
                with suppress(FileNotFoundError):
                    if self._is_over(left.stat().st_mtime):
                        self._forget(left)
        return removed

    # ---- files

    def _path(self, owner: str, session: str) -> Path:
        if not _SESSION.fullmatch(session):
            raise InvalidInput("A session_id has 1 to 64 letters a-z, digits, - or _, and begins with no - or _.")
        return self._folder(owner) / f"{session}.json"

    def _folder(self, owner: str) -> Path:
        return self._root / (owner if _OWNER.fullmatch(owner) else _EVERYBODY)

    def _is_over(self, when: float) -> bool:
        return self._clock() - when >= self._seconds

    def _read(self, path: Path) -> tuple[Turn, ...]:
        try:
            if self._is_over(path.stat().st_mtime):
                return ()
            turns = json.loads(path.read_text(encoding="utf-8"))["turns"]
            return tuple(Turn(turn["role"], str(turn["text"])) for turn in turns)
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError, KeyError) as e:
            raise NotFound("What is kept of this conversation is damaged; remove it or use another session_id.") from e

    def _write(self, path: Path, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        kept = recent(turns, most_turns=self._turns, most_tokens=self._tokens)
        document = {"version": _VERSION, "turns": [{"role": t.role, "text": scrubbed(t.text)} for t in kept]}
        part = path.with_name(f".{os.getpid()}-{secrets.token_hex(8)}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                part.chmod(0o600)
                json.dump(document, file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            os.utime(part, (self._clock(), self._clock()))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return kept

    def _forget(self, path: Path) -> bool:
        """Remove a file unless somebody has the floor in it."""
        with self._alone(path) as free:
            if free:
                path.unlink(missing_ok=True)
            return free

    def _make_room(self, folder: Path) -> None:
        files = sorted(_files(folder))
        for _, path in files[: max(0, len(files) - _MOST_SESSIONS + 1)]:
            self._forget(path)

    @contextmanager
    def _alone(self, path: Path) -> Iterator[bool]:
        """Whether nobody else has the floor; then it is ours until the block ends. It falls with the process."""
        mark = path.with_name(f".{path.name.removeprefix('.').removesuffix('.lock')}.lock")
        while True:
            lock = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                yield False
                return
            if os.fstat(lock).st_nlink:  # else it was somebody's who has left meanwhile, and guards nothing
                break
            os.close(lock)
        try:
            yield True
        finally:
            mark.unlink(missing_ok=True)
            os.close(lock)


def _files(folder: Path) -> list[tuple[float, Path]]:
    """The conversations in a folder and when they were last gone on with, in Unix seconds."""
    found = []
    for path in folder.glob("*.json") if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            if _SESSION.fullmatch(path.stem):
                found.append((path.stat().st_mtime, path))
    return found
