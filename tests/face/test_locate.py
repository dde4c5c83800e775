"""The locator finds faces where people see them and refuses the rest with the right sentence."""

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.errors import EngineUnavailable, FaceRejected
from vivavoce.face.given import NAMED, mesh_from_json
from vivavoce.face.locate import FaceLocator, judge
from vivavoce.face.mesh import FaceMesh
from vivavoce.models import ModelStore

Image = npt.NDArray[np.uint8]


def picture(path: Path) -> Image:
    found = cv2.imread(str(path))
    assert found is not None
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


@pytest.fixture(scope="module")
def anna(shared: Path) -> Image:
    return picture(shared / "artwork" / "anna_studio.jpg")


def turned(rgb: Image, degrees: float, scale: float = 0.7) -> Image:
    height, width = rgb.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, scale)
    return np.asarray(cv2.warpAffine(rgb, matrix, (width, height), borderValue=(200, 200, 200)), np.uint8)


@pytest.mark.parametrize("name", ["anna", "aigul", "david"])
def test_landmarks_agree_with_mediapipes_own(shared: Path, locator: FaceLocator, name: str) -> None:
    folder = shared / "artwork"
    found = locator.locate(picture(folder / f"{name}_studio.jpg"))
    true = np.array(json.loads((folder / f"{name}_mp468.json").read_text()), np.float32) * 1024
    error = np.linalg.norm(found.mesh.points[:, :2] - true[:, :2], axis=1) / found.mesh.eye_distance
    assert error.mean() < 0.025
    assert np.abs(found.mesh.points[:, 2] - true[:, 2]).mean() / found.mesh.eye_distance < 0.03
    assert found.warnings == ()


@pytest.mark.parametrize("name", ["man_0001.jpg", "man_0324.jpg", "woman_0033.jpg", "woman_0287.jpg", "astronaut.png"])
def test_photos_are_accepted(shared: Path, locator: FaceLocator, name: str) -> None:
    found = locator.locate(picture(shared / "media" / "portraits" / name))
    assert found.mesh.confidence > 0.9
    assert abs(found.mesh.yaw) < 0.15
    assert bool(found.warnings) == (name == "astronaut.png"), "only the small face is warned of"


@pytest.mark.parametrize("degrees", [-120, -30, 45, 90, 180])
def test_a_turned_head_is_found_as_it_stands(locator: FaceLocator, anna: Image, degrees: float) -> None:
    found = locator.locate(turned(anna, degrees))
    difference = np.degrees(found.mesh.roll) - degrees
    assert abs((difference + 180) % 360 - 180) < 3
    assert ("tilted" in " ".join(found.warnings)) == (abs(degrees) > 35)


def test_a_small_face_in_a_large_picture_is_found(locator: FaceLocator, anna: Image) -> None:
    small = cv2.resize(anna, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    large = np.full((2000, 3000, 3), 180, np.uint8)
    large[500 : 500 + len(small), 2000 : 2000 + small.shape[1]] = small
    nose = locator.locate(large).mesh.points[NAMED["nose_tip"], :2]
    true = locator.locate(anna).mesh.points[NAMED["nose_tip"], :2] * 0.3 + (2000, 500)
    assert np.linalg.norm(nose - true) < 4


def test_a_face_that_fills_the_picture_is_found(locator: FaceLocator, anna: Image) -> None:
    whole = locator.locate(anna).mesh.points[:, :2]
    cut = locator.locate(np.ascontiguousarray(anna[330:650, 330:700])).mesh.points[:, :2] + (330, 330)
    assert np.linalg.norm(whole - cut, axis=1).mean() < 10


def test_of_two_faces_the_larger_is_used(locator: FaceLocator, anna: Image) -> None:
    half = cv2.resize(anna, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    both = np.full((1024, 1536, 3), 200, np.uint8)
    both[:512, :512], both[:, 512:] = half, anna
    found = locator.locate(both)
    assert found.mesh.points[:, 0].min() > 512
    assert "2 faces" in found.warnings[0]


def test_refusals_say_which(locator: FaceLocator, anna: Image) -> None:
    rng = np.random.default_rng(1)
    small = np.full((600, 600, 3), 180, np.uint8)
    small[200:350, 200:350] = cv2.resize(anna, (150, 150), interpolation=cv2.INTER_AREA)
    for rgb, says in (
        (rng.integers(0, 255, (300, 500, 3), np.uint8), "No face"),
        (np.zeros((1, 1, 3), np.uint8), "No face"),
        (np.zeros((2, 900, 3), np.uint8), "No face"),
        (small, "too small: 3[0-9] pixels"),
        ((anna * 0.15).astype(np.uint8), "too dark"),
        ((anna * 0.05 + 110).astype(np.uint8), "too little contrast"),
    ):
        with pytest.raises(FaceRejected, match=says):
            locator.locate(rgb)


def test_a_face_turned_aside_is_refused() -> None:
    """Landmarks of a face in profile, as a net or a client would give them."""
    face = {
        "left_eye_outer": [200, 200],
        "left_eye_inner": [235, 200],
        "right_eye_inner": [265, 200],
        "right_eye_outer": [300, 200],
        "nose_tip": [295, 240],
        "mouth_left": [220, 280],
        "mouth_right": [280, 280],
        "upper_lip_top": [260, 270],
        "lower_lip_bottom": [260, 295],
        "chin": [255, 340],
    }
    scene = np.random.default_rng(2).integers(60, 200, (480, 640, 3), np.uint8)
    with pytest.raises(FaceRejected, match="turned too far"):
        judge(scene, mesh_from_json(face, (640, 480)))


def test_landmarks_beside_the_picture_are_refused() -> None:
    far = FaceMesh(np.random.default_rng(3).uniform(1000, 1300, (468, 3)).astype(np.float32))
    far.points[33], far.points[263], far.points[1] = (1000, 1100, 0), (1200, 1100, 0), (1100, 1150, 0)
    with pytest.raises(FaceRejected, match="outside the picture"):
        judge(np.zeros((100, 100, 3), np.uint8), far)


def test_without_the_nets_the_error_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="vivavoce models pull face-detector"):
        FaceLocator(ModelStore(None, tmp_path, offline=True)).locate(np.zeros((64, 64, 3), np.uint8))
