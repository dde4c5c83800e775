"""The audio core as the web sees it: asynchronous use cases, each one a task of a worker and a job in the ledger."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Audio, Transcript
from vivavoce.registry import Registry
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.ledger import Order
from vivavoce.studio.service import Studio
from vivavoce.text import languages
from vivavoce.text.transcripts import from_plain

__all__ = ["Heard", "Hearing"]

_DETECT = ("", "auto")
"""How a caller leaves the language to the recogniser."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A transcript and who wrote it."""

    transcript: Transcript
    engine: str


class Hearing:
    """Enhance, transcribe, hear live, and tell who speaks."""

    def __init__(self, config: StudioConfig, registry: Registry, studio: Studio) -> None:
        self._config = config
        self._registry = registry
        self._studio = studio
        self._hearing: set[asyncio.Task[Mapping[str, Any]]] = set()

    def language(self, asked: str | None) -> str:
        """The code of a language that is asked for; None is the default, ``auto`` is "": find out.

        Raises ``InvalidInput`` for an unknown one.
        """
        if asked is not None and asked.strip().lower() in _DETECT:
            return ""
        return languages.resolve(self._config.language if asked is None else asked).code

    def ear(self, asked: str | None) -> str:
        """The name of a recogniser; None is the default. Raises ``InvalidInput`` for an unknown one."""
        return self._engine("recogniser", asked or self._config.ear, ["auto", *self._registry.names("ear")])

    def cleaner(self, asked: str | None) -> str:
        """The name of an enhancer; None is the default. Raises ``InvalidInput`` for an unknown one."""
        return self._engine("enhancer", asked or self._config.cleaner, self._registry.names("clean"))

    async def enhance(
        self, source: Path, target: Path, *, cleaner: str, name: str, order: Order | None = None
    ) -> Mapping[str, Any]:
        """Clean a file; the result lies at ``target``. See ``studio.enhancing``; ``name`` stands in the job."""
        return await self._studio.attend(
            "enhance",
            {"source": str(source), "target": str(target), "engine": cleaner},
            order,
            noted={"engine": cleaner, "file": name},
            kept=lambda done: {**done, "file": name},
        )

    async def transcribe(
        self, source: Path, *, ear: str, language: str, phrases: Sequence[str] = (), order: Order | None = None
    ) -> Heard:
        """What is said in a file. Raises ``EngineUnavailable`` when no recogniser can work here."""
        done = await self._studio.attend(
            "transcribe",
            {"source": str(source), "engine": ear, "language": language, "phrases": list(phrases)},
            order,
            noted={"engine": ear, "language": language},
            kept=lambda done: {"engine": done["engine"], "seconds": done["transcript"]["seconds"]},
        )
        return Heard(from_plain(done["transcript"]), done["engine"])

    async def hear(self, audio: Audio, language: str, ear: str = "", phrases: Sequence[str] = ()) -> Transcript:
        """What is said in a short piece of sound, at once: for live recognition; it is no job of its own."""
        params = {
            "samples": audio.samples.astype("<f4", copy=False).tobytes(),
            "rate": audio.rate,
            "engine": ear or self._config.ear,
            "language": language,
            "phrases": list(phrases),
        }
        # A recogniser that cannot be interrupted would cost its worker; the piece is short, so it is let finish.
        work = asyncio.create_task(self._studio.tasks.done("hear", params))
        self._hearing.add(work)
        work.add_done_callback(self._let_go)
        return from_plain((await asyncio.shield(work))["transcript"])

    def _let_go(self, work: "asyncio.Task[Mapping[str, Any]]") -> None:
        self._hearing.discard(work)
        if not work.cancelled():
            work.exception()  # nobody may be waiting for it any more

    async def offer(self) -> Mapping[str, Any]:
        """What works here: ``ears``, ``cleaners``, ``speakers``, each with its ``engine`` and ``licence``."""
        return await self._studio.tasks.done("offer", {})

    async def embed(self, source: Path, order: Order | None = None) -> Mapping[str, Any]:
        """The voice in a file as numbers, see ``studio.verifying``."""
        engine = self._config.speaker
        done = await self._studio.attend(
            "embed",
            {"source": str(source), "engine": engine},
            order,
            noted={"engine": engine},
            kept=lambda done: {"seconds": done["seconds"], "warnings": done["warnings"]},
        )
        return {**done, "engine": engine}

    async def convert(self, source: Path, target: Path, order: Order | None = None) -> Mapping[str, Any]:
        """Write a file of any format as WAV to ``target``; gives ``seconds``, ``rate``, ``channels``."""
        params = {"source": str(source), "target": str(target)}
        return await self._studio.attend("convert", params, order, kept=dict)

    async def record(self, target: Path, seconds: float, order: Order | None = None) -> Mapping[str, Any]:
        """Record with this machine's microphone. Raises ``EngineUnavailable`` when there is none."""
        params = {"target": str(target), "seconds": seconds}
        return await self._studio.attend("record", params, order, noted={"seconds": seconds})

    async def close(self) -> None:
        """Let go of live pieces that are still being heard."""
        for work in list(self._hearing):
            work.cancel()
        if self._hearing:
            await asyncio.wait(self._hearing)

    @staticmethod
    def _engine(kind: str, name: str, known: Sequence[str]) -> str:
        if name not in known:
            raise InvalidInput(f"There is no {kind} {name[:40]!r}; use one of {', '.join(known)}.")
        return name
