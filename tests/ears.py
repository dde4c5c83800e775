"""A recogniser that knows the recording it listens to: it finds where a piece of it lies, and says the words there.

So tests of live recognition run on real sound, with a true text and true times, and without a recogniser's mistakes.
It is as unsure as a real one of the last word of a piece, which it may hear only in part.
"""

import asyncio

import numpy as np
import numpy.typing as npt

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import VivavoceError
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio, Segment, Transcript, Word

RATE = 16_000


class Recording:
    """Sentences by the embedded voice, ``pause`` seconds of near silence around each."""

    def __init__(self, voice: EspeakVoice, sentences: list[str], *, pause: float = 0.9, rate: int = RATE) -> None:
        self.sentences, self.rate = sentences, rate
        noise = np.random.default_rng(5)
        pieces: list[npt.NDArray[np.float32]] = [np.zeros(int(pause * RATE), np.float32)]
        words: list[Word] = []
        for sentence in sentences:
            for speech in voice.synthesize(sentence, language="en", voice="en-us+f3"):
                at = sum(map(len, pieces)) / RATE
                words += [Word(m.text, at + m.start, at + m.end) for m in speech.of("word")]
                pieces.append(resample(speech.audio, RATE).samples)
            pieces.append(np.zeros(int(pause * RATE), np.float32))
        sound = np.concatenate(pieces) * np.float32(0.7)
        self.sound = sound + (noise.standard_normal(len(sound)) * 1e-4).astype(np.float32)
        self.words = tuple(words)

    @property
    def seconds(self) -> float:
        return len(self.sound) / RATE

    @property
    def pcm(self) -> bytes:
        """16-bit samples at ``rate``."""
        samples = resample(Audio(self.sound, RATE), self.rate).samples
        return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()

    def where(self, samples: npt.NDArray[np.float32]) -> float:
        """Where a piece of the recording begins, in seconds."""
        size = 1 << (len(self.sound) + len(samples)).bit_length()
        both = np.fft.rfft(self.sound, size) * np.conj(np.fft.rfft(samples, size))
        lag = int(np.argmax(np.fft.irfft(both, size)))
        return (lag - size if lag >= len(self.sound) else lag) / RATE  # a piece may begin ahead of the recording


class KnownEar:
    """Hears what a recording says. It can be held up; ``errors`` are raised, one a call."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()
        self.errors: list[VivavoceError] = []
        self.heard: list[tuple[float, float]] = []
        """From where to where each piece reached, seconds; pieces without any sound are not listed."""
        self.languages: list[str] = []
        self.running = self.most = self.cancelled = self.calls = 0

    def hold(self) -> None:
        """Hear nothing from now on until ``gate`` is set; ``begun`` is set when somebody asks."""
        self.gate.clear()
        self.begun.clear()

    async def __call__(self, audio: Audio, language: str) -> Transcript:
        assert audio.rate == RATE
        self.calls += 1
        self.running += 1
        self.begun.set()
        self.most = max(self.most, self.running)
        self.languages.append(language)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.errors:
            raise self.errors.pop(0)
        if not np.any(audio.samples):
            return Transcript(language, audio.seconds)
        start = self._recording.where(audio.samples)
        self.heard.append((start, start + audio.seconds))
        words = [self._heard(word, start, audio.seconds) for word in self._recording.words]
        kept = tuple(word for word in words if word is not None)
        text = " ".join(word.text for word in kept)
        return Transcript(language, audio.seconds, (Segment(text, 0, audio.seconds, kept),) if kept else ())

    @staticmethod
    def _heard(word: Word, start: float, seconds: float) -> Word | None:
        """A word as it is heard in a piece; one whose end is cut off is mistaken for another."""
        begins, ends = word.start - start, word.end - start
        if (begins + ends) / 2 < 0 or begins > seconds - 0.05:
            return None
        if ends > seconds:
            return Word(word.text[: max(1, len(word.text) // 2)] + "~", begins, seconds, 0.3)
        return Word(word.text, max(begins, 0), ends)
