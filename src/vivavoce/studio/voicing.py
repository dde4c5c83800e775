"""Has a text spoken by any voice, and gives every speech what a face needs: phonemes with times.

Few voices tell their phonemes. Where one does not, the embedded voice says the same text, and its sounds are moved to
when the other says them: between the words where those have times, else by their likeness to the sound.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from vivavoce.errors import Cancelled, InvalidInput, Overloaded, VivavoceError
from vivavoce.nouns import Speech
from vivavoce.registry import Registry
from vivavoce.store.voices import VoiceStore
from vivavoce.studio import speech as speeches
from vivavoce.studio.cloning import cloner_of
from vivavoce.studio.scene import CLONE
from vivavoce.studio.thread import Prompter, attended
from vivavoce.text import alignment

__all__ = ["Voicing"]

_EMBEDDED = "espeak"

_log = structlog.get_logger(__name__)


class Voicing:
    """Speaks with the voices of a registry, and with those of people in a store."""

    def __init__(self, registry: Registry, voices: VoiceStore, *, fallback: bool) -> None:
        """``fallback``: whether the embedded voice may speak when another one fails."""
        self._registry = registry
        self._voices = voices
        self._fallback = fallback

    def speak(self, params: Mapping[str, Any], prompter: Prompter, *, complete: bool = True) -> Speech:
        """The text of a task in the voice of the task; ``complete`` finds phonemes where the voice tells none.

        The voice ``clone/ID`` is one of the task's ``owner``. When another voice stands in, the note ``voice_fallback``
        says why. Raises what the voice raises, ``NotFound`` for a person's voice that is gone, and ``Cancelled`` within
        a fraction of a second, also while a service is silent.
        """
        text, language, name = params["text"], params["language"], params["voice_engine"]
        try:
            parts = self._cloned(params, prompter) if name == CLONE else self._spoken(params, prompter)
            return speeches.joined(self.completed(part) if complete else part for part in parts)
        except VivavoceError as e:
            if not self._fallback or name == _EMBEDDED or not _is_the_engines_fault(e):
                raise
            _log.warning("the embedded voice stands in", engine=name, reason=str(e))
            prompter.notes["voice_fallback"] = str(e)
            return self.reference(text, language)

    def reference(self, text: str, language: str, params: Mapping[str, Any] | None = None) -> Speech:
        """The text as the embedded voice says it, with words and phonemes; in the accent of a task that names one."""
        engine = self._registry.get("voice", _EMBEDDED)
        voice = params["voice"] if params and params["voice_engine"] == _EMBEDDED else ""
        return speeches.joined(engine.synthesize(text, language=language, voice=voice))

    def _spoken(self, params: Mapping[str, Any], prompter: Prompter) -> Iterator[Speech]:
        engine = self._registry.get("voice", params["voice_engine"])
        parts = engine.synthesize(params["text"], language=params["language"], voice=params["voice"])
        tell = partial(prompter.report, 0.0, "voice")
        if not isinstance(parts, Generator):  # a generator cannot be closed while it is being read
            parts = _attended(parts, tell)
        for i, part in enumerate(parts):
            if i:
                tell()
            yield part

    def _cloned(self, params: Mapping[str, Any], prompter: Prompter) -> Iterator[Speech]:
        """A stage of its own: a cloner takes longer than a voice."""
        tell = partial(prompter.report, 0.0, CLONE)
        tell()
        voice = self._voices.get(params.get("owner", ""), params["voice"])
        cloner = cloner_of(self._registry, voice.engine)
        yield from _attended(cloner.synthesize(params["text"], language=params["language"], voice=voice.path), tell)

    def completed(self, part: Speech) -> Speech:
        """The part with phonemes; as it is when there are none to find, then the face goes by the sound alone."""
        if part.of("phoneme") or not any(c.isalnum() for c in part.text):
            return part
        try:
            reference = self.reference(part.text, part.language)
            if part.of("word"):
                with suppress(InvalidInput):  # words of its own cutting: the sound itself tells more
                    return alignment.anchor(reference, part)
            return alignment.align(reference, part.audio)
        except VivavoceError as e:
            _log.info("a speech has no phonemes", reason=str(e))
            return part


def _is_the_engines_fault(error: VivavoceError) -> bool:
    """Whether another voice may succeed: not when the request itself is bad, or not wanted any more."""
    return not isinstance(error, Cancelled) and (error.status >= 500 or isinstance(error, Overloaded))


def _attended(parts: Iterator[Speech], tell: Callable[[], None]) -> Generator[Speech]:
    """The parts, read in a thread of their own, so that a cancel is heard while a voice is silent.

    Then the iterator is closed, if it can be, while it is being read.
    """
    try:
        while (part := attended(lambda: next(parts, None), tell)) is not None:
            yield part
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            with suppress(ValueError):  # a generator that is being read ends with the part that it is at
                close()
