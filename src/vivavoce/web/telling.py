"""Tells of a task while it is worked on: events that are one small line each, for clients that do not buffer them."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic
from typing import Any

from starlette.types import Receive, Scope, Send

from vivavoce.errors import VivavoceError
from vivavoce.studio.shooting import Filmed, Said, Step
from vivavoce.web.messages import Messages
from vivavoce.web.streams import EVENTS, Flow, data_event
from vivavoce.work.events import Progress

__all__ = ["Teller", "Telling", "audio_url", "told", "video_url"]

_EVENT_BYTES = 1200
"""An event fits one packet of a network, so that a client that does not put pieces together gets it whole."""
_REASON = 200
"""Characters of a reason; an event stays small."""
_PROGRESS_SECONDS = 0.25
"""Between two words of progress."""


def video_url(id: str) -> str:  # noqa: A002  the store's own word
    """Where a film is, also while it is being made."""
    return f"/video/{id}.mp4"


def audio_url(id: str) -> str:  # noqa: A002
    """Where the sound of a film is."""
    return f"/assets/audio/{id}.wav"


class Teller:
    """Puts what happens to one task into events."""

    def __init__(self, task_id: str, text: str, say: Messages, began: float) -> None:
        self._task_id = task_id
        self._text = text
        self._say = say
        self._began = began
        self._said: Said | None = None
        self._said_at = began
        self._told_at = began

    def begins(self) -> bytes:
        """The voice is being made."""
        return self._event("status", stage="tts", message=self._say("tts"))

    def tell(self, step: Step) -> list[bytes]:
        """The events of a step; none when too little has changed since the last."""
        now = monotonic()
        match step:
            case Said():
                self._said, self._said_at, self._told_at = step, now, now
                return [self._tts_done(step), self._lipsync(0.0)]
            case Progress(fraction=fraction, stage="face") if self._said and now - self._told_at >= _PROGRESS_SECONDS:
                self._told_at = now
                return [self._lipsync(fraction)]
            case Filmed() if self._said:
                return [self._done(step, self._said, now)]
            case _:
                return []

    def fails(self, error: VivavoceError) -> bytes:
        """Nothing comes after it."""
        return self._event("error", message=self._say.of(error), code=error.code)

    def _tts_done(self, said: Said) -> bytes:
        return self._event(
            "status",
            stage="tts_done",
            message=self._say("tts_done", seconds=float(said.seconds)),
            audio_url=audio_url(said.id),
            video_url=video_url(said.id),
            duration=round(said.seconds, 3),
            elapsed=round(self._said_at - self._began, 2),
            **_fallback(said),
        )

    def _lipsync(self, fraction: float) -> bytes:
        return self._event("status", stage="lipsync", message=self._say("lipsync"), progress=round(fraction, 3))

    def _done(self, film: Filmed, said: Said, now: float) -> bytes:
        seconds = {"tts": self._said_at - self._began, "lipsync": now - self._said_at, "total": now - self._began}
        more = {
            "video_url": video_url(film.id),
            "audio_url": audio_url(film.id),
            "audio_duration": round(said.seconds, 3),
            "elapsed": {stage: round(elapsed, 2) for stage, elapsed in seconds.items()},
            **_fallback(said),
        }
        room = _EVENT_BYTES - len(self._event("done", text="", **more))
        return self._event("done", text=_shortened(self._text, room), **more)

    def _event(self, type: str, **data: Any) -> bytes:  # noqa: A002 - the document's own word
        """One line, ASCII only: whoever cuts the bytes anywhere still gets whole letters."""
        return data_event({"type": type, **data, "task_id": self._task_id})


def _fallback(said: Said) -> dict[str, str]:
    """Why another voice than the one that was asked for speaks, if one does."""
    return {"voice_fallback": said.voice_fallback[:_REASON]} if said.voice_fallback else {}


def _shortened(text: str, room: int) -> str:
    """As much of a text as takes at most ``room`` bytes of an event."""
    if len(json.dumps(text)) - 2 <= room:
        return text
    kept, left = 0, room - 3
    for character in text:
        left -= len(json.dumps(character)) - 2
        if left < 0:
            break
        kept += 1
    return text[:kept] + "..."


async def told(running: AsyncGenerator[Step], teller: Teller) -> AsyncGenerator[bytes]:
    """The events of a task, from its begin to ``done`` or ``error``."""
    async with aclosing(running):
        yield teller.begins()
        try:
            async for step in running:
                for event in teller.tell(step):
                    yield event
        except VivavoceError as e:
            yield teller.fails(e)
        except Exception:  # noqa: BLE001 - the books have logged it; the client hears of it, and sees no cut
            yield teller.fails(VivavoceError("Something went wrong on the server; it has been logged. Try again."))


class Telling(Flow):
    """Events of a task that ends with the answer, even when its client left before the first of them."""

    def __init__(self, events: AsyncGenerator[bytes], steps: AsyncGenerator[Step], **more: Any) -> None:
        super().__init__(events, media_type=EVENTS, **more)
        self._steps = steps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        async with aclosing(self._steps):
            await super().__call__(scope, receive, send)
