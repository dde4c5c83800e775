"""Any recogniser that speaks OpenAI's wire format: the vendor's own, and the many servers that took it over."""

import io
import json
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx

from vivavoce.engines.network.client import Call, Client, Limits, Recital, collected
from vivavoce.errors import EngineUnavailable
from vivavoce.media.audio import write_wav
from vivavoce.nouns import Audio, EarTraits, Segment, Transcript, Word
from vivavoce.text.english import code_of
from vivavoce.text.guess import guess_language
from vivavoce.text.languages import resolve

__all__ = ["OpenAIEar"]

_VENDOR = "https://api.openai.com/v1"
_RATE = 16_000
_LONGEST = 30.0
_REFUSED = frozenset({400, 415, 422})
"""What a model that tells no times answers when it is asked for them."""
_SILENT, _UNSURE, _REPEATS = 0.6, -1.0, 2.4
"""Whisper's own limits, for servers that tell a segment's scores: beyond them nobody speaks, or it goes in circles."""
_THEIRS = {"nb": "no"}


class OpenAIEar:
    """``POST {base_url}/audio/transcriptions``, piece by piece; with the times of words where the server tells them."""

    def __init__(
        self,
        api_key: str = "",
        *,
        base_url: str = _VENDOR,
        model: str = "whisper-1",
        connect_seconds: float = 5.0,
        read_seconds: float = 60.0,
        seconds_limit: float = 120.0,
    ) -> None:
        """``connect_seconds``, ``read_seconds`` (of silence) and ``seconds_limit`` are limits for each piece.

        Raises ``EngineUnavailable`` when the vendor's own service is meant and there is no key.
        """
        self._base = base_url.rstrip("/")
        if not api_key and self._base == _VENDOR:
            raise EngineUnavailable(
                "The recogniser openai needs a key or an address; set OPENAI_API_KEY, or "
                "VIVAVOCE_EARS__OPENAI__BASE_URL to a server of the same format."
            )
        self._service = "OpenAI" if self._base == _VENDOR else f"The recogniser at {urlsplit(self._base).hostname}"
        self._model = model
        self._timed = True
        """Whether the server takes the question for times, as far as is known."""
        self._client = Client(
            self._service,
            Limits(connect_seconds, read_seconds, seconds_limit),
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            secrets=(api_key,),
            key_advice="check OPENAI_API_KEY or VIVAVOCE_EARS__OPENAI__API_KEY",
            offers="model or address",
        )

    @property
    def traits(self) -> EarTraits:
        """Any language: what the model lacks only the server knows."""
        return EarTraits(
            rate=_RATE,
            longest=_LONGEST,
            detects=True,
            device="network",
            licence="a service: its terms hold, and recordings leave this machine",
            network=True,
        )

    def recognize(
        self, pieces: Sequence[Audio], *, language: str = "", phrases: Sequence[str] = ()
    ) -> Iterator[Transcript]:
        """What is said in each piece. ``phrases`` are not looked at.

        Closing the iterator, from any thread, ends the request at once. Raises ``InvalidInput`` at once for an unknown
        language; while recognising ``TimedOut``, ``Overloaded``, ``EngineUnavailable``.
        """
        del phrases
        code = resolve(language).code if language else ""

        async def hear(piece: Audio, deadline: float) -> Transcript:
            answer = await self._asked(piece, code, deadline)
            return _transcript(answer, code, piece.seconds, self._service)

        late = f"{self._service} took longer than its limit of {{0:g}} s for a piece of sound; try again."
        return Recital(self._client, pieces, hear, each=True, late=late)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def _asked(self, piece: Audio, code: str, deadline: float) -> Mapping[str, Any]:
        """The server's answer, with times if it can tell them; one that cannot is asked without from then on."""
        if self._timed:
            answer = await self._client.ask(
                self._call(piece, code, timed=True), self._read, deadline, good=_REFUSED | {httpx.codes.OK}
            )
            if answer is not None:
                return answer
        answer = await self._client.ask(self._call(piece, code, timed=False), self._read, deadline)
        self._timed = False
        return answer or {}

    def _call(self, piece: Audio, code: str, *, timed: bool) -> Call:
        if piece.rate != _RATE:
            raise ValueError(f"The recogniser openai wants {_RATE} samples a second, not {piece.rate}.")
        sound = io.BytesIO()
        write_wav(sound, piece, _RATE)
        form: dict[str, Any] = {"model": self._model, "response_format": "json", "temperature": "0"}
        if timed:
            form |= {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
        if code:
            form["language"] = _THEIRS.get(code, code)
        files = {"file": ("speech.wav", sound.getvalue(), "audio/wav")}
        return Call(f"{self._base}/audio/transcriptions", form=form, files=files)

    async def _read(self, response: httpx.Response) -> Mapping[str, Any] | None:
        """The answer as JSON; None when it is refused."""
        body = await collected(response, self._service)
        if response.status_code != httpx.codes.OK:
            return None
        with suppress(ValueError):
            answer = json.loads(body)
            if isinstance(answer, dict) and isinstance(answer.get("text"), str):
                return answer
        raise EngineUnavailable(f"{self._service} answered with something else than a transcript; check its address.")


def _transcript(answer: Mapping[str, Any], code: str, seconds: float, service: str) -> Transcript:
    try:
        text = answer["text"].strip()
        told = code or code_of(str(answer.get("language") or "")) or (guess_language(text, "en") if text else "")
        parts = answer.get("segments") or ([{"text": text, "start": 0.0, "end": seconds}] if text else [])
        shares = _shared([_word(w) for w in answer.get("words") or ()], [_number(part["start"]) for part in parts])
        segments = [_segment(p, share, seconds) for p, share in zip(parts, shares, strict=True) if _is_said(p)]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise EngineUnavailable(f"{service} sent a transcript that cannot be read; check its address.") from None
    return Transcript(told, seconds, tuple(s for s in segments if s.text))


def _is_said(segment: Mapping[str, Any]) -> bool:
    """Whether a segment's scores, where a server tells them, are those of speech."""
    silent = segment.get("no_speech_prob") or 0.0
    sure, circles = segment.get("avg_logprob") or 0.0, segment.get("compression_ratio") or 0.0
    return not (silent > _SILENT and sure < _UNSURE) and circles <= _REPEATS


def _shared(words: Sequence[Word], starts: Sequence[float]) -> list[list[Word]]:
    """The words of the whole answer, each given to the segment in which its middle lies."""
    shares: list[list[Word]] = [[] for _ in starts]
    for word in words if starts else ():
        shares[max(0, bisect_right(starts, (word.start + word.end) / 2) - 1)].append(word)
    return shares


def _segment(told: Mapping[str, Any], share: Sequence[Word], seconds: float) -> Segment:
    """A segment with the words that come in it, else with its share of the whole answer's."""
    text = str(told["text"]).strip()
    start, end = (min(max(_number(told[key]), 0.0), seconds) for key in ("start", "end"))
    words = _in_order([_word(w) for w in told.get("words") or ()] or share, seconds)
    return Segment(text, start, max(start, end), tuple(_written(text, words)))


def _word(told: Mapping[str, Any]) -> Word:
    chance = told.get("probability")
    sure = 1.0 if chance is None else min(1.0, max(0.0, _number(chance)))
    return Word(str(told["word"]).strip(), _number(told["start"]), _number(told["end"]), sure)


def _in_order(words: Sequence[Word], seconds: float) -> list[Word]:
    made, now = [], 0.0
    for word in words:
        start = min(max(word.start, now), seconds)
        now = min(max(word.end, start), seconds)
        if word.text:
            made.append(Word(word.text, start, now, word.probability))
    return made


def _written(text: str, words: list[Word]) -> list[Word]:
    """The words as the text writes them: the vendor's own come without the signs around them."""
    written = text.split()
    if len(written) != len(words):
        return words
    return [Word(there, w.start, w.end, w.probability) for there, w in zip(written, words, strict=True)]


def _number(told: Any) -> float:
    number = float(told)
    if not math.isfinite(number):
        raise ValueError("a time that is no number")
    return number
