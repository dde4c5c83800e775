"""What family B asks for: the body of its calls, and the scene that is made of it, refused in the asker's language."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from vivavoce.errors import EngineUnavailable, InvalidInput, NotFound, TooLarge
from vivavoce.registry import Registry
from vivavoce.studio.scene import CLONE, Scene
from vivavoce.text.guess import guess_language
from vivavoce.text.languages import resolve
from vivavoce.web.dialects import allow
from vivavoce.web.messages import Messages
from vivavoce.web.roster import Row, by_name, by_path, listed, size_of
from vivavoce.web.services import Services

__all__ = ["LipsyncAsk", "cast"]

_PREFERRED = "elevenlabs"
"""The voice engine of who names none, where its key is set."""
_KEYS = {"elevenlabs": " (ELEVENLABS_API_KEY)", "openai": " (VIVAVOCE_VOICES__OPENAI__API_KEY)"}
"""What makes an engine usable, for the sentence that says that it is not."""
_CUSTOM = frozenset({"", "custom"})
"""The voice that the operator has chosen."""
_SHOWN = 60
"""Characters of a client's name that are said back to it."""


class LipsyncAsk(BaseModel):
    """A text to be spoken; unknown fields are ignored."""

    # The words of ``allow`` are keys of the messages here.
    text: Annotated[str, Field(strict=True, description="What the avatar says"), allow("text_missing")]
    avatar: Annotated[
        str | None,
        Field(strict=True, description="Name of an avatar, with or without resolution: `anna`, `anna_720p`"),
        allow("avatar_string"),
    ] = None
    avatar_path: Annotated[
        str | None,
        Field(strict=True, description="In place of `avatar`: a path that `GET /api/avatars` lists"),
        allow("avatar_path_string"),
    ] = None
    resolution: Annotated[
        Literal["720p", "480p", "360p"] | None,
        Field(description="Height of the film, which has the shape of the avatar's picture; 720p when left out"),
        allow("resolution"),
    ] = None
    frame_skip: Annotated[
        int | None,
        Field(
            strict=True, ge=1, le=4, description="1 makes every frame, n every n-th, the others from their neighbours"
        ),
        allow("frame_skip"),
    ] = None
    tts_engine: Annotated[
        str | None,
        Field(
            strict=True,
            description="A voice engine of `GET /api/v2/status`, or `clone` for the voices of people; when left out "
            "`elevenlabs` if its key is set, else the embedded voice",
        ),
        allow("tts_engine_string"),
    ] = None
    tts_voice: Annotated[
        str | None,
        Field(strict=True, description="A voice of that engine; `Custom` is the configured one"),
        allow("tts_voice_string"),
    ] = None
    language: Annotated[
        str | None,
        Field(strict=True, description="`ko`, `en`, `ru`, `kk`, `zh`, …; by the letters of the text when left out"),
        allow("language_string"),
    ] = None

    model_config = {
        "json_schema_extra": {
            "examples": [{"text": "안녕하세요, 면접에 오신 것을 환영합니다.", "avatar": "anna", "resolution": "720p"}]
        }
    }


async def cast(ask: LipsyncAsk, services: Services, say: Messages, owner: str = "") -> Scene:
    """The scene that is asked for. Raises what is wrong with it; waits until the engines are loaded.

    With ``tts_engine`` "clone" the voice is one of the people whom ``owner`` has enrolled.
    """
    _check_text(ask.text, services.settings.limits.text_characters, say)
    row = await _row(ask, services, say)
    offer = (await services.ready())["voices"]
    clones = (ask.tts_engine or "").strip().lower() == CLONE
    engine = CLONE if clones else _engine(ask.tts_engine, services, offer, say)
    language = guess_language(ask.text, services.settings.defaults.language) if not ask.language else ask.language
    language = resolve(language).code
    voice = (
        await _clone(ask.tts_voice or "", services, say, owner)
        if clones
        else _voice(engine, ask.tts_voice or "", language, services, offer, say)
    )
    avatar = services.avatars.get(row.avatar)
    size = await asyncio.to_thread(size_of, avatar, row.resolution)
    return services.stager.scene(
        ask.text,
        language=language,
        voice=f"{engine}/{voice}",
        avatar=avatar.name,
        size=size,
        frame_skip=ask.frame_skip or 1,
        owner=owner,
    )


def _check_text(text: str, limit: int, say: Messages) -> None:
    if not text.strip():
        raise InvalidInput(say("text_missing"))
    if len(text.strip()) > limit:
        raise TooLarge(say("text_long", length=len(text.strip()), limit=limit))
    if not any(c.isalnum() for c in text):
        raise InvalidInput(say("text_signs"))


async def _row(ask: LipsyncAsk, services: Services, say: Messages) -> Row:
    """The avatar that is asked for."""
    rows = await asyncio.to_thread(listed, services.avatars)
    names = list(dict.fromkeys(row.base for row in rows))
    named = by_name(rows, ask.avatar, ask.resolution) if ask.avatar else None
    if ask.avatar and named is None:
        raise NotFound(say("avatar_unknown", name=repr(ask.avatar[:_SHOWN]), names=names))
    placed = by_path(rows, ask.avatar_path, ask.resolution) if ask.avatar_path else None
    if ask.avatar_path and placed is None:
        raise NotFound(say("avatar_path_unknown", names=names))
    if named and placed and named.avatar != placed.avatar:
        raise InvalidInput(say("avatar_twice"))
    found = placed or named
    if found is None:
        raise InvalidInput(say("avatar_missing", names=names))
    return found


def _engine(asked: str | None, services: Services, offer: Sequence[Mapping[str, Any]], say: Messages) -> str:
    """The voice engine: one that works here, or one that another may stand in for."""
    working = [engine["engine"] for engine in offer]
    name = (asked or "").strip().lower()
    if not name:
        return _PREFERRED if _PREFERRED in working else services.settings.defaults.voice_engine
    if name in working:
        return name
    if name not in Registry().names("voice"):
        raise InvalidInput(say("tts_engine_unknown", name=repr(name[:_SHOWN]), names=working))
    if services.settings.voices.fallback:
        return name
    raise EngineUnavailable(say("tts_engine_closed", name=name, cure=_KEYS.get(name, ""), names=working))


async def _clone(asked: str, services: Services, say: Messages, owner: str) -> str:
    """The voice of somebody who was recorded, by its id."""
    ids = [voice.id for voice in await services.people.all(owner)]
    if asked.strip() not in ids:
        raise InvalidInput(say("tts_voice_unknown", engine=CLONE, name=repr(asked[:_SHOWN]), names=ids or ["-"]))
    return asked.strip()


def _voice(
    engine: str, asked: str, language: str, services: Services, offer: Sequence[Mapping[str, Any]], say: Messages
) -> str:
    """The voice by its engine's own id; one of a service is for the service to know."""
    made = next((o for o in offer if o["engine"] == engine), None)
    if made and made["languages"] and language not in made["languages"]:
        raise InvalidInput(say("language_unknown", engine=engine, name=language, names=made["languages"]))
    defaults = services.settings.defaults
    if asked.strip().lower() in _CUSTOM:
        return defaults.voice if engine == defaults.voice_engine else ""
    if made is None or made["network"] or not made["voices"]:
        return asked.strip()
    ids = [voice[0] for voice in made["voices"]]
    for known in ids:
        if known.lower() == asked.strip().lower():
            return str(known)
    raise InvalidInput(say("tts_voice_unknown", engine=engine, name=repr(asked[:_SHOWN]), names=["Custom", *ids]))
