"""ElevenLabs' voices, over the network: streamed sound with the time of every character, so that words are known."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from vivavoce.engines.network.client import Call, Client, Limits, Recital
from vivavoce.engines.network.parts import (
    codes,
    decoded,
    is_configured,
    pcm,
    portions,
    speakable,
    stops_short,
    timed_words,
)
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.nouns import Audio, Speech, Voice, VoiceTraits
from vivavoce.text.languages import Language

__all__ = ["ElevenLabsVoice"]

_SERVICE = "ElevenLabs"
_VOICE_ID = re.compile(r"[A-Za-z0-9_-]{4,64}")
_FORMAT = re.compile(r"pcm_(\d{4,5})|mp3_\d{4,5}_\d{2,3}")
_MOST = 2000
"""Characters of one request: below every model's limit, and the sound comes well within the time for a text."""
_LONGEST_LINE = 48_000_000
_MULTILINGUAL = "en ja zh de hi fr ko pt it es id nl tr pl sv bg ro ar cs el fi hr ms sk da ta uk ru"
_FAST = f"{_MULTILINGUAL} hu nb vi"
_WIDE = f"{_FAST} af as az be bn bs ca cy et gu he hy is ka kk kn ky lb lt lv mk ml mr ne pa fa sd sl sr sw te th ur"
_MODELS = {
    "eleven_multilingual_v2": _MULTILINGUAL,
    "eleven_turbo_v2_5": _FAST,
    "eleven_flash_v2_5": _FAST,
    "eleven_v3": _WIDE,
    "eleven_monolingual_v1": "en",
    "eleven_turbo_v2": "en",
    "eleven_flash_v2": "en",
}
_TOLD = frozenset({"eleven_turbo_v2_5", "eleven_flash_v2_5", "eleven_v3"})
"""Models that take a language code; others guess the language from the text."""
_UNSTITCHED = frozenset({"eleven_v3"})
"""Models that do not look at the text before and after."""
_OVERLAP = 0.2
"""Seconds; a piece whose characters begin more than this before the last ones ended counts from its own start."""

_CUT = 0.5
"""Seconds by which the characters may last longer than the sound."""


