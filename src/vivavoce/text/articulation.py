"""Turns phonemes into the movements of a mouth: eight articulatory curves with coarticulation, for any language.

Each IPA symbol has a target and, for every parameter, a weight that says how much it cares (an /h/ takes the lips of
its neighbours, an /s/ insists on a high jaw). A curve is the weighted mean of the targets under a Gaussian window, the
dominance model of Cohen and Massaro (1993) as a normalised convolution. Closures are drawn separately, because they
must be complete however short they are.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vivavoce.nouns import Mark

__all__ = ["PARAMETERS", "articulate", "close", "sample", "stress", "symbols"]

Curves = npt.NDArray[np.float32]

PARAMETERS = ("jaw", "wide", "round", "press", "lowdrop", "tuck", "upraise", "tongue")
"""What a mouth does, each 0 (rest) to 1: the jaw drops; the corners spread; the lips round; the lips press together
(p b m); the lower lip drops from the teeth; the lower lip tucks under the upper teeth (f v); the upper lip rises; the
tongue rises to the teeth."""

JAW, WIDE, ROUND, PRESS, LOWDROP, TUCK, UPRAISE, TONGUE = range(len(PARAMETERS))

_SIGMA = np.array([0.038, 0.050, 0.052, 0.022, 0.036, 0.025, 0.042, 0.030])
"""Seconds: the sluggishness of each parameter."""
_FULL_VOWEL = 0.10
"""Seconds; in a shorter vowel the jaw has no time for its whole way."""
_RAMP = {PRESS: 0.048, TUCK: 0.06}
"""Seconds in which the lips come to a closure and leave it."""
_RELEASED = {"p": 0.6}
"""The share of a sound after which its closure is over: a /p/ ends in a burst and a breath, through open lips."""
_LONG = 0.16
"""Seconds after which a held vowel begins to relax."""
_SHUT_PAUSE = 0.16
"""Seconds; in a pause at least this long the mouth shuts."""
_SHUT_TIME = 0.08
"""Seconds that shutting takes, and opening again before the next sound."""


@dataclass(frozen=True, slots=True)
class _Shape:
    target: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    vowel: bool


def _shape(vowel: bool, weight: float, lips: float | None, /, **values: float) -> _Shape:
    """A shape with one weight for jaw and tongue and another for the lips' form."""
    target = np.array([values.get(p, 0.0) for p in PARAMETERS])
    weights = np.full(len(PARAMETERS), weight)
    weights[[WIDE, ROUND]] = weight if lips is None else lips
    return _Shape(target, weights, vowel)


def _table() -> dict[str, _Shape]:
    table: dict[str, _Shape] = {}

    def vowels(symbols: str, **values: float) -> None:
        table.update((s, _shape(True, 1.0, None, **values)) for s in symbols.split())

    def consonants(symbols: str, weight: float, lips: float, **values: float) -> None:
        table.update((s, _shape(False, weight, lips, **values)) for s in symbols.split())

    vowels("a ɑ ɐ ɶ ä A", jaw=0.92, wide=0.18, lowdrop=0.15, upraise=0.15)
    vowels("æ", jaw=0.82, wide=0.4, lowdrop=0.2, upraise=0.18)
    vowels("ʌ ɜ ɞ", jaw=0.62, wide=0.12, lowdrop=0.1)
    vowels("e ɛ ε", jaw=0.5, wide=0.5, lowdrop=0.2, upraise=0.15)
    vowels("ə ɚ ɝ ɘ ᵻ ᵊ ɤ", jaw=0.36, wide=0.12, lowdrop=0.1)
    vowels("i ɪ ɨ ᵼ", jaw=0.22, wide=0.8, lowdrop=0.35, upraise=0.2)
    vowels("ɯ", jaw=0.2, wide=0.45, lowdrop=0.25)
    vowels("ɔ ɒ", jaw=0.66, round=0.62)
    vowels("o ɵ", jaw=0.5, round=0.75)
    vowels("ø œ", jaw=0.36, round=0.8)
    vowels("u ʊ y ʏ ʉ ᵿ", jaw=0.16, round=1.0)
    consonants("p b m ʙ ɓ", 0.5, 0.15, press=1.0, jaw=0.05)
    consonants("f v ʋ ɱ ⱱ", 0.8, 0.2, tuck=1.0, jaw=0.1, upraise=0.25)
    consonants("ɸ β", 0.8, 0.3, press=0.55, jaw=0.08)
    consonants("w ʍ ɥ", 0.9, 1.0, round=1.0, jaw=0.15)
    consonants("θ ð", 0.8, 0.3, tongue=1.0, jaw=0.25, lowdrop=0.25)
    consonants("t d n", 0.6, 0.12, jaw=0.16, lowdrop=0.25, tongue=0.5)
    consonants("ɾ r ʈ ɖ ɳ ɲ ɽ ɗ ɺ", 0.5, 0.12, jaw=0.22, lowdrop=0.25, tongue=0.5)
    consonants("ɹ ɻ", 0.6, 0.5, jaw=0.2, round=0.35, lowdrop=0.15, tongue=0.3)
    consonants("l ɫ ɬ ɭ ɮ", 0.7, 0.12, jaw=0.32, lowdrop=0.25, tongue=0.8)
    consonants("ʎ j ʝ", 0.6, 0.6, jaw=0.2, wide=0.55, lowdrop=0.2)
    consonants("s z", 1.0, 0.35, jaw=0.08, wide=0.35, lowdrop=0.45, upraise=0.15)
    consonants("ʃ ʒ ʂ ʐ", 1.0, 0.7, jaw=0.12, round=0.5, lowdrop=0.4, upraise=0.3)
    consonants("ɕ ʑ", 1.0, 0.5, jaw=0.1, wide=0.3, lowdrop=0.4, upraise=0.2)
    consonants("k ɡ g ŋ x ɣ q ɢ ɴ χ ʁ ʀ c ɟ ç ɰ ɠ ʛ ɧ", 0.3, 0.08, jaw=0.28, lowdrop=0.15)
    consonants("h ɦ ʔ ħ ʕ ʡ ʢ ʜ", 0.12, 0.05, jaw=0.3, lowdrop=0.1)
    return table


