"""The nouns: frozen data that every floor shares. numpy and the standard library only, arithmetic at most."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Audio",
    "Avatar",
    "Canvas",
    "ChatTraits",
    "CleanTraits",
    "CloneTraits",
    "EarTraits",
    "FaceTraits",
    "Frame",
    "Job",
    "JobEvent",
    "JobState",
    "Lesson",
    "Mark",
    "Segment",
    "SpeakerTraits",
    "Speech",
    "Transcript",
    "Turn",
    "Voice",
    "VoiceTraits",
    "Word",
]


@dataclass(frozen=True, slots=True)
class Audio:
    """Mono sound."""

    samples: npt.NDArray[np.float32]
    """Shape ``(n,)``, -1 to 1."""
    rate: int
    """Samples a second, Hz."""

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.rate


MarkKind = Literal["word", "phoneme"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A word or a phoneme and when it sounds."""

    kind: MarkKind
    text: str
    """A word as it stands in the text, or one IPA phoneme with its length and stress marks; "" is a pause."""
    start: float
    """Seconds from the start of the sound."""
    end: float
    offset: int = -1
    """Of a word: the index of its first character in ``Speech.text``; -1 when unknown, and for phonemes."""


@dataclass(frozen=True, slots=True)
class Speech:
    """Sound that knows what it says and when. Marks of one kind are in order and do not overlap."""

    text: str
    language: str
    audio: Audio
    marks: tuple[Mark, ...] = ()

    def of(self, kind: MarkKind) -> tuple[Mark, ...]:
        """The marks of one kind, in order."""
        return tuple(m for m in self.marks if m.kind == kind)


@dataclass(frozen=True, slots=True)
class Canvas:
    """The shape of a film."""

    width: int = 512
    """Pixels, even, 128 to 1920."""
    height: int = 512
    fps: int = 25
    """Frames a second, 12 to 60."""

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        return self.width, self.height

    def frames(self, seconds: float) -> int:
        """How many frames cover ``seconds`` (rounded up, at least 1)."""
        return max(1, int(np.ceil(seconds * self.fps - 1e-6)))


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a film."""

    image: npt.NDArray[np.uint8]
    """RGB, shape ``(height, width, 3)``. It belongs to the receiver: the engine does not write to it again."""
    time: float
    """Seconds from the start of the film."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """A prepared avatar: a folder that its face engine wrote and reads."""

    name: str
    path: Path
    engine: str
    """Name of the face engine, without its kind: ``photo``."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that a synthesizer offers."""

    id: str
    name: str
    languages: tuple[str, ...]
    gender: Literal["female", "male", "neutral"] = "neutral"


@dataclass(frozen=True, slots=True)
class VoiceTraits:
    """What a synthesizer declares of itself, as data."""

    languages: tuple[str, ...]
    """Codes as in ``text.languages``: ``ru``, ``kk``, ``en``, ``ko``, ``zh``, …"""
    voices: tuple[Voice, ...] = ()
    timings: frozenset[MarkKind] = frozenset()
    licence: str = ""
    network: bool = False


