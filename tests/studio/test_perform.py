"""The worker's side with the engines that ship: what is said is filmed, what is cancelled is gone."""

import io
import threading
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vivavoce.errors import InvalidInput, NotFound, TooLarge
from vivavoce.media.audio import write_wav
from vivavoce.media.synthetic import is_marked
from vivavoce.nouns import Audio, Avatar, Canvas, Frame, Speech
from vivavoce.registry import Registry
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.perform import Stage
from vivavoce.studio.scene import Scene, Stager, builtin_avatars
from vivavoce.work.events import Done, Grown, Progress, Task

CANVAS = Canvas(128, 128, 25)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> StudioConfig:
    return StudioConfig(tmp_path_factory.mktemp("data"), language="en", canvas=CANVAS, offline=True)


@pytest.fixture(scope="module")
def stage(config: StudioConfig) -> Iterator[Stage]:
    stage = Stage(config)
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def stager(config: StudioConfig) -> Stager:
    return Stager(config, Registry(), AvatarLibrary(config.avatars, builtin_avatars()))


@pytest.fixture(scope="module")
def scene(stager: Stager) -> Scene:
    return stager.scene("Hello there, my friend.")


def play(stage: Stage, kind: str, scene: Scene, **more: Any) -> dict[str, Any]:
    *_, last = stage(
        Task("t", kind, scene.params(**{k: str(v) if isinstance(v, Path) else v for k, v in more.items()}))
    )
    assert isinstance(last, Done)
    return dict(last.result)


def test_said_and_rendered_is_a_film_with_sound(stage: Stage, scene: Scene, tmp_path: Path) -> None:
    said = play(stage, "say", scene)
    film, sound = tmp_path / "a.mp4", tmp_path / "a.wav"
    done = play(stage, "render", scene, speech=said["speech"], start_frame=8, video=film, audio=sound)
    assert done["frames"] == said["frames"]
    assert done["frames"] % 8 == 0
    assert done["seconds"] == pytest.approx(said["frames"] / 25)
    with av.open(film) as read:
        pictures = [f.to_ndarray(format="rgb24").astype(int) for f in read.decode(video=0)]
    assert len(pictures) == done["frames"]
    assert max(np.abs(a - pictures[0]).max() for a in pictures) > 40  # somebody moves
    with wave.open(str(sound)) as heard:
        assert heard.getnframes() == pytest.approx(done["seconds"] * 16000, abs=2)
    assert is_marked(sound)


def test_film_reports_how_far_it_is(stage: Stage, scene: Scene, tmp_path: Path) -> None:
    events = list(stage(Task("t", "film", scene.params(video=str(tmp_path / "a.mp4")))))
    told = [e for e in events if isinstance(e, Progress)]
    assert [e.stage for e in told][:2] == ["voice", "face"]
    assert [e.fraction for e in told] == sorted(e.fraction for e in told)
    assert told[-1].fraction > 0.8


@pytest.mark.parametrize("kind", ["film", "render"])
def test_a_film_that_grows_can_be_watched_and_is_then_the_same_film(
    stage: Stage, scene: Scene, tmp_path: Path, kind: str
) -> None:
    more = {"speech": play(stage, "say", scene)["speech"]} if kind == "render" else {}
    growing, sizes = tmp_path / "a.growing", []
    paths = {"video": str(tmp_path / "a.mp4"), "growing": str(growing)}
    for event in stage(Task("t", kind, scene.params(**more, **paths))):
        if isinstance(event, Grown):
            sizes.append(event.size)
            assert growing.stat().st_size >= event.size
            with av.open(io.BytesIO(growing.read_bytes()[: event.size]), "r") as read:
                assert len(list(read.decode(video=0))) >= 5
    assert isinstance(event, Done)
    assert sizes == sorted(sizes)
    assert len(sizes) >= 3
    play(stage, kind, scene, **more, video=tmp_path / "b.mp4")
    films = []
    for path in (tmp_path / "a.mp4", tmp_path / "b.mp4"):
        with av.open(path) as read:
            films.append([(p.pts, bytes(p)) for p in read.demux() if p.dts is not None])
    assert films[0] == films[1]


def test_skipped_frames_are_the_engine_s_to_fill(stage: Stage, scene: Scene, tmp_path: Path) -> None:
    """The face engine is told, and only when there is something to tell."""
    told: list[dict[str, Any]] = []

    class Still:
        def animate(self, _: Avatar, speech: Speech, *, canvas: Canvas, **more: Any) -> Iterator[Frame]:
            told.append(more)
            for n in range(canvas.frames(speech.audio.seconds)):
                yield Frame(np.zeros((canvas.height, canvas.width, 3), np.uint8), n / canvas.fps)

    own = Stage(StudioConfig(tmp_path, language="en", canvas=CANVAS, offline=True))
    own._registry._loaded[f"face.{scene.face_engine}"] = Still()
    try:
        for skip in ({}, {"frame_skip": 1}, {"frame_skip": 3}):
            play(own, "film", scene, video=tmp_path / "a.mp4", **skip)
    finally:
        own.close()
    assert told == [{"start_frame": 0}, {"start_frame": 0}, {"start_frame": 0, "frame_skip": 3}]


