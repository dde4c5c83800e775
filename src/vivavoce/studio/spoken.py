"""How a listener listens, and what it tells of what is spoken (``studio.listening``)."""

from dataclasses import dataclass

from vivavoce.errors import VivavoceError
from vivavoce.nouns import Word

__all__ = ["Event", "Final", "Manner", "Partial", "SpeechStarted", "SpeechStopped"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How to listen."""

    window_seconds: float = 12.0
    """The longest piece that is recognised at once; a pause ends an utterance that is longer."""
    emit_seconds: float = 0.5
    """Between partial texts; more where the recogniser is slow, so that it is idle half of the time."""
    endpoint_seconds: float = 0.5
    """Silence that ends an utterance; ``inf``: only ``commit`` does."""
    threshold: float = 0.5
    """Probability of speech, 0-1, from which somebody is taken to speak."""
    final_seconds: float = 0.6
    """What recognising a window may take. Where it takes longer, the window is cut, after words that are agreed on."""
    ahead_seconds: float = 4.0
    """Sound that may wait to be judged; ``feed`` waits when there is more."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody began to speak."""

    utterance: int
    at: float
    """Seconds from the start of the sound."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """An utterance is over; its final text follows."""

    utterance: int
    at: float
    asked: bool
    """By ``commit`` or ``finish``, not by silence."""


@dataclass(frozen=True, slots=True)
class Partial:
    """The text of an utterance as far as it is heard."""

    utterance: int
    """0 when nobody speaks."""
    text: str
    stable: str = ""
    """The part of it that will only be added to."""
    unstable: str = ""
    """The rest, for now."""
    asked: bool = False
    """Whether it answers ``flush``."""


@dataclass(frozen=True, slots=True)
class Final:
    """The text of an utterance; "" when nothing was said in it after all."""

    utterance: int
    text: str
    words: tuple[Word, ...]
    """Their times are seconds from the start of the sound."""
    start: float
    end: float
    asked: bool
    """By ``commit`` or ``finish``, not by silence."""
    language: str = ""
    error: VivavoceError | None = None
    """Why it could not be recognised whole; the text is what was heard before."""


Event = SpeechStarted | SpeechStopped | Partial | Final
