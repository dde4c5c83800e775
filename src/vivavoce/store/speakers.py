"""Speakers who enrolled: by name, for each owner apart, several recordings each.

The recordings themselves are not kept, only their embeddings: a voice is personal, and an embedding cannot be turned
back into speech. The price is that another encoder makes them useless; then the speaker has to enrol again, and is
told so.
"""

import fcntl
import json
import math
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vivavoce.errors import Conflict, InvalidInput, NotFound

__all__ = ["DEFAULT", "Recording", "Speaker", "SpeakerStore"]

DEFAULT = "default"
"""The speaker of requests that name none."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_OWNER = re.compile(r"[0-9a-f]{16}")
_EVERYBODY = "everybody"
_VERSION = 1
_MOST_SPEAKERS, _MOST_RECORDINGS, _MOST_NUMBERS = 1000, 20, 4096


@dataclass(frozen=True, slots=True)
class Recording:
    """What is kept of a recording in which a speaker enrolled."""

    engine: str
    """Name of the encoder, without its kind: ``ge2e``."""
    version: str
    """Of the encoder; embeddings of different ones cannot be compared."""
    embedding: tuple[float, ...]
    digest: str
    """SHA-256 of the sound file in hex, by which a recording is known that is sent again."""
    speech_seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    id: str = ""
    created: float = 0.0
    """Unix seconds; it and ``id`` are given by the store."""

    def __post_init__(self) -> None:
        if not 0 < len(self.embedding) <= _MOST_NUMBERS or not all(map(math.isfinite, self.embedding)):
            raise ValueError(f"An embedding has 1 to {_MOST_NUMBERS} finite numbers.")

    @classmethod
    def of(cls, embedded: Mapping[str, Any], engine: str) -> "Recording":
        """From what ``studio.verifying.embed`` gives, and the name of the encoder that was used."""
        return cls(
            engine=engine,
            version=str(embedded["version"]),
            embedding=tuple(map(float, embedded["embedding"])),
            digest=str(embedded["digest"]),
            speech_seconds=float(embedded["speech_seconds"]),
            warnings=tuple(map(str, embedded["warnings"])),
        )

    def as_reference(self) -> dict[str, Any]:
        """As ``studio.verifying.verify`` wants it."""
        return {"embedding": list(self.embedding), "version": self.version, "warnings": list(self.warnings)}


@dataclass(frozen=True, slots=True)
class Speaker:
    """A name and the recordings behind it, oldest first."""

    name: str
    recordings: tuple[Recording, ...]

    def usable(self, engine: str, version: str) -> list[Recording]:
        """The recordings that this encoder can compare with. Raises ``Conflict`` when there are none."""
        found = [r for r in self.recordings if (r.engine, r.version) == (engine, version)]
        if not found:
            others = ", ".join(sorted({r.engine for r in self.recordings}))
            raise Conflict(
                f"The speaker {self.name!r} enrolled with another speaker encoder ({others}) than the one in use "
                f"({engine}), and no sound is kept that could be heard again; enrol the speaker again."
            )
        return found


class SpeakerStore:
    """Files ``root/OWNER/NAME.json``, each written whole by one rename; several processes may share the folder."""

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._clock = clock

    def names(self, owner: str) -> list[str]:
        """Names of an owner's speakers, sorted."""
        folder = self._folder(owner)
        found = (path.name.removesuffix(".json") for path in folder.glob("*.json")) if folder.is_dir() else ()
        return sorted(name for name in found if _NAME.fullmatch(name))

    def get(self, owner: str, name: str = DEFAULT) -> Speaker:
        """A speaker by name. Raises ``NotFound`` when there is none or the file is damaged."""
        return self._read(self._path(owner, name))

    def all(self, owner: str) -> list[Speaker]:
        """An owner's speakers by name; damaged files are left out."""
        found = []
        for name in self.names(owner):
            with suppress(NotFound):
                found.append(self.get(owner, name))
        return found

    def add(self, owner: str, recording: Recording, name: str = DEFAULT) -> Speaker:
        """Enrol a speaker, or give one more recording; one that is there already replaces itself.

        Raises ``InvalidInput`` for a malformed name, ``Conflict`` when there are too many recordings or speakers.
        """
        name = name.strip().lower()
        if not _NAME.fullmatch(name):
            raise InvalidInput("A speaker's name has 1 to 63 letters a-z, digits, - or _, and begins with no - or _.")
        with self._writing(owner) as folder:
            path = folder / f"{name}.json"
            before: tuple[Recording, ...] = ()
            if path.exists():
                before = self._read(path).recordings
            elif len(self.names(owner)) >= _MOST_SPEAKERS:
                raise Conflict(f"There are {_MOST_SPEAKERS} speakers already; remove one first.")
            same = (recording.digest, recording.engine, recording.version)
            kept = tuple(r for r in before if (r.digest, r.engine, r.version) != same)
            if len(kept) >= _MOST_RECORDINGS:
                raise Conflict(
                    f"The speaker {name!r} has {_MOST_RECORDINGS} recordings already; remove one, or the speaker."
                )
            new = replace(recording, id=secrets.token_hex(8), created=self._clock())
            return _write(path, Speaker(name, (*kept, new)))

    def remove(self, owner: str, name: str, recording: str | None = None) -> None:
        """Forget a speaker, or only the recording with that id; with the last one the speaker goes.

        Raises ``NotFound`` when there is no such speaker or recording.
        """
        with self._writing(owner):
            path = self._path(owner, name)
            if recording is not None:
                speaker = self._read(path)
                kept = tuple(r for r in speaker.recordings if r.id != recording)
                if len(kept) == len(speaker.recordings):
                    raise NotFound(f"The speaker {speaker.name!r} has no recording {recording[:32]!r}.")
                if kept:
                    _write(path, Speaker(speaker.name, kept))
                    return
            path.unlink(missing_ok=True)

    def _path(self, owner: str, name: str) -> Path:
        name = name.strip().lower()
        path = self._folder(owner) / f"{name}.json"
        if not _NAME.fullmatch(name) or not path.is_file():
            raise NotFound(f"There is no speaker {name[:63]!r}; enrol one with a recording first.")
        return path

    def _folder(self, owner: str) -> Path:
        return self._root / (owner if _OWNER.fullmatch(owner) else _EVERYBODY)

    @staticmethod
    def _read(path: Path) -> Speaker:
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            kept = [_recording(one) for one in facts["recordings"]]
        except (OSError, ValueError, TypeError, KeyError) as e:
            raise NotFound(f"What is kept of the speaker {path.stem!r} is damaged; remove it and enrol again.") from e
        return Speaker(path.stem, tuple(kept))

    @contextmanager
    def _writing(self, owner: str) -> Iterator[Path]:
        """The owner's folder, which nobody else writes to meanwhile; what a dead process left is removed."""
        folder = self._folder(owner)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in folder.glob(".*.part"):  # the lock says that none of their writers is alive
                left.unlink(missing_ok=True)
            yield folder


def _recording(one: dict[str, Any]) -> Recording:
    return Recording(**one | {"embedding": tuple(one["embedding"]), "warnings": tuple(one["warnings"])})


def _write(path: Path, speaker: Speaker) -> Speaker:
    part = path.with_name(f".{os.getpid()}-{secrets.token_hex(8)}.part")
    document = {"version": _VERSION, "name": speaker.name, "recordings": [asdict(r) for r in speaker.recordings]}
    with part.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    part.chmod(0o600)
    part.replace(path)
    return speaker