_TABLE = _table()
_REST = _Shape(np.zeros(len(PARAMETERS)), np.full(len(PARAMETERS), 0.8), False)
_STRESS = {"ˈ": 1.15, "ˌ": 1.05}
_UNSTRESSED = 0.9
_STOPS = frozenset("pbtdkɡgqcɟʈɖ")


@dataclass(frozen=True, slots=True)
class _Segment:
    """A part of a phoneme with one shape."""

    symbol: str
    """"" is silence."""
    start: float
    end: float
    emphasis: float = 1.0
    palatal: bool = False
    labial: bool = False
    whole: float = 1.0
    """Seconds of the phoneme that it is a part of."""

    @property
    def shape(self) -> _Shape:
        return _TABLE[self.symbol] if self.symbol else _REST


def symbols(phoneme: str) -> list[str]:
    """The symbols of one phoneme that move the mouth: "tʃʲ" gives t and ʃ, "ˈaɪ" a and ɪ, "t5" t, "(en)" none."""
    if phoneme.startswith("("):
        return []
    found = [c for c in phoneme if c in _TABLE]
    # An h after a stop is its breath, not a sound with a shape of its own.
    return [c for i, c in enumerate(found) if not (i and c == "h")]


def articulate(marks: Iterable[Mark], seconds: float, rate: int = 100) -> Curves:
    """The curves of a mouth that says ``marks`` (their phonemes; words are passed over).

    Shape ``(n, 8)`` in the order of ``PARAMETERS``, 0–1, ``rate`` samples a second, sample ``i`` at ``i / rate``
    seconds, ``n = ceil(seconds * rate) + 1``. The mouth is at rest at both ends and shut in pauses; an unknown symbol
    is passed over, and so are phonemes beyond the end. Movements are in time with the sound: the eye expects them a
    little earlier, which ``sample`` sees to.
    """
    n = int(np.ceil(seconds * rate - 1e-9)) + 1
    segments = [s for m in marks if m.kind == "phoneme" and m.start < seconds for s in _segments(m)]
    target = np.zeros((n, len(PARAMETERS)))
    weight = np.tile(_REST.weight, (n, 1))
    for s in segments:
        a, b = _indices(s.start, s.end, n, rate)
        target[a:b], weight[a:b] = _held(s, b - a, rate), s.shape.weight
    curves = _smooth(target, weight, rate)
    curves *= _openness(segments, seconds, n, rate)[:, None]
    for parameter in (PRESS, TUCK):
        curves[:, parameter] = _closures(segments, parameter, n, rate) * _ends(seconds, n, rate, 0.03)
    return close(curves).astype(np.float32)


