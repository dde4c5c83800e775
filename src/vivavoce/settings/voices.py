"""Settings of voices beyond the embedded one."""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr

from vivavoce.settings.base import Closed, Group

__all__ = ["ElevenLabs", "Http", "OpenAI", "Piper", "Voices"]


class ElevenLabs(Closed):
    """The voice ``elevenlabs``."""

    api_key: SecretStr = Field(
        default_factory=lambda: SecretStr(os.environ.get("ELEVENLABS_API_KEY", "")),
        description="Key; unset is ELEVENLABS_API_KEY of the environment",
    )
    voice_id: str = Field(
        default_factory=lambda: os.environ.get("ELEVENLABS_VOICE_ID", ""),
        description="Voice of requests that name none or Custom; unset is ELEVENLABS_VOICE_ID of the environment",
    )
    base_url: str = Field(default="https://api.elevenlabs.io", description="Address of the service")
    model: str = Field(default="eleven_multilingual_v2", description="Id of the model")
    output_format: str = Field(default="pcm_22050", description="Format of the sound that is asked for")
    languages: tuple[str, ...] = Field(default=(), description="Languages of the model, as a JSON list")


class OpenAI(Closed):
    """The voice ``openai``."""

    api_key: SecretStr = Field(default=SecretStr(""), description="Key; a server of your own may need none")
    base_url: str = Field(default="https://api.openai.com/v1", description="Address, up to /audio/speech")
    model: str = Field(default="gpt-4o-mini-tts", description="Name of the model")
    voices: tuple[str, ...] = Field(default=(), description="Voices that are offered, the default first")
    languages: tuple[str, ...] = Field(default=(), description="Languages that are offered, as a JSON list")
    response_format: Literal["wav", "pcm", "mp3", "flac"] = Field(default="wav", description="Format of the sound")
    speed: float = Field(default=1.0, ge=0.25, le=4.0, description="Speed")


class Http(Closed):
    """The voice ``http``."""

    url: SecretStr = Field(default=SecretStr(""), description="Address of the service")
    method: Literal["POST", "PUT", "GET"] = Field(default="POST", description="Method of the call")
    body: Literal["json", "form", "query"] = Field(default="json", description="Where the fields go")
    text_field: str = Field(default="text", min_length=1, description="Field of the text")
    language_field: str = Field(default="language", description="Field of the language; empty sends none")
    voice_field: str = Field(default="", description="Field of the voice; empty sends none")
    voice: str = Field(default="", description="Voice of requests that name none")
    voices: tuple[str, ...] = Field(default=(), description="Voices that may be asked for, as a JSON list")
    languages: tuple[str, ...] = Field(default=("ru", "kk", "en"), description="Languages that it speaks")
    extra: dict[str, Any] = Field(default={}, repr=False, description="More fields, as a JSON object")
    headers: dict[str, SecretStr] = Field(default={}, description="Headers, such as the key's, as a JSON object")
    answer: Literal["audio", "base64", "url"] = Field(default="audio", description="What it answers with")
    answer_field: str = Field(default="audio", description="Where the sound or its address is in a JSON answer")
    characters: int = Field(default=1000, ge=50, description="Characters of one call; longer texts take several")


class Piper(Group):
    """The voice ``piper``."""

    dir: Path | None = Field(default=None, description="Folder of voices; unset is piper in the models' folder")


class Voices(Group):
    """Voices beyond the embedded one."""

    fallback: bool = Field(default=False, description="Let the embedded voice speak when another one fails")
    connect_seconds: float = Field(default=5.0, gt=0, description="Seconds until a service must accept a connection")
    read_seconds: float = Field(default=15.0, gt=0, description="Seconds that a service may send nothing")
    elevenlabs: ElevenLabs = Field(default_factory=ElevenLabs)
    openai: OpenAI = Field(default_factory=OpenAI)
    http: Http = Field(default_factory=Http)
    piper: Piper = Field(default_factory=Piper)

    @property
    def waits(self) -> dict[str, float]:
        """Limits of calls over the network, as constructor arguments."""
        return {"connect_seconds": self.connect_seconds, "read_seconds": self.read_seconds}

    def options(self, models: Path | None) -> dict[str, dict[str, Any]]:
        """Constructor arguments of the engines, by entry point; ``models`` is the operator's folder of weights."""
        waits = self.waits
        vendor = self.openai.base_url == OpenAI.model_fields["base_url"].default
        key = self.openai.api_key.get_secret_value()
        openai = self.openai.model_dump(exclude={"voices"}) | {
            # the vendor's own key goes to the vendor only, not to whoever answers at another address
            "api_key": key or (os.environ.get("OPENAI_API_KEY", "") if vendor else ""),
        }
        if self.openai.voices:
            openai["voices"] = self.openai.voices
        eleven = self.elevenlabs.model_dump() | {"api_key": self.elevenlabs.api_key.get_secret_value()}
        http = self.http.model_dump() | {
            "url": self.http.url.get_secret_value(),
            "headers": {name: value.get_secret_value() for name, value in self.http.headers.items()},
        }
        folder = self.piper.dir or (models / "piper" if models else None)
        return {
            "voice.elevenlabs": eleven | waits,
            "voice.openai": openai | waits,
            "voice.http": http | waits,
            "voice.piper": {"folder": folder},
        }
