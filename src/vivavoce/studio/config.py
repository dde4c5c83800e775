"""What the studio has to know of the machine and the operator: plain values, picklable, for workers too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vivavoce.nouns import Canvas
from vivavoce.studio.conversation import Limits

__all__ = ["StudioConfig"]


@dataclass(frozen=True, slots=True)
class StudioConfig:
    """Frozen values made from the settings; the studio and its workers read nothing else."""

    data_dir: Path
    """Results lie in ``artifacts`` below it, avatars of the user's in ``avatars``."""
    language: str = "ru"
    voice_engine: str = "espeak"
    voice: str = ""
    face_engine: str = "photo"
    avatar: str = "anna"
    canvas: Canvas = field(default_factory=Canvas)
    max_characters: int = 5000
    max_audio_seconds: float = 600.0
    max_pixels: float = 50e6
    voice_seconds: float = 30.0
    """A voice that needs longer for one text is stopped."""
    face_seconds: float = 1800.0
    """A face that needs longer for one film is stopped."""
    quiet_seconds: float = 60.0
    """A face that makes no picture for so long is stopped."""
    waiting: int = 64
    """Requests that may be under way at once; more are refused."""
    models_dir: Path | None = None
    models_cache: Path | None = None
    offline: bool = False
    face_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Constructor arguments of face engines beside those of all, by entry point."""
    voice_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """Constructor arguments of voice engines, by entry point; there are keys in it, so it is never shown."""
    voice_fallback: bool = False
    """Whether the embedded voice speaks when another one fails."""
    audio_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """Constructor arguments of recognisers, enhancers and speaker encoders, by entry point; there are keys in it."""
    clone_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """Constructor arguments of cloners, by entry point; there are keys in it."""
    chat_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """Constructor arguments of chat engines, by entry point; there are keys in it."""
    max_sound_seconds: float = 14_400.0
    """Of a file to be enhanced or transcribed."""
    ear: str = "auto"
    """Recogniser of requests that name none."""
    hear_recordings: bool = True
    """Whether the words of recordings are read for the face."""
    cleaner: str = "speex"
    speaker: str = "ge2e"
    cloner: str = "world"
    """Cloner of voices whose enrolment names none."""
    consent: Literal["required", "noted"] = "noted"
    """Whether a voice is enrolled only with its speaker's consent, or whatever is told of it is noted."""
    chat: str = "auto"
    """Chat engine of requests that name no model."""
    chat_system: str = ""
    """What every chat model is told first."""
    chat_limits: Limits = field(default_factory=Limits)

    @property
    def artifacts(self) -> Path:
        """Folder of finished and half-made results."""
        return self.data_dir / "artifacts"

    @property
    def voices(self) -> Path:
        """Folder of the voices of people who were recorded."""
        return self.data_dir / "voices"

    @property
    def trainings(self) -> Path:
        """Folder of what trainings have reached."""
        return self.data_dir / "training"

    @property
    def avatars(self) -> Path:
        """Folder of the avatars that users made."""
        return self.data_dir / "avatars"
