"""Must show 3 of issue 8: a real film of 20 s, small, on a processor."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytestmark = [pytest.mark.neural, pytest.mark.slow]

from vivavoce.engines.nerf.answers import answering, misfit  # noqa: E402
from vivavoce.engines.nerf.field.networks import Shape, window  # noqa: E402
from vivavoce.engines.nerf.field.picture import Moment, picture  # noqa: E402
from vivavoce.engines.nerf.training.learning import Wish, grid_for  # noqa: E402  torch first, or the file is skipped
from vivavoce.engines.nerf.training.measured import answers_of  # noqa: E402
from vivavoce.engines.nerf.training.prepare import Prepared, prepare  # noqa: E402
from vivavoce.engines.nerf.training.school import Plan, Progress, School  # noqa: E402
from vivavoce.engines.person import store  # noqa: E402
from vivavoce.engines.person.library import Library  # noqa: E402
from vivavoce.engines.person.prepare import prepare as watch  # noqa: E402
from vivavoce.face.locate import FaceLocator  # noqa: E402
from vivavoce.models import ModelStore  # noqa: E402

F32 = npt.NDArray[np.float32]
PIXELS, STEPS, RAYS = 96, 260, 2048


def psnr(made: F32, wanted: F32) -> float:
    return float(-10 * np.log10(np.mean((made - wanted) ** 2)))


def said(school: School, prepared: Prepared, number: int) -> F32:
    """A frame of the film, as the head has it."""
    heard = window(torch.from_numpy(prepared.heard), number)[None]
    below = torch.from_numpy(np.array(prepared.behind[number])).float() / 255
    with torch.inference_mode():
        moment = Moment(school.mean.listen(heard), torch.from_numpy(prepared.eyes[number][None]))
        pose = torch.from_numpy(prepared.poses[number])
        return np.asarray(picture(school.mean, school.cells, prepared.camera, pose, moment, below).numpy())


@pytest.fixture(scope="module")
def man(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Library, Prepared]:
    models, folder = ModelStore(), tmp_path_factory.mktemp("man")
    into, work = folder / "man", folder / "work"
    into.mkdir()
    work.mkdir()
    watch(shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4", into, models)
    library = store.load(into)
    return library, prepare(library, into, work, models, pixels=PIXELS)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_how_far_lips_part_is_measured_as_it_is_seen(man: tuple[Library, Prepared], share: float) -> None:
    """A head whose mouths are the film's own, and one that has them half as wide as it is asked."""
    library, prepared = man
    good = np.array(prepared.good)
    gaps = library.features[good, 0]

    def see(_: int, lips: F32) -> npt.NDArray[np.uint8]:
        gap = lips[0] * prepared.ear_spread[0] + prepared.ear_mean[0]
        shown = gaps.min() + share * (gap - gaps.min())
        return np.asarray(prepared.pictures[good[np.abs(gaps - shown).argmin()]])

    answers = answers_of(see, prepared, library, FaceLocator(ModelStore()))
    asked, seen = np.array(answers).T
    assert (np.diff(asked) > 0).all()
    assert (np.diff(seen) >= 0).all()
    assert not misfit(answers)
    assert np.polyfit(asked, seen, 1)[0] == pytest.approx(share, rel=0.25)
    assert answering(np.array([0.08]), answers)[0] == pytest.approx(asked[0] + (0.08 - asked[0]) / share, rel=0.25)


def test_a_head_without_a_face_has_no_answers(man: tuple[Library, Prepared]) -> None:
    library, prepared = man
    nobody = np.full((PIXELS, PIXELS, 3), 127, np.uint8)
    assert answers_of(lambda *_: nobody, prepared, library, FaceLocator(ModelStore())) == ()


def test_a_person_is_learnt_and_known_in_pictures_that_were_held_back(man: tuple[Library, Prepared]) -> None:
    prepared = man[1]
    n = len(prepared.poses)
    assert prepared.error < 0.015  # of the distance of the eyes
    first = n * 10 // 11
    taught = tuple(i for i in prepared.good if i < first)
    held = [i for i in prepared.good if i >= first][::4]
    shape = Shape("lips", codes=n, grid=grid_for(prepared))
    assert Wish.of({"size": PIXELS}, "cpu").ear == shape.ear
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    school, told = School(Plan(shape, head=STEPS, rays=RAYS, together=4, cells=64)), list[Progress]()
    school.learn(prepared.lessons(taught), told.append)
    torch.set_num_threads(before)
    losses = [now.loss for now in told]
    assert np.mean(losses[-40:]) < 0.5 * np.mean(losses[:20])
    usual = np.asarray(prepared.pictures[list(taught)].astype(np.float32).mean(axis=0) / 255, np.float32)
    whole, heads = [], []
    for number in held:
        filmed, made = np.asarray(prepared.pictures[number] / 255, np.float32), said(school, prepared, number)
        left, right, top, bottom = prepared.heads[number]
        head = slice(top, bottom + 1), slice(left, right + 1)
        whole.append(psnr(made, filmed) - psnr(usual, filmed))
        heads.append(psnr(made[head], filmed[head]) - psnr(usual[head], filmed[head]))
    assert np.mean(whole) >= 3
    assert np.mean(heads) >= 3  # where nothing but the field can tell
