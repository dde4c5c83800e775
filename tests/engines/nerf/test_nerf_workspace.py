"""Workspaces of ER-NeRF and SyncTalk: imported they render what their tensors render, and damaged ones are refused."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.neural

from checkpoints import random_state  # noqa: E402  torch first, or the file is skipped
from vivavoce.engines.nerf.engine import ErNerfFace, SyncTalkFace  # noqa: E402
from vivavoce.engines.nerf.field.networks import window  # noqa: E402
from vivavoce.engines.nerf.field.picture import Moment, picture  # noqa: E402
from vivavoce.engines.nerf.field.rays import Camera, from_nerf  # noqa: E402
from vivavoce.engines.nerf.hearing import Hearing  # noqa: E402
from vivavoce.engines.nerf.talker import Talker, load  # noqa: E402
from vivavoce.engines.nerf.workspace.convert import Imported, convert  # noqa: E402
from vivavoce.engines.photo.shoot import picture_of  # noqa: E402
from vivavoce.errors import Cancelled, EngineUnavailable, InvalidInput  # noqa: E402
from vivavoce.media import audio  # noqa: E402
from vivavoce.media.picture import open_picture  # noqa: E402
from vivavoce.media.reel import Reel  # noqa: E402
from vivavoce.models import ModelStore  # noqa: E402
from vivavoce.nouns import Canvas, Speech  # noqa: E402
from workspaces import FOCAL, FRAMES, ROWS, SIDE, Layout, opt, pose, state, write  # noqa: E402

LAYOUTS = {
    "ernerf": Layout(),
    "ernerf-torso": Layout(torso=True),
    "ernerf-best": Layout(file="checkpoints/ngp.pth", best=True),
    "ernerf-hubert-bare": Layout(ear="hubert", file="ngp.pth", wrapped=False),
    "ernerf-esperanto-no-eyes": Layout(ear="esperanto", eyes=0),
    "synctalk": Layout("synctalk", "ave"),
    "synctalk-torso-best": Layout("synctalk", "ave", torso=True, best=True),
    "synctalk-deepspeech-four-eyes": Layout("synctalk", eyes=4),
}


def imported(folder: Path, into: Path, **given: Any) -> tuple[Imported, Talker]:
    into.mkdir()
    made = convert(folder, into, ModelStore(), **given)
    return made, load(into)


def level(made: Imported, what: str) -> list[str]:
    return [one.level for one in made.findings if one.what == what]


def says(made: Imported, what: str) -> str:
    return " ".join(one.says for one in made.findings if one.what == what)


def expected_eyes(layout: Layout, folder: Path, i: int) -> Any:
    """By the published reader: AU45 up to 2, halved; or some of the blendshapes."""
    if layout.shape.eyes == 0:
        return None
    if layout.engine == "ernerf":
        return torch.tensor([[min(0.3 * i, 2) / 2]])
    rows = np.load(folder / "bs.npy")[i]
    taken = np.hstack([rows[0:5], rows[8:10]]) if layout.shape.eyes == 7 else rows[[0, 2, 3, 8]]
    return torch.from_numpy(taken).float()[None]


def original(layout: Layout, folder: Path, i: int, background: Any) -> Any:
    """Frame ``i`` of the tensors as they were trained, hashed planes and all."""
    head, torso, cells = state(layout)
    rows = torch.from_numpy(np.load(folder / f"aud_{ROWS[layout.ear][0]}.npy"))
    rows = rows if rows.ndim == 2 else rows.permute(0, 2, 1)
    with torch.no_grad():
        moment = Moment(head.listen(window(rows, i)[None]), expected_eyes(layout, folder, i))
        at = from_nerf(torch.from_numpy(pose(i)).float())
        return picture(head, cells, Camera(FOCAL, (SIDE / 2, SIDE / 2), SIDE, SIDE), at, moment, background, torso)


def own(talker: Talker, i: int, background: Any) -> Any:
    with torch.no_grad():
        eyes = None if talker.eyes is None else talker.eyes[i][None]
        moment = Moment(talker.head.listen(window(talker.heard, i)[None]), eyes)
        return picture(talker.head, talker.cells, talker.camera, talker.poses[i], moment, background, talker.torso)


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_imported_head_renders_what_its_tensors_render(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    folder = write(tmp_path / "work", layout)
    made, talker = imported(folder, tmp_path / "avatar")
    assert (talker.engine, talker.head.shape.ear) == (layout.engine, layout.ear)
    assert len(talker) == FRAMES
    background = talker.background.float() / 255
    for i in (3, 10):  # the last is of transforms_val.json
        wanted = original(layout, folder, i, background)
        assert (own(talker, i, background) - wanted).abs().max() <= 1e-4
        assert (wanted - background).abs().mean() > 0.05
    other = own(talker, 9, background) - wanted
    assert other.abs().max() > 1e-3  # a test that compared nothing would not see it
    assert made.avatar.engine == layout.engine
    assert level(made, "head") == ["found"]


def test_what_lies_behind_the_head_and_the_film_become_reels(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout("synctalk", "ave"))
    made, talker = imported(folder, tmp_path / "avatar")
    into = made.avatar.path
    facts = json.loads((into / "avatar.json").read_text())
    told = {
        key: facts[key] for key in ("engine", "kind", "width", "height", "fps", "frames", "film", "behind", "sound")
    }
    assert told == {
        "engine": "synctalk",
        "kind": "video",
        "width": SIDE,
        "height": SIDE,
        "fps": 25.0,
        "frames": FRAMES,
        "film": "film.mp4",
        "behind": "behind.mp4",
        "sound": "heard.wav",
    }
    with Reel(into / "film.mp4") as film, Reel(into / "behind.mp4") as behind:
        for i in (0, 10):
            shown, there = picture_of(film[i]).astype(int), open_picture(folder / f"ori_imgs/{i}.jpg").rgb
            assert np.abs(shown - there).mean() < 6
            below = picture_of(behind[i]).astype(int)
            assert np.abs(below[: SIDE // 2 - 2] - (60, 120, 180)).max() < 12  # bc.jpg
            assert np.abs(below[SIDE // 2 + 2 :] - (200, 20, 10)).max() < 30  # torso_imgs
    assert talker.masks is not None
    assert talker.masks.shape == (FRAMES, SIDE, SIDE)
    assert talker.masks[3, 6:18, 6:18].min() == 255
    assert int((talker.masks[3] > 0).sum()) == 12 * 12
    assert open_picture(into / "poster.jpg").rgb.shape == (SIDE, SIDE, 3)
    kept, given = (audio.decode(p, max_seconds=9) for p in (into / "heard.wav", folder / "aud.wav"))
    assert np.abs(kept.samples - given.samples).max() < 1e-3
    assert talker.fps == Fraction(25)


def test_data_may_lie_in_a_folder_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "trial", Layout(torso=True), tmp_path / "may")
    made, talker = imported(tmp_path / "trial", tmp_path / "avatar", data=tmp_path / "may")
    assert talker.torso is not None
    assert not (made.avatar.path / "behind.mp4").exists()
    with pytest.raises(InvalidInput, match=r"no transforms_train\.json in trial.*--data"):
        convert(tmp_path / "trial", tmp_path / "avatar", ModelStore())


def test_the_newest_epoch_is_taken_by_its_number(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout(file="checkpoints/ngp_ep0999.pth", seed=1))
    write(folder, Layout(file="checkpoints/ngp_ep10000.pth", seed=2))
    write(folder, Layout(file="checkpoints/ngp.pth", seed=3, best=True))
    made, talker = imported(folder, tmp_path / "avatar")
    assert "ngp_ep10000.pth" in says(made, "head")
    wanted = state(Layout(seed=2))[0].sigma_net.net[1].weight
    assert torch.equal(talker.head.sigma_net.net[1].weight, wanted)


def test_what_the_training_was_called_with_moves_the_cameras(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout(says={"scale": 2.5, "offset": [0.1, 0, -0.2], "att": 2, "bound": 1}))
    made, talker = imported(folder, tmp_path / "avatar")
    moved = from_nerf(torch.from_numpy(pose(3)).float(), 2.5)
    moved[:3, 3] += torch.tensor([0.1, 0, -0.2])
    assert torch.allclose(talker.poses[3], moved)
    assert "options" not in {one.what for one in made.findings}
    for other in ({"att": 1}, {"bound": 2.0}, {"color_space": "linear"}, {"emb": True}):
        (folder / "opt.txt").write_text(opt(other))
        with pytest.raises(InvalidInput, match=rf"opt\.txt says --{next(iter(other))} "):
            convert(folder, tmp_path / "avatar", ModelStore())
    (folder / "opt.txt").write_text(opt({"scale": "four"}))
    with pytest.raises(InvalidInput, match=r"opt\.txt says --scale four and --offset .* no numbers"):
        convert(folder, tmp_path / "avatar", ModelStore())


def test_what_is_missing_is_said_with_what_follows(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout("synctalk", "ave", features=False))
    for name in ("bs.npy", "aud.wav", "parsing/7_face.png"):
        (folder / name).unlink()
    made, talker = imported(folder, tmp_path / "avatar")
    assert talker.heard is None
    assert talker.eyes is not None
    assert talker.eyes.abs().max() == 0
    assert len(talker) == FRAMES - 1  # the one without a mask
    assert torch.allclose(talker.poses[7], from_nerf(torch.from_numpy(pose(8)).float()))
    told = {one.what: one.says for one in made.findings if one.level == "missing"}
    assert "no aud_ave.npy" in told["features"]
    assert "does not blink" in told["eyes"]
    assert "no aud.wav" in told["sound"]
    assert "1 of 11 frames lack a picture" in told["frames"]
    assert set(made.avatar.warnings) >= set(told.values())
    facts = json.loads((made.avatar.path / "avatar.json").read_text())
    assert facts["sound"] is None
    assert facts["warnings"] == list(made.avatar.warnings)


def test_without_masks_a_synctalk_head_is_not_blended(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout("synctalk", "ave"))
    for path in (folder / "parsing").glob("*_face.png"):
        path.unlink()
    made, talker = imported(folder, tmp_path / "avatar")
    assert talker.masks is None
    assert "not blended" in says(made, "film")


def test_a_damaged_film_or_mask_of_synctalk_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout("synctalk", "ave", wrapped=False))
    for name in ("ori_imgs/5.jpg", "parsing/9_face.png"):
        kept = (folder / name).read_bytes()
        cut(name)(folder)
        with pytest.raises(InvalidInput, match=rf"{name}: The picture is cut off"):
            convert(folder, tmp_path, ModelStore())
        (folder / name).write_bytes(kept)
    resized("parsing/9_face.png")(folder)
    with pytest.raises(InvalidInput, match=r"parsing/9_face\.png has 26x24 pixels"):
        convert(folder, tmp_path, ModelStore())
    np.save(folder / "bs.npy", np.zeros((FRAMES, 51)))
    with pytest.raises(InvalidInput, match=r"bs\.npy is of the shape \(11, 51\), but blendshapes are rows of 52"):
        convert(folder, tmp_path, ModelStore())


def test_a_head_without_a_film_is_its_own_poster(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout())
    gone("ori_imgs/*", "gt_imgs/*")(folder)
    made, talker = imported(folder, tmp_path / "avatar")
    facts = json.loads((made.avatar.path / "avatar.json").read_text())
    assert (facts["film"], facts["behind"]) == (None, "behind.mp4")
    shown = open_picture(made.avatar.path / "poster.jpg").rgb
    below = talker.background.float() / 255
    below[SIDE // 2 :] = torch.tensor([200, 20, 10]) / 255
    assert np.abs(shown - own(talker, 0, below).numpy() * 255).mean() < 12  # a small JPEG of few colours


def test_au45_moves_all_eyes_of_a_synctalk_head_that_was_trained_so(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout("synctalk", "ave", says={"au45": True}))
    (folder / "au.csv").write_text("frame, AU45_r\n" + "".join(f"{i}, {0.5 * i}\n" for i in range(FRAMES)))
    _, talker = imported(folder, tmp_path / "avatar")
    assert talker.eyes is not None
    assert talker.eyes[:6, 0].tolist() == [0, 0.25, 0.5, 0.75, 1, 1]
    assert torch.equal(talker.eyes[:, :1].expand(-1, 7), talker.eyes)


def test_features_that_end_a_little_early_are_held(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout())
    rows = np.load(folder / "aud_ds.npy")
    np.save(folder / "aud_ds.npy", rows[:-2])
    _, talker = imported(folder, tmp_path / "avatar")
    assert talker.heard is not None
    assert talker.heard.shape == (FRAMES, 29, 16)
    assert torch.equal(talker.heard[-1], talker.heard[-3])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ernerf", "ernerf-torso", "synctalk"])
def test_an_imported_avatar_speaks_its_own_recording(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    made, talker = imported(write(tmp_path / "work", layout), tmp_path / "avatar")
    face: Any = (SyncTalkFace if layout.engine == "synctalk" else ErNerfFace)(device="cpu", precision="fp32")
    sound = audio.decode(made.avatar.path / "heard.wav", max_seconds=9)
    speech = Speech(text="", language="en", audio=sound)
    frames = [frame.image for frame in face.animate(made.avatar, speech, canvas=Canvas(128, 128, 25))]
    assert len(frames) == FRAMES
    seen = [cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(int) for frame in frames]
    background = talker.background.float() / 255
    if not layout.torso:
        with Reel(made.avatar.path / "behind.mp4") as behind:
            background = torch.from_numpy(picture_of(behind[0])).float() / 255
    away = np.abs(seen[0] - own(talker, 0, background).numpy() * 255)
    if layout.engine == "ernerf":
        assert away.mean() < 5
        other = replace(speech, audio=replace(sound, samples=sound.samples[::-1].copy()))
        with pytest.raises(EngineUnavailable, match=r"deepspeech .* speaks the recording that it came with"):
            list(face.animate(made.avatar, other, canvas=Canvas(128, 128, 25)))
    else:  # the face in the film
        film = np.abs(seen[0] - open_picture(made.avatar.path / "poster.jpg").rgb.astype(int))
        assert film[:3].mean() < 8 < away[:3].mean()
        assert away[9:15, 9:15].mean() < 8 < film[9:15, 9:15].mean()


def test_synctalks_features_are_made_where_its_encoder_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "work", Layout("synctalk", "ave", features=False))
    (tmp_path / "models").mkdir()
    encoder = {name: value for name, value in random_state().items() if name.startswith("audio_encoder.")}
    torch.save(encoder, tmp_path / "models" / "audio_visual_encoder.pth")
    models, into = ModelStore(tmp_path / "models"), tmp_path / "avatar"
    into.mkdir()
    made = convert(folder, into, models)
    assert "the encoder here" in says(made, "features")
    assert not level(made, "speech")
    sound = audio.decode(folder / "aud.wav", max_seconds=9)
    wanted = Hearing(models).features("ave", sound, FRAMES, 25)
    heard = load(into).heard
    assert heard is not None
    assert np.abs(heard.numpy() - wanted).max() <= 1e-3 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("says_", "files", "ear", "assumed"),
    [
        ({}, ("hu",), "hubert", False),
        ({}, ("hu_cn",), "hubert_cn", False),
        ({}, ("hu", "hu_cn"), "hubert", True),
        ({}, (), "hubert", True),
        ({"asr_model": "hubert_cn"}, ("hu", "hu_cn"), "hubert_cn", False),
        ({"asr_model": "hubert_cn"}, (), "hubert_cn", False),
        ({"asr_model": "hubert"}, ("hu_cn",), "hubert", False),
    ],
)
def test_options_and_files_tell_which_hubert_is_heard(
    says_: dict[str, Any], files: tuple[str, ...], ear: str, assumed: bool, tmp_path: Path
) -> None:
    folder = write(tmp_path / "work", Layout(ear="hubert", features=False, says=says_))
    for file in files:
        np.save(folder / f"aud_{file}.npy", np.full((FRAMES, 2, 1024), len(file), np.float32))
    made, talker = imported(folder, tmp_path / "avatar")
    assert talker.head.shape.ear == ear
    assert level(made, "ear") == ["assumed"] * assumed
    own = {"hubert": "hu", "hubert_cn": "hu_cn"}[ear]
    if own not in files:
        assert talker.heard is None  # never the other one's
        assert f"no aud_{own}.npy" in says(made, "features")
    else:
        assert talker.heard is not None
        assert (talker.heard == len(own)).all()


@pytest.mark.slow
def test_a_head_without_cells_is_asked_for_them(tmp_path: Path) -> None:
    layout = Layout(best=True, bits=False)
    folder = write(tmp_path / "work", layout)
    made, talker = imported(folder, tmp_path / "avatar")
    assert level(made, "cells") == ["assumed"]
    head = state(layout)[0]
    assert talker.heard is not None
    with torch.no_grad():
        x = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 1, 2]) - torch.tensor(
            [1.0, 0.5, 1]
        )
        density = head.density(x, head.listen(window(talker.heard, 0)[None]), talker.eyes[:1])  # type: ignore[index]
    counts = talker.cells.at(x)
    assert counts[density > 12].float().mean() > 0.95
    assert not bool(talker.cells.counts[:, :30].any())  # beyond the box nobody asks


# -- what is damaged


Damage = Callable[[Path], object]


def edited(change: Callable[[dict[str, Any]], object], name: str = "transforms_train.json") -> Damage:
    """Change what the JSON says."""

    def damage(folder: Path) -> None:
        told = json.loads((folder / name).read_text())
        change(told)
        (folder / name).write_text(json.dumps(told))

    return damage


def trained(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the tensors."""

    def damage(folder: Path) -> None:
        path = folder / "ngp.pth"
        held = torch.load(path, weights_only=True)
        change(held)
        torch.save(held, path)

    return damage


