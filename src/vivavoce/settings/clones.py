"""Settings of cloners."""

from typing import Any, Literal

from pydantic import Field, SecretStr

from vivavoce.settings.base import Closed, Group
from vivavoce.settings.voices import ElevenLabs

__all__ = ["Clones", "HttpClone"]


class HttpClone(Closed):
    """The cloner ``http``."""

    url: SecretStr = Field(default=SecretStr(""), description="Address of the service")
    send: Literal["file", "base64", "path"] = Field(
        default="file", description="How the recording goes: file of a form, base64, or a path on a shared disk"
    )
    text_field: str = Field(default="text", min_length=1, description="Field of the text")
    language_field: str = Field(default="language", description="Field of the language; empty sends none")
    reference_field: str = Field(default="reference", min_length=1, description="Field of the recording")
    languages: tuple[str, ...] = Field(default=("ru", "en", "ko", "zh"), description="Languages that it speaks")
    language_names: dict[str, str] = Field(
        default={}, description="The service's own words for languages, as a JSON object"
    )
    extra: dict[str, Any] = Field(default={}, repr=False, description="More fields, as a JSON object")
    headers: dict[str, SecretStr] = Field(default={}, description="Headers, such as the key's, as a JSON object")
    answer: Literal["audio", "pcm", "base64", "url"] = Field(
        default="audio", description="What it answers with; pcm is raw 16-bit mono"
    )
    answer_field: str = Field(default="audio", description="Where the sound or its address is in a JSON answer")
    pcm_rate: int = Field(default=24_000, ge=8_000, le=48_000, description="Samples a second of raw sound")
    characters: int = Field(default=400, ge=50, description="Characters of one call; longer texts take several")
    least: float = Field(default=3.0, ge=1, description="Seconds of speech below which enrolment warns")
    most: float = Field(default=15.0, ge=3, le=120, description="Seconds of the recording that are sent")
    read_seconds: float = Field(default=60.0, gt=0, description="Seconds that the service may send nothing")
    seconds_limit: float = Field(default=180.0, gt=0, description="Seconds that one text may take")


class Clones(Group):
    """Voices learnt from recordings."""

    engine: str = Field(default="world", description="Cloner of requests that name none: world, http, elevenlabs")
    consent: Literal["required", "noted"] = Field(
        default="noted", description="Whether a voice is enrolled only with the speaker's consent, or it is noted"
    )
    world_voice: str = Field(default="f2", description="Embedded voice that speaks under a clone of world")
    elevenlabs_noise: bool = Field(default=False, description="Have ElevenLabs clean the recordings of a clone")
    http: HttpClone = Field(default_factory=HttpClone)

    def options(self, eleven: ElevenLabs, waits: dict[str, float]) -> dict[str, dict[str, Any]]:
        """Constructor arguments of the engines, by entry point.

        ``eleven`` is the group of the voice ``elevenlabs``, whose account clones too; ``waits`` are the limits of calls
        over the network.
        """
        key = eleven.api_key.get_secret_value()
        http = self.http.model_dump() | {
            "url": self.http.url.get_secret_value(),
            "headers": {name: value.get_secret_value() for name, value in self.http.headers.items()},
            "connect_seconds": waits["connect_seconds"],
        }
        return {
            "clone.world": {"voice": self.world_voice},
            "clone.http": http,
            "clone.elevenlabs": eleven.model_dump(exclude={"api_key", "voice_id"})
            | {"api_key": key, "remove_noise": self.elevenlabs_noise}
            | waits,
        }
