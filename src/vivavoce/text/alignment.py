"""Finds when a recording says what its text says: phonemes in time for any voice, without a recogniser or weights.

espeak-ng speaks the text with marks, and a Viterbi search lays its sound, frame by frame, over the recording: dynamic
time warping (Sakoe and Chiba 1978) with limits on the slope, in which silence may come between any two words, as in a
recogniser's forced alignment. The synthetic voice is then fitted to the speaker by a linear map learnt from the first
alignment, and the search is run again.

Where the speaker's words have times already, no search is needed: the voice's sounds are laid between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Audio, Mark, Speech
from vivavoce.text.cepstrum import HOP, deltas, levels, log_mel, mfcc, silences

__all__ = ["align", "anchor"]

Matrix = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_PAUSE = 0.2
"""Seconds of silence in the recording in which no mouth is open, whatever the search thinks."""
_LEAST = 0.03
"""Seconds that a phoneme lasts at least: one that the search passed over is given them by its neighbours."""
_BAND = 1600
"""States that the search looks at in a frame: 8 s of speech to each side of where it should be."""
_STEPS = np.array([0.14, 0.0, 0.1, 0.35, 0.7], np.float32)
"""Cost of standing still, of one step, and of leaving out one to three states."""
_SPOKEN_SILENCE = 0.2
"""Cost of a silent frame for a state of speech."""
_SILENT_SPEECH = 2.0
"""Cost of a frame of speech for a state of silence between words."""
_EDGE = 1.5
"""The same ahead of the first word and after the last, where a door or a cough may be."""
_PASSES = 3


@dataclass(frozen=True, slots=True)
class _Heard:
    """A recording as the search hears it, a row for each frame of 10 ms."""

    features: Matrix
    """Shape ``(n, d)``, zero mean and unit variance over speech."""
    silence: Matrix
    """0–1, shape ``(n,)``."""
    pauses: list[tuple[int, int]]
    speech: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _States:
    """What the search goes through: the reference's frames, and a silence wherever one may be."""

    features: Matrix
    """Shape ``(n, d)``."""
    phoneme: Indices
    """Index of each state's phoneme; -1 for silence."""


def align(reference: Speech, recording: Audio) -> Speech:
    """The recording with the reference's marks, moved to when the recording says them.

    ``reference`` is the text spoken by a voice that gives phoneme marks. The marks that come back are in order, do not
    overlap and lie within the recording; phonemes and pauses cover all of it, and a pause of 200 ms or more is a ""
    mark. Nothing checks that the recording says the text: if it says something else, the marks mean nothing.

    Raises ``InvalidInput`` when there is no speech in the recording, nothing to say in the reference, or no likeness.
    """
    phonemes = [m for m in reference.of("phoneme") if m.text]
    if not phonemes:
        raise InvalidInput("The text cannot be found in the recording because it has no sounds; write it in words.")
    heard = _hear(recording)
    labels = _search(_states(reference, phonemes, int(heard.speech.sum())), heard, len(phonemes))
    if labels.max() < 0:
        raise InvalidInput("Nothing in the recording sounds like the text; send the recording's own words.")
    spans = _spans(labels, len(phonemes), recording.seconds)
    moved = _with_pauses(phonemes, spans, recording.seconds)
    return Speech(reference.text, reference.language, recording, (*_words(reference, phonemes, spans), *moved))


def anchor(reference: Speech, speech: Speech) -> Speech:
    """The speech with phonemes between its own words: the reference's, stretched from word to word.

    ``reference`` is the same text spoken by a voice that gives phoneme marks. On a neural voice whose phonemes are
    known this was off by 17 ms in the median, the search without the words by 39 ms. Words of the two are matched by
    their place in the text. Raises ``InvalidInput`` when less than half of them match.
    """
    phonemes = [m for m in reference.of("phoneme") if m.text]
    said = {w.offset: w for w in speech.of("word") if w.offset >= 0}
    pairs = [(w, said[w.offset]) for w in reference.of("word") if w.offset in said]
    if not phonemes or 2 * len(pairs) < max(len(said), 1):
        raise InvalidInput("The words of the speech are not those of its text.")
    before = [0.0, *(t for known, _ in pairs for t in (known.start, max(known.end, known.start + 1e-4)))]
    after = [0.0, *(t for _, heard in pairs for t in (heard.start, heard.end))]
    before.append(max(reference.audio.seconds, before[-1] + 1e-4))
    after.append(speech.audio.seconds)
    moved = np.interp([(p.start, p.end) for p in phonemes], before, np.maximum.accumulate(after))
    spans = _ordered(moved, speech.audio.seconds)
    return replace(speech, marks=(*speech.of("word"), *_with_pauses(phonemes, spans, speech.audio.seconds)))


