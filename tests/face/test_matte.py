"""The matte follows the person, hair included; the plate shows what is behind."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.errors import EngineUnavailable
from vivavoce.face.given import mesh_from_json
from vivavoce.face.matte import background_plate, person_matte
from vivavoce.face.mesh import OVAL, FaceMesh
from vivavoce.models import ModelStore

Image = npt.NDArray[np.uint8]


def without_net(tmp_path: Path) -> ModelStore:
    return ModelStore(None, tmp_path / "empty", offline=True)


@pytest.fixture(scope="module")
def with_net() -> ModelStore:
    store = ModelStore()
    try:
        store.path("person-matte")
    except EngineUnavailable as e:
        pytest.skip(f"the segmentation net cannot be had here: {e}")
    return store


def cut_out(shared: Path, name: str) -> tuple[Image, npt.NDArray[np.float32], FaceMesh]:
    """A portrait on its studio background, its true alpha, and its landmarks."""
    folder = shared / "artwork"
    true = cv2.imread(str(folder / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    bgr = cv2.imread(str(folder / f"{name}_studio.jpg"))
    assert true is not None
    assert bgr is not None
    mesh = mesh_from_json((folder / f"{name}_mp468.json").read_text(), (1024, 1024))
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    return rgb, (true[..., 3] / np.float32(255)).astype(np.float32), mesh


@pytest.mark.parametrize("name", ["anna", "aigul", "david"])
def test_the_matte_is_that_of_the_rendering(shared: Path, with_net: ModelStore, name: str) -> None:
    rgb, true, mesh = cut_out(shared, name)
    matte = person_matte(rgb, mesh, with_net)
    assert matte.shape == rgb.shape[:2]
    assert matte.dtype == np.float32
    assert np.abs(matte - true).mean() < 0.015
    deep = cv2.erode(true, np.ones((25, 25))) > 0.99
    far = cv2.dilate(true, np.ones((25, 25))) < 0.01
    assert (matte[deep] < 0.95).mean() < 0.002, "a hole in the person"
    assert matte[deep].min() > 0.5, "a hole in the person"
    assert (matte[far] > 0.05).mean() < 0.002, "specks in the background"
    assert matte[far].max() < 0.5, "a speck in the background"


@pytest.mark.parametrize("name", ["anna", "aigul", "david"])
def test_without_the_net_the_person_is_still_cut_out(shared: Path, tmp_path: Path, name: str) -> None:
    rgb, true, mesh = cut_out(shared, name)
    matte = person_matte(rgb, mesh, without_net(tmp_path))
    assert np.abs(matte - true).mean() < 0.03
    assert np.array_equal(matte, person_matte(rgb, mesh, without_net(tmp_path))), "the same picture, another mask"


def scene() -> tuple[Image, FaceMesh]:
    """A drawn bust on a striped wall, for machines without the shared portraits."""
    wall = np.zeros((480, 640, 3), np.uint8)
    wall[:] = np.linspace(90, 200, 640).astype(np.uint8)[None, :, None]
    cv2.ellipse(wall, (310, 500), (190, 150), 0, 0, 360, (40, 60, 120), -1)
    cv2.ellipse(wall, (310, 255), (95, 135), 0, 0, 360, (225, 180, 150), -1)
    corners = {"left_eye_outer": [250, 230], "left_eye_inner": [285, 230]}
    corners |= {"right_eye_inner": [335, 230], "right_eye_outer": [370, 230]}
    mouth = {"mouth_left": [280, 320], "mouth_right": [340, 320], "upper_lip_top": [310, 310]}
    return wall, mesh_from_json({**corners, **mouth, "lower_lip_bottom": [310, 335], "chin": [310, 385]}, (640, 480))


def test_the_face_is_always_inside(tmp_path: Path) -> None:
    rgb, mesh = scene()
    matte = person_matte(rgb, mesh, without_net(tmp_path))
    face = np.zeros(rgb.shape[:2], np.uint8)
    cv2.fillPoly(face, [np.round(mesh.points[list(OVAL), :2]).astype(np.int32)], 1)
    assert matte[cv2.erode(face, np.ones((3, 3), np.uint8)) == 1].min() > 0.99
    assert matte[:, :60].max() < 0.05
    assert matte[460, 310] > 0.95, "the chest belongs to the person"


def test_the_plate_shows_the_wall_where_the_person_was(tmp_path: Path) -> None:
    rgb, mesh = scene()
    wall = np.linspace(90, 200, 640)[None, :, None] * np.ones((480, 640, 3))
    matte = person_matte(rgb, mesh, without_net(tmp_path))
    plate = background_plate(rgb, matte)
    assert plate.shape == rgb.shape
    assert plate.dtype == np.uint8
    ring = (cv2.dilate(matte, np.ones((15, 15))) > 0.5) & (np.indices(matte.shape)[0] < 350)
    assert np.abs(plate.astype(float) - wall)[ring].mean() < 15
    untouched = cv2.dilate(matte, np.ones((41, 41))) < 0.01
    assert np.array_equal(plate[untouched], rgb[untouched])


@pytest.mark.parametrize("size", [(1, 1), (2, 700), (131, 97)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    rgb = np.full((*size, 3), 90, np.uint8)
    matte = np.zeros(size, np.float32)
    assert np.array_equal(background_plate(rgb, matte), rgb)
    covered = background_plate(rgb, np.ones(size, np.float32))
    assert covered.shape == rgb.shape
