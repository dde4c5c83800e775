"""Answers from a file: for kiosks, and for talking with no model at all."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import structlog

from vivavoce.engines.chats.likeness import Likeness
from vivavoce.engines.chats.script import OTHERWISE, Entry, read_script
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.nouns import ChatTraits, Turn
from vivavoce.text.chunking import sentences
from vivavoce.text.guess import guess_language
from vivavoce.text.languages import resolve

__all__ = ["ScriptedChat"]

_log = structlog.get_logger(__name__)
_MODEL = "scripted"
_UNKNOWN = {
    "ru": "На это у меня нет ответа.",
    "kk": "Бұл сұраққа менде жауап жоқ.",
    "en": "I have no answer to that.",
    "ko": "그 질문에는 답할 수 없어요.",
    "zh": "这个问题我回答不了。",
}
"""What is answered when nothing fits and the file does not say what then."""
_MOST_SAID = 2000
"""Characters of a question that are looked at."""


class ScriptedChat:
    """Gives the answer of the question that is most like what was said; the same words always have the same answer.

    The file (see ``script``) is read again when it has changed; one that cannot be used then is passed over.
    """

    def __init__(self, file: Path | str | None = None, *, threshold: float = 0.42) -> None:
        """``threshold`` is how alike, 0 to 1, what is said and a question must be.

        Raises ``EngineUnavailable`` without a file or with one that cannot be used.
        """
        if not file:
            raise EngineUnavailable(
                "The chat engine scripted has no questions and answers; set VIVAVOCE_CHATS__SCRIPTED__FILE to a file "
                "of them."
            )
        self._file = Path(file)
        self._threshold = threshold
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._script = _Script(read_script(self._file))

    @property
    def traits(self) -> ChatTraits:
        """One model, whose name is ``scripted``."""
        return ChatTraits(models=(_MODEL,), licence="the operator's own words")

    def reply(self, turns: Sequence[Turn], *, model: str = "", language: str = "") -> Iterator[str]:
        """The answer to the last of ``turns``, sentence by sentence; those before are not looked at.

        Raises ``InvalidInput`` at once: for another model, for a language in which there are no answers, for turns that
        end in no question, and when nothing fits and nobody has said what to answer then.
        """
        if model not in ("", _MODEL):
            raise InvalidInput(f"There is no chat model {model[:40]!r} here; use {_MODEL}.")
        if not turns or turns[-1].role != "user" or not turns[-1].text.strip():
            raise InvalidInput("There is nothing to answer; the last turn must be the user's, and not empty.")
        said = turns[-1].text[:_MOST_SAID]
        answer, code = self._current().answer(said, resolve(language).code if language else "", self._threshold)
        return (sentence for sentence in sentences(answer, resolve(code)))

    def _current(self) -> "_Script":
        with self._lock:
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                try:
                    self._script = _Script(read_script(self._file))
                except EngineUnavailable as e:
                    _log.warning("the script has changed and cannot be used; the one before stays", reason=str(e))
            return self._script

    def _stamp(self) -> tuple[int, int]:
        try:
            stat = self._file.stat()
        except OSError:
            return (0, 0)
        return stat.st_mtime_ns, stat.st_size


class _Script:
    """Entries, and what is needed to find one."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        pairs = [(question, entry) for entry in entries for question in entry.questions if question != OTHERWISE]
        self._entries = [entry for _, entry in pairs]
        self._likeness = Likeness([question for question, _ in pairs])
        self._otherwise = [entry.answers for entry in entries if OTHERWISE in entry.questions]
        self._languages = tuple(dict.fromkeys(code for entry in entries for code in entry.answers))

    def answer(self, said: str, language: str, threshold: float) -> tuple[str, str]:
        """An answer and the code of its language."""
        if language and language not in self._languages:
            known = resolve(language)
            raise InvalidInput(
                f"There are no answers in {known.name} ({known.code}) here; ask in {', '.join(self._languages)}."
            )
        scores = self._likeness.scores(said)
        for i in sorted(scores, key=lambda i: (-scores[i], i)):
            if scores[i] < threshold:
                break
            answers = self._entries[i].answers
            if not language or language in answers:
                return _told(answers, language or guess_language(said, next(iter(answers))))
        wanted = language or guess_language(said, self._languages[0])
        for answers in sorted(self._otherwise, key=lambda answers: wanted not in answers):
            if not language or language in answers:
                return _told(answers, wanted)
        if wanted not in _UNKNOWN:
            raise InvalidInput("Nothing here answers this; ask something else.")
        return _told(_UNKNOWN, wanted)


def _told(answers: Mapping[str, str], language: str) -> tuple[str, str]:
    """The answer in a language, else the first one, and the language that it is in."""
    code = language if language in answers else next(iter(answers))
    return answers[code], code