@dataclass(frozen=True, slots=True)
class FaceTraits:
    """What a face engine declares of itself, as data."""

    sources: frozenset[Literal["picture", "video"]] = field(default_factory=lambda: frozenset({"picture"}))
    min_side: int = 128
    max_side: int = 1920
    alpha: bool = False
    device: str = "cpu"
    lookahead: float = 0.0
    """Seconds of speech that it must hear ahead of a frame."""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """A word that a recogniser heard."""

    text: str
    """As it is written, with its punctuation, without white space around it."""
    start: float
    """Seconds from the start of the sound."""
    end: float
    probability: float = 1.0
    """0-1: how sure the recogniser is."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech and what was heard in it."""

    text: str
    start: float
    """Seconds from the start of the sound."""
    end: float
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a recogniser heard; no segments where nobody speaks."""

    language: str
    """Code as in ``text.languages``: the one that was asked for, or the one that was heard."""
    seconds: float
    """Duration of the sound."""
    segments: tuple[Segment, ...] = ()

    @property
    def text(self) -> str:
        """All segments, one after another."""
        glue = "" if self.language in ("zh", "ja") else " "
        return glue.join(s.text for s in self.segments if s.text)

    @property
    def words(self) -> tuple[Word, ...]:
        """All words, in order."""
        return tuple(word for segment in self.segments for word in segment.words)


@dataclass(frozen=True, slots=True)
class EarTraits:
    """What a recogniser declares of itself, as data."""

    languages: tuple[str, ...] = ()
    """Codes as in ``text.languages``; none: whatever is asked for."""
    rate: int = 16_000
    """Samples a second that it wants, Hz."""
    longest: float = 30.0
    """Seconds of the longest piece of sound that it takes."""
    word_times: bool = True
    detects: bool = False
    """Whether it can tell the language by itself."""
    closed: bool = False
    """Whether it can choose among given phrases."""
    device: str = "cpu"
    licence: str = ""
    network: bool = False


@dataclass(frozen=True, slots=True)
class CleanTraits:
    """What an enhancer declares of itself, as data."""

    rates: tuple[int, ...] = ()
    """Samples a second at which it works, Hz; none: any."""
    lookahead: float = 0.0
    """Seconds of sound that it must hear ahead of what it gives out."""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class SpeakerTraits:
    """What a speaker encoder declares of itself, as data."""

    size: int
    """Numbers in an embedding."""
    threshold: float
    """Cosine at and above which two embeddings are taken for one speaker."""
    rate: int = 16_000
    """Samples a second that it wants, Hz."""
    least: float = 1.0
    """Seconds of speech below which an embedding says nothing."""
    version: str = ""
    """Of the weights and of what is done before them: embeddings of different versions cannot be compared."""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side of a conversation said."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ChatTraits:
    """What a chat engine declares of itself, as data."""

    models: tuple[str, ...]
    """Names of the models that can be asked for, the default first."""
    network: bool = False
    """Whether words leave this machine."""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class CloneTraits:
    """What a cloner declares of itself, as data."""

    languages: tuple[str, ...] = ()
    """Codes as in ``text.languages``; none: whatever is asked for."""
    approximate: bool = False
    """Whether it only leans towards the speaker: a likeness of timbre, no copy."""
    timings: frozenset[MarkKind] = frozenset()
    least: float = 3.0
    """Seconds of speech that it wants to hear of the speaker."""
    device: str = "cpu"
    licence: str = ""
    network: bool = False
    """Whether recordings and words leave this machine."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """How far something is learnt."""

    fraction: float
    """Of all of it, 0-1."""
    stage: str
    """``track``, ``library``, ``refine``, …"""
    epoch: int = 0
    epochs: int = 0
    """0 where the stage has none."""
    loss: float | None = None
    preview: bytes = b""
    """JPEG of what it looks like by now; empty where there is nothing new to see."""


JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Job:
    """A request that costs work, as it is recorded. Times are Unix seconds, UTC."""

    id: str
    kind: str
    """``chunks``, ``video``, ``stream``, ``idle``, ``prepare``, ``enhance``, ``transcribe``, …"""
    state: JobState
    params: Mapping[str, Any]
    """What was asked for: JSON, never a secret."""
    owner: str = ""
    """Whose it is: a fingerprint of the key, "" without keys."""
    attached: bool = False
    """Whether it ends with its client's connection."""
    priority: int = 0
    """Higher goes first."""
    attempt: int = 0
    worker: str = ""
    lease: str = ""
    """Names the running attempt; "" when it does not run."""
    lease_until: float = 0.0
    cancel_requested: bool = False
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    expires: float | None = None
    """When it is forgotten, with its results; known once it has ended."""
    progress: float = 0.0
    """0-1."""
    stage: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each stage."""
    result: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None
    """``code`` and ``message``."""
    webhook: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job; numbered from 1 within it, without gaps."""

    job: str
    seq: int
    time: float
    type: str
    """``state``, ``progress``, ``chunk``, … ."""
    data: Mapping[str, Any]
