"""Makes marks of Piper's symbols: IPA phonemes in time, and the words of the text among them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vivavoce.nouns import Mark

__all__ = ["Timed", "phoneme_marks", "timed", "word_marks"]

_STRESS = frozenset("ˈˌ")
_MODIFIERS = frozenset("ːˑʲʰʷˤ˞") | {chr(c) for c in range(0x300, 0x370)}
_SHORTEST_PAUSE = 0.06
"""Seconds; a shorter one belongs to the sound before it."""
_DIGIT = 4.0
"""Sounds of a digit, where a letter has one."""

_MOST = 10
"""Groups of sounds that one word may have, and words that one group may have."""
_UNEVEN = 0.5
"""What it costs to pair one with several."""

Timed = tuple[str, float, float]
"""A phoneme, "" for what lies between words, with its start and end in seconds."""


def timed(symbols: Sequence[tuple[str, int]], rate: int, start: float) -> list[Timed]:
    """Symbols as phonemes from ``start`` on: stress goes ahead of its phoneme, length and the like behind it."""
    made: list[Timed] = []
    samples, stress = 0, ""
    begun: float | None = None
    for symbol, n in symbols:
        at = start + samples / rate
        samples += n
        end = start + samples / rate
        if symbol in _STRESS:
            stress, begun = symbol, at if begun is None else begun
        elif made and made[-1][0] and set(symbol) <= _MODIFIERS:
            made[-1] = (made[-1][0] + symbol, made[-1][1], end)
        else:
            text = stress + symbol if any(c.isalpha() for c in symbol) else ""
            made.append((text, at if begun is None else begun, end))
            stress, begun = "", None
    return made


def phoneme_marks(sounds: Sequence[Timed], seconds: float) -> tuple[Mark, ...]:
    """Marks that cover the sound without a gap; "" is a pause of 60 ms or more."""
    marks: list[Mark] = []
    for text, start, end in [*sounds, ("", sounds[-1][2] if sounds else 0.0, seconds)]:
        if end - start < 1e-9:
            continue
        last = marks[-1] if marks else None
        pause = not text and (last is None or not last.text or end - start < _SHORTEST_PAUSE)
        if last is not None and pause:
            marks[-1] = Mark("phoneme", last.text, last.start, min(end, seconds))
        else:
            marks.append(Mark("phoneme", text, min(start, seconds), min(end, seconds)))
    return tuple(marks)


def word_marks(text: str, spans: Sequence[tuple[int, int]], sounds: Sequence[Timed]) -> tuple[Mark, ...]:
    """A mark for every word span of the text.

    Piper says some words as several ("2026") and several as one ("in the"): what is written and what is said are paired
    in order, by their lengths.
    """
    groups = _groups(sounds)
    if not groups or not spans:
        return ()
    lengths = [sum(_DIGIT if c.isdigit() else 1.0 for c in text[a:b]) for a, b in spans]
    marks: list[Mark] = []
    for words, said in _paired(lengths, [len(g) for g in groups]):
        start, end = groups[said.start][0][1], groups[said.stop - 1][-1][2]
        shares = np.cumsum([0.0, *(lengths[i] for i in words)])
        edges = (start + (end - start) * shares / shares[-1]).tolist()
        marks += [
            Mark("word", text[slice(*spans[i])], left, right, spans[i][0])
            for i, (left, right) in zip(words, pairwise(edges), strict=True)
        ]
    return tuple(marks)


def _paired(written: Sequence[float], said: Sequence[int]) -> list[tuple[range, range]]:
    """Words and groups of sounds, in order, one to one, one to several or several to one, as alike as can be."""
    moves = [(1, n) for n in range(1, _MOST + 1)] + [(n, 1) for n in range(2, _MOST + 1)]
    scale = sum(said) / sum(written)
    best = np.full((len(written) + 1, len(said) + 1), np.inf)
    came: dict[tuple[int, int], tuple[int, int]] = {}
    best[0, 0] = 0.0
    for i in range(len(written) + 1):
        for j in range(len(said) + 1):
            for m, n in moves:
                if m > i or n > j:
                    continue
                apart = scale * sum(written[i - m : i]) - sum(said[j - n : j])
                cost = best[i - m, j - n] + apart**2 + _UNEVEN * (m + n - 2)
                if cost < best[i, j]:
                    best[i, j], came[i, j] = cost, (m, n)
    i, j = len(written), len(said)
    if not np.isfinite(best[i, j]):
        return [(range(i), range(j))]
    pairs = []
    while i or j:
        m, n = came[i, j]
        pairs.append((range(i - m, i), range(j - n, j)))
        i, j = i - m, j - n
    return pairs[::-1]


def _groups(sounds: Sequence[Timed]) -> list[list[Timed]]:
    groups: list[list[Timed]] = [[]]
    for sound in sounds:
        if sound[0]:
            groups[-1].append(sound)
        elif groups[-1]:
            groups.append([])
    return [g for g in groups if g]
