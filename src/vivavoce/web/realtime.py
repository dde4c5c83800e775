"""Live recognition in the words of OpenAI's Realtime API: transcription sessions at ``/v1/realtime``.

Both shapes of a session are understood: ``session.update`` with ``audio.input``, and the older
``transcription_session.update`` with ``input_audio_…``. There are no answers of a model here, only transcription.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, Field, ValidationError

from vivavoce.errors import InvalidInput, VivavoceError
from vivavoce.hear.g711 import RATE as TELEPHONE_RATE
from vivavoce.hear.g711 import Law, expanded
from vivavoce.studio.listeners import Listeners
from vivavoce.studio.listening import Listening
from vivavoce.studio.spoken import Event, Final, Manner, Partial, SpeechStarted, SpeechStopped
from vivavoce.web.lines import LONGEST_SECONDS, Line, listeners_of, parsed, side_by_side, spoken, too_long

__all__ = ["router"]

router = APIRouter()
_RATE = 24_000
"""Hz: what the protocol has where nothing else is said."""
_LAWS: dict[str, Law] = {"audio/pcmu": "mu", "g711_ulaw": "mu", "audio/pcma": "a", "g711_alaw": "a"}
"""Telephone formats, in the words of both dialects."""
_ITEM = "conversation.item.input_audio_transcription"


@router.websocket("/v1/realtime")
async def realtime(websocket: WebSocket) -> None:
    """OpenAI's events: ``session.update``, ``input_audio_buffer.append``, ``.commit``, ``.clear``."""
    listeners = listeners_of(websocket)
    await websocket.accept(subprotocol=spoken(websocket))
    line = Line(websocket, listeners.patience, _error)

    async def talk() -> None:
        async with listeners.listening(language=None, rate=_RATE) as listening:
            session = _Session(line, listeners, listening, listeners.manner)
            await line.send(session.event("session.created", session=session.described()))
            await side_by_side(session.read(), session.write())

    await line.serve(talk())


class _Format(BaseModel):
    type: str = "audio/pcm"
    rate: int | None = None


class _Transcription(BaseModel):
    model: str | None = None
    language: str | None = None


class _Turns(BaseModel):
    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    prefix_padding_ms: int = Field(default=300, ge=0)
    silence_duration_ms: int = Field(default=500, ge=100, le=10_000)


class _Input(BaseModel):
    format: _Format | None = None
    transcription: _Transcription | None = None
    turn_detection: _Turns | None = None


