"""``face.person`` as a whole: a base that never gives the play away, lips at rest, and the promises of the port."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from carried import AWAY, FPS, SIZE, N, avatar, opens, person
from vivavoce.engines.person.engine import PersonFace, _check_speech
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.look import view
from vivavoce.engines.person.paint import Painter
from vivavoce.engines.person.rests import SHUT, rests
from vivavoce.engines.person.walk import GRIN, Walk, stretch
from vivavoce.errors import Cancelled, FaceRejected, InvalidInput, NotFound
from vivavoce.media.reel import Reel
from vivavoce.nouns import Audio, Avatar, Canvas, Frame, Lesson, Speech
from vivavoce.ports import Idler, Tell, Trainer
from vivavoce.registry import Registry
from vivavoce.testing import sample_speech

CANVAS = Canvas(*SIZE)
LIDS = ((159, 145), (386, 374))


@pytest.fixture(scope="module")
def made() -> Library:
    return person()


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    return avatar(tmp_path_factory.mktemp("people") / "david")


@pytest.fixture(scope="module")
def engine() -> PersonFace:
    return PersonFace(offline=True)


def blinking(library: Library, at: list[int]) -> Library:
    """The same person, whose eyes shut for three pictures at each of these."""
    shape = library.head.shape.copy()
    for start in at:
        for upper, lower in LIDS:
            shape[start : start + 3, upper] = shape[start : start + 3, lower]
    return replace(library, head=replace(library.head, shape=shape))


def silence(frames: int) -> Speech:
    return Speech("", "en", Audio(np.zeros(frames * 640, np.float32), 16_000))


# -- the base


def test_the_base_goes_picture_by_picture_for_an_hour(made: Library) -> None:
    walk = Walk(made, (0, AWAY))
    way = walk.pictures(np.arange(90_000))
    assert np.abs(np.diff(way)).max() == 1
    assert way.min() >= 0
    assert way.max() < AWAY
    assert way[0] == walk.entry


def test_any_part_of_the_way_is_the_same(made: Library) -> None:
    whole = Walk(made, (0, AWAY)).pictures(np.arange(2000))
    for first in (0, 1, 777, 1900):
        steps = np.arange(first, first + 100)
        assert np.array_equal(Walk(made, (0, AWAY)).pictures(steps), whole[steps])


def test_a_blink_is_not_seen_twice_within_a_moment(made: Library) -> None:
    library = blinking(made, [60])
    way = Walk(library, (0, AWAY)).pictures(np.arange(20_000))
    seen = np.flatnonzero(np.diff(np.isin(way, [60, 61, 62]).astype(int)) == 1)
    assert len(seen) > 50
    assert np.diff(seen).min() >= 2 * FPS
    turns = [int(b) for a, b, c in zip(way, way[1:], way[2:], strict=False) if (b - a) * (c - b) < 0 or a == b != c]
    assert not {60, 61, 62} & set(turns), "the film does not turn back with the eyes shut"
    assert len(set(np.diff(seen).tolist())) > 5, "the blink comes at no even pace"


def test_a_loop_ends_where_it_begins(made: Library) -> None:
    walk = Walk(made, (0, AWAY))
    for frames in (50, 200, 1000):
        loop = walk.loop(frames, 1.0)
        assert len(loop) == frames
        assert abs(int(loop[-1]) - int(loop[0])) <= 1
        assert np.abs(np.diff(loop)).max() <= 1
    assert walk.loop(200, 1.0)[0] == walk.entry


def test_a_film_of_a_moment_stands_or_swings(made: Library) -> None:
    for last in (1, 2, 5, 17):
        way = Walk(made, (0, last)).pictures(np.arange(300))
        assert way.min() >= 0
        assert way.max() < last
        assert np.abs(np.diff(way)).max(initial=0) <= 2


def test_the_base_has_no_grin_and_no_lost_face(made: Library) -> None:
    slow = made.slow.copy()
    slow[:45, [14, 87, 317], 1] += 2 * GRIN
    first, last = stretch(replace(made, slow=slow))
    assert first >= 45
    assert last <= AWAY
    assert stretch(replace(made, stretches=((3, 4),))) == (3, 4), "what there is, however short"


def test_lips_at_rest_are_shut_and_seldom_another_pictures(made: Library) -> None:
    span = (0, AWAY)
    worn = rests(made, span)
    assert worn.shape == (AWAY,)
    assert (made.opening[worn] < SHUT).all()
    assert made.usable[worn].all()
    assert sum(abs(int(b) - int(a)) > 1 for a, b in pairwise(worn)) <= 2
    open_only = replace(made, opening=np.full(N, 0.2, np.float32))
    assert made.usable[rests(open_only, span)].all(), "a person who never shuts the mouth has some rest, too"


# -- the port


def test_it_is_found_and_says_what_it_is() -> None:
    engine = Registry().get("face", "person")
    assert isinstance(engine, PersonFace)
    assert isinstance(engine, Idler)
    assert engine.traits.sources == frozenset({"video"})


def test_mama_opens_and_shuts(engine: PersonFace, filmed: Avatar, made: Library) -> None:
    speech = sample_speech(1.6)
    frames = list(engine.animate(filmed, speech, canvas=CANVAS))
    seen = np.array([mouth(made, f, i) for i, f in enumerate(frames)])
    times = (np.arange(len(frames)) + 1.25) / CANVAS.fps  # the mouth is ahead of the sound
    marks = speech.of("phoneme")
    for mark in marks:
        middle = seen[np.abs(times - (mark.start + mark.end) / 2).argmin()]
        assert (middle < 0.05) if mark.text == "m" else (middle > 0.1), f"{mark.text} at {mark.start:.2f}: {middle:.3f}"
    assert seen[0] < 0.02
    assert seen[-1] < 0.02


def mouth(made: Library, frame: Frame, number: int) -> float:
    """How dark it is between the lips, 0-1: the middle column from lip to chin in a picture of the canvas."""
    base = int(Walk(made, stretch(made)).pictures(np.arange(number + 1))[number])
    points = Painter(made, CANVAS).screen.to_canvas(made.points[base, [0, 18], :2])
    (x, top), (_, bottom) = points.round().astype(int)
    column = frame.image[top : bottom + 8, x - 2 : x + 3].astype(int).sum(axis=(1, 2)) / 15
    return float((column < 60).mean())


def test_chunks_join_without_a_jump(engine: PersonFace, filmed: Avatar) -> None:
    one = list(engine.animate(filmed, sample_speech(1.0), canvas=CANVAS))
    two = list(engine.animate(filmed, sample_speech(1.0), canvas=CANVAS, start_frame=len(one)))
    jump = np.abs(one[-1].image.astype(int) - two[0].image).mean()
    usual = np.median([np.abs(a.image.astype(int) - b.image).mean() for a, b in pairwise(one)])
    assert jump < 3 * usual + 0.5


def test_silence_is_the_film_with_shut_lips(engine: PersonFace, filmed: Avatar, made: Library) -> None:
    painter = Painter(made, CANVAS)
    bases = Walk(made, stretch(made)).pictures(np.arange(60))
    with Reel(filmed.path / "idle.mp4") as reel:
        for i, frame in enumerate(engine.animate(filmed, silence(60), canvas=CANVAS)):
            points = made.points[bases[i]].copy()
            points[:, :2] = painter.screen.to_canvas(points[:, :2])
            if opens()[bases[i]] == 0:
                assert view(frame.image, points).opening() < SHUT
                shown = painter.screen.show(reel[int(bases[i])])
                assert np.abs(frame.image.astype(int) - shown).mean() < 0.5


def test_listening_loops(engine: PersonFace, filmed: Avatar) -> None:
    frames = [f.image.astype(int) for f in engine.idle(filmed, canvas=Canvas(240, 240), seconds=4.0)]
    assert len(frames) == 100
    steps = [float(np.abs(a - b).mean()) for a, b in pairwise(frames)]
    assert np.abs(frames[-1] - frames[0]).mean() <= max(steps)
    assert max(steps) > 0


def test_other_rates_show_the_film_as_fast_as_it_was(engine: PersonFace, filmed: Avatar) -> None:
    slow = [f.image for f in engine.animate(filmed, silence(50), canvas=Canvas(240, 240, 25))]
    fast = [f.image for f in engine.animate(filmed, silence(50), canvas=Canvas(240, 240, 50))]
    assert len(fast) == 2 * len(slow)
    apart = [float(np.abs(a.astype(int) - b).mean()) for a, b in zip(slow, fast[::2], strict=True)]
    assert max(apart) < 0.2


def test_expressive_people_open_wider(filmed: Avatar, made: Library) -> None:
    def widest(amount: float) -> float:
        frames = PersonFace(expressiveness=amount).animate(filmed, sample_speech(1.2), canvas=CANVAS)
        return float(np.mean([mouth(made, f, i) for i, f in enumerate(frames)]))

    assert widest(0.5) < widest(1.0)
    for wrong in (0.0, 3.0):
        with pytest.raises(InvalidInput, match="expressiveness"):
            PersonFace(expressiveness=wrong)


def test_somebody_who_hardly_speaks_has_no_mouths_to_take(made: Library) -> None:
    talks = replace(made, report={"speech_seconds": 2.0}, opening=np.full(N, 0.2, np.float32))
    _check_speech(talks)  # a film without sound, in which lips are seen to move
    with pytest.raises(FaceRejected, match=r"speaks for 2 s.*at least 8 s.*photo"):
        _check_speech(replace(talks, opening=np.zeros(N, np.float32)))
    _check_speech(replace(talks, opening=np.zeros(N, np.float32), report={"speech_seconds": 9.0}))


def test_what_cannot_be_is_refused(engine: PersonFace, filmed: Avatar, tmp_path: Path) -> None:
    for size in ((64, 64), (241, 240), (4000, 240)):
        with pytest.raises(InvalidInput, match="even numbers"):
            next(engine.animate(filmed, silence(5), canvas=Canvas(*size)))
    with pytest.raises(NotFound, match="again"):
        next(engine.animate(Avatar("nobody", tmp_path, "person"), silence(5), canvas=CANVAS))
    still = tmp_path / "still.jpg"
    still.write_bytes(b"\xff\xd8\xff no film")
    with pytest.raises(InvalidInput, match="video"):
        engine.prepare(still, tmp_path)


# -- learning


@pytest.mark.parametrize(("options", "word"), [({"expressiveness": 0.1}, "0.5"), ({"expressiveness": 3.0}, "2")])
def test_what_cannot_be_trained(engine: PersonFace, tmp_path: Path, options: dict[str, float | str], word: str) -> None:
    assert isinstance(engine, Trainer)
    (tmp_path / "film.mp4").write_bytes(b"no film")
    with pytest.raises(InvalidInput, match=word):
        engine.train(
            tmp_path / "film.mp4", tmp_path, work=tmp_path / "work", epochs=1, options=options, tell=lambda _: None
        )
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
def test_a_training_goes_on_where_it_was(shared: Path, tmp_path: Path) -> None:
    """Ended in the midst of following the face, then called again: the same person, and their own expressiveness."""
    source = shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4"
    engine, told = PersonFace(), list[Lesson]()

    def until_half(lesson: Lesson) -> None:
        told.append(lesson)
        if lesson.fraction > 0.5:
            raise Cancelled("enough")

    def train(into: Path, tell: Tell) -> Avatar:
        into.mkdir(exist_ok=True)
        return engine.train(
            source, into, work=tmp_path / "work", epochs=9, options={"expressiveness": 1.5, "lr": 0.1}, tell=tell
        )

    with pytest.raises(Cancelled):
        train(tmp_path / "first", until_half)
    assert any((tmp_path / "work").iterdir())
    again: list[Lesson] = []
    made = train(tmp_path / "second", again.append)
    assert [lesson.stage for lesson in told][-1] == "track"
    half = next(lesson.fraction for lesson in again if lesson.stage == "track" and lesson.fraction > 0.04)
    assert half > 0.3, "it did not begin anew"
    assert json.loads((made.path / "avatar.json").read_text())["expressiveness"] == 1.5
    frames = list(engine.animate(made, sample_speech(), canvas=Canvas(256, 256)))
    assert len(frames) == Canvas(256, 256).frames(sample_speech().audio.seconds)