def matrix(row: int, column: int, value: float) -> Damage:
    def change(told: dict[str, Any]) -> None:
        told["frames"][2]["transform_matrix"][row][column] = value

    return edited(change)


def cut(name: str, share: float = 0.5) -> Damage:
    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])

    return damage


def gone(*patterns: str) -> Damage:
    def damage(folder: Path) -> None:
        for pattern in patterns:
            for path in folder.glob(pattern):
                path.unlink()

    return damage


def rows(name: str, made: Any) -> Damage:
    return lambda folder: np.save(folder / name, made)


def wrong(name: str, at: tuple[int, ...], value: float) -> Damage:
    def change(held: dict[str, Any]) -> None:
        held[name][at] = value

    return trained(change)


def pickled(folder: Path) -> None:
    np.save(folder / "aud_ds.npy", np.array([{"a": 1}], object), allow_pickle=True)


def plainly_pickled(folder: Path) -> None:
    (folder / "aud_ds.npy").write_bytes(pickle.dumps([1, 2, 3]))


def linked(name: str) -> Damage:
    def damage(folder: Path) -> None:
        outside = folder.parent / "outside"
        shutil.move(folder / name, outside)
        (folder / name).symlink_to(outside)

    return damage


def resized(name: str) -> Damage:
    return lambda folder: cv2.imwrite(str(folder / name), np.zeros((SIDE, SIDE + 2, 3), np.uint8))


