"""Makes marks of espeak-ng's events, so that every word of the text and every moment of the sound has one."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vivavoce.engines.espeak.process import Event
from vivavoce.nouns import Mark

__all__ = ["as_heard", "phoneme_marks", "word_marks"]

_SWITCH = re.compile(r"\([\w-]*\)")
"""Language switches are reported as phonemes: ``(en)``, ``(cmn)``."""
_MODIFIERS = frozenset("ʲːʰʷˠˤ̩̯")
_VOICELESS_STOPS = frozenset("ptkqcʈ")
_LONGEST_CLOSURE = 0.09
"""Seconds; espeak-ng's closures are about 45 ms long."""
_SHUT = 0.1
"""How loud a closure is at most, as a share of the mean loudness."""
_SONORANTS = frozenset("mnŋɲɳɱlɫɭʎrɾɹɽvwjʋ")
_VOWELS = frozenset("aɑɐæʌɜeɛəɚɝɘɪiɨoɔɒuʊyøœɯʉʏɵᵻɤ")
_LATE_VOWEL = 0.025
"""Seconds, measured on the sound of five languages: the vowel's formants stand before its event."""
_SHORTEST_PAUSE = 0.06
"""Seconds; a shorter gap is the release of a stop or a glottal onset, and belongs to the phoneme before it."""


@dataclass(slots=True)
class _Sounding:
    text: str
    start: float
    end: float


def phoneme_marks(events: Iterable[Event], rate: int, seconds: float) -> tuple[Mark, ...]:
    """IPA marks that cover the sound from 0 to ``seconds`` without a gap; "" is a pause.

    ``rate`` is the sound's, in Hz. A mark of palatalisation or length that espeak-ng reports by itself is joined to
    the phoneme that it changes.
    """
    heard = [_Sounding("", 0.0, seconds)]
    for event in events:
        if event.kind != "phoneme" or _SWITCH.fullmatch(event.text):
            continue
        start = min(event.sample / rate, seconds)
        last = heard[-1]
        last.end = start
        if event.text and set(event.text) <= _MODIFIERS and last.text:
            last.text += event.text
            last.end = seconds
        else:
            heard.append(_Sounding(event.text, start, seconds))
    return tuple(Mark("phoneme", s.text, s.start, s.end) for s in _without_short_pauses(heard))


def _without_short_pauses(heard: Sequence[_Sounding]) -> list[_Sounding]:
    kept: list[_Sounding] = []
    for i, s in enumerate(heard):
        if s.end - s.start <= 1e-9:
            continue
        last = kept[-1] if kept else None
        ends_sound = i == len(heard) - 1
        if last and not s.text and (not last.text or (s.end - s.start < _SHORTEST_PAUSE and not ends_sound)):
            last.end = s.end
        else:
            kept.append(s)
    return kept


def word_marks(
    text: str, spans: Sequence[tuple[int, int]], events: Iterable[Event], phonemes: Sequence[Mark], rate: int
) -> tuple[Mark, ...]:
    """A mark for every word span of ``text``, in order, without overlap.

    espeak-ng reports several events for one word ("2026"), and one for several words (Korean, Chinese): events within
    a word are merged, and words without an event share the time of the event before them by their lengths.
    """
    sounding = [p for p in phonemes if p.text]
    if not spans or not sounding:
        return ()
    # some languages (Persian) report no words at all: then they share the whole of the sound
    begun = _beginnings(spans, events, rate) or [(0, sounding[0].start)]
    end = sounding[-1].end
    marks: list[Mark] = []
    for (first, start), (following, stop) in zip(begun, [*begun[1:], (len(spans), end)], strict=True):
        group = spans[first:following]
        edges = _share(group, *_sounding(phonemes, start, stop))
        for (a, b), left, right in zip(group, edges, edges[1:], strict=False):
            left = max(left, marks[-1].end if marks else 0.0)
            marks.append(Mark("word", text[a:b], left, max(left, right), a))
    return tuple(marks)


def as_heard(marks: Sequence[Mark], samples: npt.NDArray[np.float32], rate: int) -> tuple[Mark, ...]:
    """The marks with stops beginning where the mouth closes and vowels where it opens.

    espeak-ng reports a voiceless stop at its burst and leaves the silence before it to the phoneme before, when lips
    that are to close for a /p/ are closed already. A vowel after a sonorant it reports about 25 ms after the sound of
    the vowel has begun. Words that begin or end there move too.
    """
    block = max(1, rate // 400)
    energy = np.add.reduceat(samples.astype(np.float64) ** 2, np.arange(0, len(samples), block)) / block
    quiet = np.sqrt(energy) < _SHUT * np.sqrt(energy.mean())
    moved: dict[float, float] = {}
    for before, stop in pairwise(m for m in marks if m.kind == "phoneme"):
        if before.text and stop.text.lstrip("ˈˌ")[:1] in _VOICELESS_STOPS:
            least = max(stop.start - _LONGEST_CLOSURE, (before.start + before.end) / 2)
            last = at = int(stop.start * rate / block) - 1
            while at > least * rate / block and quiet[at]:
                at -= 1
            if at < last:
                moved[stop.start] = (at + 1) * block / rate
        elif before.text[:1] in _SONORANTS and stop.text.lstrip("ˈˌ")[:1] in _VOWELS:
            moved[stop.start] = stop.start - min(_LATE_VOWEL, 0.4 * (before.end - before.start))
    return tuple(replace(m, start=moved.get(m.start, m.start), end=moved.get(m.end, m.end)) for m in marks)


def _beginnings(spans: Sequence[tuple[int, int]], events: Iterable[Event], rate: int) -> list[tuple[int, float]]:
    """Which words an event begins, and when; the first word always begins."""
    begun: list[tuple[int, float]] = []
    for event in events:
        if event.kind != "word":
            continue
        index = next((i for i, (_, end) in enumerate(spans) if event.position < end), None)
        if index is None:
            break
        if not begun:
            begun.append((0, event.sample / rate))
        elif index > begun[-1][0] and event.position >= spans[index][0]:
            begun.append((index, event.sample / rate))
    return begun


def _sounding(phonemes: Sequence[Mark], start: float, stop: float) -> tuple[float, float]:
    """The span of the phonemes that begin between two times, without the pauses around them."""
    inside = [p for p in phonemes if p.text and start - 1e-3 <= p.start < stop - 1e-3]
    return (inside[0].start, inside[-1].end) if inside else (start, start)


def _share(group: Sequence[tuple[int, int]], start: float, end: float) -> list[float]:
    """Edges of a group's words between two times, by the words' lengths."""
    total = sum(b - a for a, b in group)
    edges, done = [start], 0
    for a, b in group:
        done += b - a
        edges.append(start + (end - start) * done / total)
    return edges