def close(curves: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Let closures win: what would part the lips yields to ``press`` and ``tuck``, and spreading to rounding."""
    result: npt.NDArray[np.float64] = np.clip(curves, 0.0, 1.0)
    press, tuck = result[:, PRESS], result[:, TUCK]
    for parameter in (JAW, LOWDROP, UPRAISE):
        result[:, parameter] *= 1 - press
    result[:, JAW] *= 1 - 0.75 * tuck
    result[:, LOWDROP] *= 1 - tuck
    result[:, WIDE] *= 1 - 0.8 * result[:, ROUND]
    return result


def sample(curves: Curves, rate: int, n_frames: int, fps: float, lead: float = 0.05) -> Curves:
    """The curves at the times of a film's frames, shape ``(n_frames, 8)``.

    The picture runs ``lead`` seconds ahead of the sound, as articulation does; at the very start the lead grows from
    nothing, so that the first frame is at rest. A closure of 30 ms may fall between two frames, and so may the vowel
    between two closures, and an eye would miss it: the frame next to it is then taken at that moment instead.
    """
    times = np.arange(n_frames) / fps
    places = (times + lead * np.minimum(1.0, times / 0.1)) * rate
    for parameter in (TUCK, PRESS):
        _catch(places, curves[:, parameter], rate / fps)
    index = np.arange(len(curves))
    frames = np.stack([np.interp(places, index, c, right=0.0) for c in curves.T], axis=1)
    shut = 1 - 0.95 * np.clip((frames[:, PRESS] - 0.6) / 0.35, 0, 1)
    for parameter in (JAW, LOWDROP, UPRAISE):
        frames[:, parameter] *= shut
    return frames.astype(np.float32)


def _runs(closed: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closed.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _catch(places: npt.NDArray[np.float64], closure: npt.NDArray[np.floating], step: float) -> None:
    """Move ``places`` by less than a frame (``step``) so that every closure, and every opening between two, has one.

    All in samples of the curve ``closure``; ``places`` is changed in place.
    """

    def inside(first: float, last: float) -> npt.NDArray[np.intp]:
        return np.flatnonzero((places >= first) & (places <= last))

    runs = _runs(closure >= 0.95)
    taken: set[int] = set()
    for first, last in runs:
        there = inside(first, last)
        if not len(there):
            k = int(np.abs(places - (first + last) / 2).argmin())
            if k and abs(places[k] - (first + last) / 2) < step:
                places[k] = (first + last) / 2
                there = np.array([k])
        if len(there) == 1:
            taken.add(int(there[0]))
    for (_, before), (after, _) in pairwise(runs):
        between = closure[before : after + 1]
        valley = before + int(between.argmin())
        wide = np.flatnonzero(between < 0.5)
        if not len(wide) or len(inside(before + int(wide[0]), before + int(wide[-1]))):
            continue
        free = [k for k in np.abs(places - valley).argsort()[:3] if k and k not in taken]
        if free and abs(places[free[0]] - valley) < step:
            places[free[0]] = valley


def stress(marks: Iterable[Mark], seconds: float, rate: int = 100) -> npt.NDArray[np.float32]:
    """How much each moment is emphasised, shape ``(n,)`` as of ``articulate``, 0–1: for brows and nods.

    One peak for each stressed vowel, higher for long ones and the last of a phrase; of peaks nearer than 0.35 s to a
    higher one little is left, for a head does not nod at every syllable.
    """
    n = int(np.ceil(seconds * rate - 1e-9)) + 1
    time = np.arange(n) / rate
    curve = np.zeros(n)
    for at, height in _peaks([m for m in marks if m.kind == "phoneme"]):
        near = slice(*np.searchsorted(time, (at - 0.4, at + 0.4)))
        curve[near] = np.maximum(curve[near], height * np.exp(-0.5 * ((time[near] - at) / 0.09) ** 2))
    return curve.astype(np.float32)


def _peaks(phonemes: Sequence[Mark]) -> list[tuple[float, float]]:
    stressed = [(i, m) for i, m in enumerate(phonemes) if "ˈ" in m.text and symbols(m.text)]
    if not stressed:
        return []
    usual = float(np.median([m.end - m.start for _, m in stressed]))
    heights = []
    for k, (i, m) in enumerate(stressed):
        following = stressed[k + 1][0] if k + 1 < len(stressed) else len(phonemes)
        final = any(not p.text and p.end - p.start > _SHUT_PAUSE for p in phonemes[i:following]) or k + 1 == len(
            stressed
        )
        length = (m.end - m.start) / max(usual, 1e-3)
        heights.append(min(1.0, 0.35 + 0.3 * min(length, 1.6) + (0.25 if final else 0.0)))
    peaks: list[tuple[float, float]] = []
    for height, m in sorted(zip(heights, (m for _, m in stressed), strict=True), key=lambda pair: -pair[0]):
        at = (m.start + m.end) / 2
        near = any(abs(at - other) < 0.35 and h > 0.35 for other, h in peaks)
        peaks.append((at, 0.3 * height if near else height))
    return peaks


def _segments(mark: Mark) -> Iterator[_Segment]:
    """A phoneme in its parts: diphthongs spend more time on their nucleus, affricates more on their friction."""
    found = symbols(mark.text)
    if not found:
        if not mark.text:
            yield _Segment("", mark.start, mark.end)
        return
    emphasis = next((_STRESS[c] for c in mark.text if c in _STRESS), _UNSTRESSED)
    shares = [1.0] * len(found)
    if len(found) > 1:
        shares[0] = 0.7 if found[0] in _STOPS else 1.4
    whole = mark.end - mark.start
    edges = mark.start + whole * np.cumsum([0.0, *shares]) / sum(shares)
    for symbol, start, end in zip(found, edges, edges[1:], strict=False):
        yield _Segment(symbol, float(start), float(end), emphasis, "ʲ" in mark.text, "ʷ" in mark.text, whole)


def _indices(start: float, end: float, n: int, rate: int) -> tuple[int, int]:
    a = min(max(0, round(start * rate)), n - 1)
    return a, min(max(round(end * rate), a + 1), n)


def _held(segment: _Segment, n: int, rate: int) -> npt.NDArray[np.float64]:
    """The target over the segment's samples: stressed vowels are larger, and held ones relax."""
    target = segment.shape.target.copy()
    if segment.palatal:
        target[WIDE] = max(target[WIDE], 0.3)
    if segment.labial:
        target[ROUND] = max(target[ROUND], 0.6)
    if not segment.shape.vowel:
        return np.tile(target, (n, 1))
    undershoot = min(1.0, 0.5 + 0.5 * segment.whole / _FULL_VOWEL)
    target[JAW] = min(1.0, target[JAW] * segment.emphasis) * undershoot
    held = np.maximum(0.0, np.arange(n) / rate - _LONG)
    relaxed = 1 - 0.3 * (1 - np.exp(-held / 0.15))
    return target * np.where(np.arange(len(PARAMETERS)) == JAW, relaxed[:, None], 1.0)


def _smooth(target: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], rate: int) -> npt.NDArray[np.float64]:
    curves = np.empty_like(target)
    for j, sigma in enumerate(_SIGMA):
        kernel = _gaussian(sigma * rate)
        reach = len(kernel) // 2
        pad = (reach, reach)
        above = np.convolve(np.pad(target[:, j] * weight[:, j], pad), kernel, "valid")
        below = np.convolve(np.pad(weight[:, j], pad, constant_values=_REST.weight[j]), kernel, "valid")
        curves[:, j] = above / below
    return curves


