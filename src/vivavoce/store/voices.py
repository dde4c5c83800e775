"""Voices of people who were recorded: for each owner apart, with recordings and consent, whole or not at all.

A recording of a voice is personal, so it lies with its owner's key and nobody else finds it. It is kept, unlike that of
a speaker who is only verified: another engine can learn the voice again from it, and Studio plays it beside the clone.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from vivavoce.errors import Conflict, InvalidInput, NotFound, TooLarge
from vivavoce.media.audio import write_wav
from vivavoce.nouns import Audio
from vivavoce.store.remains import is_left_behind

__all__ = ["CLONE", "LONGEST_SECONDS", "MOST_RECORDINGS", "Consent", "StoredVoice", "VoiceStore"]

CLONE = "clone"
"""In the place of a voice engine: the voice is one of these."""

MOST_RECORDINGS, LONGEST_SECONDS = 10, 300.0
"""Recordings of one voice, and seconds of all of them together."""

_ID = re.compile(r"[^\W_](?:[\w.\- ]{0,62}[\w.\-])?", re.UNICODE)
_OWNER = re.compile(r"[0-9a-f]{16}")
_FOLDER = re.compile(r"[0-9a-f]{32}")
_HIDDEN = re.compile(r"\.(?P<pid>\d+)-[0-9a-f]{16}", re.ASCII)
_EVERYBODY = "everybody"
_VERSION = 1
_FACTS, _LEARNT = "voice.json", "learnt"
_MOST_VOICES = 1000
_LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Consent:
    """Whether the speaker agreed to be cloned, as it was told at enrolment."""

    given: bool = False
    by: str = ""
    """Who says so: a name, or whatever the operator asks for."""
    at: float = 0.0
    """Unix seconds; 0 becomes the time of enrolment."""
    text: str = ""
    """What was agreed to."""


@dataclass(frozen=True, slots=True)
class StoredVoice:
    """A voice and where its parts lie. The paths stand until it is removed."""

    id: str
    """As its owner wrote it, composed (NFC): letters of any script, digits, ``_``, ``-``, ``.`` and inner spaces."""
    name: str
    language: str
    """Code as in ``text.languages``; "" where nobody said which."""
    engine: str
    """Name of the cloner, without its kind: ``world``."""
    consent: Consent
    created: float
    """Unix seconds."""
    path: Path
    """What the cloner wrote and reads."""
    recordings: tuple[Path, ...]
    """WAV files, in the order in which they were given."""
    warnings: tuple[str, ...] = ()
    """What the cloner said of the recordings."""


class VoiceStore:
    """Folders ``root/OWNER/DIGEST``, each given its name by one rename; several processes may share them.

    An id may be of any script and differ from another by a letter's case, which not every file system can tell apart:
    a folder's name is a digest of the id. ``clock`` gives Unix seconds.
    """

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._clock = clock

    def add(
        self,
        owner: str,
        id_: str,
        recordings: Sequence[Audio],
        learn: Callable[[Path], tuple[str, ...]],
        *,
        engine: str,
        name: str = "",
        language: str = "",
        consent: Consent | None = None,
        forget: Callable[[Path], None] | None = None,
    ) -> StoredVoice:
        """Keep a voice: ``learn`` writes it into an empty folder and returns warnings, as ``Cloner.enrol`` does.

        ``forget`` is told the folder when what was learnt is not kept after all: a service may have learnt it too.
        Raises ``InvalidInput`` for a malformed id or no recording, ``TooLarge`` for too many or too long ones,
        ``Conflict`` when the id is taken or there are too many voices, and what ``learn`` raises; then nothing is left.
        """
        id_ = _checked(id_)
        _check_sounds(recordings)
        place = self._place(owner)
        place.mkdir(parents=True, exist_ok=True)
        self._clear(place)
        self.check(owner, id_)
        if len(_folders(place)) >= _MOST_VOICES:
            raise Conflict(f"There are {_MOST_VOICES} voices already; remove one first.")
        with _hidden(place) as folder:
            (folder / _LEARNT).mkdir(parents=True)
            folder.chmod(0o700)
            for number, recording in enumerate(recordings):
                write_wav(folder / f"reference-{number}.wav", recording, recording.rate)
            warnings = learn(folder / _LEARNT)
            self._describe(folder, id_, name, language, engine, consent or Consent(), warnings)
            try:
                folder.rename(place / _digest(id_))
            except OSError as error:  # somebody was faster: a folder with content is never replaced
                if forget is not None:
                    forget(folder / _LEARNT)
                raise _taken(id_) from error
        return self.get(owner, id_)

    def check(self, owner: str, id_: str) -> None:
        """Whether a voice may be added by that id. Raises ``InvalidInput`` when it is malformed, ``Conflict``."""
        id_ = _checked(id_)
        if self.has(owner, id_):
            raise _taken(id_)

    def has(self, owner: str, id_: str) -> bool:
        """Whether there is a voice of that id, whole or damaged."""
        return (self._place(owner) / _digest(unicodedata.normalize("NFC", id_).strip())).exists()

    def get(self, owner: str, id_: str) -> StoredVoice:
        """A voice by id. Raises ``NotFound``, in the same way for what is no id at all, and when it is damaged."""
        return _read(self._folder(owner, id_), id_)

    def list(self, owner: str) -> list[StoredVoice]:
        """An owner's voices, the newest first; damaged ones are left out."""
        found = []
        for folder in _folders(self._place(owner)):
            with suppress(NotFound):
                found.append(_read(folder, ""))
        return sorted(found, key=lambda voice: (-voice.created, voice.id))

    def remove(self, owner: str, id_: str, forget: Callable[[Path], None] | None = None) -> None:
        """Remove a voice with its recordings; it is gone at once, also for those who were about to read it.

        ``forget`` is told the cloner's folder before, so that what lies at a service goes first: when it raises, the
        voice stays and can be removed later. Raises ``NotFound`` when there is none.
        """
        folder = self._folder(owner, id_)
        if forget is not None:
            forget(folder / _LEARNT)
        with _hidden(folder.parent) as trash, suppress(FileNotFoundError):
            folder.rename(trash)

    def clear(self) -> None:
        """Remove what processes that died left unfinished."""
        for place in self._root.iterdir() if self._root.is_dir() else ():
            if place.is_dir() and not place.is_symlink():
                self._clear(place)

    def _describe(
        self,
        folder: Path,
        id_: str,
        name: str,
        language: str,
        engine: str,
        consent: Consent,
        warnings: Sequence[str],
    ) -> None:
        now = self._clock()
        told = asdict(consent) | {
            "by": _short(consent.by),
            "text": _short(consent.text),
            "at": consent.at or now,
        }
        facts = {
            "version": _VERSION,
            "id": id_,
            "name": _short(name)[:200] or id_,
            "language": language,
            "engine": engine,
            "consent": told,
            "created": now,
            "warnings": list(warnings),
        }
        with (folder / _FACTS).open("w", encoding="utf-8") as file:
            json.dump(facts, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())

    def _folder(self, owner: str, id_: str) -> Path:
        composed = unicodedata.normalize("NFC", id_).strip()
        folder = self._place(owner) / _digest(composed)
        if not _is_id(composed) or not folder.is_dir():
            raise NotFound(f"There is no voice {id_[:64]!r}; enrol one with a recording first.")
        return folder

    def _place(self, owner: str) -> Path:
        return self._root / (owner if _OWNER.fullmatch(owner) else _EVERYBODY)

    @staticmethod
    def _clear(place: Path) -> None:
        for folder in place.iterdir():
            match = _HIDDEN.fullmatch(folder.name)
            with suppress(FileNotFoundError):
                if match and is_left_behind(int(match["pid"]), folder.stat().st_mtime):
                    shutil.rmtree(folder, ignore_errors=True)


