"""The cloning benchmark tells a cloner that clones from one that does not, and mumbling from speech."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from vivavoce.bench.cloning import Cloned, measure, rows, table
from vivavoce.engines.clones import vocoder
from vivavoce.engines.clones.world import WorldCloner
from vivavoce.engines.ears.sphinx import SphinxEar
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.engines.speakers.ge2e import Ge2eEncoder
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.media.audio import resample, write_wav
from vivavoce.nouns import Audio, CloneTraits, Speech
from vivavoce.studio.speech import joined

WHO = {"anna": "f3", "boris": "m1"}


@pytest.fixture(scope="module")
def people(voice: EspeakVoice, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers, each by a voice of espeak, with two recordings."""
    folder = tmp_path_factory.mktemp("people")
    for name, variant in WHO.items():
        (folder / name).mkdir()
        for i, text in enumerate(("The north wind and the sun disputed.", "A traveller came along in a warm cloak.")):
            write_wav(folder / name / f"{i}.wav", joined(voice.synthesize(text, language="en", voice=variant)).audio)
    return folder


class Perfect:
    """Knows who was recorded by the pitch, and speaks with the very voice."""

    traits = CloneTraits(("en",))

    def __init__(self, voice: EspeakVoice, *, deaf: bool = False, mumbling: bool = False) -> None:
        self._voice, self._deaf, self._mumbling = voice, deaf, mumbling

    def enrol(self, recordings: Sequence[Audio], into: Path) -> tuple[str, ...]:
        (into / "who").write_text("f3" if self._deaf or _is_high(recordings[0]) else "m1")
        return ()

    def synthesize(self, text: str, *, language: str, voice: Path) -> Iterator[Speech]:
        words = text if not self._mumbling else "Bla bla bla bla bla bla bla bla."
        yield joined(self._voice.synthesize(words, language=language, voice=(voice / "who").read_text()))


def _is_high(audio: Audio) -> bool:
    pitch = vocoder.analyse(resample(audio, vocoder.RATE).samples, clean=True).pitch
    return bool(np.median(pitch[pitch > 0]) > 150)


@pytest.fixture(scope="module")
def judges() -> tuple[Ge2eEncoder, SphinxEar]:
    try:
        return Ge2eEncoder(), SphinxEar()
    except EngineUnavailable as e:
        pytest.skip(str(e))


@pytest.mark.slow
def test_what_a_cloner_is_worth_is_seen(
    people: Path, voice: EspeakVoice, judges: tuple[Ge2eEncoder, SphinxEar]
) -> None:
    encoder, ear = judges

    def judged(cloner: Perfect) -> list[Cloned]:
        return measure(people, cloner=cloner, base=voice, voice="f3", encoder=encoder, ear=ear, sentences=2)

    good, deaf, mumbling = (judged(Perfect(voice, **how)) for how in ({}, {"deaf": True}, {"mumbling": True}))
    assert [one.speaker for one in good] == ["anna", "boris"]
    assert all(one.first == 1 for one in good)
    assert good[1].after > good[1].before + 0.2
    assert good[1].after > 0.8
    assert [one.first for one in deaf] == [1, 0]
    assert deaf[1].after == pytest.approx(deaf[1].before)
    assert deaf[0].errors_after == deaf[0].errors_before
    assert mumbling[0].errors_after > good[0].errors_after + 0.1
    assert mumbling[0].chosen_after > good[0].chosen_after + 0.5
    reached = {row.what: row.reached for row in rows(good)}
    assert reached["clone: alikeness, mean"]
    assert rows(mumbling)[1].reached is False
    lines = table(good).strip().splitlines()
    assert len(lines) == 2 + 2 + 1
    assert lines[-1].startswith("| mean |")
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.slow
def test_world_keeps_its_promises(shared: Path, voice: EspeakVoice, judges: tuple[Ge2eEncoder, SphinxEar]) -> None:
    """Alike to recordings that it has not heard, and about as clear as the base voice."""
    encoder, ear = judges
    found = measure(
        shared / "media/speech/speakers", cloner=WorldCloner(voice), base=voice, encoder=encoder, ear=ear, sentences=4
    )
    likeness, words, speed = rows(found)
    assert likeness.value is not None
    assert likeness.value > 0.73, "of a few sentences only; the benchmark has more"
    assert words.value is not None
    assert words.value < 20
    assert np.mean([one.first for one in found]) > 0.9
    assert np.mean([one.chosen_after for one in found]) < 0.1
    assert speed.value is not None
    assert speed.value > 0.5


def test_a_folder_without_speakers_is_refused(
    tmp_path: Path, voice: EspeakVoice, judges: tuple[Ge2eEncoder, SphinxEar]
) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(InvalidInput, match="two speakers"):
        measure(tmp_path, base=voice, cloner=Perfect(voice), encoder=judges[0], ear=judges[1])