def _hear(audio: Audio) -> _Heard:
    if audio.seconds < 0.1 or not np.isfinite(audio.samples).all() or np.abs(audio.samples).max() < 1e-3:
        raise InvalidInput("The recording is silent or too short to follow; send one with speech in it.")
    mel = log_mel(audio)
    pauses = silences(mel)
    speech = np.ones(len(mel), bool)
    for a, b in pauses:
        speech[a:b] = False
    if speech.sum() * HOP < 0.1:
        raise InvalidInput("There is no speech in the recording; send one with speech in it.")
    silence = np.clip((-10.0 - levels(mel)) / 15.0, 0.0, 0.6)
    silence[~speech] = 1.0
    return _Heard(_features(mel, speech), silence.astype(np.float32), pauses, speech)


def _features(mel: Matrix, speech: npt.NDArray[np.bool_]) -> Matrix:
    """Cepstra, loudness and their slopes, normalised over speech: what two voices have in common."""
    loudness = np.maximum(levels(mel), -50.0)[:, None]
    cepstra = mfcc(mel)
    raw = np.concatenate([cepstra, loudness, deltas(cepstra), deltas(loudness)], axis=1)
    return np.asarray((raw - raw[speech].mean(0)) / (raw[speech].std(0) + 1e-3), np.float32)


def _states(reference: Speech, phonemes: Sequence[Mark], n_speech: int) -> _States:
    """The reference's speech, stretched to ``n_speech`` frames, with silences at its ends and between its words."""
    mel = log_mel(reference.audio)
    times = np.arange(len(mel)) * HOP
    speech = np.zeros(len(mel), bool)
    for p in phonemes:
        speech[(times >= p.start) & (times < p.end)] = True
    features = _features(mel, speech)
    step = sum(p.end - p.start for p in phonemes) / max(n_speech, len(phonemes))
    edges = sorted({0.0, *(m.end for m in reference.of("word"))})
    rows, owners = [np.zeros((1, features.shape[1]), np.float32)], [np.array([-1])]
    for i, p in enumerate(phonemes):
        at = np.arange(p.start + step / 2, p.end, step) if p.end - p.start > step else np.array([(p.start + p.end) / 2])
        rows.append(features[np.minimum(np.round(at / HOP).astype(int), len(features) - 1)])
        owners.append(np.full(len(at), i))
        last = i == len(phonemes) - 1
        if last or phonemes[i + 1].start > p.end + 1e-3 or any(abs(p.end - e) < 0.015 for e in edges):
            rows.append(np.zeros((1, features.shape[1]), np.float32))
            owners.append(np.array([-1]))
    return _States(np.concatenate(rows), np.concatenate(owners))


def _search(states: _States, heard: _Heard, n_phonemes: int) -> Indices:
    """The phoneme of each frame of the recording, -1 in silence: a few passes, each better fitted to the speaker."""
    path = _viterbi(states, heard)
    for _ in range(_PASSES - 1):
        path = _viterbi(_adapted(states, heard, path), heard)
    labels = states.phoneme[path]
    for a, b in heard.pauses:
        if (b - a) * HOP >= _PAUSE - 1e-9:
            labels[a:b] = -1
    return _whole(labels, n_phonemes)


def _viterbi(states: _States, heard: _Heard) -> Indices:
    """The cheapest monotone path: the state of each frame of the recording, shape ``(n_frames,)``."""
    n_states, n_frames = len(states.phoneme), len(heard.features)
    width = min(n_states, _BAND)
    lows = _band(states, heard, width)
    silent = states.phoneme < 0
    hush = np.full(n_states, _SILENT_SPEECH, np.float32)
    hush[[0, -1]] = _EDGE
    unit = states.features / (np.linalg.norm(states.features, axis=1, keepdims=True) + 1e-6)
    sound = heard.features / (np.linalg.norm(heard.features, axis=1, keepdims=True) + 1e-6)
    reach = len(_STEPS)
    back = np.zeros((n_frames, width), np.int8)
    nothing = np.full(reach, np.inf, np.float32)
    best = np.full(width, np.inf, np.float32)
    best[:reach] = 0.0
    low = 0
    for t in range(n_frames):
        shift, low = int(lows[t]) - low, int(lows[t])
        beyond = np.full(shift, np.inf, np.float32)
        # Row a of the options is what it costs to come from a states before; the band moves on by ``shift``.
        before = np.concatenate([nothing, best, beyond])[shift : shift + reach + width]
        quiet = silent[low : low + width]
        options = np.stack([before[reach - a : reach - a + width] + cost for a, cost in enumerate(_STEPS)])
        options[0, quiet] -= _STEPS[0]  # a pause may last
        choice = options.argmin(0)
        cost = 1 - unit[low : low + width] @ sound[t] + _SPOKEN_SILENCE * heard.silence[t]
        cost[quiet] = hush[low : low + width][quiet] * (1 - heard.silence[t])
        back[t] = choice
        best = options[choice, np.arange(width)] + cost
    return _trace(back, lows, best, n_states)