def _gaussian(sigma: float) -> npt.NDArray[np.float64]:
    reach = max(1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum())


def _rise(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A smooth step from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _closures(segments: Sequence[_Segment], parameter: int, n: int, rate: int) -> npt.NDArray[np.float64]:
    """Full from the beginning of each closing sound to its release, with ramps around it."""
    time, ramp = np.arange(n) / rate, _RAMP[parameter]
    held: list[tuple[float, float, float]] = []
    ramps: list[float] = [ramp]  # between each closure and the next
    vowel = False
    for s in segments:
        height = s.shape.target[parameter]
        vowel = vowel or s.shape.vowel
        if height > 0:
            released = s.start + _RELEASED.get(s.symbol, 1.0) * (s.end - s.start)
            if held:  # a short vowel between two closures still opens the lips
                ramps.append(min(ramp, max(0.45 * (s.start - held[-1][1]), 1.5 / rate)) if vowel else ramp)
            held.append((s.start, max(released, s.start + 1.5 / rate), height))
            vowel = False
    curve = np.zeros(n)
    for (start, end, height), before, after in zip(held, ramps, [*ramps[1:], ramp], strict=False):
        near = slice(*np.searchsorted(time, (start - ramp, end + ramp)))
        away = np.maximum((start - time[near]) / before, (time[near] - end) / after)
        curve[near] = np.maximum(curve[near], height * _rise(1 - away))
    return curve


def _openness(segments: Sequence[_Segment], seconds: float, n: int, rate: int) -> npt.NDArray[np.float64]:
    """1 where the mouth may move, 0 where it must be shut: in pauses, and at both ends of the sound."""
    time = np.arange(n) / rate
    openness = _ends(seconds, n, rate, _SHUT_TIME)
    for start, end in _silences(segments, seconds):
        if end - start >= _SHUT_PAUSE:
            within = slice(*np.searchsorted(time, (start, end)))
            away = np.minimum(time[within] - start, end - time[within])
            openness[within] = np.minimum(openness[within], _rise(1 - away / _SHUT_TIME))
    return openness


def _ends(seconds: float, n: int, rate: int, ramp: float) -> npt.NDArray[np.float64]:
    """0 at both ends of the sound, 1 from ``ramp`` seconds within."""
    time = np.arange(n) / rate
    away = np.minimum(time, seconds - time)
    return _rise(np.where(away > 1e-9, away, 0.0) / ramp)


def _silences(segments: Sequence[_Segment], seconds: float) -> list[tuple[float, float]]:
    said = [(s.start, s.end) for s in segments if s.symbol]
    edges = [0.0, *(t for span in said for t in span), seconds]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
