"""A turn of a conversation, from a recording to a film: heard, answered, and spoken while the model still writes."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from vivavoce.errors import InvalidInput, NotFound, VivavoceError
from vivavoce.media.remux import join
from vivavoce.store.artifacts import ArtifactStore
from vivavoce.studio.ledger import Entry, Order
from vivavoce.studio.replies import Model, Replies
from vivavoce.studio.scene import Scene
from vivavoce.studio.service import Studio
from vivavoce.studio.shooting import Step
from vivavoce.text.guess import guess_language
from vivavoce.text.languages import LANGUAGES
from vivavoce.text.transcripts import from_plain
from vivavoce.work.events import Event, Progress

__all__ = ["Answered", "Asked", "Chatting", "Heard"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody says, and who is to answer."""

    scene: Scene
    """Who speaks the answer, on which canvas; its text is not looked at, its language only where nothing tells it."""
    model: Model
    said: str = ""
    """The words; "" where there is a recording of them."""
    recording: Path | None = None
    ear: str = "auto"
    language: str = ""
    """Code of the language in which it is spoken and answered; "" leaves both open."""
    session: str = field(default_factory=lambda: token_hex(16))


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said is known."""

    text: str
    language: str
    """Code; "" where nobody can tell."""


@dataclass(frozen=True, slots=True)
class Answered:
    """All is said, filmed and in one film."""

    response: str
    id: str
    """Of the film in the artifact store."""
    seconds: float
    session: str


class Chatting:
    """Conversation as the web sees it: each turn one job with stages, cancelled as a whole."""

    def __init__(self, studio: Studio, artifacts: ArtifactStore, replies: Replies) -> None:
        self._studio = studio
        self._artifacts = artifacts
        self._replies = replies

    def turn(
        self, asked: Asked, order: Order, *, kind: str = "chat", noted: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Step | Heard | Answered]:
        """Hear, answer, speak and film: ``Heard``, then ``Said`` and ``Filmed`` of each sentence, then ``Answered``.

        A sentence's film can be opened as soon as it is said. When the model breaks off, the sentences that it gave are
        filmed to their end, then its error is raised. Raises ``InvalidInput`` when nobody spoke in the recording, and
        what recogniser, model, voice and face raise.
        """

        async def produce(
            put: Callable[[Step | Heard | Answered], Awaitable[None]],
            tell: Callable[[Step | Heard | Answered], None],
            entry: Entry,
        ) -> None:
            heard = await self._heard(asked, entry, tell)
            await put(heard)
            await entry.report("heard", {"text": heard.text, "language": heard.language})
            entry.result.update({"heard": heard.text, "session_id": asked.session, "model": asked.model.name})
            answer = _Answer(self._sentences(asked, heard, order.owner))
            tell(Progress(0.0, "think"))
            await entry.progress(0.0, "think")
            async with aclosing(answer.sentences()) as sentences:
                first = await anext(sentences)
                scene = _spoken(asked, heard, first)
                await self._studio.film(scene, _after(first, sentences), entry, put, tell)
            entry.result["response"] = answer.text
            if answer.error is not None:
                raise answer.error
            name = await self._joined(entry)
            entry.result["film"] = name
            await put(Answered(answer.text, name, entry.result["seconds"], asked.session))

        about = {"model": asked.model.name, "session_id": asked.session, "language": asked.language, "said": asked.said}
        params = asked.scene.params() | about if noted is None else noted
        return self._studio.request(kind, params, order, produce)

    async def _heard(self, asked: Asked, entry: Entry, tell: Callable[[Progress], None]) -> Heard:
        if asked.recording is None:
            return Heard(asked.said, asked.language or guess_language(asked.said, asked.scene.language))
        tell(Progress(0.0, "transcribe"))
        await entry.progress(0.0, "transcribe")

        async def hear(event: Event) -> None:
            if isinstance(event, Progress):
                await entry.progress(event.fraction, event.stage)

        params = {"source": str(asked.recording), "engine": asked.ear, "language": asked.language}
        done = await self._studio.tasks.done("transcribe", params, entry, hear)
        transcript = from_plain(done["transcript"])
        if not any(c.isalnum() for c in transcript.text):
            raise InvalidInput("Nobody can be heard in the recording; speak a little louder, and closer to it.")
        return Heard(transcript.text, asked.language or transcript.language)

    def _sentences(self, asked: Asked, heard: Heard, owner: str) -> AsyncGenerator[str]:
        return self._replies.sentences(
            asked.model, heard.text, owner=owner, session=asked.session, language=asked.language
        )

    async def _joined(self, entry: Entry) -> str:
        """The id of one film of all sentences."""
        names = [piece["id"] for piece in entry.result["pieces"]]
        if len(names) == 1:
            return str(names[0])
        name = self._artifacts.new_id()
        part = self._artifacts.part(name, ".mp4")
        try:
            async with AsyncExitStack() as stack:
                films = [await stack.enter_async_context(self._studio.local(film, ".mp4")) for film in names]
                held = [film for film in films if film is not None]
                await asyncio.to_thread(join, held, part)
            entry.artifacts.append(name)
            await self._artifacts.publish(part, name, ".mp4")
        except NotFound as e:
            raise VivavoceError("The answer's films were removed while it was made.") from e
        finally:
            part.unlink(missing_ok=True)
        return name


class _Answer:
    """Sentences on their way, and what came of them: an error in the midst of them waits until they are spoken."""

    def __init__(self, source: AsyncGenerator[str]) -> None:
        self._source = source
        self.text = ""
        self.error: VivavoceError | None = None

    async def sentences(self) -> AsyncGenerator[str]:
        """The sentences as they come; raises only before the first."""
        async with aclosing(self._source) as source:
            try:
                async for sentence in source:
                    self.text += sentence
                    yield sentence
            except VivavoceError as e:
                if not self.text:
                    raise
                self.error = e


async def _after(first: str, sentences: AsyncGenerator[str]) -> AsyncGenerator[str]:
    yield first
    async for sentence in sentences:
        yield sentence


def _spoken(asked: Asked, heard: Heard, first: str) -> Scene:
    """The scene in the language of the answer."""
    if asked.language:
        return replace(asked.scene, language=asked.language)
    likely = heard.language if heard.language in LANGUAGES else asked.scene.language
    return replace(asked.scene, language=guess_language(first, likely))
