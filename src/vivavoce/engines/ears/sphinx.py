"""CMU PocketSphinx: a small recogniser whose English model comes in its wheel. For commands and for tests.

Told a few phrases, it chooses among them reliably and quickly. On free speech it gets a third to a half of the words
wrong: whoever wants a transcript installs Whisper.
"""

import importlib.util
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.engines.ears.phrases import Choice, Phrasebook
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.hear.vad import speaks
from vivavoce.nouns import Audio, EarTraits, Segment, Transcript, Word
from vivavoce.text.languages import resolve

__all__ = ["SphinxEar"]

_RATE = 16_000
_FRAME = 0.01
"""Seconds."""
_LONGEST = 20.0
"""Seconds of a piece: the search's memory grows with it."""
_PADDING = 0.25
"""Seconds of near silence put around a phrase: its first and last sound are judged by what is beside them."""
_HISS = 5e-4
"""Level of that near silence: digital zeros are nothing that the model knows."""
_LOOKAHEAD = 10
"""Frames of phonemes that the search looks ahead; the usual 5 got half more words wrong."""
_BREADTH = {"maxhmmpf": 5000, "maxwpf": 20}
"""States and words that free speech may try in a frame (usually 30,000 and any): twice as fast, as many words wrong."""
_SEARCHES = 2
"""Pieces of free speech that are searched at a time: a reading that nobody waits for any more holds up no other."""
_SHIFT = 1024
"""Its scores are so many times smaller than logarithms (``SENSCR_SHIFT`` of 10 bits), to fit into integers."""
_PHRASES, _SOUNDS = "phrases", "sounds"


class SphinxEar:
    """English, on the CPU. Any number of threads may use it; they take turns, piece by piece, two at a time."""

    def __init__(self) -> None:
        """Raises ``EngineUnavailable`` when the extra ``sphinx`` is not installed."""
        if importlib.util.find_spec("pocketsphinx") is None:
            raise EngineUnavailable(
                "The recogniser sphinx is not installed; run `pip install 'vivavoce[sphinx]'`, or use another one."
            )
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(_SEARCHES)
        self._free: list[Any] = []
        self._loaded = threading.Event()
        self._closed: Any = None
        self._book: Phrasebook | None = None

    @property
    def traits(self) -> EarTraits:
        """English only."""
        return EarTraits(
            languages=("en",),
            rate=_RATE,
            longest=_LONGEST,
            closed=True,
            licence="BSD-2-Clause; for commands and tests: on free speech a third to a half of the words are wrong",
        )

    def recognize(
        self, pieces: Sequence[Audio], *, language: str = "", phrases: Sequence[str] = ()
    ) -> Iterator[Transcript]:
        """What is said in each piece: free English, or with ``phrases`` one of them or nothing.

        Raises ``InvalidInput`` at once for another language and for a phrase with a word that it cannot pronounce.
        """
        if language and resolve(language).code != "en":
            raise InvalidInput("The recogniser sphinx understands English only; install another one for this language.")
        with self._lock:
            book = self._open_book(phrases) if phrases else None
        if not phrases and not self._loaded.is_set():  # now, not when the first word was said
            with self._searching():
                self._loaded.set()
        return self._heard(pieces, book)

    def close(self) -> None:
        """Let go of the models."""
        with self._lock:
            self._free.clear()
            self._loaded.clear()
            self._closed = self._book = None

    def _heard(self, pieces: Sequence[Audio], book: Phrasebook | None) -> Iterator[Transcript]:
        for piece in pieces:
            if piece.rate != _RATE:
                raise ValueError(f"The recogniser sphinx wants {_RATE} samples a second, not {piece.rate}.")
            words: list[Word] = []
            if speaks(piece.samples):  # of noise, too, it would make words
                words = self._chosen(piece, book) if book else self._written(piece)
            yield Transcript("en", piece.seconds, _segments(book.spelt(words) if book else words))

    def _written(self, piece: Audio) -> list[Word]:
        """Free speech."""
        with self._searching() as decoder:
            _decode(decoder, _pcm(piece.samples))
            return _words(decoder, piece.seconds, 0.0)

    @contextmanager
    def _searching(self) -> Iterator[Any]:
        """A decoder of free speech for as long as the block lasts; it takes a third of a second to load one."""
        with self._turns:
            try:
                decoder = self._free.pop()
            except IndexError:
                decoder = _decoder(pl_window=_LOOKAHEAD, **_BREADTH)
            try:
                yield decoder
            finally:
                self._free.append(decoder)

    def _chosen(self, piece: Audio, book: Phrasebook) -> list[Word]:
        """One of the phrases, if it explains the sound about as well as any row of phonemes does."""
        with self._lock:
            return self._choose(piece, book)

    # ---- under the lock

    def _choose(self, piece: Audio, book: Phrasebook) -> list[Word]:
        decoder, sound = self._chooser(), _padded(piece)
        if self._book is not book:
            decoder.add_jsgf_string(_PHRASES, book.grammar)
            self._book = book
        decoder.activate_search(_PHRASES)
        score = _decode(decoder, sound)
        words = _words(decoder, piece.seconds, _PADDING)
        if score is None or not book.holds([w.text for w in words]):
            return []
        decoder.activate_search(_SOUNDS)
        best = _decode(decoder, sound)
        probability = Choice(words, score, best or 0.0).probability(piece)
        return [Word(w.text, w.start, w.end, probability) for w in words] if probability >= 0.5 else []

    def _open_book(self, phrases: Sequence[str]) -> Phrasebook:
        known = self._book
        if known is not None and known.phrases == tuple(phrases):
            return known
        chooser = self._chooser()
        return Phrasebook(phrases, lambda word: chooser.lookup_word(word) is not None)

    def _chooser(self) -> Any:
        """The decoder of phrases, which knows a search for any row of phonemes besides."""
        if self._closed is None:
            self._closed = _decoder(lm=None)
            self._closed.add_allphone_file(_SOUNDS)
            self._book = None
        return self._closed


