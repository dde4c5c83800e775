"""The worker's side of the audio core: sound is cleaned, written down and compared here.

Kinds of task, beside those of ``studio.perform``:

==========  ==================================================================  ==================================
kind        parameters                                                          result
==========  ==================================================================  ==================================
enhance     ``source``, ``target`` (paths), ``engine``                          see ``studio.enhancing.enhance``
convert     ``source``, ``target`` (paths)                                      ``seconds``, ``rate``, ``channels``
transcribe  ``source`` (path), ``engine``, ``language``, ``phrases``            ``transcript`` (plain), ``engine``
hear        ``samples`` (float32 bytes), ``rate``, ``engine``, ``language``,    ``transcript`` (plain), ``engine``
            ``phrases``
embed       ``source`` (path), ``engine``                                       see ``studio.verifying.embed``
record      ``target`` (path), ``seconds``                                      ``seconds``
offer       none                                                                ``ears``, ``cleaners``, ``speakers``
==========  ==================================================================  ==================================
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import structlog

from vivavoce.errors import Cancelled, EngineUnavailable, InvalidInput, VivavoceError
from vivavoce.media import microphone
from vivavoce.media.audio import resample, write_wav
from vivavoce.media.sound import WavWriter, sound
from vivavoce.nouns import Audio, Speech, Transcript
from vivavoce.ports import Recognizer
from vivavoce.registry import Kind, Registry
from vivavoce.studio import enhancing, transcribing, verifying
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.thread import Prompter
from vivavoce.text.transcripts import to_plain

__all__ = ["AUTO", "EARS", "Audition"]

_log = structlog.get_logger(__name__)
AUTO = "auto"
EARS = ("whisper", "openai", "sphinx")
"""Recognisers in the order in which ``auto`` tries them."""

Work = Callable[[Mapping[str, Any], Prompter], dict[str, Any]]


class Audition:
    """Plays the tasks of the audio core with the engines of a registry."""

    def __init__(self, config: StudioConfig, registry: Registry) -> None:
        self._config = config
        self._registry = registry

    @property
    def works(self) -> dict[str, Work]:
        """What it can do, by kind of task."""
        return {
            "enhance": self._enhance,
            "convert": self._convert,
            "transcribe": self._transcribe,
            "hear": self._hear,
            "embed": self._embed,
            "record": self._record,
            "offer": self._offer,
        }

    def _offer(self, _: Mapping[str, Any], __: Prompter) -> dict[str, Any]:
        """What works here; not asked for at the start, since it loads every engine."""
        return {
            "ears": [
                {"engine": name, "languages": list(t.languages), "licence": t.licence, "network": t.network}
                for name, t in self._traits("ear")
            ],
            "cleaners": [{"engine": name, "licence": t.licence} for name, t in self._traits("clean")],
            "speakers": [
                {"engine": name, "licence": t.licence, "threshold": t.threshold} for name, t in self._traits("speaker")
            ],
        }

    def words(self, recording: Audio, language: str, prompter: Prompter) -> Speech | None:
        """A recording with the words that are said in it; None when nobody here can tell them.

        The face then goes by the sound alone.
        """
        if not self._config.hear_recordings:
            return None
        try:
            name, ear = self._ear(self._config.ear, language)
            if ear.traits.network and self._config.ear != name:
                return None  # nobody has said that recordings may leave this machine
            # Whoever sends a recording without its words seldom says its language.
            tell = partial(prompter.report, 0.0, "transcribe")
            tell()
            return transcribing.marked(recording, ear, "" if ear.traits.detects else language, tell)
        except Cancelled:
            raise
        except VivavoceError as e:
            _log.info("a recording keeps its words", reason=str(e))
            return None

    # ---- the kinds

    def _enhance(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, "enhance")
        name = params["engine"]
        return enhancing.enhance(
            Path(params["source"]),
            Path(params["target"]),
            self._registry.get("clean", name),
            name=name,
            max_seconds=self._config.max_sound_seconds,
            report=prompter.report,
        )

    def _convert(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, "convert")
        most = self._config.max_audio_seconds
        with (
            sound(Path(params["source"]), max_seconds=most) as read,
            WavWriter(Path(params["target"]), read.rate, read.channels) as wav,
        ):
            for block in read.blocks:
                wav.write(block)
                prompter.report(min(1.0, wav.frames / read.rate / (read.seconds or most)), "convert")
        return {"seconds": round(wav.frames / read.rate, 3), "rate": read.rate, "channels": read.channels}

    def _transcribe(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, "transcribe")
        name, ear = self._ear(params["engine"], params["language"])
        heard = transcribing.transcribe(
            Path(params["source"]),
            ear,
            language=params["language"],
            phrases=_phrases(params, name, ear),
            max_seconds=self._config.max_sound_seconds,
            report=prompter.report,
        )
        return {"transcript": to_plain(heard), "engine": name}

    def _hear(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, "hear")
        name, ear = self._ear(params["engine"], params["language"])
        piece = Audio(np.frombuffer(params["samples"], "<f4"), params["rate"])
        phrases = _phrases(params, name, ear)
        heard = ear.recognize([resample(piece, ear.traits.rate)], language=params["language"], phrases=phrases)
        with closing(cast("Any", heard)):
            transcript: Transcript = next(heard)
        return {"transcript": to_plain(transcript), "engine": name}

    def _embed(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, "embed")
        encoder = self._registry.get("speaker", params["engine"])
        limit = self._config.max_audio_seconds
        heard = verifying.embed(Path(params["source"]), encoder, max_seconds=limit, report=prompter.report)
        return heard | {"threshold": encoder.traits.threshold}

    def _record(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        def still_wanted() -> bool:
            prompter.report(0.0, "record")
            return False

        heard = microphone.record(params["seconds"], stop=still_wanted)
        write_wav(Path(params["target"]), heard)
        return {"seconds": heard.seconds}

    # ---- engines

    def _ear(self, name: str, language: str) -> tuple[str, Recognizer]:
        """The recogniser of that name, or with ``auto`` the first that can work here for the language.

        Raises what the first of them lacks when none can.
        """
        if name != AUTO:
            return name, self._registry.get("ear", name)
        missing: list[VivavoceError] = []
        for candidate in EARS:
            try:
                ear = self._registry.get("ear", candidate)
            except VivavoceError as e:
                missing.append(e)
                continue
            if not language or not ear.traits.languages or language in ear.traits.languages:
                return candidate, ear
        raise missing[0] if missing else EngineUnavailable("No recogniser is installed here.")

    def _traits(self, kind: Kind) -> list[tuple[str, Any]]:
        found = []
        for name in self._registry.names(kind):
            try:
                found.append((name, cast("Any", self._registry).get(kind, name).traits))
            except VivavoceError as e:  # one that is not set up must not hide the others
                _log.info("engine unavailable", engine=f"{kind}.{name}", reason=str(e))
        return found


def _phrases(params: Mapping[str, Any], name: str, ear: Recognizer) -> tuple[str, ...]:
    """What alone can be heard. Raises ``InvalidInput`` where the recogniser cannot choose."""
    phrases = tuple(params.get("phrases", ()))
    if phrases and not ear.traits.closed:
        raise InvalidInput(f"The recogniser {name} cannot choose among given phrases; leave them out.")
    return phrases
