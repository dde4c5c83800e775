"""Voices of people in a worker: learnt, spoken with, forgotten; what is cancelled leaves nothing, here or elsewhere."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable, InvalidInput, NotFound, TimedOut, TooLarge, UnsupportedMedia
from vivavoce.media.audio import decode, write_wav
from vivavoce.media.synthetic import is_marked
from vivavoce.nouns import Audio, Canvas, CloneTraits, Speech
from vivavoce.registry import Registry
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.store.voices import VoiceStore
from vivavoce.studio import tasks as limits
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.perform import Stage
from vivavoce.studio.scene import Stager, builtin_avatars
from vivavoce.studio.speech import joined
from vivavoce.studio.tasks import Tasks
from vivavoce.work.events import Done, Event, Progress, Task

ANNA, BORIS = "0123456789abcdef", "fedcba9876543210"
TEXT = "Please keep to the left."


class Actor:
    """A cloner that says everything as the embedded voice m3; it waits where a test wants it to."""

    traits = CloneTraits(languages=("en", "ru"), approximate=True, least=1.0, licence="own")

    def __init__(self, voice: EspeakVoice) -> None:
        self._voice = voice
        self.go = threading.Event()
        self.go.set()
        self.busy = threading.Event()
        self.forgotten: list[str] = []

    def enrol(self, recordings: Sequence[Audio], into: Path) -> tuple[str, ...]:
        self.busy.set()
        self.go.wait(20)
        (into / "who").write_text(str(len(recordings)))
        return ("Little speech.",)

    def synthesize(self, text: str, *, language: str, voice: Path) -> Iterator[Speech]:
        assert (voice / "who").is_file()
        self.busy.set()
        self.go.wait(20)
        yield from self._voice.synthesize(text, language=language, voice="m3")

    def forget(self, voice: Path) -> None:
        self.forgotten.append((voice / "who").read_text())


@pytest.fixture
def config(tmp_path: Path) -> StudioConfig:
    return StudioConfig(tmp_path / "data", language="ru", canvas=Canvas(128, 128, 25), offline=True)


@pytest.fixture
def actor(voice: EspeakVoice) -> Actor:
    return Actor(voice)


@pytest.fixture
def stage(config: StudioConfig, actor: Actor) -> Iterator[Stage]:
    stage = Stage(config)
    stage._registry._loaded["clone.http"] = actor
    yield stage
    actor.go.set()
    stage.close()


@pytest.fixture
def store(config: StudioConfig) -> VoiceStore:
    return VoiceStore(config.voices)


@pytest.fixture(scope="module")
def heard(voice: EspeakVoice, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording."""
    path = tmp_path_factory.mktemp("heard") / "a.wav"
    write_wav(path, joined(voice.synthesize("The old man walked to the harbour.", language="en", voice="m1")).audio)
    return path


def enrolment(*recordings: Path, **changes: Any) -> Task:
    params = {
        "recordings": [str(path) for path in recordings],
        "owner": ANNA,
        "id": "anna",
        "name": "Anna",
        "language": "en",
        "engine": "http",
        "consent": {"given": True, "by": "Anna K."},
    }
    return Task("t", "enrol", params | changes)


def result(stage: Stage, task: Task) -> dict[str, Any]:
    *_, last = stage(task)
    assert isinstance(last, Done)
    return dict(last.result)


def remains(config: StudioConfig) -> list[Path]:
    """Whatever lies in the folder of voices, when what goes on has had time to end."""
    until = monotonic() + 8
    while (found := _files(config.voices)) and monotonic() < until:
        threading.Event().wait(0.02)
    return found


def _files(folder: Path) -> list[Path]:
    """Those below it; a folder that goes meanwhile has none."""
    return [Path(where) / name for where, _, names in os.walk(folder) for name in names]


def closed_when(events: Iterator[Event], busy: threading.Event) -> float:
    """Close the events once the work is busy; returns how many seconds that took."""
    for _ in events:
        if busy.is_set():
            break
    began = monotonic()
    events.close()  # type: ignore[attr-defined]  # it is a generator
    return monotonic() - began


def test_a_voice_is_learnt_and_speaks(
    stage: Stage, store: VoiceStore, voice: EspeakVoice, heard: Path, tmp_path: Path
) -> None:
    done = result(stage, enrolment(heard, heard))
    assert done["id"] == "anna"
    assert done["warnings"] == ["Little speech."]
    kept = store.get(ANNA, "anna")
    assert (kept.engine, kept.language, kept.consent.given, kept.consent.by) == ("http", "en", True, "Anna K.")
    assert len(kept.recordings) == 2
    target = tmp_path / "said.wav"
    spoken = {"text": TEXT, "language": "en", "voice_engine": "clone", "voice": "anna", "owner": ANNA}
    events = list(stage(Task("t", "speech", spoken | {"audio": str(target), "format": "wav"})))
    assert "clone" in [e.stage for e in events if isinstance(e, Progress)]
    expected = joined(voice.synthesize(TEXT, language="en", voice="m3")).audio
    said = decode(target, max_seconds=60)
    assert said.rate == expected.rate
    assert np.abs(said.samples - expected.samples).max() < 1e-3
    assert is_marked(target)
    with pytest.raises(NotFound):
        result(stage, Task("t", "speech", spoken | {"owner": BORIS, "audio": str(target), "format": "wav"}))