def _decoder(**options: Any) -> Any:
    import pocketsphinx

    return pocketsphinx.Decoder(samprate=_RATE, loglevel="FATAL", **options)


def _padded(piece: Audio) -> bytes:
    """16-bit samples with near silence around them; the hiss is the same each time, and so is the answer."""
    around = round(_PADDING * _RATE)
    hiss = np.random.default_rng(0).normal(0.0, _HISS, len(piece.samples) + 2 * around)
    hiss[around:-around] += piece.samples
    return _pcm(hiss)


def _pcm(samples: npt.NDArray[Any]) -> bytes:
    return bytes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2"))


def _decode(decoder: Any, sound: bytes) -> float | None:
    """Search the whole utterance; the score (natural logarithm) of what was found, None when nothing was."""
    decoder.reinit_feat()  # what it has learnt of other speakers' microphones would change the answer
    decoder.start_utt()
    try:
        decoder.process_raw(sound, full_utt=True)
    finally:
        decoder.end_utt()
    found = decoder.hyp()
    return None if found is None else math.log(max(found.best_score, 1e-300)) * _SHIFT


def _words(decoder: Any, seconds: float, before: float) -> list[Word]:
    """Words with times and posterior probabilities, without fillers, and without the number of a pronunciation.

    ``before`` are the seconds of silence put before the piece, which lasts ``seconds``.
    """
    made: list[Word] = []
    for segment in decoder.seg() or ():
        if segment.word.startswith(("<", "[", "+")):
            continue
        start = min(max(0.0, segment.start_frame * _FRAME - before), seconds)
        end = min(max(start, (segment.end_frame + 1) * _FRAME - before), seconds)
        made.append(Word(segment.word.partition("(")[0], start, end, min(1.0, float(segment.prob))))
    return made


def _segments(words: Sequence[Word]) -> tuple[Segment, ...]:
    if not words:
        return ()
    return (Segment(" ".join(w.text for w in words), words[0].start, words[-1].end, tuple(words)),)