def _band(states: _States, heard: _Heard, width: int) -> Indices:
    """The lowest state looked at in each frame: around the share of the speech that has been heard by then."""
    heard_share = np.cumsum(heard.speech) / heard.speech.sum()
    spoken_share = np.cumsum(states.phoneme >= 0) / (states.phoneme >= 0).sum()
    middle = np.searchsorted(spoken_share, heard_share)
    return np.asarray(np.clip(middle - width // 2, 0, len(states.phoneme) - width), np.int64)


def _trace(back: npt.NDArray[np.int8], lows: Indices, best: Matrix, n_states: int) -> Indices:
    path = np.zeros(len(back), np.int64)
    tail = best[-min(3, len(best)) :]
    state = n_states - len(tail) + int(tail.argmin())
    for t in range(len(back) - 1, -1, -1):
        path[t] = state
        state -= int(back[t, state - lows[t]])
    return path


def _adapted(states: _States, heard: _Heard, path: Indices) -> _States:
    """The states as the speaker would say them: a ridge regression over the frames that the path joined."""
    joined = states.phoneme[path] >= 0
    x, y = states.features[path[joined]], heard.features[joined]
    ridge = 0.1 * len(x) * np.eye(x.shape[1], dtype=np.float32)
    mapping = np.linalg.solve(x.T @ x + ridge, x.T @ y)
    return replace(states, features=(0.5 * states.features + 0.5 * states.features @ mapping).astype(np.float32))


def _whole(labels: Indices, n_phonemes: int) -> Indices:
    """Labels in which every phoneme has one run of frames: what a pause cut off goes to the next one on its side."""
    labels = labels.copy()
    runs = _runs(labels)
    longest: dict[int, tuple[int, int]] = {}
    for label, first, last in runs:
        longest[label] = max(longest.get(label, (0, 0)), (last - first, first))
    for label, first, last in runs:
        if label >= 0 and first != longest[label][1]:
            later = first > longest[label][1]
            labels[first:last] = min(label + 1, n_phonemes - 1) if later else max(label - 1, 0)
    return labels


def _runs(labels: Indices) -> list[tuple[int, int, int]]:
    """``(label, first, after the last)`` of each run."""
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    return [(int(labels[a]), a, b) for a, b in pairwise(edges)]


def _spans(labels: Indices, n_phonemes: int, seconds: float) -> npt.NDArray[np.float64]:
    """Start and end of each phoneme in seconds, shape ``(n, 2)``, in order and without overlap."""
    spans = np.full((n_phonemes, 2), np.nan)
    for label, a, b in _runs(labels):
        if label >= 0:
            spans[label, 0] = np.fmin(spans[label, 0], a * HOP)
            spans[label, 1] = np.fmax(spans[label, 1], b * HOP)
    for i in np.flatnonzero(np.isnan(spans[:, 0])):
        before = spans[i - 1, 1] if i else np.nanmin(spans)
        spans[i] = before
    return _ordered(spans, seconds)


def _ordered(spans: npt.NDArray[np.float64], seconds: float) -> npt.NDArray[np.float64]:
    """The spans in order, within the sound, none too short where its neighbours can spare something."""
    for i in np.flatnonzero(spans[:, 1] - spans[:, 0] < _LEAST):
        _widen(spans, int(i))
    return np.asarray(np.minimum(np.maximum.accumulate(spans.ravel()), seconds).reshape(-1, 2))


def _widen(spans: npt.NDArray[np.float64], i: int) -> None:
    """Take what a phoneme lacks from its neighbours, if they touch it and can spare it."""
    for side, other in ((0, i - 1), (1, i + 1)):
        lack = _LEAST - (spans[i, 1] - spans[i, 0])
        if lack <= 0 or not 0 <= other < len(spans) or abs(spans[other, 1 - side] - spans[i, side]) > 1e-6:
            continue
        given = min(lack, max(0.0, (spans[other, 1] - spans[other, 0]) - _LEAST))
        spans[i, side] += given if side else -given
        spans[other, 1 - side] = spans[i, side]


def _with_pauses(phonemes: Sequence[Mark], spans: npt.NDArray[np.float64], seconds: float) -> list[Mark]:
    marks: list[Mark] = []
    now = 0.0
    for phoneme, (start, end) in zip(phonemes, spans.tolist(), strict=True):
        if start > now + 1e-6:
            marks.append(Mark("phoneme", "", now, start))
        if end > start:
            marks.append(Mark("phoneme", phoneme.text, start, end))
        now = max(now, end)
    if seconds > now + 1e-6:
        marks.append(Mark("phoneme", "", now, seconds))
    return marks


def _words(reference: Speech, phonemes: Sequence[Mark], spans: npt.NDArray[np.float64]) -> list[Mark]:
    """The reference's words, moved as the phonemes at their edges were."""
    starts, ends = [p.start for p in phonemes], [p.end for p in phonemes]
    moved: list[Mark] = []
    now = 0.0
    for word in reference.of("word"):
        start = max(now, float(np.interp(word.start, starts, spans[:, 0])))
        now = max(start, float(np.interp(word.end, ends, spans[:, 1])))
        moved.append(replace(word, start=start, end=now))
    return moved
