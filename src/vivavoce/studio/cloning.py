"""The worker's side of voices of recorded people: learnt and forgotten here; ``studio.voicing`` has them speak.

Kinds of task, beside those of ``studio.perform``:

==========  ==================================================================  ==================================
kind        parameters                                                          result
==========  ==================================================================  ==================================
enrol       ``recordings`` (paths), ``owner``, ``id``, ``name``, ``language``,  ``id``, ``seconds``, ``warnings``
            ``engine``, ``consent`` (plain)
forget      ``owner``, ``id``                                                   none
==========  ==================================================================  ==================================
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Lock
from typing import Any

import structlog

from vivavoce.errors import Cancelled, EngineUnavailable, TooLarge, VivavoceError
from vivavoce.media import audio
from vivavoce.nouns import Audio
from vivavoce.ports import Cloner
from vivavoce.registry import Registry
from vivavoce.store.voices import LONGEST_SECONDS, MOST_RECORDINGS, Consent, StoredVoice, VoiceStore
from vivavoce.studio.thread import Prompter, attended

__all__ = ["Cloning", "cloner_of"]

_log = structlog.get_logger(__name__)
_STAGE = "enrol"

Work = Callable[[Mapping[str, Any], Prompter], dict[str, Any]]


def cloner_of(registry: Registry, name: str) -> Cloner:
    """A cloner by name. Raises ``EngineUnavailable`` when it cannot work here, also when nobody has heard of it."""
    if name not in (known := registry.names("clone")):
        raise EngineUnavailable(f"There is no cloner {name[:40]!r} here; installed: {', '.join(known) or 'none'}.")
    return registry.get("clone", name)


class Cloning:
    """Plays the tasks about voices with the cloners of a registry."""

    def __init__(self, registry: Registry, voices: VoiceStore) -> None:
        self._registry = registry
        self._voices = voices

    @property
    def works(self) -> dict[str, Work]:
        """What it can do, by kind of task."""
        return {"enrol": self._enrol, "forget": self._forget}

    def offer(self) -> list[dict[str, Any]]:
        """Each cloner that is installed: what it is like, and what is ``missing`` where it cannot work."""
        return [self._offered(name) for name in self._registry.names("clone")]

    def _offered(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = {"engine": name, "licence": "", "network": False, "approximate": False}
        told |= {"languages": [], "least": 0.0, "available": False, "missing": ""}
        try:
            traits = self._registry.get("clone", name).traits
        except VivavoceError as e:
            return told | {"missing": str(e)}
        return told | {
            "licence": traits.licence,
            "network": traits.network,
            "approximate": traits.approximate,
            "languages": list(traits.languages),
            "least": traits.least,
            "available": True,
        }

    # ---- the kinds

    def _enrol(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, _STAGE)
        cloner = cloner_of(self._registry, params["engine"])
        recordings = _heard([Path(path) for path in params["recordings"]], prompter)
        learning = _Learning(self._voices, cloner, params, recordings)
        try:
            voice = attended(learning, lambda: prompter.report(0.5, _STAGE))
        except Cancelled:
            learning.leave()
            raise
        seconds = sum(recording.seconds for recording in recordings)
        return {"id": voice.id, "seconds": round(seconds, 3), "warnings": list(voice.warnings)}

    def _forget(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, "forget")
        owner, id_ = params["owner"], params["id"]
        try:
            told = _forget_of(cloner_of(self._registry, self._voices.get(owner, id_).engine))
        except EngineUnavailable as e:  # whoever cannot speak with it any more may still want it gone
            _log.warning("a cloner is not told of a voice that is removed", reason=str(e))
            told = None
        # To its end, whoever leaves: half a removal would keep what was to be forgotten.
        self._voices.remove(owner, id_, forget=told)
        return {}


class _Learning:
    """One enrolment. A cloner cannot be interrupted: a cancel lets it go on alone, and it undoes what it did."""

    def __init__(
        self, voices: VoiceStore, cloner: Cloner, params: Mapping[str, Any], recordings: Sequence[Audio]
    ) -> None:
        self._voices = voices
        self._cloner = cloner
        self._params = params
        self._recordings = recordings
        self._left = Event()
        self._lock = Lock()
        self._kept: StoredVoice | None = None

    def __call__(self) -> StoredVoice:
        """Learn and keep the voice. Raises ``Cancelled`` when everybody has left meanwhile."""
        params = self._params
        voice = self._voices.add(
            params["owner"],
            params["id"],
            self._recordings,
            self._learnt,
            engine=params["engine"],
            name=params["name"],
            language=params["language"],
            consent=Consent(**params["consent"]),
            forget=_forget_of(self._cloner),
        )
        with self._lock:
            self._kept = voice
            if self._left.is_set():
                self._undo()
        return voice

    def leave(self) -> None:
        """Nobody wants the voice any more."""
        with self._lock:
            self._left.set()
            if self._kept is not None:
                self._undo()

    def _learnt(self, into: Path) -> tuple[str, ...]:
        warnings = self._cloner.enrol(self._recordings, into)
        if self._left.is_set():
            told = _forget_of(self._cloner)
            if told is not None:
                told(into)
            raise Cancelled("The work was cancelled.")
        return warnings

    def _undo(self) -> None:
        self._voices.remove(self._params["owner"], self._params["id"], forget=_forget_of(self._cloner))


def _heard(paths: Sequence[Path], prompter: Prompter) -> list[Audio]:
    """The recordings, read within the limits of a voice. Raises what ``media.audio.decode`` raises."""
    if len(paths) > MOST_RECORDINGS:
        raise TooLarge(f"A voice is learnt from up to {MOST_RECORDINGS} recordings, not {len(paths)}; send fewer.")
    recordings = []
    for number, path in enumerate(paths):
        prompter.report(0.5 * number / len(paths), _STAGE)
        recordings.append(audio.decode(path, max_seconds=LONGEST_SECONDS))
    return recordings


def _forget_of(cloner: Cloner) -> Callable[[Path], None] | None:
    """What a cloner may offer besides: to be told of a voice that is removed, because a service keeps it too."""
    forget: Callable[[Path], None] | None = getattr(cloner, "forget", None)
    return forget
