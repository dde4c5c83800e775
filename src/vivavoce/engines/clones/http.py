"""``clone.http``: a server of one's own that clones from a recording: CosyVoice, GPT-SoVITS, XTTS, F5 and their like.

Such servers take a text and a reference recording in one request. What the request is made of is the operator's; a
client gives the text and the language, and the recording is the one that was enrolled.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from vivavoce.engines.clones.kept import REFERENCE, put, reference, told
from vivavoce.engines.network.answers import found, same_host, secrets_in, secrets_of, unpacked
from vivavoce.engines.network.client import Call, Client, Limits, Recital, collected
from vivavoce.engines.network.parts import codes, decoded, pcm, portions, speakable
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio, CloneTraits, Speech
from vivavoce.text.languages import Language

__all__ = ["HttpCloner"]

_SERVICE = "The cloning service"
_ENGINE = "http"


class HttpCloner:
    """A cloning server over plain HTTP. It tells no times: whoever films the speech finds them in the sound."""

    def __init__(
        self,
        url: str = "",
        *,
        send: Literal["file", "base64", "path"] = "file",
        text_field: str = "text",
        language_field: str = "language",
        reference_field: str = "reference",
        languages: tuple[str, ...] = ("ru", "en", "ko", "zh"),
        language_names: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        answer: Literal["audio", "pcm", "base64", "url"] = "audio",
        answer_field: str = "audio",
        pcm_rate: int = 24_000,
        characters: int = 400,
        least: float = 3.0,
        most: float = 15.0,
        connect_seconds: float = 5.0,
        read_seconds: float = 60.0,
        seconds_limit: float = 180.0,
        audio_seconds: float = 600.0,
    ) -> None:
        """``send`` is how the recording goes: a file of a form, base64 in JSON, or, to a server that sees the same
        disk, the path in JSON. ``language_names`` are the service's own words for some codes (``{"zh": "zh-cn"}``).

        ``answer``: a sound file, raw 16-bit samples at ``pcm_rate`` Hz, or JSON whose ``answer_field`` (``data.audio``
        goes deeper) holds the sound in base64 or an address of it on the same host. ``least`` and ``most`` are seconds
        of the reference, ``characters`` the most of one request. Raises ``EngineUnavailable`` without an address.
        """
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise EngineUnavailable("The cloner http needs an address; set VIVAVOCE_CLONES__HTTP__URL.")
        self._url, self._send = url, send
        self._fields = text_field, language_field, reference_field
        self._names = dict(language_names or {})
        self._extra = dict(extra or {})
        self._answer, self._answer_field, self._pcm_rate = answer, answer_field, pcm_rate
        self._characters, self._most = characters, most
        self._client = Client(
            _SERVICE,
            Limits(connect_seconds, read_seconds, seconds_limit, audio_seconds),
            headers=dict(headers or {}),
            secrets=[*secrets_in(headers or {}), *secrets_in(self._extra), *secrets_of(url)],
            key_advice="check VIVAVOCE_CLONES__HTTP__HEADERS",
        )
        self._traits = CloneTraits(
            languages=codes(languages),
            least=least,
            licence="a service: its terms hold; recordings and texts go there",
            network=True,
        )

    @property
    def traits(self) -> CloneTraits:
        """The configured languages."""
        return self._traits

    def enrol(self, recordings: Sequence[Audio], into: Path) -> tuple[str, ...]:
        """Keep a reference recording; the service hears it with each text.

        Raises ``InvalidInput`` when there is less than a second of speech.
        """
        warnings = reference(recordings, into, least=self._traits.least, most=self._most)
        put(into, {"engine": _ENGINE})
        return tuple(warnings)

    def synthesize(self, text: str, *, language: str, voice: Path) -> Iterator[Speech]:
        """Speak ``text``; mono at the rate of the service's first answer.

        Closing the iterator, from any thread, ends the request at once. Raises ``InvalidInput`` at once for what cannot
        be spoken and for a voice of another engine; while speaking ``TimedOut``, ``Overloaded``, ``EngineUnavailable``.
        """
        spoken = speakable(text, language, self._traits.languages, _SERVICE)
        told(voice, _ENGINE)
        try:
            heard = (voice / REFERENCE).read_bytes()
        except OSError:
            raise InvalidInput("The recording of this voice is missing; enrol it again.") from None
        rates: list[int] = []

        async def say(part: str, deadline: float) -> Speech:
            call = self._call(part, spoken, voice / REFERENCE, heard)
            audio = await self._spoken(call, deadline)
            rates.append(audio.rate)
            return Speech(part, spoken.code, resample(audio, rates[0]))

        return Recital(self._client, portions(text, spoken, self._characters), say)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, text: str, language: Language, path: Path, heard: bytes) -> Call:
        text_field, language_field, reference_field = self._fields
        fields = self._extra | {text_field: text}
        if language_field:
            fields[language_field] = self._names.get(language.code, language.code)
        if self._send == "file":
            plain = {k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
            return Call(self._url, form=plain, files={reference_field: (REFERENCE, heard, "audio/wav")})
        fields[reference_field] = str(path) if self._send == "path" else base64.b64encode(heard).decode()
        return Call(self._url, json=fields)

    async def _spoken(self, call: Call, deadline: float) -> Audio:
        data, kind = await self._client.ask(call, self._read, deadline)
        if self._answer == "base64":
            data, kind = unpacked(found(data, self._answer_field, _SERVICE), _SERVICE), ""
        elif self._answer == "url":
            address = same_host(self._url, found(data, self._answer_field, _SERVICE), _SERVICE)
            data, kind = await self._client.ask(Call(address, "GET"), self._read, deadline)
        elif kind.startswith(("text/", "application/json", "image/")):
            raise EngineUnavailable(f"{_SERVICE} answered with {kind[:40]} instead of sound; check its settings.")
        if self._answer == "pcm":
            return pcm(data, self._pcm_rate, _SERVICE)
        return decoded(data, _SERVICE, self._client.limits.audio, kind)

    async def _read(self, response: httpx.Response) -> tuple[bytes, str]:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return await collected(response, _SERVICE), kind