@dataclass
class _Session:
    """One connection: what was agreed on, and the names of its items."""

    line: Line
    listeners: Listeners
    listening: Listening
    manner: Manner
    kind: str = "transcription"
    older: bool = False
    """Whether the client speaks the older dialect."""
    format: _Format = field(default_factory=lambda: _Format(rate=_RATE))
    transcription: _Transcription = field(default_factory=_Transcription)
    turns: _Turns | None = field(default_factory=_Turns)
    held: int = 0
    """Bytes since the last commit."""
    items: dict[int, str] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    """What was told of the text of an utterance."""
    previous: str | None = None
    id: str = field(default_factory=lambda: _id("sess"))

    def __post_init__(self) -> None:
        silence = self.manner.endpoint_seconds
        self.turns = _Turns(threshold=self.manner.threshold, silence_duration_ms=round(silence * 1000))

    # ---- what the client says

    async def read(self) -> None:
        """Do what the client asks for, until it leaves."""
        while True:
            message = await self.line.receive()
            asked: dict[str, Any] = {}
            try:
                if isinstance(message, bytes):
                    raise InvalidInput("Binary messages are not taken here; send input_audio_buffer.append.")
                asked = parsed(message)
                await self._obey(asked)
            except InvalidInput as e:
                await self.line.send(_fault(e, asked.get("event_id")))

    async def _obey(self, asked: Mapping[str, Any]) -> None:
        match asked.get("type"):
            case "session.update" | "transcription_session.update":
                await self._update(asked)
            case "input_audio_buffer.append":
                await self._append(asked.get("audio"))
            case "input_audio_buffer.commit":
                if not self.held:
                    raise InvalidInput("The input audio buffer is empty; append sound before you commit it.")
                self.held = 0
                await self.listening.commit()
            case "input_audio_buffer.clear":
                self.held = 0
                await self.listening.clear()
                await self.line.send(self.event("input_audio_buffer.cleared"))
            case kind:
                raise InvalidInput(
                    f"The event {str(kind)[:60]!r} is not known here; this is a transcription session: send "
                    "session.update, input_audio_buffer.append, input_audio_buffer.commit or input_audio_buffer.clear."
                )

    async def _append(self, audio: object) -> None:
        try:
            sound = b64decode(str(audio), validate=True) if isinstance(audio, str) else None
        except (binascii.Error, ValueError):
            sound = None
        if sound is None:
            raise InvalidInput("audio is not Base64; send 16-bit samples, little-endian, mono, in Base64.")
        law = _LAWS.get(self.format.type)
        sound = sound if law is None else expanded(sound, law)
        if len(sound) > LONGEST_SECONDS * (self.format.rate or _RATE) * 2:
            raise too_long()
        self.held += len(sound)
        await self.listening.feed(sound)

    async def _update(self, asked: Mapping[str, Any]) -> None:
        session = asked.get("session")
        if not isinstance(session, dict):
            raise InvalidInput("session is missing; send it as an object.")
        self.older = asked["type"].startswith("transcription_") or self.older
        try:
            given = _older(session) if self.older else (session.get("audio") or {}).get("input") or {}
            wanted = _Input.model_validate(given)
        except (ValidationError, AttributeError) as e:
            where = ".".join(map(str, e.errors()[0]["loc"])) if isinstance(e, ValidationError) else "audio"
            raise InvalidInput(f"session: {where} cannot be used; see OpenAI's reference of session.update.") from None
        await self._adopt(wanted, given)
        self.kind = session["type"] if session.get("type") in ("transcription", "realtime") else self.kind
        name = "transcription_session.updated" if self.older else "session.updated"
        await self.line.send(self.event(name, session=self.described()))

    async def _adopt(self, wanted: _Input, given: Mapping[str, Any]) -> None:
        """Change what was given; a part that is absent stays as it is, and null turns off where it can be."""
        form = wanted.format or self.format
        if form.type not in ("audio/pcm", "pcm16", *_LAWS):
            raise InvalidInput(f"The format {form.type[:40]!r} is not taken; use audio/pcm, audio/pcmu or audio/pcma.")
        transcription = wanted.transcription or self.transcription
        language = None if transcription.language is None else self.listeners.code(transcription.language)
        turns = wanted.turn_detection if "turn_detection" in given else self.turns
        manner = replace(
            self.manner,
            endpoint_seconds=turns.silence_duration_ms / 1000 if turns else inf,
            threshold=turns.threshold if turns else self.manner.threshold,
        )
        rate = TELEPHONE_RATE if form.type in _LAWS else form.rate or _RATE
        await self.listening.adjust(language=language, rate=rate, manner=manner)
        self.format, self.transcription, self.turns = _Format(type=form.type, rate=rate), transcription, turns

    # ---- what it hears

    async def write(self) -> None:
        """Tell the client what is heard."""
        async for event in self.listening:
            for message in self._told(event):
                await self.line.send(message)

    def _told(self, event: Event) -> list[dict[str, Any]]:
        item = self.items.setdefault(event.utterance, _id("item")) if event.utterance else ""
        match event:
            case SpeechStarted() if self.turns is not None:
                start = round(event.at * 1000)
                return [self.event("input_audio_buffer.speech_started", audio_start_ms=start, item_id=item)]
            case SpeechStopped():
                return self._committed(event, item)
            case Partial():
                return self._added(event.utterance, item, event.stable)
            case Final():
                return self._final(event, item)
        return []

    def _committed(self, event: SpeechStopped, item: str) -> list[dict[str, Any]]:
        before, self.previous = self.previous, item
        told = []
        if not event.asked:
            self.held = 0
            stop = round(event.at * 1000)
            told.append(self.event("input_audio_buffer.speech_stopped", audio_end_ms=stop, item_id=item))
        told.append(self.event("input_audio_buffer.committed", previous_item_id=before, item_id=item))
        made = "conversation.item.created" if self.older else "conversation.item.added"
        told.append(self.event(made, previous_item_id=before, item=_item(item, None)))
        return told

    def _added(self, utterance: int, item: str, text: str) -> list[dict[str, Any]]:
        """What has been added to a text; nothing where it does not go on from what was told."""
        told = self.texts.get(utterance, "")
        if not utterance or len(text) <= len(told) or not text.startswith(told):
            return []
        self.texts[utterance] = text
        return [self.event(f"{_ITEM}.delta", item_id=item, content_index=0, delta=text[len(told) :])]

    def _final(self, event: Final, item: str) -> list[dict[str, Any]]:
        if event.error is not None:
            del self.items[event.utterance]
            error = {"type": "server_error", "code": event.error.code, "message": str(event.error)}
            return [self.event(f"{_ITEM}.failed", item_id=item, content_index=0, error=error)]
        told = self._added(event.utterance, item, event.text)
        usage = {"type": "duration", "seconds": round(event.end - event.start, 3)}
        whole = {"item_id": item, "content_index": 0, "transcript": event.text, "usage": usage}
        told.append(self.event(f"{_ITEM}.completed", **whole))
        if not self.older:
            told.append(self.event("conversation.item.done", item=_item(item, event.text)))
        del self.items[event.utterance]
        self.texts.pop(event.utterance, None)
        return told

    # ---- in its words

    def event(self, name: str, **more: Any) -> dict[str, Any]:
        """A server event."""
        return {"type": name, "event_id": _id("event"), **more}

    def described(self) -> dict[str, Any]:
        """The session as the client is told of it."""
        turns = None if self.turns is None else self.turns.model_dump() | {"type": "server_vad"}  # what is done
        transcription = self.transcription.model_dump(exclude_none=True)
        if self.older:
            kind = "pcm16" if self.format.type == "audio/pcm" else self.format.type
            form = {"input_audio_format": kind, "input_audio_transcription": transcription, "turn_detection": turns}
            return {"id": self.id, "object": "realtime.transcription_session", **form}
        heard = {
            "format": self.format.model_dump(),
            "transcription": transcription,
            "noise_reduction": None,
            "turn_detection": turns,
        }
        return {"id": self.id, "object": "realtime.session", "type": self.kind, "audio": {"input": heard}}


def _older(session: Mapping[str, Any]) -> dict[str, Any]:
    """The older shape of a session as the present one."""
    given = {"format": "input_audio_format", "transcription": "input_audio_transcription"}
    taken = {name: session[old] for name, old in given.items() if session.get(old) is not None}
    if "format" in taken:
        taken["format"] = {"type": taken["format"]}
    return taken | ({"turn_detection": session["turn_detection"]} if "turn_detection" in session else {})


def _item(name: str, transcript: str | None) -> dict[str, Any]:
    content = [{"type": "input_audio", "transcript": transcript}]
    return {
        "id": name,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": content,
    }


def _error(error: VivavoceError) -> dict[str, Any]:
    return _fault(error, None)


def _fault(error: VivavoceError, cause: object) -> dict[str, Any]:
    kind = "invalid_request_error" if isinstance(error, InvalidInput) else "server_error"
    words = {"type": kind, "code": error.code, "message": str(error), "param": None, "event_id": cause}
    return {"type": "error", "event_id": _id("event"), "error": words}


def _id(kind: str) -> str:
    return f"{kind}_{uuid4().hex[:24]}"
