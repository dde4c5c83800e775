"""``clone.world``: the embedded voice, or any other, with the timbre and the pitch of somebody who was recorded.

The recordings become a bank of frames: pitch, spectral envelope, breath, and which sound it is. To speak, the base
voice says the text, and each of its frames takes the envelope of that frame of the bank which says the same. Its coarse
shape, which makes speech intelligible, is then moved to what the speaker's frames of that sound are like on average,
with the movement of the base voice around its own average. Pitch and loudness follow the base voice within the
speaker's range. When each sound comes is the base voice's, so its marks stay true and a face stays in time. It leans
towards the speaker and is no copy: ``traits.approximate``.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from vivavoce.engines.clones import matching, vocoder
from vivavoce.engines.clones.kept import put, told
from vivavoce.engines.clones.portrait import Frames, Portrait, frames, level, relief, shapes, smooth
from vivavoce.engines.clones.vocoder import RATE, Parts
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import InvalidInput
from vivavoce.hear.activity import activity
from vivavoce.hear.noise import measure
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio, CloneTraits, Speech
from vivavoce.ports import Synthesizer

__all__ = ["WorldCloner"]

Floats = npt.NDArray[np.float32]

_ENGINE, _BANK = "world", "bank.npz"
_LEAST, _ENOUGH, _MOST = 2.0, 15.0, 60.0
"""Seconds of speech: fewer are refused, fewer are warned of, more are left out."""
_SHORTEST = 0.15
"""Seconds of a stretch that is worth taking apart."""
_EDGE = 0.1
"""Seconds kept around a stretch of speech."""
_VOICED = 0.3
"""Share of the frames of speech that have a voice; of whispered speech a fifth seems to."""
_NOISY = 15.0
"""dB between speech and noise below which noise becomes part of the timbre."""
_NUMBERS = "1 2 3 4 5 6 7 8 9 10 11 12 13 20 30 40 50 60 70 80 90 100."
"""What the base voice says to be known: numbers can be read in every language."""
_WIDEST = 1.8
"""By how much the range of the base voice's pitch is widened at most."""
_HIGHEST = 480.0
"""Hz."""
_GAIN = 0.75
"""Nepers of power by which a frame of the bank is made louder or softer at most: 3.3 dB."""
_SILENT = 3.0
"""Spreads below the mean level from which the base voice pauses."""
_MOVED = 0.6
"""Share of the base voice's movement around its average that the clone has."""
_SMOOTH = 3
"""Frames over which envelopes are averaged, so that joins are not heard."""
_PEAK = 0.95


