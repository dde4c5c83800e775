"""Writes down what is said in a whole recording, of any length, at constant memory."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from vivavoce.hear.pieces import Piece, pieces
from vivavoce.hear.vad import RATE
from vivavoce.media.audio import resample
from vivavoce.media.sound import Sound, sound
from vivavoce.nouns import Audio, Mark, Speech, Transcript
from vivavoce.ports import Recognizer, Report
from vivavoce.text.transcripts import joined

__all__ = ["marked", "transcribe"]

_STAGE = "transcribe"
_BATCH = 8
"""Pieces that a recogniser is given at once."""
_BLOCK = RATE
"""Samples."""
_SIGN = 0.2
"""Seconds between two reports while a recording is silent."""


def transcribe(
    source: Path,
    ear: Recognizer,
    *,
    language: str,
    phrases: Sequence[str] = (),
    max_seconds: float,
    report: Report,
) -> Transcript:
    """What is said in a file of any common format; no segments where nobody speaks.

    ``language`` "" is found in the longest piece at the beginning and kept. ``phrases`` are the only ones that can be
    heard, where the recogniser is ``closed``. Raises ``UnsupportedMedia``, ``InvalidInput``, ``TooLarge`` for the file,
    and what the recogniser raises.
    """
    writer = _Writer(ear, language, phrases)
    with sound(source, max_seconds=max_seconds, most_channels=1, rate=RATE) as opened:
        reel = _Reel(opened, report)
        for batch in _batches(pieces(reel, longest=ear.traits.longest)):
            for _ in writer.write(batch):
                reel.tell()
        report(1.0, _STAGE)
        return joined(writer.parts, writer.language, reel.seconds)


def marked(recording: Audio, ear: Recognizer, language: str, tell: Callable[[], None] = lambda: None) -> Speech | None:
    """The recording with the text that is said in it and the times of its words; None when nothing is heard.

    ``tell`` is called as a sign of life, and may raise to end the work.

    Each word mark points at its place in the text, without the signs around it, as voices' marks do.
    """
    writer = _Writer(ear, language, ())
    heard = resample(recording, RATE).samples
    blocks = (Audio(heard[i : i + _BLOCK], RATE) for i in range(0, len(heard), _BLOCK))
    for batch in _batches(pieces(blocks, longest=ear.traits.longest)):
        for _ in writer.write(batch):
            tell()
    transcript = joined(writer.parts, writer.language, recording.seconds)
    if not any(c.isalnum() for c in transcript.text):
        return None
    return Speech(transcript.text, transcript.language, recording, tuple(_marks(transcript)))


def _marks(transcript: Transcript) -> Iterator[Mark]:
    text, at, now = transcript.text, 0, 0.0
    for word in transcript.words:
        letters = [i for i, c in enumerate(word.text) if c.isalnum()]
        bare = word.text[letters[0] : letters[-1] + 1] if letters else ""
        found = text.find(bare, at) if bare else -1
        start, end = max(word.start, now), max(word.end, word.start, now)
        if found >= 0:
            at, now = found + len(bare), end
            yield Mark("word", bare, start, end, found)


def _batches(found: Iterator[Piece]) -> Iterator[list[Piece]]:
    while batch := list(islice(found, _BATCH)):
        yield batch


class _Reel(Iterable[Audio]):
    """The blocks of a file, with word of how far it is read; it never ends before its time, and counts it."""

    def __init__(self, opened: Sound, report: Report) -> None:
        self._opened, self._report = opened, report
        self._told = time.monotonic()
        self._read = 0

    def __iter__(self) -> Iterator[Audio]:
        for block in self._opened.blocks:
            self._read += block.shape[1]
            if time.monotonic() - self._told >= _SIGN:
                self.tell()
            yield Audio(block[0], self._opened.rate)

    @property
    def seconds(self) -> float:
        """What has been read."""
        return self._read / self._opened.rate

    def tell(self) -> None:
        """Report how much of the file has been heard."""
        self._told = time.monotonic()
        self._report(min(1.0, self.seconds / (self._opened.seconds or max(self.seconds, 1e-3) * 2)), _STAGE)


class _Writer:
    """Has pieces recognised, and keeps what was heard and in which language."""

    def __init__(self, ear: Recognizer, language: str, phrases: Sequence[str]) -> None:
        self._ear, self._phrases = ear, phrases
        self.language = language
        self.parts: list[tuple[float, Transcript]] = []

    def write(self, batch: Sequence[Piece]) -> Iterator[None]:
        """Write down a batch, yielding after each piece; closing the iterator ends the work."""
        ordered = list(batch)
        if not self.language and self._ear.traits.detects:  # a long piece tells a language more surely than a short one
            ordered.sort(key=lambda piece: -piece.audio.seconds)
        done: list[tuple[float, Transcript]] = []
        while ordered:
            told = self.language or not self._ear.traits.detects
            now, ordered = (ordered, []) if told else (ordered[:1], ordered[1:])
            for part in self._heard(now):
                done.append(part)
                yield
        self.parts += sorted(done, key=lambda part: part[0])

    def _heard(self, batch: Sequence[Piece]) -> Iterator[tuple[float, Transcript]]:
        sounds = [resample(piece.audio, self._ear.traits.rate) for piece in batch]
        heard = self._ear.recognize(sounds, language=self.language, phrases=self._phrases)
        try:
            for piece, transcript in zip(batch, heard, strict=True):
                if transcript.segments and not self.language:
                    self.language = transcript.language
                yield piece.start, transcript
        finally:
            close = getattr(heard, "close", None)  # the port promises an iterator; most are generators
            if close is not None:
                close()
