"""What an operator can set: environment variables ``VIVAVOCE_…``, nested by two underscores.

Read by the command line and the app factory only; everything below gets plain values. ``docs/settings.md`` lists all.
"""

import ipaddress
import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from vivavoce.errors import InvalidInput
from vivavoce.settings.audio import Audio, Ears, weights
from vivavoce.settings.base import Closed, Group
from vivavoce.settings.chats import Chats
from vivavoce.settings.clones import Clones
from vivavoce.settings.faces import Nerf, Wav2Lip
from vivavoce.settings.voices import Voices
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.sizes import MAX_FPS, MIN_FPS, canvas_of

__all__ = [
    "Audio",
    "Chats",
    "Clones",
    "Defaults",
    "Ears",
    "Limits",
    "Models",
    "Nerf",
    "Server",
    "Settings",
    "Store",
    "Voices",
    "Wav2Lip",
    "Webhooks",
    "Work",
]


class Server(Group):
    """Where and for whom the server listens."""

    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=3000, ge=0, le=65535, description="Port; 0 takes a free one")
    cors_origins: tuple[str, ...] = Field(default=("*",), description="Origins whose pages may call, as a JSON list")
    api_keys: tuple[str, ...] = Field(
        default=(), description="Keys of which every call needs one, as a JSON list; none: open"
    )
    insecure: bool = Field(default=False, description="Listen beyond this machine without keys")

    @field_validator("api_keys")
    @classmethod
    def _are_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(key.isascii() and key.isprintable() and key and " " not in key for key in value):
            raise ValueError("a key is one or more printable ASCII characters without spaces")
        return value

    @model_validator(mode="after")
    def _closed_to_strangers(self) -> "Server":
        if not (self.api_keys or self.insecure or _is_loopback(self.host)):
            raise ValueError(
                f"{self.host} can be reached from other machines: set VIVAVOCE_SERVER__API_KEYS, "
                "or VIVAVOCE_SERVER__INSECURE=true when everyone may use this server"
            )
        return self


class Limits(Group):
    """How much a client may send."""

    text_characters: int = Field(default=5000, ge=1, description="Characters of a text")
    json_bytes: int = Field(default=1_000_000, ge=1000, description="Bytes of a JSON body")
    picture_pixels: float = Field(default=50e6, ge=1e4, description="Pixels of a picture")
    audio_seconds: float = Field(default=600.0, gt=0, description="Seconds of a recording")
    tts_seconds: float = Field(default=30.0, gt=0, description="Seconds that a voice may need for one text")
    face_seconds: float = Field(default=1800.0, gt=0, description="Seconds that a face may need for one film")
    quiet_seconds: float = Field(default=60.0, gt=0, description="Seconds that a face may be without a picture")
    waiting: int = Field(default=64, ge=1, description="Requests under way at once; more are answered 429")
    queued: int = Field(default=500, ge=1, description="Jobs that may wait in the queue; more are answered 429")
    upload_bytes: int = Field(default=200_000_000, ge=1000, description="Bytes of an upload")
    stalled_seconds: float = Field(
        default=60.0, gt=0, description="Seconds that a client may leave the next piece of a streamed answer unread"
    )


class Defaults(Group):
    """What is used where a request does not say."""

    language: str = Field(default="ru", description="Language of a text")
    voice_engine: str = Field(default="espeak", description="Engine of voices that are named without one")
    voice: str = Field(default="", description="Voice; empty is the engine's own choice for the language")
    face_engine: str = Field(default="photo", description="Engine that makes new avatars")
    avatar: str = Field(default="anna", description="Avatar")
    size: str = Field(default="512x512", description="Size of a film: WIDTHxHEIGHT, 1080p, 720p, 480p or 360p")
    fps: int = Field(default=25, ge=MIN_FPS, le=MAX_FPS, description="Frames a second")
    fallback: bool = Field(
        default=True,
        description="Where a studio call names an engine or a graphics card that is not here, use what is, and say so",
    )

    @field_validator("size")
    @classmethod
    def _is_a_size(cls, value: str) -> str:
        try:
            canvas_of(value)
        except InvalidInput as e:
            raise ValueError(str(e)) from None
        return value


class Work(Group):
    """Where work runs."""

    processes: int | None = Field(
        default=None, ge=1, le=256, description="Worker processes; unset is one for each core"
    )
    videos: bool = Field(
        default=True, description="Make queued videos in this server too; false leaves them to workers elsewhere"
    )
    trainings: int = Field(
        default=1, ge=1, le=16, description="Trainings that run at once, each in a process of its own; the others wait"
    )
    token: SecretStr = Field(
        default=SecretStr(""), description="Token of workers on other machines; without it there are none"
    )

    @property
    def workers(self) -> int:
        """How many worker processes to start."""
        return self.processes or max(1, len(os.sched_getaffinity(0)))


class Models(Group):
    """Where weight files come from."""

    dir: Path | None = Field(default=None, description="Folder of weight files of your own, looked at first")
    cache: Path | None = Field(
        default=None, description="Folder for fetched weight files; unset is vivavoce/models in the user's cache"
    )
    offline: bool = Field(default=False, description="Never fetch a weight file")


