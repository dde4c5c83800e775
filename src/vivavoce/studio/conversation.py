"""One turn of a conversation: what was said goes to a chat model, and its answer comes sentence by sentence.

It is what every way of talking shares, synchronous and without a server: whoever reads the sentences has them spoken
while the model still writes.
"""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from vivavoce.errors import EngineUnavailable, InvalidInput, TooLarge
from vivavoce.nouns import Turn
from vivavoce.ports import Chat, Report
from vivavoce.text.guess import guess_language
from vivavoce.text.languages import Language, resolve
from vivavoce.text.sentences import MOST, spoken_sentences
from vivavoce.text.tokens import recent

__all__ = ["History", "Limits", "Memory", "turn"]

_BEAT = 0.2
"""Seconds between two signs of life while a model is silent: a cancel is heard with the next."""
_PAUSE = 0.15
"""Seconds without a piece after which a sentence that looks whole is taken for one."""
_BROKEN_OFF = " …"
"""What ends an answer, in the memory of it, of which more was to come."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is said, remembered and answered."""

    said_characters: int = 5000
    """Of what the user says."""
    reply_characters: int = 2000
    """Of an answer; no sentence is begun beyond it."""
    sentence_characters: int = MOST
    """Of a sentence; a longer one is cut."""
    turns: int = 40
    """Of the conversation that the model is sent, this one included."""
    tokens: int = 4000
    """Of all that the model is sent, estimated."""


class History(Protocol):
    """What was said so far: ``store.conversations.Talk``, or ``Memory``."""

    @property
    def turns(self) -> Sequence[Turn]:
        """The turns, the oldest first."""

    def add(self, *turns: Turn) -> None:
        """Remember more."""


class Memory:
    """A conversation that is kept by nobody: where only one answer is wanted, or another process keeps it."""

    def __init__(self, turns: Sequence[Turn] = ()) -> None:
        self.turns: tuple[Turn, ...] = tuple(turns)
        self.added: tuple[Turn, ...] = ()
        """What this turn brought."""

    def add(self, *turns: Turn) -> None:
        """Remember more."""
        self.turns += turns
        self.added += turns


def turn(
    chat: Chat,
    history: History,
    said: str,
    *,
    model: str = "",
    language: str = "",
    system: str = "",
    limits: Limits | None = None,
    report: Report,
) -> Generator[str]:
    """The answer to ``said``, sentence by sentence as it is written, as a voice can speak it; joined it is the answer.

    ``model`` "" is the engine's default, ``language`` "" leaves the answer's open, ``system`` is what the model is told
    first. ``report`` is called several times a second, also while the model is silent, and may raise to end the turn.

    What was said and answered is added to ``history`` when the answer is over. Where it breaks off, by an error or
    because the generator is closed, the sentences that were given out are kept with an ellipsis after them; where
    there was none, nothing is kept, so that the question can be asked again.

    Raises at once ``InvalidInput`` and ``TooLarge`` for what was said, and what ``Chat.reply`` raises at once; what
    else that raises, while reading.
    """
    limits = limits or Limits()
    said = said.strip()
    if not any(c.isalnum() for c in said):
        raise InvalidInput("Nothing was said; say or write at least one word.")
    if len(said) > limits.said_characters:
        raise TooLarge(f"That is {len(said)} characters; say at most {limits.said_characters} at once.")
    question = Turn("user", said)
    told = (Turn("system", system.strip()),) if system.strip() else ()
    sent = recent((*told, *history.turns, question), most_turns=limits.turns, most_tokens=limits.tokens)
    pieces = _attended(chat.reply(sent, model=model, language=language), report)
    known = resolve(language or guess_language(said, "en"))
    return _answered(question, pieces, known, history, limits, report)


def _answered(
    question: Turn, pieces: Generator[str], language: Language, history: History, limits: Limits, report: Report
) -> Generator[str]:
    answer, whole = "", False
    try:
        report(0.0, "think")
        for sentence in spoken_sentences(pieces, language, most=limits.sentence_characters):
            if answer and len(answer) + len(sentence) > limits.reply_characters:
                break
            report(0.0, "answer")
            answer += sentence
            yield sentence
        else:
            whole = True
        if not answer:
            raise EngineUnavailable("The chat model answered with nothing that can be spoken; ask again.")
    finally:
        pieces.close()
        if answer:
            history.add(question, Turn("assistant", answer.rstrip() + ("" if whole else _BROKEN_OFF)))


def _attended(pieces: Iterator[str], report: Report) -> Generator[str]:
    """The pieces, read in a thread of their own, so that a cancel is heard while a model is silent; "" is a pause.

    Then the iterator is closed while it is being read; a generator cannot be, and is read here.
    """
    if isinstance(pieces, Generator):
        yield from pieces
        return
    with ThreadPoolExecutor(1, "chat") as reader:
        try:
            while True:
                reading = reader.submit(next, pieces, None)
                if not wait((reading,), _PAUSE).done:
                    yield ""
                while not wait((reading,), _BEAT).done:
                    report(0.0, "think")
                piece = reading.result()
                if piece is None:
                    return
                yield piece
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