class ElevenLabsVoice:
    """ElevenLabs by ``/v1/text-to-speech/{voice}/stream/with-timestamps``.

    A voice is the configured one ("" or ``Custom``) or any id of the account's.
    """

    def __init__(
        self,
        api_key: str = "",
        voice_id: str = "",
        *,
        base_url: str = "https://api.elevenlabs.io",
        model: str = "eleven_multilingual_v2",
        output_format: str = "pcm_22050",
        languages: tuple[str, ...] = (),
        connect_seconds: float = 5.0,
        read_seconds: float = 15.0,
        seconds_limit: float = 30.0,
        audio_seconds: float = 600.0,
    ) -> None:
        """``languages`` are those of ``model``; empty: those that are known of it. Seconds are limits.

        Raises ``EngineUnavailable`` without a key or with a format that is not read here.
        """
        if not api_key:
            raise EngineUnavailable("ElevenLabs needs a key; set ELEVENLABS_API_KEY in the server's environment.")
        if not api_key.isascii() or not api_key.isprintable():
            raise EngineUnavailable("ELEVENLABS_API_KEY is not a key: it holds characters that no key has.")
        if not _FORMAT.fullmatch(output_format):
            raise EngineUnavailable(
                f"The format {output_format[:40]!r} of ElevenLabs is not read here; use pcm_22050, or mp3_44100_128."
            )
        self._configured = voice_id
        self._base = base_url.rstrip("/")
        self._model = model
        self._format = output_format
        spoken = codes(languages or _MODELS.get(model, _MULTILINGUAL).split())
        self._client = Client(
            _SERVICE,
            Limits(connect_seconds, read_seconds, seconds_limit, audio_seconds),
            headers={"xi-api-key": api_key},
            secrets=(api_key,),
            key_advice="check ELEVENLABS_API_KEY",
        )
        self._traits = VoiceTraits(
            languages=spoken,
            voices=(Voice("Custom", "The configured voice of ElevenLabs", spoken),),
            timings=frozenset({"word"}),
            licence="a service: its terms hold, and texts leave this machine",
            network=True,
        )

    @property
    def traits(self) -> VoiceTraits:
        """The model's languages and the configured voice."""
        return self._traits

    def synthesize(self, text: str, *, language: str, voice: str = "") -> Iterator[Speech]:
        """Speak ``text`` with word marks; mono at the rate of the configured format.

        Closing the iterator, from any thread, ends the request at once. Raises ``InvalidInput`` at once for what cannot
        be spoken; while speaking ``TimedOut``, ``Overloaded``, ``EngineUnavailable``.
        """
        spoken = speakable(text, language, self._traits.languages, _SERVICE)
        url = f"{self._base}/v1/text-to-speech/{quote(self._voice(voice), safe='')}/stream/with-timestamps"
        texts = portions(text, spoken, _MOST)

        async def say(i: int, deadline: float) -> Speech:
            call = Call(url, json=self._body(texts, i, spoken), query={"output_format": self._format})
            heard = await self._client.ask(call, lambda response: self._heard(response), deadline)
            return heard.speech(texts[i], spoken, self._format, self._client.limits.audio)

        return Recital(self._client, range(len(texts)), say)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _voice(self, voice: str) -> str:
        if not is_configured(voice):
            if not _VOICE_ID.fullmatch(voice):
                raise InvalidInput(
                    f"{voice[:40]!r} is not a voice id of ElevenLabs: those are letters and digits; "
                    "or use Custom, the configured voice."
                )
            return voice
        if not _VOICE_ID.fullmatch(self._configured):
            raise EngineUnavailable("ElevenLabs needs a voice; set ELEVENLABS_VOICE_ID in the server's environment.")
        return self._configured

    def _body(self, texts: list[str], i: int, language: Language) -> dict[str, Any]:
        body: dict[str, Any] = {"text": texts[i], "model_id": self._model}
        if self._model in _TOLD:
            body["language_code"] = "no" if language.code == "nb" else language.code
        if self._model not in _UNSTITCHED:
            if i:
                body["previous_text"] = texts[i - 1][-300:]
            if i + 1 < len(texts):
                body["next_text"] = texts[i + 1][:300]
        return body

    async def _heard(self, response: httpx.Response) -> "_Heard":
        """The lines of an answer, as they come."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.startswith(("text/html", "audio/", "image/")):
            raise EngineUnavailable(f"{_SERVICE} answered with {kind[:40]} instead of timed sound; check its address.")
        match = _FORMAT.fullmatch(self._format)
        heard = _Heard(int(match[1]) if match and match[1] else 0)
        rest = b""
        async for piece in response.aiter_bytes():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                heard.take(line)
            if len(rest) + len(heard.sound) > _LONGEST_LINE:
                raise EngineUnavailable(f"The answer of {_SERVICE} has no end; check its address.")
        heard.take(rest, last=True)
        return heard


class _Heard:
    """What has come of one answer."""

    def __init__(self, rate: int) -> None:
        self.sound = bytearray()
        self._rate = rate
        self._characters: list[str] = []
        self._starts: list[float] = []
        self._ends: list[float] = []

    def take(self, line: bytes, *, last: bool = False) -> None:
        """One line: JSON with a piece of sound, and perhaps the times of some characters."""
        line = line.strip().removeprefix(b"data:").strip()
        if not line:
            return
        try:
            piece = json.loads(line)
            before = len(self.sound)
            self.sound += base64.b64decode(piece.get("audio_base64") or "", validate=True)
            self._times(piece.get("alignment") or {}, before)
        except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
            broke = "broke off; try again" if last else "is not timed sound; check its address"
            raise EngineUnavailable(f"The answer of {_SERVICE} {broke}.") from None

    def _times(self, alignment: dict[str, Any], before: int) -> None:
        if not alignment:
            return
        characters = [str(c) for c in alignment["characters"]]
        starts = [float(t) for t in alignment["character_start_times_seconds"]]
        ends = [float(t) for t in alignment["character_end_times_seconds"]]
        if not len(characters) == len(starts) == len(ends):
            raise ValueError("as many times as characters")
        shift = 0.0
        if self._ends and starts and starts[0] < self._ends[-1] - _OVERLAP:
            shift = before / 2 / self._rate if self._rate else self._ends[-1]
        self._characters += characters
        self._starts += [t + shift for t in starts]
        self._ends += [t + shift for t in ends]

    def speech(self, text: str, language: Language, format_: str, max_seconds: float) -> Speech:
        """What was said; raises ``EngineUnavailable`` when the end of it is lacking."""
        sound = bytes(self.sound)
        if not sound:
            raise EngineUnavailable(f"{_SERVICE} answered with nothing; try again.")
        audio: Audio = (
            pcm(sound, self._rate, _SERVICE) if format_.startswith("pcm") else decoded(sound, _SERVICE, max_seconds)
        )
        if not self._characters:
            return Speech(text, language.code, audio)
        if stops_short(text, self._characters) or self._ends[-1] > audio.seconds + _CUT:
            raise EngineUnavailable(f"The answer of {_SERVICE} broke off; try again.")
        marks = timed_words(text, language, self._characters, self._starts, self._ends, audio.seconds)
        return Speech(text, language.code, audio, marks)
