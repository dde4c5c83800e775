"""``/ws/asr`` as a client meets it: over a socket, with the websockets package."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from calls import called, message, speak, until
from ears import RATE, KnownEar, Recording
from serving import Served
from vivavoce.bench.listening import word_errors
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable, InvalidInput, Overloaded
from vivavoce.media.audio import decode, resample
from vivavoce.nouns import Audio, Transcript
from vivavoce.studio.listeners import Listeners, Patience
from vivavoce.studio.speech import joined

SENTENCES = ["good morning to everybody", "please open the second window"]
Scenario = Callable[[str], Awaitable[None]]


@pytest.fixture(scope="module")
def recording(voice: EspeakVoice) -> Recording:
    return Recording(voice, SENTENCES)


def run(listeners: Callable[[], Listeners], scenario: Scenario, **envelope: Any) -> None:
    """Play a scenario at a server; afterwards nothing of it is left."""

    async def main() -> None:
        async with asyncio.timeout(20), called(listeners(), **envelope) as address:
            await scenario(address)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def known(recording: Recording) -> Callable[[], Listeners]:
    return lambda: Listeners(KnownEar(recording), language="en")


def asr(address: str, query: str = "language=en&sample_rate=16000", **more: Any) -> connect:
    return connect(f"ws://{address}/ws/asr?{query}", proxy=None, **more)


async def to_the_end(client: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """What is told until the connection closes, and the code it closes with."""
    told = []
    try:
        while True:
            told.append(await message(client))
    except ConnectionClosed as e:
        return told, e.rcvd.code if e.rcvd else 1006


def test_the_documents_client(recording: Recording) -> None:
    """Line by line but for the microphone, whose callback is played, and for how it finds its event loop."""

    async def scenario(address: str) -> None:
        SR = 16000
        async with connect(f"ws://{address}/ws/asr?language=ru&sample_rate={SR}", proxy=None) as ws:
            ready = await ws.recv()
            loop = asyncio.get_running_loop()

            def cb(indata: np.ndarray[Any, Any], frames: int, t: object, status: object) -> None:
                pcm16 = (indata[:, 0] * 32767).astype("<i2").tobytes()
                asyncio.run_coroutine_threadsafe(ws.send(pcm16), loop).result()

            def microphone() -> None:
                for at in range(0, len(recording.sound), 1600):
                    cb(recording.sound[at : at + 1600, None], 1600, None, None)

            await ws.send(json.dumps({"event": "flush"}))
            flushed = await ws.recv()
            await asyncio.to_thread(microphone)
            await ws.send(json.dumps({"event": "stop"}))
            told, code = await to_the_end(ws)
        assert json.loads(ready) == {"type": "ready", "sample_rate": 16000, "language": "ru"}
        assert json.loads(flushed)["type"] == "partial"
        assert json.loads(flushed)["text"] == ""
        assert code == 1000
        assert told[-1]["type"] == "final"
        assert [m["text"] for m in told if m["type"] == "final" and m["text"]] == SENTENCES

    run(known(recording), scenario)


def test_partial_and_final_texts(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with asr(address) as client:
            assert await message(client) == {"type": "ready", "sample_rate": 16000, "language": "en"}
            await client.send('{"event": "start"}')
            await speak(client, recording.pcm)
            await client.send('{"event": "stop"}')
            told, code = await to_the_end(client)
        assert code == 1000
        assert {m["type"] for m in told} == {"partial", "final"}
        for partial in (m for m in told if m["type"] == "partial"):
            parts = [partial["stable_text"], partial["unstable_text"]]
            assert partial["text"] == " ".join(part for part in parts if part)
        finals = [m for m in told if m["type"] == "final"]
        assert [m["text"] for m in finals] == [*SENTENCES, ""]
        assert finals[-1]["full_text"] == " ".join(SENTENCES)
        first = finals[0]["words"][0]
        assert first["word"] == "good"
        assert first["start"] == pytest.approx(recording.words[0].start, abs=0.02)
        assert first["start"] < first["end"]
        assert first["probability"] == 1

    run(known(recording), scenario)


def test_stop_without_a_word_still_gives_a_final(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with asr(address) as client:
            await message(client)
            await client.send('{"event": "stop"}')
            told, code = await to_the_end(client)
        assert [(m["type"], m["text"], m["full_text"]) for m in told] == [("final", "", "")]
        assert code == 1000

    run(known(recording), scenario)


@pytest.mark.parametrize("rate", ["7999", "48001", "0", "-16000", "16e3", "16000.0", "", "1" * 5000, "１６０００"])
def test_a_bad_sample_rate_is_an_error_and_1008(recording: Recording, rate: str) -> None:
    async def scenario(address: str) -> None:
        async with asr(address, f"language=en&sample_rate={rate}") as client:
            told, code = await to_the_end(client)
        assert [(m["type"], m["detail"]) for m in told] == [("error", "invalid sample rate")]
        assert code == 1008

    run(known(recording), scenario)


def test_an_unknown_language_is_an_error_and_1008(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with asr(address, "language=klingon") as client:
            told, code = await to_the_end(client)
        assert [m["type"] for m in told] == ["error"]
        assert "klingon" in told[0]["detail"]
        assert "ru, kk, en, ko, zh" in told[0]["detail"]
        assert code == 1008

    run(known(recording), scenario)


def test_defaults_and_other_rates(voice: EspeakVoice) -> None:
    recording = Recording(voice, SENTENCES[:1], rate=48000)

    async def scenario(address: str) -> None:
        async with asr(address, "") as client:
            assert await message(client) == {"type": "ready", "sample_rate": 16000, "language": "en"}
        async with asr(address, "language=auto") as client:
            assert (await message(client))["language"] == ""
        async with asr(address, "language=en-US&sample_rate=48000") as client:
            assert await message(client) == {"type": "ready", "sample_rate": 48000, "language": "en"}
            await speak(client, recording.pcm, step=9999)  # odd: half a sample waits for its other half
            await client.send('{"event": "stop"}')
            told, _ = await to_the_end(client)
        assert told[-1]["full_text"] == SENTENCES[0]

    run(known(recording), scenario)


def test_what_cannot_be_understood_is_said_and_the_connection_lives(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with asr(address) as client:
            await message(client)
            for text in ("flush", "[]", "null", "{", "[" * 100_000, '{"event": "dance"}', '{"event": null}', "{}", ""):
                await client.send(text)
                told = await message(client)
                assert told["type"] == "error"
                assert told["detail"].endswith(".")
            await client.send(b"")
            await client.send(bytes(RATE * 2 * 31))
            assert "30 s" in (await message(client))["detail"]
            await speak(client, recording.pcm)
            await client.send('{"event": "stop"}')
            told_after, code = await to_the_end(client)
        assert told_after[-1]["full_text"] == " ".join(SENTENCES)
        assert code == 1000

    run(known(recording), scenario)


def test_a_flood_is_held_back_and_nothing_of_it_is_lost(voice: EspeakVoice) -> None:
    """Speech in large messages, and hundreds of flushes, as fast as the socket takes them."""
    recording = Recording(voice, SENTENCES * 3)

    async def scenario(address: str) -> None:
        async with asr(address) as client:
            await message(client)

            async def flood() -> None:
                await speak(client, recording.pcm, step=400_001)
                for _ in range(300):
                    await client.send('{"event": "flush"}')
                await client.send('{"event": "stop"}')

            flooding = asyncio.create_task(flood())
            told, code = await to_the_end(client)
            await flooding
        assert [m["text"] for m in told if m["type"] == "final" and m["text"]] == SENTENCES * 3
        assert sum(m["type"] == "partial" for m in told) >= 300
        assert code == 1000

    run(known(recording), scenario)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineUnavailable("The recogniser needs a model; run `vivavoce models pull whisper-small`."), 1011),
        (InvalidInput("The recogniser knows English only."), 1008),
    ],
)
def test_a_recogniser_that_cannot_work_is_told_early(error: Exception, code: int) -> None:
    async def broken(audio: Audio, language: str) -> Transcript:
        raise error

    async def scenario(address: str) -> None:
        async with asr(address) as client:
            told, closed = await to_the_end(client)
        assert [m["type"] for m in told] == ["ready", "error"]
        assert told[1]["detail"] == str(error)
        assert closed == code

    run(lambda: Listeners(broken, language="en"), scenario)


def test_our_own_faults_are_not_shown() -> None:
    async def broken(audio: Audio, language: str) -> Transcript:
        raise ZeroDivisionError("secret")

    async def scenario(address: str) -> None:
        async with asr(address) as client:
            told, closed = await to_the_end(client)
        assert "logged" in told[1]["detail"]
        assert "secret" not in str(told)
        assert closed == 1011

    run(lambda: Listeners(broken, language="en"), scenario)


def test_where_recognition_fails_for_a_while_it_is_said_and_goes_on(recording: Recording) -> None:
    def listeners() -> Listeners:
        ear = KnownEar(recording)
        ear.errors = [Overloaded("Too much to do; try again.") for _ in range(6)]
        return Listeners(ear, language="en")

    async def scenario(address: str) -> None:
        async with asr(address) as client:
            await message(client)
            await speak(client, recording.pcm)
            await client.send('{"event": "stop"}')
            told, code = await to_the_end(client)
        assert code == 1000
        assert told[-1]["full_text"].endswith(SENTENCES[-1])

    run(listeners, scenario)


def test_too_many_are_asked_to_come_again(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with asr(address) as first:
            await message(first)
            async with asr(address) as second:
                told, code = await to_the_end(second)
            assert [m["type"] for m in told] == ["error"]
            assert "try again" in told[0]["detail"]
            assert code == 1013
        async with asr(address) as third:
            assert (await message(third))["type"] == "ready"

    run(lambda: Listeners(KnownEar(recording), language="en", most=1), scenario)


def test_a_silent_client_is_let_go(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with asr(address) as client:
            told, code = await to_the_end(client)
        assert [m["type"] for m in told] == ["ready", "error"]
        assert "Nothing was sent for 0.3 s" in told[1]["detail"]
        assert code == 1008

    run(lambda: Listeners(KnownEar(recording), language="en", patience=Patience(idle_seconds=0.3)), scenario)


def test_nobody_stays_for_ever(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with asr(address) as client:

            async def chatter() -> None:
                while True:
                    await client.send(bytes(320))
                    await asyncio.sleep(0.01)

            chattering = asyncio.create_task(chatter())
            told, code = await to_the_end(client)
            with pytest.raises(ConnectionClosed):
                await chattering
        assert "open for 0.5 s" in told[-1]["detail"]
        assert code == 1008

    run(lambda: Listeners(KnownEar(recording), language="en", patience=Patience(connected_seconds=0.5)), scenario)


def test_a_client_that_does_not_read_is_dropped(recording: Recording) -> None:
    """It asks and asks and reads nothing, until the server's patience, not its memory, is at an end."""

    async def scenario(address: str) -> None:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", int(address.split(":")[1])))
        reader, writer = await asyncio.open_connection(sock=narrow, limit=1024)
        writer.write(
            b"GET /ws/asr HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        ask = b'{"event": "dance"}'
        frame = bytes([0x81, 0x80 | len(ask), 0, 0, 0, 0]) + ask
        writer.write(frame * 80_000)
        await until(lambda: bool(made[0].busy))
        await until(lambda: not made[0].busy)
        writer.transport.abort()

    made: list[Listeners] = []

    def listeners() -> Listeners:
        made.append(Listeners(KnownEar(recording), language="en", patience=Patience(unread_seconds=0.3)))
        return made[0]

    run(listeners, scenario)


def test_who_leaves_in_the_middle_of_a_word_takes_the_work_along(recording: Recording) -> None:
    ears: list[KnownEar] = []

    def listeners() -> Listeners:
        ears.append(KnownEar(recording))
        return Listeners(ears[0], language="en")

    async def scenario(address: str) -> None:
        (ear,) = ears
        client = await asr(address)
        await message(client)
        await until(lambda: ear.calls > 0 and not ear.running)
        ear.hold()
        await speak(client, recording.pcm[: len(recording.pcm) // 2])
        await ear.begun.wait()
        client.transport.abort()
        await until(lambda: ear.cancelled > 0)
        assert ear.running == 0

    run(listeners, scenario)


def test_sessions_never_hear_each_other(voice: EspeakVoice) -> None:
    recordings = [Recording(voice, [sentence]) for sentence in SENTENCES]
    both = Recording(voice, SENTENCES)

    async def scenario(address: str) -> None:
        async def one(recording: Recording) -> str:
            async with asr(address) as client:
                await message(client)
                await speak(client, recording.pcm, step=1000)
                await client.send('{"event": "stop"}')
                told, _ = await to_the_end(client)
            return str(told[-1]["full_text"])

        assert await asyncio.gather(*(one(r) for r in recordings * 2)) == SENTENCES * 2

    run(known(both), scenario)


# ---- the way in


KEYS = {"api_keys": ["s3cret", "another"]}


@asynccontextmanager
async def _opened(address: str, query: str = "", **more: Any) -> AsyncGenerator[ClientConnection]:
    async with asr(address, query, **more) as client:
        assert (await message(client))["type"] == "ready"
        yield client


def test_a_key_is_taken_from_headers_address_and_subprotocol(
    recording: Recording, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario(address: str) -> None:
        async with _opened(address, additional_headers={"X-API-Key": "s3cret"}):
            pass
        async with _opened(address, additional_headers={"Authorization": "Bearer another"}):
            pass
        async with _opened(address, "language=ru&key=s3cret"):
            pass
        async with _opened(address, subprotocols=["key.s3cret", "asr"]) as client:
            assert client.subprotocol == "asr"
        async with _opened(address, subprotocols=["openai-insecure-api-key.another"]) as client:
            assert client.subprotocol == "openai-insecure-api-key.another"

    run(known(recording), scenario, **KEYS)
    out, err = capfd.readouterr()
    assert "/ws/asr" in out + err, "the connections are logged"
    assert "s3cret" not in out + err
    assert "another" not in out + err


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("key=wrong", {}),
        ("", {"X-API-Key": "s3cre"}),
        ("key=ключ", {}),
        ("", {"Authorization": "Basic s3cret"}),
    ],
)
def test_without_the_right_key_nobody_gets_in(recording: Recording, query: str, headers: dict[str, str]) -> None:
    async def scenario(address: str) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with asr(address, query, additional_headers=headers):
                pass
        answer = refused.value.response
        assert answer.status_code == 403
        assert "A key is needed" in answer.body.decode()

    run(known(recording), scenario, **KEYS)


def test_pages_of_other_origins_are_refused_where_origins_are_named(recording: Recording) -> None:
    async def scenario(address: str) -> None:
        async with _opened(address, origin="https://ours.example"):
            pass
        async with _opened(address, origin=f"http://{address}"):
            pass
        async with _opened(address):
            pass
        with pytest.raises(InvalidStatus) as refused:
            async with asr(address, origin="https://theirs.example"):
                pass
        assert refused.value.response.status_code == 403

    run(known(recording), scenario, origins=["https://ours.example"])


@pytest.mark.slow
def test_a_real_recogniser_on_a_real_server(serve: Callable[..., Served], shared: Path) -> None:
    """President Kennedy through PocketSphinx in a worker process; and a language that it lacks."""
    pytest.importorskip("pocketsphinx", reason="the extra sphinx is not installed")
    address = serve(ears__engine="sphinx").url.removeprefix("http://")
    sound = decode(shared / "media" / "speech" / "jfk_m_en.wav", max_seconds=60, rate=RATE)
    pcm = (np.clip(sound.samples, -1, 1) * 32767).astype("<i2").tobytes()

    async def scenario() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        async with asyncio.timeout(100):
            async with asr(address) as client:
                await message(client)
                await speak(client, pcm)
                await client.send('{"event": "stop"}')
                told, code = await to_the_end(client)
            assert code == 1000
            async with asr(address, "language=kk") as client:
                refused, code = await to_the_end(client)
            assert code == 1008
            return told, refused

    told, refused = asyncio.run(scenario())
    said = (
        "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
    )
    assert word_errors(said, told[-1]["full_text"]) <= 0.5
    finals = [m for m in told if m["type"] == "final" and m["text"]]
    assert len(finals) >= 3, "he makes pauses"
    assert all(a["end"] <= b["start"] + 0.5 for a, b in pairwise(finals))
    assert "English only" in refused[-1]["detail"]


def test_a_kiosk_hears_only_what_can_be_said(server: Served, voice: EspeakVoice) -> None:
    """PocketSphinx chooses among phrases; too many of them, and another sentence, are not heard."""
    pytest.importorskip("pocketsphinx", reason="the extra sphinx is not installed")
    address = server.url.removeprefix("http://")
    query = urlencode([("language", "en"), ("sample_rate", RATE), *(("phrases", s) for s in SENTENCES)])

    async def said(text: str) -> str:
        sound = joined(voice.synthesize(text, language="en", voice="f3")).audio
        pcm = (np.clip(resample(sound, RATE).samples, -1, 1) * 32767).astype("<i2").tobytes()
        async with asr(address, query) as client:
            await message(client)
            await speak(client, pcm + bytes(2 * RATE))
            await client.send('{"event": "stop"}')
            told, _ = await to_the_end(client)
        return str(told[-1]["full_text"])

    async def scenario() -> None:
        async with asyncio.timeout(60):
            assert await said(SENTENCES[0]) == SENTENCES[0]
            assert await said("the weather is nice today") == ""
            async with asr(address, "language=en&sample_rate=16000" + "&phrases=one" * 201) as client:
                refused, code = await to_the_end(client)
            assert code == 1008
            assert "200 phrases" in refused[-1]["detail"]

    asyncio.run(scenario())
