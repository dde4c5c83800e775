"""The voice service that somebody already has: an address that takes a text and gives sound, described by settings.

Whatever decides where a request goes and what it is made of is the operator's; of a client there is the text, the
language and the voice, each in the one field that the operator named.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import httpx

from vivavoce.engines.network.client import Call, Client, Limits, Recital, collected
from vivavoce.engines.network.parts import codes, decoded, is_configured, portions, speakable
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio, Speech, Voice, VoiceTraits

__all__ = ["HttpVoice"]

_SERVICE = "The voice service"
_VOICE = re.compile(r"[\w.:-]{1,80}")


class HttpVoice:
    """A voice over plain HTTP. It tells no times: whoever films the speech finds them in the sound."""

    def __init__(
        self,
        url: str = "",
        *,
        method: str = "POST",
        body: Literal["json", "form", "query"] = "json",
        text_field: str = "text",
        language_field: str = "language",
        voice_field: str = "",
        voice: str = "",
        voices: tuple[str, ...] = (),
        languages: tuple[str, ...] = ("ru", "kk", "en"),
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        answer: Literal["audio", "base64", "url"] = "audio",
        answer_field: str = "audio",
        characters: int = 1000,
        connect_seconds: float = 5.0,
        read_seconds: float = 15.0,
        seconds_limit: float = 30.0,
        audio_seconds: float = 600.0,
    ) -> None:
        """``language_field`` and ``voice_field`` may be "": then that is not sent. ``voice`` is the default.

        ``answer``: sound itself, or JSON whose ``answer_field`` (``data.audio`` goes deeper) holds it in base64 or an
        address of it on the same host. ``characters`` is the most of one request. Seconds are limits.
        Raises ``EngineUnavailable`` without an address.
        """
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise EngineUnavailable("The voice http needs an address; set VIVAVOCE_VOICES__HTTP__URL.")
        if method not in ("GET", "POST", "PUT") or (method == "GET" and body != "query"):
            raise EngineUnavailable("The voice http is called by POST, PUT, or by GET with its fields in the query.")
        self._url, self._method, self._body = url, method, body
        self._fields = (text_field, language_field, voice_field)
        self._extra = dict(extra or {})
        self._answer, self._answer_field = answer, answer_field
        self._default = voice or (voices[0] if voices else "")
        self._offered = tuple(dict.fromkeys((*((voice,) if voice else ()), *voices)))
        self._most = characters
        self._client = Client(
            _SERVICE,
            Limits(connect_seconds, read_seconds, seconds_limit, audio_seconds),
            headers=dict(headers or {}),
            secrets=[*_secrets(headers or {}), *_secrets(self._extra), *_query_secrets(url)],
            key_advice="check VIVAVOCE_VOICES__HTTP__HEADERS",
        )
        spoken = codes(languages)
        self._traits = VoiceTraits(
            languages=spoken,
            voices=tuple(Voice(v, v, spoken) for v in self._offered)
            or (Voice("Custom", "The voice of the configured service", spoken),),
            licence="a service: its terms hold, and texts leave this machine",
            network=True,
        )

    @property
    def traits(self) -> VoiceTraits:
        """The configured languages and voices."""
        return self._traits

    def synthesize(self, text: str, *, language: str, voice: str = "") -> Iterator[Speech]:
        """Speak ``text``; mono at the rate of the service's first answer.

        Closing the iterator, from any thread, ends the request at once. Raises ``InvalidInput`` at once for what cannot
        be spoken; while speaking ``TimedOut``, ``Overloaded``, ``EngineUnavailable``.
        """
        spoken = speakable(text, language, self._traits.languages, _SERVICE)
        named = self._voice(voice)
        rates: list[int] = []

        async def say(part: str, deadline: float) -> Speech:
            audio = await self._spoken(part, spoken.code, named, deadline)
            rates.append(audio.rate)
            return Speech(part, spoken.code, resample(audio, rates[0]))

        return Recital(self._client, portions(text, spoken, self._most), say)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _voice(self, voice: str) -> str:
        if is_configured(voice):
            return self._default
        if voice not in self._offered or not _VOICE.fullmatch(voice):
            offered = f"use one of {', '.join(self._offered)}" if self._offered else "leave it out: there is only one"
            raise InvalidInput(f"The voice service has no voice {voice[:40]!r} here; {offered}.")
        return voice

    async def _spoken(self, text: str, language: str, voice: str, deadline: float) -> Audio:
        pairs = zip(self._fields, (text, language, voice), strict=True)
        fields = self._extra | {field: value for field, value in pairs if field and value}
        data, kind = await self._client.ask(self._call(fields), self._read, deadline)
        if self._answer != "audio":
            value = _found(data, self._answer_field)
            if self._answer == "base64":
                data, kind = _unpacked(value), ""
            else:
                data, kind = await self._client.ask(Call(self._beside(value), "GET"), self._read, deadline)
        elif kind.startswith(("text/", "application/json", "image/")):
            raise EngineUnavailable(f"{_SERVICE} answered with {kind[:40]} instead of sound; check its settings.")
        return decoded(data, _SERVICE, self._client.limits.audio, kind)

    def _call(self, fields: dict[str, Any]) -> Call:
        if self._body == "json":
            return Call(self._url, self._method, json=fields)
        plain = {k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
        if self._body == "form":
            return Call(self._url, self._method, form=plain)
        kept = dict(httpx.URL(self._url).params.items())
        return Call(self._url, self._method, query=kept | plain)

    def _beside(self, address: str) -> str:
        """An address on the service's own host; any other is refused, since the headers may hold a key."""
        there = urljoin(self._url, address)
        ours, theirs = httpx.URL(self._url), httpx.URL(there)
        if (ours.scheme, ours.host, ours.port) != (theirs.scheme, theirs.host, theirs.port):
            raise EngineUnavailable(f"{_SERVICE} points to sound on another host; only its own is asked.")
        return there

    async def _read(self, response: httpx.Response) -> tuple[bytes, str]:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return await collected(response, _SERVICE), kind


def _found(data: bytes, path: str) -> str:
    """The text at ``a.b.0`` of a JSON document."""
    try:
        value: Any = json.loads(data)
        for step in path.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        value = None
    if not isinstance(value, str) or not value:
        raise EngineUnavailable(f"The answer of the voice service has no {path!r}; check its settings.")
    return value


def _unpacked(value: str) -> bytes:
    try:
        return base64.b64decode(re.sub(r"^data:[\w/.+;=-]*,|\s", "", value), validate=True)
    except (binascii.Error, ValueError):
        raise EngineUnavailable("The voice service sent sound that is not base64; check its settings.") from None


def _secrets(values: Mapping[str, Any]) -> list[str]:
    """What the operator set and no message may show; short values are words, not keys."""
    found = [w for v in values.values() if isinstance(v, str) for w in (v, v.rpartition(" ")[2])]
    return [v for v in found if len(v) >= 8]


def _query_secrets(url: str) -> list[str]:
    return _secrets(dict(httpx.URL(url).params.items()))
