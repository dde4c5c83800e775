"""What the mouth has to do in each frame: from the words, from the person's own sound, or from any sound.

Phonemes become the features of this very person's mouth: how far it opens, spreads and rounds is taken from how far it
did so in the film. The person's own sound is asked when no words are known, if it is theirs and has proved to tell.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person.library import FEATURES, Library, Voice
from vivavoce.engines.person.verdict import SHUT, TRUSTED
from vivavoce.engines.person.voice import predicted, windows_of
from vivavoce.errors import InvalidInput
from vivavoce.face.drive import drive as articulated
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio, Canvas, Speech
from vivavoce.text.articulation import JAW, LOWDROP, PRESS, ROUND, TONGUE, TUCK, UPRAISE, WIDE
from vivavoce.text.cepstrum import HOP, log_mel, silences

__all__ = ["LOOKAHEAD", "RANGE", "Target", "by_features", "by_sound", "by_windows", "drive", "owns"]

F32 = npt.NDArray[np.float32]

LOOKAHEAD = 0.36
"""Seconds: windows of sound reach 0.16 s ahead, the choice of pictures 0.2 s."""
RANGE = 0.5, 2.0
"""Of the expressiveness."""
_GAIN = 1.5
"""Predictions from sound are timid by so much."""
_CALM = 80.0
"""Percentile of the expression's strength up to which pictures say how wide a person speaks."""
_RATE = 16_000
_OWN = 0.7
"""Distance of the mean spectra of two sounds, in deviations, up to which they are of one voice."""
_PAUSE, _SHUTS = 0.16, 0.08
"""Seconds of a pause in which the mouth shuts, and how long that takes."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted, a row for each of ``n`` frames: by features or by components."""

    press: F32
    """``(n,)`` 0-1: the lips have to be shut."""
    rest: F32
    """``(n,)`` 0-1: nobody speaks."""
    features: F32 | None = None
    """``(n, 6)``: ``library.FEATURES``."""
    weights: F32 | None = None
    """``(n, 6)``: of the library's components."""
    windows: F32 | None = None
    """``(n, 180)``: the sound that belongs to ``weights``."""

    def __len__(self) -> int:
        return len(self.press)


def drive(library: Library, speech: Speech, canvas: Canvas, expressiveness: float = 1.0) -> Target:
    """``canvas.frames(seconds)`` rows. Raises ``InvalidInput`` for an expressiveness out of ``RANGE``."""
    if not RANGE[0] <= expressiveness <= RANGE[1]:
        raise InvalidInput(f"The expressiveness is a number from {RANGE[0]:g} to {RANGE[1]:g}, not {expressiveness:g}.")
    voice = library.voice
    known = speech.of("phoneme")
    if not known and voice is not None and voice.sure >= TRUSTED and owns(voice, speech.audio):
        times = np.arange(canvas.frames(speech.audio.seconds)) / canvas.fps
        return by_sound(library, voice, _levelled(voice, speech.audio), times, expressiveness)
    return by_features(library, articulated(speech, canvas).articulation, expressiveness)


def by_features(library: Library, articulation: F32, expressiveness: float = 1.0) -> Target:
    """From curves of articulation ``(n, 8)`` to this person's features."""
    spoken = _speaking(library)
    column = dict(zip(FEATURES, spoken.T, strict=True))

    def at(name: str, percent: float) -> float:
        return float(np.percentile(column[name], percent))

    def between(name: str, low: float, high: float, share: F32) -> F32:
        return np.asarray(at(name, low) + (at(name, high) - at(name, low)) * share * expressiveness, np.float32)

    said = np.clip(articulation, 0, 1.2)
    jaw, lowdrop, tongue = said[:, JAW], said[:, LOWDROP], said[:, TONGUE]
    press = np.clip((said[:, PRESS] - 0.25) / 0.5, 0, 1)
    opens = np.clip(jaw + 0.30 * lowdrop + 0.08 * tongue, 0, 1.1) * (1 - press) * (1 - 0.6 * said[:, TUCK])
    wide = np.clip(said[:, WIDE] - 1.1 * said[:, ROUND], -1, 1) * expressiveness
    features = {
        "gap": np.minimum(between("gap", 6, 96, opens), 1.1 * at("gap", 99.5)),
        "width": np.where(wide > 0, wide * at("width", 92), -wide * at("width", 6)),
        "chin": between("chin", 12, 95, np.clip(jaw + 0.1 * said[:, ROUND] - 0.25 * press, 0, 1)),
        "lower": between("lower", 12, 95, np.clip(0.9 * jaw + 0.3 * lowdrop - 0.3 * press, 0, 1)),
        "upper": -0.5 * (at("upper", 90) - at("upper", 50)) * said[:, UPRAISE] * expressiveness,
        "protrusion": said[:, ROUND] * at("protrusion", 10) * expressiveness,  # nearer is less deep
    }
    loud = said[:, [JAW, WIDE, ROUND, PRESS, LOWDROP, TUCK, UPRAISE, TONGUE]].max(axis=1)
    rest = np.clip(1 - loud / 0.08, 0, 1)
    stacked = np.stack([features[name] for name in FEATURES], axis=1)
    return Target(np.maximum(press, rest).astype(np.float32), rest.astype(np.float32), stacked.astype(np.float32))


