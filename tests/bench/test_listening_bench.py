"""Live recognition is measured by the clock of its client: what is late and what is taken back is found out."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from calls import called
from ears import KnownEar, Recording
from vivavoce.bench.listening import Spoken, embedded, found, measure, rows, word_errors
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.media.audio import write_wav
from vivavoce.nouns import Audio, Transcript
from vivavoce.studio.listeners import Listeners
from vivavoce.studio.listening import Recognise


def test_word_errors() -> None:
    assert word_errors("And so, my fellow Americans", "and so my fellow americans") == 0
    assert word_errors("one two three four", "one too three") == 0.5
    assert word_errors("one", "one two three") == 2
    assert word_errors("one two", "") == 1


def test_recordings_come_from_a_folder_or_from_the_embedded_voice(tmp_path: Path, voice: EspeakVoice) -> None:
    with pytest.raises(InvalidInput, match="no recording"):
        found(tmp_path)
    recording = Recording(voice, ["good morning"])
    for name in ("a", "b", "c"):
        write_wav(tmp_path / f"{name}.wav", Audio(recording.sound, 16000))
    (tmp_path / "b.txt").write_text("good morning\n")
    assert [s.text for s in found(tmp_path)] == ["", "good morning", ""]
    assert len(found(tmp_path, most=1)) == 1
    assert all(s.audio.rate == 16000 and s.audio.seconds > 1 and s.text for s in embedded())


def measured(recognise: Recognise, spoken: list[Spoken]) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with called(Listeners(recognise, language="en")) as address:
            return await asyncio.to_thread(measure, f"http://{address}", spoken)

    return asyncio.run(main())


@pytest.mark.slow
def test_a_recogniser_that_is_late_and_one_that_changes_its_mind_are_found_out(voice: EspeakVoice) -> None:
    recording = Recording(voice, ["good morning to everybody in the old town by the river"], pause=0.3)
    spoken = [Spoken("it", Audio(recording.sound, 16000), recording.sentences[0])]
    ear = KnownEar(recording)

    async def late(audio: Audio, language: str) -> Transcript:
        await asyncio.sleep(1.2)
        return await ear(audio, language)

    prompt, slow = measured(KnownEar(recording), spoken), measured(late, spoken)
    for figures in (prompt, slow):
        assert figures["agreed_retracted"] == 0
        assert figures["word_errors"] == 0
        assert figures["utterances"] == 1
        assert figures["partial_latency"]["median"] <= figures["agreed_latency"]["median"]
    assert 0.4 < prompt["final_latency"]["median"] < 0.8, "half a second of silence, and no more than a moment"
    assert 0.95 < slow["final_latency"]["median"] < 2.8
    assert slow["partial_latency"]["median"] > prompt["partial_latency"]["median"] + 0.3
    assert prompt["shown_retracted"] > 0.5, "its last word is a guess each time"
    table = rows(prompt, "known")
    assert [row.reached for row in table] == [True, True, True]
    assert rows(slow, "late")[0].value == slow["final_latency"]["median"]


def test_a_server_that_cannot_recognise_says_why() -> None:
    async def broken(audio: Audio, language: str) -> Transcript:
        raise EngineUnavailable("Run pip.")

    with pytest.raises(EngineUnavailable, match="Run pip"):
        measured(broken, embedded()[:1])