class WorldCloner:
    """WORLD over another voice. Threads may share it."""

    def __init__(self, base: Synthesizer | None = None, *, voice: str = "f2") -> None:
        """``base`` says what is to be said: the embedded voice, unless it is another one.

        ``voice`` is the id of one of its voices. Of espeak-ng's, f2 is both the best understood and, once converted,
        the most alike, to men too. Raises ``EngineUnavailable`` when the extra ``clone`` is not installed.
        """
        vocoder.check()
        self._base: Synthesizer = base or EspeakVoice()
        self._voice = voice
        self._known: dict[str, _Bank] = {}
        self._lock = threading.Lock()

    @property
    def traits(self) -> CloneTraits:
        """The languages and timings of the base voice."""
        known = self._base.traits
        return CloneTraits(
            languages=known.languages,
            approximate=True,
            timings=known.timings,
            least=_ENOUGH,
            licence=f"WORLD: BSD-3-Clause; pocketsphinx: BSD-2-Clause; base voice: {known.licence}",
            network=known.network,
        )

    def enrol(self, recordings: Sequence[Audio], into: Path) -> tuple[str, ...]:
        """Take the recordings' speech apart, up to 60 s of it, about 16 MB; see ``ports.Cloner``.

        Raises ``InvalidInput`` when there is less than 2 s of speech, or none with a voice.
        """
        pieces, seconds = _speech(recordings)
        if seconds < _LEAST:
            raise InvalidInput(
                f"There are {seconds:.1f} s of speech in the recordings; at least {_LEAST:g} s are needed, better "
                f"{_ENOUGH:g} s or more."
            )
        heard = frames(pieces)
        if np.mean(heard.voiced) < _VOICED:
            raise InvalidInput("There is hardly any voice in the recordings; send normal speech, not whispered.")
        _Bank.of(heard).write(into / _BANK)
        put(into, {"engine": _ENGINE, "seconds": round(seconds, 2)})
        return tuple(_warnings(recordings, seconds))

    def synthesize(self, text: str, *, language: str, voice: Path) -> Iterator[Speech]:
        """Speak ``text``, in the base voice's parts and with its marks; mono at 16 kHz.

        A generator, closed between two parts. Raises what the base voice raises, and ``InvalidInput`` at once for a
        folder that is none of this engine's.
        """
        told(voice, _ENGINE)
        bank = _Bank.read(voice / _BANK)
        return self._converted(self._base.synthesize(text, language=language, voice=self._voice), bank)

    def close(self) -> None:
        """Close the base voice, if it can be closed."""
        close = getattr(self._base, "close", None)
        if close is not None:
            close()

    def _converted(self, said: Iterator[Speech], bank: "_Bank") -> Iterator[Speech]:
        try:
            for speech in said:
                yield _as(speech, self._own(speech.language), bank)
        finally:
            close = getattr(said, "close", None)
            if close is not None:
                close()

    def _own(self, language: str) -> "_Bank":
        """The base voice itself, which speaks differently in each language."""
        with self._lock:
            known = self._known.get(language)
            if known is None:
                spoken = self._base.synthesize(_NUMBERS, language=language, voice=self._voice)
                pieces = [resample(part.audio, RATE).samples for part in spoken]
                known = self._known[language] = _Bank.of(frames(pieces, clean=True))
            return known


@dataclass(frozen=True, slots=True)
class _Bank:
    """What is known of a speaker."""

    parts: Parts
    ends: npt.NDArray[np.bool_]
    """Frames after which a recording does not go on, shape ``(n,)``."""
    features: Floats
    """What the frames say, whoever it is; see ``Portrait.features``."""
    speaker: Portrait

    @classmethod
    def of(cls, heard: Frames) -> "_Bank":
        """Of some seconds of speech."""
        speaker = Portrait.of(heard)
        return cls(heard.parts, heard.ends, speaker.features(heard), speaker)

    @property
    def voiced(self) -> npt.NDArray[np.bool_]:
        """Where there is a voice, shape ``(n,)``."""
        return self.parts.pitch > 0

    def write(self, path: Path) -> None:
        np.savez(
            path,
            pitch=self.parts.pitch,
            envelope=self.parts.envelope.astype(np.float16),
            breath=self.parts.breath,
            ends=self.ends,
            features=self.features.astype(np.float16),
            speaker=self.speaker.numbers(),
        )

    @classmethod
    def read(cls, path: Path) -> "_Bank":
        with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile), path.open("rb") as file:
            kept = np.load(file, allow_pickle=False)
            parts = Parts(kept["pitch"], kept["envelope"].astype(np.float32), kept["breath"])
            features = kept["features"].astype(np.float32)
            return cls(parts, kept["ends"], features, Portrait.read(kept["speaker"]))
        raise InvalidInput("What is kept of this voice is damaged; enrol it again.")


def _speech(recordings: Sequence[Audio]) -> tuple[list[Floats], float]:
    """Stretches of speech at ``RATE``, equally loud in all recordings, and how many seconds they last."""
    pieces: list[Floats] = []
    seconds = 0.0
    for recording in recordings:
        heard = activity(recording)
        samples, edge = heard.audio.samples, round(_EDGE * RATE)
        spoken = np.concatenate([samples[a:b] for a, b in heard.stretches] or [samples[:0]])
        loud = float(np.sqrt(np.mean(np.square(spoken, dtype=np.float64)))) if len(spoken) else 1.0
        for first, last in heard.stretches:
            lasts = (last - first) / RATE
            if lasts >= _SHORTEST and seconds < _MOST:
                last = min(last, first + round((_MOST - seconds) * RATE))
                pieces.append(samples[max(0, first - edge) : last + edge] * np.float32(0.1 / max(loud, 1e-6)))
                seconds += (last - first) / RATE
    return pieces, seconds


