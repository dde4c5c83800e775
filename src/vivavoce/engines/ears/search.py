"""PocketSphinx's decoder, as both of its uses here need it: a choice among phrases, and free speech."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.nouns import Word

__all__ = ["HOP", "RATE", "decoder", "found", "free_speech", "pcm", "search"]

RATE = 16_000
"""Hz."""
HOP = 160
"""Samples of a frame: 10 ms."""
_LOOKAHEAD = 10
"""Frames of phonemes that the search looks ahead; the usual 5 got half more words wrong."""
_SHIFT = 1024
"""Its scores are so many times smaller than logarithms (``SENSCR_SHIFT`` of 10 bits), to fit into integers."""


def decoder(**options: Any) -> Any:
    """A decoder of its own models; 90 MB with the language model. Takes a third of a second."""
    import pocketsphinx

    return pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL", **options)


def free_speech() -> Any:
    """A decoder of free English."""
    return decoder(pl_window=_LOOKAHEAD)


def pcm(samples: npt.NDArray[Any]) -> bytes:
    """16-bit samples, little-endian."""
    return bytes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2"))


def search(decoder: Any, sound: bytes) -> float | None:
    """Search the whole of a sound; the score (natural logarithm) of what was found, None when nothing was."""
    decoder.reinit_feat()  # what it has learnt of other speakers' microphones would change the answer
    decoder.start_utt()
    try:
        decoder.process_raw(sound, full_utt=True)
    finally:
        decoder.end_utt()
    best = decoder.hyp()
    return None if best is None else math.log(max(best.best_score, 1e-300)) * _SHIFT


def found(decoder: Any, seconds: float, start: float = 0.0) -> list[Word]:
    """Words with times and posterior probabilities, without fillers, and without the number of a pronunciation.

    The search began ``start`` seconds after the piece, which lasts ``seconds``; where that is before it, what was said
    before is left out.
    """
    made: list[Word] = []
    for segment in decoder.seg() or ():
        if segment.word.startswith(("<", "[", "+")):
            continue
        begin, end = (start + frame * HOP / RATE for frame in (segment.start_frame, segment.end_frame + 1))
        if begin + end < 0:
            continue
        begin = min(max(0.0, begin), seconds)
        end = min(max(begin, end), seconds)
        made.append(Word(segment.word.partition("(")[0], begin, end, min(1.0, float(segment.prob))))
    return made