def _checked(id_: str) -> str:
    composed = unicodedata.normalize("NFC", id_).strip()
    if not _is_id(composed):
        raise InvalidInput(
            "A voice's id has 1 to 64 letters of any script, digits, _, -, . or inner spaces, and begins with a letter "
            "or a digit."
        )
    return composed


def _taken(id_: str) -> Conflict:
    return Conflict(f"There is a voice {id_!r} already; remove it first, or choose another id.")


def _is_id(composed: str) -> bool:
    return bool(_ID.fullmatch(composed)) and ".." not in composed


def _check_sounds(recordings: Sequence[Audio]) -> None:
    if not recordings:
        raise InvalidInput("A voice is learnt from recordings; send at least one.")
    seconds = sum(recording.seconds for recording in recordings)
    if len(recordings) > MOST_RECORDINGS or seconds > LONGEST_SECONDS:
        raise TooLarge(
            f"A voice is learnt from up to {MOST_RECORDINGS} recordings of {LONGEST_SECONDS:g} s altogether, not from "
            f"{len(recordings)} of {seconds:.0f} s; send fewer or shorter ones."
        )


def _digest(id_: str) -> str:
    return hashlib.sha256(id_.encode()).hexdigest()[:32]


def _short(text: str) -> str:
    """A client's words, without what no line of text holds."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()[:_LONGEST_TEXT]


def _folders(place: Path) -> list[Path]:
    return [p for p in place.iterdir() if _FOLDER.fullmatch(p.name) and p.is_dir()] if place.is_dir() else []


def _read(folder: Path, id_: str) -> StoredVoice:
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        numbered = sorted(folder.glob("reference-*.wav"), key=lambda p: int(p.stem.partition("-")[2]))
        return StoredVoice(
            id=str(facts["id"]),
            name=str(facts["name"]),
            language=str(facts["language"]),
            engine=str(facts["engine"]),
            consent=Consent(**facts["consent"]),
            created=float(facts["created"]),
            path=folder / _LEARNT,
            recordings=tuple(numbered),
            warnings=tuple(map(str, facts["warnings"])),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NotFound(f"The voice {id_[:64]!r} is damaged; remove it and enrol it again.") from error


@contextmanager
def _hidden(place: Path) -> Iterator[Path]:
    """A path beside the voices that no id can reach; removed at the end."""
    folder = place / f".{os.getpid()}-{secrets.token_hex(8)}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
