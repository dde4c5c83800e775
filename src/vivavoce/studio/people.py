"""Voices of recorded people as the web sees them: learnt, listed, forgotten, and heard without a face."""

import asyncio
import re
import unicodedata
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vivavoce.errors import Cancelled, InvalidInput, NotFound
from vivavoce.registry import Registry
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.store.voices import Consent, StoredVoice, VoiceStore
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.ledger import Entry, Order
from vivavoce.studio.service import Studio
from vivavoce.work.events import Event, Progress

__all__ = ["Heard", "People", "Spoken"]

_KIND = "audio_clone"
_LONGEST = 56
"""Characters of an id that is made of a name: room is left for a number."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is to be heard: see ``Stager.spoken``."""

    text: str
    language: str
    voice_engine: str
    voice: str


@dataclass(frozen=True, slots=True)
class Heard:
    """Sound that was made, and lies in the artifact store as WAV."""

    id: str
    seconds: float
    voice_fallback: str = ""
    """Why the embedded voice speaks in place of the one that was asked for; "" when it does not."""


class People:
    """``registry`` is only asked for names."""

    def __init__(
        self, config: StudioConfig, registry: Registry, studio: Studio, voices: VoiceStore, artifacts: ArtifactStore
    ) -> None:
        self._config = config
        self._registry = registry
        self._studio = studio
        self._voices = voices
        self._artifacts = artifacts

    def cloner(self, asked: str | None) -> str:
        """The name of a cloner; None or "" is the default. Raises ``InvalidInput`` for an unknown one."""
        known = self._registry.names("clone")
        name = (asked or self._config.cloner).strip().lower()
        if name not in known:
            raise InvalidInput(f"There is no cloner {name[:40]!r}; use one of {', '.join(known)}.")
        return name

    async def all(self, owner: str) -> list[StoredVoice]:
        """An owner's voices, the newest first."""
        return await asyncio.to_thread(self._voices.list, owner)

    async def get(self, owner: str, id_: str) -> StoredVoice:
        """One of them. Raises ``NotFound``."""
        return await asyncio.to_thread(self._voices.get, owner, id_)

    def check(self, owner: str, id_: str, consent: Consent) -> None:
        """Refuse what needs no ear: raises ``InvalidInput`` for a malformed id or without a consent that is required,
        ``Conflict`` for an id that is taken.
        """
        if self._config.consent == "required" and not consent.given:
            raise InvalidInput(
                "This server learns a voice only with its speaker's consent; ask for it, and say so with consent=true."
            )
        self._voices.check(owner, id_)

    def new_id(self, owner: str, name: str) -> str:
        """A free id that is like ``name``: of its letters and digits, with a number where it is taken."""
        kept = re.sub(r"[^\w\- ]", " ", unicodedata.normalize("NFC", name))
        stem = " ".join(kept.split())[:_LONGEST].strip("_- ") or "voice"
        number = 1
        while self._voices.has(owner, wanted := stem if number == 1 else f"{stem}-{number}"):
            number += 1
        return wanted

    async def enrol(
        self,
        recordings: Sequence[Path],
        *,
        id: str,  # noqa: A002  the field's own word
        name: str,
        language: str,
        engine: str,
        consent: Consent,
        order: Order,
        noted: Mapping[str, Any],
    ) -> StoredVoice:
        """Learn a voice, as a job of kind ``audio_clone``; ``noted`` are its parameters.

        Raises what ``check`` and the cloner raise; a cancel leaves nothing.
        """
        self.check(order.owner, id, consent)
        params = {
            "recordings": [str(path) for path in recordings],
            "owner": order.owner,
            "id": id,
            "name": name,
            "language": language,
            "engine": engine,
            "consent": asdict(consent),
        }

        async def produce(put: Callable[[str], Awaitable[None]], _: object, entry: Entry) -> None:
            done = await self._studio.tasks.done("enrol", params, entry, _progress(entry))
            entry.result.update({"speaker_id": done["id"], "duration": done["seconds"], "warnings": done["warnings"]})
            await put(done["id"])

        made = ""
        try:
            async with aclosing(self._studio.request(_KIND, noted, order, produce)) as steps:
                async for id_ in steps:
                    made = id_
        except Cancelled:
            if made:  # it came after the voice was learnt, and before the job was over
                await self.forget(order.owner, made)
            raise
        return await self.get(order.owner, made)

    async def forget(self, owner: str, id_: str) -> None:
        """Remove a voice here and, where a service keeps it too, there.

        Raises ``NotFound``, and what the service raises: then it stays, to be removed later.
        """
        await self.get(owner, id_)
        await self._studio.tasks.done("forget", {"owner": owner, "id": id_})

    async def say(
        self,
        spoken: Spoken,
        order: Order,
        noted: Mapping[str, Any],
        kept: Callable[[Heard], Mapping[str, Any]] = lambda _: {},
    ) -> Heard:
        """Make speech that stays as long as any result, as a job of kind ``audio_clone``; ``noted`` are its parameters.

        The job's result tells ``duration``, and what ``kept`` adds. Raises what the voice raises.
        """

        async def produce(put: Callable[[Heard], Awaitable[None]], _: object, entry: Entry) -> None:
            name = self._artifacts.new_id()
            part = self._artifacts.part(name, ".wav")
            try:
                params = _params(spoken, order.owner, "wav", part)
                done = await self._studio.tasks.done("speech", params, entry, _progress(entry))
                entry.artifacts.append(name)
                await self._artifacts.publish(part, name, ".wav")
            finally:
                part.unlink(missing_ok=True)
            heard = Heard(name, done["seconds"], str(done.get("voice_fallback", "")))
            await entry.report("voice", {"id": name, "seconds": heard.seconds})
            entry.result.update({"duration": heard.seconds, **kept(heard)})
            if heard.voice_fallback:
                entry.result["voice_fallback"] = heard.voice_fallback
            await put(heard)

        return await _last(self._studio.request(_KIND, noted, order, produce))

    async def speak(
        self, spoken: Spoken, form: str, target: Path, order: Order, *, speed: float = 1.0
    ) -> Mapping[str, Any]:
        """Write speech to ``target`` in one of ``media.formats.FORMATS``, as a job of kind ``speech``.

        Gives ``seconds``, and ``voice_fallback`` when the embedded voice spoke in place of the one that was asked for.
        """
        params = _params(spoken, order.owner, form, target) | {"speed": speed}
        noted = {**asdict(spoken), "format": form}
        return await self._studio.attend("speech", params, order, noted=noted, kept=_told)


def _params(spoken: Spoken, owner: str, form: str, target: Path) -> dict[str, Any]:
    return {**asdict(spoken), "owner": owner, "format": form, "audio": str(target)}


def _told(done: Mapping[str, Any]) -> dict[str, Any]:
    """What of a task's result stands in the job."""
    return {"duration" if name == "seconds" else name: value for name, value in done.items()}


def _progress(entry: Entry) -> Callable[[Event], Awaitable[None]]:
    async def hear(event: Event) -> None:
        if isinstance(event, Progress):
            await entry.progress(event.fraction, event.stage)

    return hear


async def _last(steps: AsyncGenerator[Heard]) -> Heard:
    """What a request gives, when its job is over."""
    async with aclosing(steps):
        made = [step async for step in steps]
    if not made:
        raise NotFound("Nothing was said.")
    return made[-1]
