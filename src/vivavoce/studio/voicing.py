"""Has a text spoken by any voice, and gives every speech what a face needs: phonemes with times.

Few voices tell their phonemes. Where one does not, the embedded voice says the same text, and its sounds are moved to
when the other says them: between the words where those have times, else by their likeness to the sound.
"""

from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

import structlog

from vivavoce.errors import Cancelled, InvalidInput, Overloaded, VivavoceError
from vivavoce.nouns import Speech
from vivavoce.registry import Registry
from vivavoce.studio import speech as speeches
from vivavoce.studio.thread import Prompter
from vivavoce.text import alignment

__all__ = ["Voicing"]

_EMBEDDED = "espeak"
_BEAT = 0.2
"""Seconds between two signs of life while a service is silent: a cancel is heard with the next."""

_log = structlog.get_logger(__name__)


class Voicing:
    """Speaks with the voices of a registry."""

    def __init__(self, registry: Registry, *, fallback: bool) -> None:
        """``fallback``: whether the embedded voice may speak when another one fails."""
        self._registry = registry
        self._fallback = fallback

    def speak(self, params: Mapping[str, Any], prompter: Prompter) -> Speech:
        """The text of a task in the voice of the task, with phonemes where they can be found.

        When another voice stands in, the note ``voice_fallback`` says why. Raises what the voice raises, and
        ``Cancelled`` within a fraction of a second, also while a service is silent.
        """
        text, language, name = params["text"], params["language"], params["voice_engine"]
        try:
            return speeches.joined(self._parts(text, language, name, params["voice"], prompter))
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

    def _parts(self, text: str, language: str, name: str, voice: str, prompter: Prompter) -> Iterator[Speech]:
        engine = self._registry.get("voice", name)
        parts = engine.synthesize(text, language=language, voice=voice)
        if not isinstance(parts, Generator):  # a generator cannot be closed while it is being read
            parts = _attended(parts, prompter)
        for i, part in enumerate(parts):
            if i:
                prompter.report(0.0, "voice")
            yield self.completed(part)

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


def _attended(parts: Iterator[Speech], prompter: Prompter) -> Generator[Speech]:
    """The parts, read in a thread of their own, so that a cancel is heard while a voice is silent.

    Then the iterator is closed, if it can be, while it is being read.
    """
    with ThreadPoolExecutor(1, "voice") as reader:
        try:
            while True:
                reading = reader.submit(next, parts, None)
                while not wait((reading,), _BEAT).done:
                    prompter.report(0.0, "voice")
                part = reading.result()
                if part is None:
                    return
                yield part
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
