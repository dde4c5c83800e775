"""``clone.elevenlabs``: an instant voice clone of ElevenLabs, made at enrolment and deleted with the voice."""

import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from vivavoce.engines.clones.kept import REFERENCE, put, reference, told
from vivavoce.engines.elevenlabs import ElevenLabsVoice
from vivavoce.engines.network.client import Call, Client, Limits, Recital, collected
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.nouns import Audio, CloneTraits, Speech

__all__ = ["ElevenLabsCloner"]

_SERVICE = "ElevenLabs"
_ENGINE = "elevenlabs"
_LEAST, _MOST = 30.0, 180.0
"""Seconds of speech: below the first a clone is poor, and more than the second does not help, says ElevenLabs."""
_GONE = ("voice_not_found", "voice_does_not_exist")


class ElevenLabsCloner:
    """ElevenLabs by ``/v1/voices/add``; it speaks as ``voice.elevenlabs`` does, with the time of each word."""

    def __init__(
        self,
        api_key: str = "",
        *,
        base_url: str = "https://api.elevenlabs.io",
        model: str = "eleven_multilingual_v2",
        output_format: str = "pcm_22050",
        languages: tuple[str, ...] = (),
        remove_noise: bool = False,
        connect_seconds: float = 5.0,
        read_seconds: float = 15.0,
        enrol_seconds: float = 120.0,
        seconds_limit: float = 30.0,
        audio_seconds: float = 600.0,
    ) -> None:
        """``remove_noise`` has ElevenLabs clean the recordings; the other options are those of ``voice.elevenlabs``.

        Raises ``EngineUnavailable`` without a key or with a format that is not read here.
        """
        self._voice = ElevenLabsVoice(
            api_key,
            base_url=base_url,
            model=model,
            output_format=output_format,
            languages=languages,
            connect_seconds=connect_seconds,
            read_seconds=read_seconds,
            seconds_limit=seconds_limit,
            audio_seconds=audio_seconds,
        )
        self._base = base_url.rstrip("/")
        self._remove_noise = remove_noise
        self._client = Client(
            _SERVICE,
            Limits(connect_seconds, enrol_seconds, enrol_seconds),
            headers={"xi-api-key": api_key},
            secrets=(api_key,),
            key_advice="check ELEVENLABS_API_KEY, which needs the right to make voices",
        )
        known = self._voice.traits
        self._traits = CloneTraits(
            languages=known.languages,
            timings=known.timings,
            least=_LEAST,
            licence="a service: its terms hold; recordings and texts go there",
            network=True,
        )

    @property
    def traits(self) -> CloneTraits:
        """The model's languages."""
        return self._traits

    def enrol(self, recordings: Sequence[Audio], into: Path) -> tuple[str, ...]:
        """Have ElevenLabs make a voice, and keep its id.

        Raises ``InvalidInput`` when there is less than a second of speech, ``EngineUnavailable``, ``Overloaded``,
        ``TimedOut``.
        """
        warnings = reference(recordings, into, least=_LEAST, most=_MOST)
        form = {
            "name": f"vivavoce-{secrets.token_hex(8)}",  # a client's own name would tell the service more than it needs
            "remove_background_noise": "true" if self._remove_noise else "false",
        }
        heard = (into / REFERENCE).read_bytes()
        call = Call(f"{self._base}/v1/voices/add", form=form, files={"files": (REFERENCE, heard, "audio/wav")})
        made = self._asked(call, _made, once=True)
        try:
            (into / REFERENCE).unlink()
            put(into, {"engine": _ENGINE, "voice_id": made["voice_id"]})
        except OSError:  # nobody would know of the voice any more: its enrolment was given up meanwhile
            self._delete(made["voice_id"])
            raise
        if made.get("requires_verification"):
            warnings.append("ElevenLabs wants this voice to be verified before it speaks; see its site.")
        return tuple(warnings)

    def synthesize(self, text: str, *, language: str, voice: Path) -> Iterator[Speech]:
        """Speak ``text`` with word marks; see ``ElevenLabsVoice.synthesize``."""
        return self._voice.synthesize(text, language=language, voice=_voice_id(voice))

    def forget(self, voice: Path) -> None:
        """Delete the voice at ElevenLabs; one that is gone already is no error.

        Raises ``EngineUnavailable``, ``Overloaded``, ``TimedOut``: then it is still there.
        """
        self._delete(_voice_id(voice))

    def close(self) -> None:
        """Close the connections."""
        self._voice.close()
        self._client.close()

    def _delete(self, voice_id: str) -> None:
        self._asked(Call(f"{self._base}/v1/voices/{voice_id}", "DELETE"), _deleted)

    def _asked(self, call: Call, read: Any, *, once: bool = False) -> Any:
        good = (200, 400, 404) if call.method == "DELETE" else (200,)

        async def ask(wanted: Call, deadline: float) -> Any:
            return await self._client.ask(wanted, read, deadline, good=good, once=once)

        late = "ElevenLabs did not answer within {0:g} s; try again."
        return next(Recital(self._client, [call], ask, late=late))


async def _made(response: httpx.Response) -> dict[str, Any]:
    try:
        made = json.loads(await collected(response, _SERVICE))
        if isinstance(made["voice_id"], str) and made["voice_id"].isalnum():
            return dict(made)
    except (ValueError, TypeError, KeyError):
        pass
    raise EngineUnavailable(f"The answer of {_SERVICE} holds no voice; check its address.")


async def _deleted(response: httpx.Response) -> None:
    body = await collected(response, _SERVICE)
    if response.status_code == httpx.codes.BAD_REQUEST and not any(gone.encode() in body for gone in _GONE):
        raise EngineUnavailable(f"{_SERVICE} refuses to delete the voice (400); delete it on its site.")


def _voice_id(voice: Path) -> str:
    held = told(voice, _ENGINE).get("voice_id")
    if not isinstance(held, str) or not held.isalnum():
        raise InvalidInput("This voice is damaged; enrol it again.")
    return held
