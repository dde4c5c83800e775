"""Any voice service that speaks OpenAI's wire format: the vendor's own, and the many servers that took it over."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from vivavoce.engines.network.client import Call, Client, Limits, Recital, collected
from vivavoce.engines.network.parts import codes, decoded, is_configured, pcm, portions, speakable
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.nouns import Speech, Voice, VoiceTraits

__all__ = ["OpenAIVoice"]

_VENDOR = "https://api.openai.com/v1"
_VOICES = ("alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse")
_LANGUAGES = (
    "ru kk en ko zh af ar hy az be bs bg ca hr cs da nl et fi fr de el he hi hu is id it ja kn lv lt mk ms mr mi ne nb "
    "fa pl pt ro sr sk sl es sw sv ta th tr uk ur vi cy"
)
_PCM_RATE = 24_000
_MOST = 2000
"""Characters of one request; the vendor takes 4096."""


class OpenAIVoice:
    """``POST {base_url}/audio/speech``. It tells no times: whoever films the speech finds them in the sound."""

    def __init__(
        self,
        api_key: str = "",
        *,
        base_url: str = _VENDOR,
        model: str = "gpt-4o-mini-tts",
        voices: tuple[str, ...] = _VOICES,
        languages: tuple[str, ...] = (),
        response_format: str = "wav",
        speed: float = 1.0,
        connect_seconds: float = 5.0,
        read_seconds: float = 15.0,
        seconds_limit: float = 30.0,
        audio_seconds: float = 600.0,
    ) -> None:
        """``voices`` may be asked for, the first is the default; ``languages`` are the model's, empty: the vendor's.

        ``speed`` is 0.25 to 4. Seconds are limits.

        Raises ``EngineUnavailable`` when the vendor's own service is meant and there is no key.
        """
        self._base = base_url.rstrip("/")
        if not api_key and self._base == _VENDOR:
            raise EngineUnavailable(
                "The voice openai needs a key or an address; set OPENAI_API_KEY, or VIVAVOCE_VOICES__OPENAI__BASE_URL "
                "to a server of the same format."
            )
        if response_format not in ("wav", "pcm", "mp3", "flac"):
            raise EngineUnavailable("The voice openai reads wav, pcm, mp3 and flac; set one of them as its format.")
        if not voices:
            raise EngineUnavailable("The voice openai has no voices; name one in VIVAVOCE_VOICES__OPENAI__VOICES.")
        self._service = "OpenAI" if self._base == _VENDOR else f"The voice service {urlsplit(self._base).hostname}"
        self._model, self._format, self._speed = model, response_format, speed
        self._client = Client(
            self._service,
            Limits(connect_seconds, read_seconds, seconds_limit, audio_seconds),
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            secrets=(api_key,),
            key_advice="check OPENAI_API_KEY or VIVAVOCE_VOICES__OPENAI__API_KEY",
        )
        spoken = codes(languages or _LANGUAGES.split())
        self._traits = VoiceTraits(
            languages=spoken,
            voices=tuple(Voice(v, v.replace("_", " ").title(), spoken) for v in voices),
            licence="a service: its terms hold, and texts leave this machine",
            network=True,
        )

    @property
    def traits(self) -> VoiceTraits:
        """The configured languages and voices."""
        return self._traits

    def synthesize(self, text: str, *, language: str, voice: str = "") -> Iterator[Speech]:
        """Speak ``text``; mono at the rate of the service. The service guesses the language from the text.

        Closing the iterator, from any thread, ends the request at once. Raises ``InvalidInput`` at once for what cannot
        be spoken; while speaking ``TimedOut``, ``Overloaded``, ``EngineUnavailable``.
        """
        spoken = speakable(text, language, self._traits.languages, self._service)
        named = self._voice(voice)

        async def say(part: str, deadline: float) -> Speech:
            body: dict[str, Any] = {"model": self._model, "voice": named, "input": part}
            body["response_format"] = self._format
            if self._speed != 1.0:
                body["speed"] = self._speed
            call = Call(f"{self._base}/audio/speech", json=body)
            data, kind = await self._client.ask(call, self._read, deadline)
            if self._format == "pcm":
                audio = pcm(data, _PCM_RATE, self._service)
            else:
                audio = decoded(data, self._service, self._client.limits.audio, kind)
            return Speech(part, spoken.code, audio)

        return Recital(self._client, portions(text, spoken, _MOST), say)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _voice(self, voice: str) -> str:
        offered = [v.id for v in self._traits.voices]
        if is_configured(voice):
            return offered[0]
        if voice not in offered:
            raise InvalidInput(f"There is no voice {voice[:40]!r} here; use one of {', '.join(offered)}.")
        return voice

    async def _read(self, response: httpx.Response) -> tuple[bytes, str]:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.startswith(("text/", "application/json", "image/")):
            raise EngineUnavailable(f"{self._service} answered with {kind[:40]} instead of sound; check its address.")
        return await collected(response, self._service), kind
