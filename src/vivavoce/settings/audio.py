"""Settings of the audio core: recognisers, enhancement, speakers, live recognition, files."""

import os
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr

from vivavoce.settings.base import Closed, Group

__all__ = ["Audio", "Ears", "OpenAIEar", "Whisper"]

_VENDOR = "https://api.openai.com/v1"


def _from_environment(name: str, default: float) -> Any:
    """A variable that other systems read too, unchecked."""
    return os.environ.get(name, default)


class Audio(Group):
    """Sound: transcribed, enhanced, verified, live."""

    seconds: float = Field(default=14_400.0, gt=0, description="Seconds of a file to be enhanced or transcribed")
    files_bytes: int = Field(
        default=2_000_000_000, ge=1000, description="Bytes of all uploaded files together; the oldest go first"
    )
    cleaner: str = Field(
        default="speex", description="Enhancer of requests that name none: speex, rnnoise, gtcrn, auto"
    )
    speaker: str = Field(default="ge2e", description="Speaker encoder: ge2e or campplus")
    threshold: float | None = Field(
        default=None, ge=0, le=1, description="Score from which two voices are one; unset is the encoder's own"
    )
    microphone: bool = Field(default=False, description="Let clients record with the server's microphone")
    microphone_seconds: float = Field(default=8.0, ge=1, le=60, description="Seconds of such a recording")
    window_seconds: float = Field(
        default_factory=partial(_from_environment, "ASR_WINDOW_SEC", 12.0),
        validate_default=True,
        ge=2,
        le=20,
        description="Longest utterance of live recognition; unset is ASR_WINDOW_SEC of the environment, else 12",
    )
    emit_seconds: float = Field(
        default_factory=partial(_from_environment, "ASR_EMIT_SEC", 0.5),
        validate_default=True,
        ge=0.1,
        le=10,
        description="Between two partial texts; unset is ASR_EMIT_SEC of the environment, else 0.5",
    )
    endpoint_ms: Literal[300, 500, 800] = Field(
        default=500, description="Silence that ends an utterance, in milliseconds: 300, 500 or 800"
    )
    sessions: int = Field(default=16, ge=1, description="Live recognitions at once; more are refused")


class Whisper(Group):
    """The recogniser ``whisper``."""

    model: str = Field(
        default="small", description="tiny, base, small, medium, large-v3, large-v3-turbo, or a folder of your own"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where it computes")
    compute: str = Field(default="", description="Kind of number; empty is int8 on a CPU and float16 on a GPU")
    threads: int = Field(default=0, ge=0, description="Threads on a CPU; 0 is one for each core")


class OpenAIEar(Closed):
    """The recogniser ``openai``."""

    api_key: SecretStr = Field(default=SecretStr(""), description="Key; a server of your own may need none")
    base_url: str = Field(default=_VENDOR, description="Address, up to /audio/transcriptions")
    model: str = Field(default="whisper-1", description="Name of the model")


class Ears(Group):
    """Recognisers."""

    engine: str = Field(
        default="auto",
        description="whisper, openai, sphinx; auto is the first that can work here for the language",
    )
    faces: bool = Field(default=True, description="Read the words of recordings for the mouth, where an engine can")
    whisper: Whisper = Field(default_factory=Whisper)
    openai: OpenAIEar = Field(default_factory=OpenAIEar)

    def options(self, models: dict[str, Any], waits: dict[str, float]) -> dict[str, dict[str, Any]]:
        """Constructor arguments of the engines, by entry point.

        ``models`` are those of the model store, ``waits`` the limits of calls over the network.
        """
        key = self.openai.api_key.get_secret_value()
        vendor = self.openai.base_url.rstrip("/") == _VENDOR
        return {
            "ear.whisper": self.whisper.model_dump() | models,
            # the vendor's own key goes to the vendor only, not to whoever answers at another address
            "ear.openai": self.openai.model_dump(exclude={"api_key"})
            | {"api_key": key or (os.environ.get("OPENAI_API_KEY", "") if vendor else "")}
            | waits,
        }


def weights(folder: Path | None, cache: Path | None, offline: bool) -> dict[str, Any]:
    """What every engine with weights is made with."""
    return {"models_dir": folder, "models_cache": cache, "offline": offline}