def _speaking(library: Library) -> F32:
    """Features of the pictures in which the expression is not strong, ``(m, 6)``: a grin is no speech."""
    usual = np.median(library.slow[library.usable], axis=0)
    strength = np.sqrt(((library.slow - usual)[..., :2] ** 2).mean(axis=(1, 2)))
    calm = library.usable & (strength <= np.percentile(strength[library.usable], _CALM))
    return np.asarray(library.features[calm], np.float32)


def by_sound(
    library: Library, voice: Voice, audio: Audio, times: npt.NDArray[np.floating], expressiveness: float = 1.0
) -> Target:
    """From the person's own sound to components at ``times``, seconds; in pauses the mouth is shut."""
    return by_windows(library, voice, windows_of(resample(audio, _RATE), times), _pauses(audio, times), expressiveness)


def by_windows(library: Library, voice: Voice, windows: F32, rest: F32, expressiveness: float = 1.0) -> Target:
    """The same from windows ``(n, 180)`` of the sound, and where nobody speaks, ``(n,)`` 0-1."""
    weights = predicted(voice, windows) * np.float32(_GAIN * expressiveness)
    closed = _closed(library)
    weights += rest[:, None] * (closed - weights)
    return Target(press=rest, rest=rest, weights=weights, windows=windows)


def _pauses(audio: Audio, times: npt.NDArray[np.floating]) -> F32:
    """1 in pauses, 0 in speech, at ``times``."""
    rest = np.zeros(len(times))
    for first, last in silences(log_mel(audio), _PAUSE):
        inside = np.minimum(times - first * HOP, last * HOP - times)
        rest = np.maximum(rest, np.clip(inside / _SHUTS, 0, 1))
    return np.asarray(rest * rest * (3 - 2 * rest), np.float32)


def _closed(library: Library) -> F32:
    """Components of the lips at rest, ``(6,)``: the usual ones of shut mouths."""
    shut = np.flatnonzero(library.usable & (library.opening < SHUT))
    if not len(shut):
        shut = np.flatnonzero(library.usable)[np.argsort(library.opening[library.usable])[:3]]
    return np.asarray(np.median(library.weights[shut], axis=0), np.float32)


def owns(voice: Voice, audio: Audio) -> bool:
    """Whether a sound is spoken by the library's own voice, in a recording like the film's."""
    return _difference(voice, audio) <= _OWN


def _difference(voice: Voice, audio: Audio) -> float:
    """Distance of the long-term spectra of speech, loudness apart, in deviations of the library's."""
    own, deviation = _spectrum(_middle(voice.windows))
    other, _ = _spectrum(_middle(windows_of(resample(audio, _RATE), np.arange(0, audio.seconds, 2 * HOP))))
    return float(np.sqrt((((other - own) / deviation) ** 2).mean()))


def _middle(windows: F32) -> F32:
    """The energies at the picture's own moment, ``(n, 20)``."""
    bands = windows.reshape(len(windows), -1, 20)
    return bands[:, bands.shape[1] // 2]


def _loud(bands: F32) -> npt.NDArray[np.bool_]:
    level = np.logaddexp.reduce(bands, axis=1)
    return np.asarray(level > np.percentile(level, 95) - 4.0)  # within 17 dB of the loudest


def _spectrum(bands: F32) -> tuple[F32, F32]:
    """Mean and deviation of each band in speech, without loudness."""
    spoken = bands[_loud(bands)]
    shape = spoken - spoken.mean(axis=1, keepdims=True)
    return shape.mean(axis=0), shape.std(axis=0) + 0.1


def _levelled(voice: Voice, audio: Audio) -> Audio:
    """The sound as loud as the film's; differences that speaking makes itself stay."""
    here = _middle(windows_of(resample(audio, _RATE), np.arange(0, audio.seconds, 2 * HOP)))
    loud = [np.percentile(np.logaddexp.reduce(bands, axis=1), 95) for bands in (_middle(voice.windows), here)]
    more = float(loud[0] - loud[1])
    more = np.sign(more) * max(abs(more) - 0.7, 0.0)  # 3 dB
    return Audio((audio.samples * np.exp(more / 2)).astype(np.float32), audio.rate)
