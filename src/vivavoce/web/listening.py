"""Family C, live: ``/ws/asr`` takes sound while it is spoken and answers with texts."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, WebSocket

from vivavoce.errors import InvalidInput, VivavoceError
from vivavoce.hear.agreement import joined
from vivavoce.hear.pcm import HIGHEST, LOWEST
from vivavoce.nouns import Word
from vivavoce.studio.listening import Listening
from vivavoce.studio.spoken import Event, Final, Partial
from vivavoce.web.lines import LONGEST_SECONDS, Line, listeners_of, parsed, side_by_side, spoken, too_long

__all__ = ["router"]

router = APIRouter()

_MOST_PHRASES, _MOST_LETTERS = 200, 5000


@router.websocket("/ws/asr")
async def asr(websocket: WebSocket) -> None:
    """PCM16 mono in binary messages; ``{"event": "start" | "flush" | "stop"}``; ready, partial, final, error out."""
    listeners = listeners_of(websocket)
    await websocket.accept(subprotocol=spoken(websocket))
    line = Line(websocket, listeners.patience, _error)

    async def talk() -> None:
        rate = _rate(websocket.query_params.get("sample_rate", "16000"))
        language = websocket.query_params.get("language")
        phrases = _phrases(websocket.query_params.getlist("phrases"))
        async with listeners.listening(language=language, rate=rate, phrases=phrases) as listening:
            await line.send({"type": "ready", "sample_rate": rate, "language": listeners.code(language)})
            await side_by_side(_read(line, listening, rate), _write(line, listening))

    await line.serve(talk())


async def _read(line: Line, listening: Listening, rate: int) -> None:
    """Pass on what the client sends; it goes on until the client has left, so that this is noticed."""
    stopped = False
    while True:
        message = await line.receive()
        if stopped:
            continue
        if isinstance(message, str):
            try:
                stopped = await _obey(parsed(message), listening)
            except InvalidInput as e:
                await line.refuse(e)
        elif len(message) > LONGEST_SECONDS * rate * 2:
            await line.refuse(too_long())
        else:
            await listening.feed(message)


async def _obey(message: Mapping[str, Any], listening: Listening) -> bool:
    """Do what an event says; whether it was the last."""
    match message.get("event"):
        case "start":
            pass
        case "flush":
            await listening.flush()
        case "stop":
            await listening.finish()
            return True
        case _:
            raise InvalidInput("The event is not known; send start, flush or stop.")
    return False


async def _write(line: Line, listening: Listening) -> None:
    texts: list[Word] = []
    async for event in listening:
        if isinstance(event, Final):
            texts += [Word(event.text, event.start, event.end)] if event.text else []
            if event.error is not None:
                await line.refuse(event.error)
        message = _message(event)
        if isinstance(event, Final) and event.asked:
            message |= {"full_text": joined(texts, event.language)}
        if message:
            await line.send(message)


def _message(event: Event) -> dict[str, Any]:
    """An event as a message; nothing where the protocol has none, nor for an utterance in which nothing was said."""
    if isinstance(event, Partial):
        texts = {"text": event.text, "stable_text": event.stable, "unstable_text": event.unstable}
        return {"type": "partial", **texts}
    if isinstance(event, Final) and (event.text or event.asked):
        words = [
            {"word": word.text, "start": _ms(word.start), "end": _ms(word.end), "probability": _ms(word.probability)}
            for word in event.words
        ]
        times = {"start": _ms(event.start), "end": _ms(event.end)}
        return {"type": "final", "text": event.text, "language": event.language, **times, "words": words}
    return {}


def _ms(value: float) -> float:
    return round(value, 3)


def _error(error: VivavoceError) -> dict[str, Any]:
    return {"type": "error", "detail": str(error), "code": error.code}


def _phrases(asked: list[str]) -> list[str]:
    """What alone can be heard, where a client names it. Raises ``InvalidInput`` for too much of it."""
    if len(asked) > _MOST_PHRASES or sum(map(len, asked)) > _MOST_LETTERS:
        raise InvalidInput(f"At most {_MOST_PHRASES} phrases of together {_MOST_LETTERS} letters can be told apart.")
    return asked


def _rate(asked: str) -> int:
    if not (asked.isascii() and asked.isdigit() and len(asked) < 7 and LOWEST <= int(asked) <= HIGHEST):
        raise InvalidInput("invalid sample rate")
    return int(asked)