def _warnings(recordings: Sequence[Audio], seconds: float) -> Iterator[str]:
    if seconds < _ENOUGH:
        yield f"Little speech: {seconds:.1f} s; the voice becomes more alike with {_ENOUGH:g} s or more."
    snr = min(measure(recording).snr for recording in recordings if len(recording.samples))
    if snr < _NOISY:
        yield f"Noisy: speech stands {snr:.0f} dB out of the noise; below {_NOISY:g} dB noise is cloned with the voice."


def _as(speech: Speech, base: _Bank, bank: _Bank) -> Speech:
    """The same speech as if the speaker of the bank said it; ``base`` is who says it now."""
    sound = resample(speech.audio, RATE).samples
    said = frames([sound], clean=True)
    wanted = base.speaker.features(said)
    envelope, breath = _timbre(said, wanted, base, bank)
    have, loud = level(envelope), level(said.parts.envelope)
    envelope = envelope + _gains(loud, have, base.speaker, bank.speaker)[:, None]
    made = vocoder.sound(Parts(_pitch(said.parts.pitch, base.speaker, bank.speaker), envelope, breath))
    made = np.pad(made, (0, max(0, len(sound) - len(made))))[: len(sound)]
    seconds = len(sound) / RATE
    marks = tuple(replace(m, start=min(m.start, seconds), end=min(m.end, seconds)) for m in speech.marks)
    return replace(speech, audio=Audio(_levelled(made, sound), RATE), marks=marks)


def _timbre(said: Frames, wanted: Floats, base: _Bank, bank: _Bank) -> tuple[Floats, Floats]:
    """Envelope and breath for each frame that was said; ``wanted`` is what they say."""
    chosen = matching.path(wanted, said.voiced, bank.features, bank.voiced, bank.ends)
    envelope = bank.parts.envelope[chosen]
    usual, own = (
        matching.means(wanted, said.voiced, one.features, one.voiced, shapes(one.parts.envelope))
        for one in (bank, base)
    )
    shape = usual + np.float32(_MOVED) * (shapes(said.parts.envelope) - own)
    envelope = envelope + relief(shape - shapes(envelope))
    return smooth(envelope, _SMOOTH), bank.parts.breath[chosen]


def _pitch(pitch: Floats, base: Portrait, speaker: Portrait) -> Floats:
    """The base voice's melody at the speaker's height, as lively as the speaker's."""
    wider = min(_WIDEST, speaker.pitch_spread / base.pitch_spread)
    moved = np.exp((np.log(np.maximum(pitch, 1)) - base.pitch) * wider + speaker.pitch)
    return np.asarray(np.where(pitch > 0, np.minimum(moved, _HIGHEST), 0), np.float32)


def _gains(said: Floats, have: Floats, base: Portrait, speaker: Portrait) -> Floats:
    """Nepers of power that frames of the bank lack to rise and fall as the base voice does; pauses stay pauses."""
    spreads = (said - base.level) / base.level_spread
    lacking = spreads * speaker.level_spread + speaker.level - have
    pauses = spreads < -_SILENT
    return np.asarray(np.where(pauses, np.minimum(lacking, 0), np.clip(lacking, -_GAIN, _GAIN)), np.float32)


def _levelled(made: Floats, sound: Floats) -> Floats:
    """As loud as the base voice, and nowhere beyond full scale."""
    power = float(np.mean(np.square(made, dtype=np.float64)))
    gain = np.sqrt(float(np.mean(np.square(sound, dtype=np.float64))) / max(power, 1e-12))
    peak = float(np.abs(made).max(initial=0))
    return made * np.float32(min(gain, _PEAK / max(peak, 1e-9)))