class Store(Group):
    """Where results and jobs lie."""

    database: SecretStr = Field(
        default=SecretStr(""),
        description="Where jobs are recorded: postgresql://USER:PASSWORD@HOST/NAME; empty is a file of data_dir",
    )
    url: str = Field(
        default="", description="Bucket of results, s3://BUCKET/PREFIX (or gs:, az:); empty is a folder of data_dir"
    )
    endpoint: str = Field(default="", description="Address of a server that speaks S3, such as MinIO")
    region: str = Field(default="", description="Region of the bucket; empty is AWS_REGION of the environment")
    high_water: float = Field(
        default=0.95,
        gt=0,
        description="How full the disk may be, 0 to 1, before results go early; above 1: bytes of all results together",
    )

    def database_url(self, data_dir: Path) -> str:
        """Address of the database; a file below ``data_dir`` unless another one is set."""
        return self.database.get_secret_value() or f"sqlite:///{data_dir / 'jobs.db'}"


class Webhooks(Closed):
    """Telling others that a job has ended."""

    secret: SecretStr = Field(default=SecretStr(""), description="Signs what is sent; without it there are no webhooks")
    allow: tuple[str, ...] = Field(
        default=(), description="Hosts and networks that are not public and yet may be told, as a JSON list"
    )

    @field_validator("allow")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if "/" in entry:
                ipaddress.ip_network(entry, strict=False)
            elif not entry.strip() or "*" in entry:
                raise ValueError("an entry is the name of a host, an address or a network such as 10.1.0.0/16")
        return value


def _data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "vivavoce"


class Settings(BaseSettings):
    """Everything that can be set."""

    # An error about a group that may hold keys must not show what was given.
    model_config = SettingsConfigDict(
        env_prefix="VIVAVOCE_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(default_factory=_data_dir, description="Folder of results and avatars")
    server: Server = Field(default_factory=Server)
    limits: Limits = Field(default_factory=Limits)
    defaults: Defaults = Field(default_factory=Defaults)
    work: Work = Field(default_factory=Work)
    models: Models = Field(default_factory=Models)
    wav2lip: Wav2Lip = Field(default_factory=Wav2Lip)
    nerf: Nerf = Field(default_factory=Nerf)
    voices: Voices = Field(default_factory=Voices)
    audio: Audio = Field(default_factory=Audio)
    ears: Ears = Field(default_factory=Ears)
    clones: Clones = Field(default_factory=Clones)
    chats: Chats = Field(default_factory=Chats)
    store: Store = Field(default_factory=Store)
    webhooks: Webhooks = Field(default_factory=Webhooks)
    retention_seconds: float = Field(default=3600.0, gt=0, description="Seconds after which a result is removed")
    history_seconds: float = Field(
        default=604_800.0, gt=0, description="Seconds after which the record of a job that has ended is removed"
    )

    def with_server(self, **changes: Any) -> "Settings":
        """The same settings with another host, port or the like; checked again. Raises ``pydantic.ValidationError``."""
        server = Server(**(self.server.model_dump() | changes))
        return self.model_copy(update={"server": server})

    def studio(self) -> StudioConfig:
        """What the studio needs of them."""
        limits, defaults = self.limits, self.defaults
        return StudioConfig(
            data_dir=self.data_dir.expanduser().absolute(),
            language=defaults.language,
            voice_engine=defaults.voice_engine,
            voice=defaults.voice,
            face_engine=defaults.face_engine,
            avatar=defaults.avatar,
            canvas=canvas_of(defaults.size, defaults.fps),
            max_characters=limits.text_characters,
            max_audio_seconds=limits.audio_seconds,
            max_pixels=limits.picture_pixels,
            voice_seconds=limits.tts_seconds,
            face_seconds=limits.face_seconds,
            quiet_seconds=limits.quiet_seconds,
            waiting=limits.waiting,
            models_dir=self.models.dir,
            models_cache=self.models.cache,
            offline=self.models.offline,
            face_options={
                "face.wav2lip": self.wav2lip.options(),
                "face.ernerf": self.nerf.options(),
                "face.synctalk": self.nerf.options(),
            },
            voice_options=self.voices.options(self.models.dir),
            voice_fallback=self.voices.fallback,
            audio_options=self._audio_options(),
            clone_options=self.clones.options(self.voices.elevenlabs, self.voices.waits),
            chat_options=self.chats.options(),
            max_sound_seconds=self.audio.seconds,
            ear=self.ears.engine,
            hear_recordings=self.ears.faces,
            cleaner=self.audio.cleaner,
            speaker=self.audio.speaker,
            cloner=self.clones.engine,
            consent=self.clones.consent,
            chat=self.chats.engine,
            chat_system=self.chats.system,
            chat_limits=self.chats.limits(limits.text_characters),
        )

    def _audio_options(self) -> dict[str, dict[str, Any]]:
        """Constructor arguments of recognisers, enhancers and speaker encoders, by entry point."""
        models = weights(self.models.dir, self.models.cache, self.models.offline)
        waits = {"connect_seconds": self.voices.connect_seconds}  # a recogniser is silent while it listens
        weighty = ("clean.gtcrn", "clean.auto", "speaker.ge2e", "speaker.campplus")
        return self.ears.options(models, waits) | dict.fromkeys(weighty, models)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
