"""Answers of chat models as they are written, for a loop that must not wait.

A model is somebody else's machine, or a look into a file: waiting for it must not cost a worker. So it is asked from
this process, each answer in a thread of its own.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from vivavoce.errors import Cancelled, EngineUnavailable, InvalidInput, VivavoceError
from vivavoce.nouns import Turn
from vivavoce.ports import Chat, Report
from vivavoce.registry import Registry
from vivavoce.store.conversations import ConversationStore
from vivavoce.studio.conversation import Limits, turn

__all__ = ["Model", "Replies"]

AUTO = "auto"
_ORDER = ("scripted", "openai")
"""Chat engines in the order in which ``auto`` tries them: who has written answers wants them said."""
_PROBE = (Turn("user", "?"),)


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be asked."""

    engine: str
    name: str
    network: bool
    """Whether words leave this machine."""
    note: str = ""
    """Why it stands in for the one that was named; "" when it does not."""


class Replies:
    """The chat models of this server, and what was said to them."""

    def __init__(
        self,
        options: Mapping[str, Mapping[str, Any]],
        talks: ConversationStore,
        *,
        engine: str = AUTO,
        system: str = "",
        limits: Limits | None = None,
        most: int = 64,
    ) -> None:
        """``options`` are constructor arguments by entry point, ``engine`` is asked where no model is named, ``system``
        is what every model is told first; ``most`` answers can be under way.
        """
        self._registry = Registry(options)
        self._talks = talks
        self._engine = engine
        self._system = system
        self._limits = limits or Limits()
        self._threads = ThreadPoolExecutor(most, "reply")

    def close(self) -> None:
        """Close the connections; no answer may be under way."""
        self._registry.close()
        self._threads.shutdown()

    def models(self) -> tuple[list[Model], str]:
        """The models that can be asked, the default first, and why there are none. It may load an engine."""
        found: list[Model] = []
        reasons: dict[str, str] = {}
        for name in self._names():
            try:
                traits = self._registry.get("chat", name).traits
            except VivavoceError as e:
                reasons[name] = str(e)
            else:
                found += [Model(name, model, traits.network) for model in traits.models]
        return found, "" if found else reasons.get("openai") or next(iter(reasons.values()), "No chat engine is here.")

    def choose(self, asked: str, *, fallback: bool = False) -> Model:
        """The model of that name, "" for the default; with ``fallback`` the default stands in where it is not set up.

        Raises ``EngineUnavailable`` with what to set where none, or not this one, is set up; ``InvalidInput`` for a
        name that is unknown.
        """
        asked = asked.strip()
        known, reason = self.models()
        if not known:
            raise EngineUnavailable(reason)
        if not asked:
            return known[0]
        for model in known:
            if asked in (model.name, f"{model.engine}/{model.name}"):
                return model
        refusal = self._refusal(asked, known)
        if fallback and isinstance(refusal, EngineUnavailable):
            first = known[0]
            return Model(first.engine, first.name, first.network, f"{refusal} {first.name} answered instead.")
        raise refusal

    def sentences(
        self, model: Model, said: str, *, owner: str, session: str, language: str = ""
    ) -> AsyncGenerator[str]:
        """The answer to ``said``, sentence by sentence; see ``conversation.turn`` for what is remembered and raised.

        Closing it ends the question at once, and waits until what was said is remembered. Raises ``Conflict`` while
        the session is still answering.
        """

        def answer(report: Report) -> Generator[str]:
            chat: Chat = self._registry.get("chat", model.engine)
            with self._talks.turn(owner, session) as talk:
                limits, system = self._limits, self._system
                yield from turn(
                    chat, talk, said, model=model.name, language=language, system=system, limits=limits, report=report
                )

        return _read(answer, self._threads)

    def _names(self) -> list[str]:
        """Chat engines, the one that is asked by default first."""
        names = self._registry.names("chat")
        first = _ORDER if self._engine == AUTO else (self._engine,)
        return sorted(names, key=lambda name: first.index(name) if name in first else len(first))

    def _refusal(self, asked: str, known: list[Model]) -> VivavoceError:
        """Why there is no such model: an engine that has heard of it says it best."""
        refusals: list[VivavoceError] = []
        for engine in self._names():
            try:
                pieces = self._registry.get("chat", engine).reply(_PROBE, model=asked)
            except VivavoceError as e:
                refusals.append(e)
            else:
                getattr(pieces, "close", lambda: None)()
        lacking = [e for e in refusals if isinstance(e, EngineUnavailable) and asked.lower() in str(e).lower()]
        names = ", ".join(dict.fromkeys(model.name for model in known))
        unknown = InvalidInput(f"There is no chat model {asked[:40]!r} here; use one of {names}.")
        return lacking[0] if lacking else unknown


class _End:
    """The last item of an answer."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


async def _read(make: Callable[[Report], Generator[str]], threads: ThreadPoolExecutor) -> AsyncGenerator[str]:
    """What a generator gives that is run in a thread; its ``report`` raises once nobody listens any more."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | _End] = asyncio.Queue()
    left = threading.Event()

    def report(_: float, __: str) -> None:
        if left.is_set():
            raise Cancelled("The answer is not wanted any more.")

    def run() -> None:
        error: BaseException | None = None
        try:
            with closing(make(report)) as answer:
                for sentence in answer:
                    loop.call_soon_threadsafe(queue.put_nowait, sentence)
                    report(0.0, "answer")
        except BaseException as e:  # noqa: BLE001 - whatever it is, the reader raises it
            error = e
        loop.call_soon_threadsafe(queue.put_nowait, _End(error))

    running = loop.run_in_executor(threads, run)
    try:
        while not isinstance(item := await queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        left.set()
        while not running.done():
            await asyncio.wait([running])
