"""``/v1/realtime`` as OpenAI's own client meets it, and as one does that speaks the older dialect."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import av
import numpy as np
import pytest
from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection, connect

from calls import called, message
from ears import KnownEar, Recording
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import Overloaded
from vivavoce.studio.listeners import Listeners

SENTENCES = ["good morning to everybody", "please open the second window"]
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@pytest.fixture(scope="module")
def recording(voice: EspeakVoice) -> Recording:
    return Recording(voice, SENTENCES, rate=24_000)


def run(listeners: Callable[[], Listeners], scenario: Callable[[str], Awaitable[None]], **envelope: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), called(listeners(), **envelope) as address:
            await scenario(address)

    asyncio.run(main())


def known(recording: Recording) -> Callable[[], Listeners]:
    return lambda: Listeners(KnownEar(recording), language="en")


def packets(recording: Recording, step: int = 4800) -> list[str]:
    """The recording in Base64, a tenth of a second each."""
    return [b64encode(recording.pcm[at : at + step]).decode() for at in range(0, len(recording.pcm), step)]


def test_openais_client_transcribes_while_somebody_speaks(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        openai = AsyncOpenAI(api_key="s3cret", base_url=f"http://{address}/v1")
        events: list[Any] = []
        async with openai, openai.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            await connection.session.update(
                session={
                    "type": "transcription",
                    "audio": {
                        "input": {
                            "format": {"type": "audio/pcm", "rate": 24000},
                            "transcription": {"model": "whisper-1", "language": "en"},
                            "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
                        }
                    },
                }
            )
            for packet in packets(recording):
                await connection.input_audio_buffer.append(audio=packet)
            async for event in connection:
                events.append(event)
                if sum(e.type == f"{TRANSCRIPTION}.completed" for e in events) == 2:
                    break
        kinds = [event.type for event in events]
        assert kinds[:2] == ["session.created", "session.updated"]
        heard = events[1].session.audio.input
        assert (heard.transcription.model, heard.transcription.language) == ("whisper-1", "en")
        assert heard.turn_detection.silence_duration_ms == 400
        assert [e.transcript for e in events if e.type == f"{TRANSCRIPTION}.completed"] == SENTENCES
        _one_story_each(events)
        for event in events:  # every one of them is what the client's own types say
            TypeAdapter(RealtimeServerEvent).validate_python(event.to_dict())

    run(known(recording), scenario, api_keys=["s3cret"])


def _one_story_each(events: list[Any]) -> None:
    """Of each item: speech starts, stops, is committed, transcribed; what was added to the text makes the text."""
    items = [e.item_id for e in events if e.type == "input_audio_buffer.speech_started"]
    assert len(set(items)) == len(items) == 2
    for item in items:
        own = [e for e in events if getattr(e, "item_id", getattr(getattr(e, "item", None), "id", "")) == item]
        kinds = [e.type for e in own if not e.type.endswith(".delta")]
        assert kinds[:5] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            f"{TRANSCRIPTION}.completed",
        ]
        deltas = "".join(e.delta for e in own if e.type.endswith(".delta"))
        (completed,) = [e for e in own if e.type.endswith(".completed")]
        assert deltas == completed.transcript
        start, stop = own[0].audio_start_ms, next(e.audio_end_ms for e in own if e.type.endswith("speech_stopped"))
        assert 0 < completed.usage.seconds * 1000 <= stop - start
    committed = [e for e in events if e.type == "input_audio_buffer.committed"]
    assert [e.previous_item_id for e in committed] == [None, items[0]]


def test_without_turn_detection_the_client_commits(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        openai = AsyncOpenAI(api_key="none", base_url=f"http://{address}/v1")
        events: list[Any] = []
        async with openai, openai.realtime.connect(model="anything") as connection:
            await connection.session.update(
                session={"type": "transcription", "audio": {"input": {"turn_detection": None}}}
            )
            for packet in packets(recording):
                await connection.input_audio_buffer.append(audio=packet)
            await connection.input_audio_buffer.commit()
            async for event in connection:
                events.append(event)
                if event.type == f"{TRANSCRIPTION}.completed":
                    break
        assert events[1].session.audio.input.turn_detection is None
        assert events[-1].transcript == " ".join(SENTENCES)
        kinds = [event.type for event in events]
        assert "input_audio_buffer.speech_started" not in kinds
        assert "input_audio_buffer.speech_stopped" not in kinds
        assert kinds.count("input_audio_buffer.committed") == 1

    run(known(recording), scenario)


def test_a_telephone_call(voice: EspeakVoice) -> None:
    """μ-law at 8 kHz, as gateways send it."""
    recording = Recording(voice, SENTENCES, rate=8000)

    async def scenario(address: str) -> None:
        encoder = av.CodecContext.create("pcm_mulaw", "w")
        assert isinstance(encoder, av.AudioCodecContext)
        encoder.sample_rate, encoder.layout, encoder.format = 8000, "mono", "s16"
        frame = av.AudioFrame.from_ndarray(np.frombuffer(recording.pcm, "<i2")[None], "s16", "mono")
        frame.sample_rate = 8000
        call = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
        async with connect(f"ws://{address}/v1/realtime", proxy=None) as client:
            await message(client)
            session = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
            updated = await asked(client, type="session.update", session=session)
            assert updated["session"]["audio"]["input"]["format"] == {"type": "audio/pcmu", "rate": 8000}
            for at in range(0, len(call), 160):
                packet = b64encode(call[at : at + 160]).decode()
                await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": packet}))
            heard: list[str] = []
            while len(heard) < 2:
                told = await message(client)
                heard += [told["transcript"]] if told["type"].endswith(".completed") else []
        assert heard == SENTENCES

    run(known(recording), scenario)


async def asked(client: ClientConnection, **event: Any) -> dict[str, Any]:
    """What a client event is answered with."""
    await client.send(json.dumps(event))
    return await message(client)


def test_the_older_dialect(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with connect(f"ws://{address}/v1/realtime?intent=transcription", proxy=None) as client:
            assert (await message(client))["type"] == "session.created"
            updated = await asked(
                client,
                type="transcription_session.update",
                session={
                    "input_audio_format": "pcm16",
                    "input_audio_transcription": {"model": "whisper-1", "language": "en"},
                    "turn_detection": {"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 100},
                },
            )
            assert updated["type"] == "transcription_session.updated"
            assert updated["session"]["turn_detection"]["threshold"] == 0.4
            for packet in packets(recording):
                await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": packet}))
            told = [await message(client)]
            while told[-1]["type"] != f"{TRANSCRIPTION}.completed":
                told.append(await message(client))
        assert told[-1]["transcript"] == SENTENCES[0]
        assert "conversation.item.created" in [m["type"] for m in told]
        assert "conversation.item.added" not in [m["type"] for m in told]

    run(known(recording), scenario)


def test_mistakes_are_answered_and_the_session_lives(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with connect(f"ws://{address}/v1/realtime", proxy=None) as client:
            await message(client)
            mistakes: list[dict[str, Any]] = [
                {"type": "response.create", "event_id": "mine"},
                {"type": None},
                {},
                {"type": "input_audio_buffer.append"},
                {"type": "input_audio_buffer.append", "audio": "%%%"},
                {"type": "input_audio_buffer.append", "audio": "ключ"},
                {"type": "input_audio_buffer.append", "audio": b64encode(bytes(24000 * 2 * 31)).decode()},
                {"type": "input_audio_buffer.commit"},
                {"type": "session.update"},
                {"type": "session.update", "session": {"audio": [1]}},
                {"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/opus"}}}}},
                {"type": "session.update", "session": {"audio": {"input": {"format": {"rate": 96000}}}}},
                {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"threshold": 7}}}}},
                {"type": "session.update", "session": {"audio": {"input": {"transcription": {"language": "xx"}}}}},
            ]
            for mistake in mistakes:
                answer = await asked(client, **mistake)
                assert answer["type"] == "error", mistake
                assert answer["error"]["type"] == "invalid_request_error"
                assert answer["error"]["message"].endswith(".")
                assert answer["error"]["event_id"] == mistake.get("event_id")
            for raw in ("no json", b"\0\0"):
                await client.send(raw)
                assert (await message(client))["type"] == "error"
            assert (await asked(client, type="input_audio_buffer.clear"))["type"] == "input_audio_buffer.cleared"

    run(known(recording), scenario)


def test_what_is_cleared_cannot_be_committed(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with connect(f"ws://{address}/v1/realtime", proxy=None) as client:
            await message(client)
            await asked(client, type="session.update", session={"audio": {"input": {"turn_detection": None}}})
            for packet in packets(recording)[:15]:
                await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": packet}))
            await client.send(json.dumps({"type": "input_audio_buffer.clear"}))
            while (told := await message(client))["type"] != "input_audio_buffer.cleared":
                assert told["type"].endswith(".delta")
            answer = await asked(client, type="input_audio_buffer.commit")
        assert answer["type"] == "error"
        assert "empty" in answer["error"]["message"]

    run(known(recording), scenario)


def test_a_transcription_that_fails_is_told_of_its_item(recording: Recording) -> None:
    def listeners() -> Listeners:
        ear = KnownEar(recording)
        ear.errors = [Overloaded("Too much to do; try again.") for _ in range(50)]
        return Listeners(ear, language="en")

    async def scenario(address: str) -> None:
        async with connect(f"ws://{address}/v1/realtime", proxy=None) as client:
            started: list[str] = []
            for packet in packets(recording):
                await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": packet}))
            while (told := await message(client))["type"] != f"{TRANSCRIPTION}.failed":
                if told["type"] == "input_audio_buffer.speech_started":
                    started.append(told["item_id"])
        assert told["item_id"] == started[0]
        assert told["error"] == {"type": "server_error", "code": "overloaded", "message": "Too much to do; try again."}

    run(listeners, scenario)
