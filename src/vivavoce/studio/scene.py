"""What is to be performed, checked and complete: the only thing the studio's tasks are made of.

Everything that can be refused without an engine is refused here, so that bad input never reaches a worker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vivavoce.errors import InvalidInput, TooLarge
from vivavoce.nouns import Canvas
from vivavoce.registry import Registry
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.store.voices import CLONE, VoiceStore
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.sizes import canvas_of
from vivavoce.text import languages

__all__ = ["CLONE", "Scene", "Stager"]

_MOST_SKIP = 4


@dataclass(frozen=True, slots=True)
class Scene:
    """Who says what, in which voice, on which canvas."""

    text: str
    """Without white space around it; "" only when a recording is played whose words are not known."""
    language: str
    voice_engine: str
    voice: str
    avatar: str
    face_engine: str
    canvas: Canvas
    frame_skip: int = 1
    """Every how many frames one is made by the face engine; the others come from their neighbours."""

    def params(self, **more: Any) -> dict[str, Any]:
        """As the parameters of a task: built-in types only."""
        return {
            "text": self.text,
            "language": self.language,
            "voice_engine": self.voice_engine,
            "voice": self.voice,
            "avatar": self.avatar,
            "face_engine": self.face_engine,
            "canvas": (self.canvas.width, self.canvas.height, self.canvas.fps),
            "frame_skip": self.frame_skip,
        } | more

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Scene":
        """The scene that ``params`` were made from; whatever else they hold is left out."""
        known = {field.name: params[field.name] for field in fields(cls)}
        return cls(**known | {"canvas": Canvas(*params["canvas"])})


class Stager:
    """Makes scenes: fills in the defaults and refuses what cannot be played."""

    def __init__(self, config: StudioConfig, registry: Registry, avatars: AvatarLibrary) -> None:
        self._config = config
        self._registry = registry
        self._avatars = avatars
        self._voices = VoiceStore(config.voices)

    def scene(
        self,
        text: str,
        *,
        language: str | None = None,
        voice: str | None = None,
        avatar: str | None = None,
        engine: str | None = None,
        size: str | None = None,
        fps: int | None = None,
        frame_skip: int = 1,
        recorded: bool = False,
        owner: str = "",
    ) -> Scene:
        """A scene of what a caller asks for; ``None`` is the default of the settings.

        ``voice`` is an id, ``ENGINE/ID`` for a voice of another engine, or ``clone/ID`` for one of the people whom
        ``owner`` has enrolled, whose own language is then the default; ``engine`` is the face engine, which must be the
        one that made the avatar; with ``recorded`` the sound is given and the text may be empty.
        Raises ``InvalidInput``, ``TooLarge``, ``NotFound``.
        """
        spoken = self.spoken(text, language=language, voice=voice, recorded=recorded, owner=owner)
        found = self._avatars.get(self._config.avatar if avatar is None else avatar)
        if engine is not None and engine != found.engine:
            self._check_engine("face engine", engine, self._registry.names("face"))
            raise InvalidInput(
                f"The avatar {found.name} was made by the engine {found.engine}; {engine} cannot play it."
            )
        if not 1 <= frame_skip <= _MOST_SKIP:
            raise InvalidInput(f"frame_skip must be a whole number from 1 to {_MOST_SKIP}.")
        canvas = self._canvas(size, fps)
        return Scene(*spoken, found.name, found.engine, canvas, frame_skip)

    def spoken(
        self,
        text: str,
        *,
        language: str | None = None,
        voice: str | None = None,
        recorded: bool = False,
        owner: str = "",
    ) -> tuple[str, str, str, str]:
        """What of a scene is heard: text, language, engine and id of the voice; see ``scene``."""
        engine, name, own = self._voice(self._config.voice if voice is None else voice, owner)
        known = languages.resolve(own or self._config.language if language is None else language)
        if not (recorded and not text.strip()):
            self._check_text(text, known)
        return text.strip(), known.code, engine, name

    def _check_text(self, text: str, language: languages.Language) -> None:
        length = len(text.strip())
        if length > self._config.max_characters:  # first: looking at every letter of a megabyte takes a second
            raise TooLarge(
                f"The text has {length} characters; at most {self._config.max_characters} are allowed: "
                "send it in parts."
            )
        languages.check_speakable(text, language)

    def _voice(self, voice: str, owner: str) -> tuple[str, str, str]:
        """Engine, id, and the language that a person was enrolled with."""
        engine, slash, name = voice.partition("/")
        if not slash:
            return self._config.voice_engine, voice, ""
        if engine == CLONE:
            found = self._voices.get(owner, name)
            return engine, found.id, found.language
        self._check_engine("voice engine", engine, self._registry.names("voice"))
        return engine, name, ""

    @staticmethod
    def _check_engine(kind: str, name: str, installed: Sequence[str]) -> None:
        if name not in installed:
            raise InvalidInput(f"There is no {kind} {name[:40]!r}; installed: {', '.join(installed)}.")

    def _canvas(self, size: str | None, fps: int | None) -> Canvas:
        default = self._config.canvas
        rate = default.fps if fps is None else fps
        return canvas_of(f"{default.width}x{default.height}" if size is None else size, rate)


def builtin_avatars() -> Path:
    """The avatars that ship with the package."""
    return Path(__file__).resolve().parent.parent / "artwork" / "avatars"