def test_a_clone_is_filmed_with_phonemes(config: StudioConfig, stage: Stage, heard: Path) -> None:
    result(stage, enrolment(heard))
    stager = Stager(config, Registry(), AvatarLibrary(config.avatars, builtin_avatars()))
    scene = stager.scene(TEXT, voice="clone/anna", owner=ANNA)
    assert (scene.language, scene.voice_engine, scene.voice) == ("en", "clone", "anna"), (
        "its own language is its default"
    )
    assert stager.scene("Привет", language="ru", voice="clone/anna", owner=ANNA).language == "ru"
    said = result(stage, Task("t", "say", scene.params(owner=ANNA)))["speech"]
    assert {mark[0] for mark in said["marks"]} == {"word", "phoneme"}
    for owner, id_ in ((BORIS, "anna"), ("", "anna"), (ANNA, "nobody"), (ANNA, ""), (ANNA, "../anna")):
        with pytest.raises(NotFound, match="There is no voice"):
            stager.scene(TEXT, voice=f"clone/{id_}", owner=owner)


def test_forgetting_tells_the_cloner(stage: Stage, store: VoiceStore, actor: Actor, heard: Path) -> None:
    result(stage, enrolment(heard))
    result(stage, Task("t", "forget", {"owner": ANNA, "id": "anna"}))
    assert actor.forgotten == ["1"]
    assert store.list(ANNA) == []
    with pytest.raises(NotFound):
        result(stage, Task("t", "forget", {"owner": ANNA, "id": "anna"}))


def test_a_voice_can_be_removed_when_its_cloner_is_gone(config: StudioConfig, store: VoiceStore, heard: Path) -> None:
    audio = decode(heard, max_seconds=60)
    store.add(ANNA, "old", [audio], lambda _: (), engine="of-a-plug-in")
    bare = Stage(config)
    spoken = {"text": TEXT, "language": "en", "voice_engine": "clone", "voice": "old", "owner": ANNA}
    with pytest.raises(EngineUnavailable, match="of-a-plug-in"):
        result(bare, Task("t", "speech", spoken | {"audio": "/dev/null", "format": "wav"}))
    result(bare, Task("t", "forget", {"owner": ANNA, "id": "old"}))
    assert store.list(ANNA) == []
    bare.close()


def test_a_cancel_is_heard_while_a_voice_is_learnt_and_nothing_stays(
    config: StudioConfig, stage: Stage, actor: Actor, heard: Path
) -> None:
    actor.go.clear()
    assert closed_when(stage(enrolment(heard)), actor.busy) < 0.8
    actor.go.set()
    assert remains(config) == []
    assert actor.forgotten == ["1"], "a service was told that the voice is not wanted"
    assert result(stage, enrolment(heard))["id"] == "anna"


def test_a_cancel_is_heard_while_a_clone_thinks(stage: Stage, actor: Actor, heard: Path, tmp_path: Path) -> None:
    result(stage, enrolment(heard))
    actor.go.clear()
    actor.busy.clear()
    spoken = {"text": TEXT, "language": "en", "voice_engine": "clone", "voice": "anna", "owner": ANNA}
    task = Task("t", "speech", spoken | {"audio": str(tmp_path / "a.wav"), "format": "wav"})
    assert closed_when(stage(task), actor.busy) < 0.8
    assert not (tmp_path / "a.wav").exists()


def _silence(path: Path) -> Path:
    write_wav(path, Audio(np.zeros(5 * 16_000, np.float32), 16_000))
    return path


def _long(path: Path) -> Path:
    write_wav(path, Audio(np.full(301 * 8_000, 0.1, np.float32), 8_000), 8_000)
    return path


def _text(path: Path) -> Path:
    path.write_text("no sound at all")
    return path


@pytest.mark.parametrize(
    ("made", "times", "error"),
    [(_text, 1, UnsupportedMedia), (_long, 1, TooLarge), (_silence, 11, TooLarge)],
)
def test_recordings_that_cannot_be_used(
    config: StudioConfig,
    stage: Stage,
    tmp_path: Path,
    made: Callable[[Path], Path],
    times: int,
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        result(stage, enrolment(*[made(tmp_path / "in.wav")] * times))
    assert remains(config) == []


def test_a_cloner_that_refuses_leaves_nothing(config: StudioConfig, tmp_path: Path) -> None:
    pytest.importorskip("pyworld", reason="the dependency group measuring is not installed")
    stage = Stage(config)
    with pytest.raises(InvalidInput, match="speech"):
        result(stage, enrolment(_silence(tmp_path / "in.wav"), engine="world"))
    assert remains(config) == []
    stage.close()


class Slow:
    """An executor whose tasks stay in the stage that is their kind for 0.2 s."""

    capacity = 1

    async def submit(self, task: Task) -> AsyncGenerator[Event]:
        yield Progress(0.0, task.kind)
        await asyncio.sleep(0.2)
        yield Done({"kind": task.kind})


def test_a_clone_has_longer_than_a_voice(config: StudioConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_GRACE", 0.0)
    tasks = Tasks(replace(config, voice_seconds=0.05), Slow())
    with pytest.raises(TimedOut, match=r"more than 0\.05 seconds"):
        asyncio.run(tasks.done("voice", {}))
    assert asyncio.run(tasks.done("clone", {})) == {"kind": "clone"}
    monkeypatch.setattr(limits, "_CLONE_SECONDS", 0.05)
    assert asyncio.run(Tasks(config, Slow()).done("clone", {})), "a voice may take 30 s, so a clone may too"
    own = replace(config, voice_seconds=0.05, clone_options={"clone.http": {"seconds_limit": 0.1}})
    with pytest.raises(TimedOut, match=r"more than 0\.1 seconds"):
        asyncio.run(Tasks(own, Slow()).done("clone", {}))
