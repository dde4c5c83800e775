"""Finds engines by entry point: listing them imports nothing, asking for one loads only that one."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from threading import Lock
from typing import Any, Literal, cast, overload

from vivavoce.errors import EngineUnavailable, NotFound
from vivavoce.ports import Animator, Chat, Cloner, Enhancer, Recognizer, SpeakerEncoder, Synthesizer

__all__ = ["GROUP", "Kind", "Registry"]

GROUP = "vivavoce.engines"
Kind = Literal["voice", "face", "ear", "clean", "speaker", "clone", "chat"]
_Engine = Synthesizer | Animator | Recognizer | Enhancer | SpeakerEncoder | Cloner | Chat


class Registry:
    """The engines installed on this machine, ours and anybody's, through one door.

    ``options`` maps an entry point's name (``voice.espeak``) to keyword arguments of its constructor.
    """

    def __init__(self, options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._options = dict(options or {})
        self._known: dict[str, EntryPoint] = {e.name: e for e in entry_points(group=GROUP)}
        self._loaded: dict[str, Any] = {}
        self._lock = Lock()

    def names(self, kind: Kind) -> list[str]:
        """Names of one kind, without the kind, sorted; nothing is imported."""
        return sorted(n.partition(".")[2] for n in self._known if n.startswith(kind + "."))

    @overload
    def get(self, kind: Literal["voice"], name: str) -> Synthesizer: ...

    @overload
    def get(self, kind: Literal["face"], name: str) -> Animator: ...

    @overload
    def get(self, kind: Literal["ear"], name: str) -> Recognizer: ...

    @overload
    def get(self, kind: Literal["clean"], name: str) -> Enhancer: ...

    @overload
    def get(self, kind: Literal["speaker"], name: str) -> SpeakerEncoder: ...

    @overload
    def get(self, kind: Literal["clone"], name: str) -> Cloner: ...

    @overload
    def get(self, kind: Literal["chat"], name: str) -> Chat: ...

    def get(self, kind: Kind, name: str) -> _Engine:
        """Load an engine once and keep it.

        Raises ``NotFound`` for an unknown name, ``EngineUnavailable`` when it cannot be loaded or made.
        """
        key = f"{kind}.{name}"
        if key not in self._known:
            raise NotFound(f"There is no {kind} engine {name!r}; installed: {', '.join(self.names(kind))}.")
        with self._lock:  # two requests may ask for an engine that neither has loaded
            if key not in self._loaded:
                try:
                    self._loaded[key] = self._known[key].load()(**self._options.get(key, {}))
                except EngineUnavailable:
                    raise
                except Exception as e:  # a plug-in may fail in any way; the caller gets one clear answer
                    raise EngineUnavailable(f"The engine {key} cannot be loaded here: {e}") from e
            return cast("_Engine", self._loaded[key])

    def close(self) -> None:
        """Close every loaded engine that can be closed."""
        with self._lock:
            for engine in self._loaded.values():
                close = getattr(engine, "close", None)
                if close is not None:
                    close()
            self._loaded.clear()
