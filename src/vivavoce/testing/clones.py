"""The promises of ``Cloner``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Audio, Speech, VoiceTraits
from vivavoce.ports import Cloner
from vivavoce.testing.base import refused, require
from vivavoce.testing.voices import SENTENCES, check_synthesizer

__all__ = ["check_cloner"]

_RATE = 16_000


def check_cloner(
    engine: Cloner, recordings: Sequence[Audio], folder: Path, sentences: Mapping[str, str] = SENTENCES
) -> tuple[str, ...]:
    """Every promise of ``Cloner``; returns the warnings of enrolment.

    ``recordings`` are of one speaker, ``engine.traits.least`` seconds or more altogether. ``folder`` exists and is
    empty.
    """
    traits = engine.traits
    require(traits == engine.traits, "Traits are the same whenever they are read.")
    require(traits.least > 0, "Traits declare how many seconds of speech are wanted.")
    voice = folder / "voice"
    voice.mkdir()
    before = [recording.samples.copy() for recording in recordings]
    warnings = engine.enrol(recordings, voice)
    same = all(np.array_equal(r.samples, b) for r, b in zip(recordings, before, strict=True))
    require(same, "Enrolment does not change the recordings.")
    require(
        isinstance(warnings, tuple) and all(isinstance(w, str) and w for w in warnings),
        "Enrolment returns its warnings as a tuple of sentences.",
    )
    require(any(voice.iterdir()), "Enrolment keeps what it has learnt in the folder.")
    require([p.name for p in folder.iterdir()] == ["voice"], "Enrolment writes nothing beside its folder.")
    moved = voice.rename(folder / "moved")
    languages = traits.languages or tuple(sentences)
    check_synthesizer(_Spoken(engine, moved, languages), sentences)
    _check_refusals(engine, folder)
    return warnings


def _check_refusals(engine: Cloner, folder: Path) -> None:
    silence = Audio(np.zeros(_RATE * 5, np.float32), _RATE)
    for i, (recordings, what) in enumerate(
        (((), "no recording"), ((silence,), "silence"), ((Audio(silence.samples[:0], _RATE),), "sound of no length"))
    ):
        empty = folder / f"refused-{i}"
        empty.mkdir()
        refused(lambda recordings=recordings, empty=empty: engine.enrol(recordings, empty), what)  # type: ignore[misc]
    language = next(iter(engine.traits.languages), "en")
    strange = folder / "strange"
    strange.mkdir()
    refused(lambda: list(engine.synthesize("1 2 3.", language=language, voice=strange)), "a folder without a voice")


@dataclass(frozen=True, slots=True)
class _Spoken:
    """A cloned voice, to be checked as any other."""

    engine: Cloner
    folder: Path
    languages: tuple[str, ...]

    @property
    def traits(self) -> VoiceTraits:
        """One voice in the cloner's languages."""
        return VoiceTraits(self.languages, timings=self.engine.traits.timings)

    def synthesize(self, text: str, *, language: str, voice: str) -> Iterator[Speech]:
        """The one voice says it."""
        if voice:
            raise InvalidInput("There is one voice only.")
        return self.engine.synthesize(text, language=language, voice=self.folder)