def written(name: str, text: str) -> Damage:
    return lambda folder: (folder / name).write_text(text)


REFUSED: dict[str, tuple[Damage, str]] = {
    "no checkpoint": (gone("ngp.pth"), r"no checkpoint in work; .*checkpoints/ngp_ep\*\.pth"),
    "cut checkpoint": (cut("ngp.pth"), r"ngp\.pth is cut off"),
    "a page saved as a checkpoint": (written("ngp.pth", "<html>404"), r"ngp\.pth is a web page"),
    "no head": (
        trained(lambda t: t.pop("sigma_net.net.0.weight")),
        r"ngp\.pth: it has no sigma_net.*no head of ER-NeRF",
    ),
    "half a head": (trained(lambda t: t.pop("color_net.net.1.weight")), r"ngp\.pth: .*lacks 1 of .*color_net"),
    "half a torso": (
        trained(lambda t: t.update({"torso_net.net.0.weight": torch.zeros(32, 116)})),
        r"ngp\.pth: .*lacks \d+ of .*anchor_points",
    ),
    "nan": (
        wrong("sigma_net.net.1.weight", (0, 0), float("nan")),
        r"ngp\.pth: sigma_net\.net\.1\.weight holds .*not finite",
    ),
    "nan among cells": (wrong("density_grid", (0, 5), float("inf")), r"ngp\.pth: density_grid holds .*not finite"),
    "other ear": (
        trained(lambda t: t.update({"audio_net.encoder_conv.0.weight": torch.zeros(32, 32, 3)})),
        r"it hears 32 numbers at a time; .*deepspeech 29",
    ),
    "other eyes": (
        trained(lambda t: t.update({"eye_att_net.net.0.weight": torch.zeros(20, 36)})),
        r"the net of its eyes is 20 wide; ER-NeRF's is 16, SyncTalk's 64",
    ),
    "labels": (trained(lambda t: t.update({"embedding.weight": torch.zeros(29, 29)})), r"labels of sounds \(--emb\)"),
    "two cascades": (
        trained(lambda t: t.update({"density_grid": torch.zeros(2, 128**3)})),
        r"cells are not 128x128x128, those of a scene of --bound 1",
    ),
    "no transforms": (gone("transforms_*.json"), r"no transforms_train\.json in work"),
    "cut transforms": (cut("transforms_train.json"), r"transforms_train\.json is no JSON, it is damaged or cut off"),
    "a list": (written("transforms_train.json", "[]"), r"transforms_train\.json holds no camera"),
    "no frames": (edited(lambda t: t.update(frames=[])), r"transforms_train\.json has no frames"),
    "no focal length": (edited(lambda t: t.pop("focal_len")), r"has no focal_len that is a number of pixels, but None"),
    "an endless centre": (
        edited(lambda t: t.update(cx=float("inf"))),
        r"has no cx that is a number of pixels, but inf",
    ),
    "huge pictures": (edited(lambda t: t.update(cx=4000)), r"pictures of 8000x24 pixels; 16 to 1024"),
    "two cameras": (edited(lambda t: t.update(focal_len=80)), r"are of different cameras"),
    "no number": (edited(lambda t: t["frames"][3].pop("img_id")), r"Frame 3 of transforms_train\.json has no img_id"),
    "a path": (
        edited(lambda t: t["frames"][3].update(img_id="../../secret")),
        r"Frame 3 of transforms_train\.json has no img_id from 0 .*'\.\./\.\./secret'",
    ),
    "3x4": (
        edited(lambda t: t["frames"][1]["transform_matrix"].pop()),
        r"Frame 1 of transforms_train\.json has no transform_matrix of 4x4",
    ),
    "no matrix": (
        edited(lambda t: t["frames"][1].update(transform_matrix=[[1], [2, 3]])),
        r"Frame 1 of transforms_train\.json has no transform_matrix of 4x4",
    ),
    "nan in a matrix": (matrix(0, 3, float("nan")), r"Frame 2 of .*not finite"),
    "no rotation": (matrix(0, 0, 3.0), r"Frame 2 of .*no rotation and shift"),
    "pickled features": (pickled, r"aud_ds\.npy holds pickled objects, which are never opened"),
    "a pickle": (plainly_pickled, r"aud_ds\.npy holds pickled objects, which are never opened"),
    "cut features": (cut("aud_ds.npy"), r"aud_ds\.npy is damaged or cut off"),
    "features of another shape": (
        rows("aud_ds.npy", np.zeros((FRAMES, 16, 44), np.float32)),
        r"aud_ds\.npy is of the shape \(11, 16, 44\), but features of the kind deepspeech are rows of 16x29",
    ),
    "words": (rows("aud_ds.npy", np.full((FRAMES, 16, 29), "a")), r"aud_ds\.npy holds no numbers"),
    "features that are not finite": (
        rows("aud_ds.npy", np.full((FRAMES, 16, 29), np.nan, np.float32)),
        r"aud_ds\.npy holds numbers that are not finite",
    ),
    "no column": (written("au.csv", "frame, AU01_r\n1, 0\n"), r"au\.csv has no column AU45_r"),
    "no numbers in it": (written("au.csv", "frame, AU45_r\n1, 0\n2, shut\n"), r"au\.csv is damaged in row 3"),
    "cut column": (written("au.csv", "frame, AU45_r\n1, 0\n"), r"au\.csv has 1 rows, but there is a frame 10"),
    "no background": (gone("bc.jpg"), r"bc\.jpg, the background, is missing in work"),
    "cut background": (cut("bc.jpg"), r"bc\.jpg: The picture is cut off or damaged"),
    "no torso": (gone("torso_imgs/*"), r"torso_imgs/0\.png is missing, and so are all others, .*no torso"),
    "some torsos": (gone("torso_imgs/[3-6].png"), r"torso_imgs/3\.png is missing, as are those of 4 of 11 frames"),
    "a torso of another size": (resized("torso_imgs/4.png"), r"torso_imgs/4\.png has 26x24 pixels, but .*24x24"),
    "cut poster": (cut("ori_imgs/0.jpg"), r"ori_imgs/0\.jpg: The picture is cut off"),
    "no sound in it": (written("aud.wav", "RIFF"), r"aud\.wav: "),
    "link to a checkpoint": (linked("ngp.pth"), r"ngp\.pth is a link out of work; copy the file itself"),
    "link to a picture": (linked("torso_imgs/2.png"), r"torso_imgs/2\.png is a link out of work"),
    "link to a folder": (linked("torso_imgs"), r"torso_imgs/0\.png is a link out of work"),
    "link to features": (linked("aud_ds.npy"), r"aud_ds\.npy is a link out of work"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the kind that users have most."""
    return write(tmp_path_factory.mktemp("whole") / "work", Layout(file="ngp.pth", wrapped=False))


@pytest.mark.parametrize("damage", REFUSED)
def test_a_damaged_workspace_is_refused_with_what_is_wrong(damage: str, whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "work")
    into = tmp_path / "avatar"
    into.mkdir()
    harm, sentence = REFUSED[damage]
    harm(folder)
    with pytest.raises((InvalidInput, EngineUnavailable), match=sentence) as refused:
        convert(folder, into, ModelStore())
    assert str(refused.value).count("\n") == 0
    assert not (into / "avatar.json").exists()


def test_a_checkpoint_that_would_run_something_runs_nothing(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "work")

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    (folder / "ngp.pth").write_bytes(pickle.dumps({"model": Evil()}))
    with pytest.raises(EngineUnavailable, match=r"ngp\.pth"):
        convert(folder, tmp_path, ModelStore())
    assert not (tmp_path / "ran").exists()


def test_features_of_half_the_film_and_another_engine_are_refused(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "work")
    with pytest.raises(InvalidInput, match=r"eyes' net is that of ER-NeRF; leave --engine out"):
        convert(folder, tmp_path, ModelStore(), engine="synctalk")
    with pytest.raises(InvalidInput, match=r"ernerf or synctalk, not 'gan'"):
        convert(folder, tmp_path, ModelStore(), engine="gan")
    edited(lambda t: t["frames"][-1].update(aud_id=500))(folder)
    with pytest.raises(InvalidInput, match=r"aud_ds\.npy has 11 rows, but the film's sound has 501 frames"):
        convert(folder, tmp_path, ModelStore())


def test_an_import_tells_how_far_it_is_and_can_be_ended(whole: Path, tmp_path: Path) -> None:
    told: list[float] = []

    def report(done: float) -> None:
        told.append(done)
        if done > 0.4:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        convert(whole, tmp_path, ModelStore(), report=report)
    assert told == sorted(told)
    assert len(told) > 3
    assert not (tmp_path / "avatar.json").exists()
    assert not (tmp_path / "nerf.json").exists()


def test_no_folder_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"There is no folder"):
        convert(tmp_path / "nowhere", tmp_path, ModelStore())