@pytest.mark.parametrize("grows", [False, True])
def test_closing_ends_the_work_and_leaves_no_file(stage: Stage, scene: Scene, tmp_path: Path, grows: bool) -> None:
    long = replace(scene, text="Hello there. " * 30)
    threads = threading.active_count()
    growing = {"growing": str(tmp_path / "a.growing")} if grows else {}
    events = stage(Task("t", "film", long.params(video=str(tmp_path / "a.mp4"), **growing)))
    for event in events:
        if isinstance(event, Grown) or (not grows and isinstance(event, Progress) and event.fraction > 0.01):
            break
    events.close()  # type: ignore[attr-defined]  # it is a generator
    assert threading.active_count() == threads
    assert list(tmp_path.iterdir()) == []


def recording(path: Path, samples: "np.ndarray[Any, np.dtype[np.float32]]") -> Path:
    write_wav(path, Audio(samples, 16000))
    return path


def test_a_recording_is_played_with_and_without_its_words(
    stage: Stage, stager: Stager, scene: Scene, tmp_path: Path
) -> None:
    said = play(stage, "say", scene)["speech"]
    samples = np.frombuffer(said["samples"], "<f4")
    write_wav(tmp_path / "in.wav", Audio(samples, said["rate"]))
    for known in (scene, stager.scene("", recorded=True)):
        sound = tmp_path / "out.wav"
        done = play(stage, "film", known, recording=tmp_path / "in.wav", video=tmp_path / "out.mp4", audio=sound)
        assert done["seconds"] == pytest.approx(len(samples) / said["rate"], abs=0.33)
        assert not is_marked(sound), "nobody but the speaker made this sound"


@pytest.mark.parametrize("samples", [np.zeros(16000, np.float32), np.zeros(0, np.float32)])
def test_a_silent_recording_is_refused(
    stage: Stage, scene: Scene, tmp_path: Path, samples: "np.ndarray[Any, np.dtype[np.float32]]"
) -> None:
    path = recording(tmp_path / "in.wav", samples)
    with pytest.raises(InvalidInput):
        play(stage, "film", scene, recording=path, video=tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_recording_over_the_limit_is_refused(config: StudioConfig, scene: Scene, tmp_path: Path) -> None:
    path = recording(tmp_path / "in.wav", 0.1 * np.ones(32000, np.float32))
    short = Stage(StudioConfig(config.data_dir, max_audio_seconds=1.0))
    with pytest.raises(TooLarge):
        play(short, "film", scene, recording=path, video=tmp_path / "out.mp4")
    short.close()


def test_describe_names_voices_and_device(stage: Stage, config: StudioConfig) -> None:
    stage.warm()
    *_, last = stage(Task("t", "describe"))
    assert isinstance(last, Done)
    offered = {v["engine"]: v for v in last.result["voices"]}
    assert {"ru", "kk", "en", "ko", "zh"} <= set(offered["espeak"]["languages"])
    assert (last.result["device"], last.result["loaded"]) == ("cpu", True)


def test_what_learns_people_is_told_when_it_is_asked_for(stage: Stage) -> None:
    *_, last = stage(Task("t", "able"))
    assert isinstance(last, Done)
    assert "photo" not in last.result["trainers"]
    assert "person" in last.result["trainers"]
    cloners = {c["engine"]: c for c in last.result["cloners"]}
    assert {"world", "http", "elevenlabs"} <= set(cloners)
    assert not cloners["http"]["available"]
    assert "VIVAVOCE_CLONES__HTTP__URL" in cloners["http"]["missing"]


@pytest.mark.parametrize(
    ("text", "options", "error"),
    [
        ("", {}, InvalidInput),
        ("Hello", {"language": "xx"}, InvalidInput),
        ("Hello", {"avatar": "nobody"}, NotFound),
        ("Hello", {"size": "1x1"}, InvalidInput),
        ("Hello", {"fps": 5}, InvalidInput),
        ("Hello", {"engine": "nothing"}, InvalidInput),
        ("Hello", {"voice": "nothing/f1"}, InvalidInput),
        ("word " * 1001, {}, TooLarge),
        ("word " * 1001, {"recorded": True}, TooLarge),
    ],
)
def test_what_cannot_be_played_is_refused_before_any_work(
    stager: Stager, text: str, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        stager.scene(text, **options)
