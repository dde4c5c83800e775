"""Landmarks that a client sends: a few points become a face, and nonsense becomes a sentence."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.errors import InvalidInput
from vivavoce.face.given import NAMED, REQUIRED, mesh_from_json
from vivavoce.face.mesh import FaceMesh

SIZE = (640, 480)
FACE = {
    "left_eye_outer": [250, 200],
    "left_eye_inner": [290, 202],
    "right_eye_inner": [330, 202],
    "right_eye_outer": [370, 200],
    "mouth_left": [275, 290],
    "mouth_right": [345, 290],
    "upper_lip_top": [310, 278],
    "lower_lip_bottom": [310, 308],
    "chin": [310, 350],
}


def mesh(data: object) -> FaceMesh:
    return mesh_from_json(data, SIZE)


def test_the_mesh_passes_through_the_given_points() -> None:
    found = mesh(FACE)
    assert found.points.shape == (468, 3)
    assert found.points.dtype == np.float32
    for name, point in FACE.items():
        assert np.allclose(found.points[NAMED[name], :2], point, atol=0.05), name
    assert found.eye_distance == pytest.approx(120, abs=0.1)
    assert found.lip_gap < 0.06, "lips that nobody clicked stay shut"
    assert set(FACE) == set(REQUIRED)


def test_a_turned_face_gives_the_turned_mesh() -> None:
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = {name: list(turn @ (np.array(p) - (310, 240)) + (310, 240)) for name, p in FACE.items()}
    straight = (mesh(FACE).points[:, :2] - (310, 240)) @ turn.T + (310, 240)
    assert np.abs(mesh(turned).points[:, :2] - straight).max() < 0.5
    assert mesh(turned).roll == pytest.approx(angle, abs=1e-3)


def test_pixels_and_fractions_say_the_same() -> None:
    fractions = {name: [x / SIZE[0], y / SIZE[1]] for name, (x, y) in FACE.items()}
    assert np.allclose(mesh(fractions).points, mesh(FACE).points, atol=0.01)
    full = mesh(FACE).points
    relative = full / (SIZE[0], SIZE[1], SIZE[0])
    assert np.allclose(mesh(relative.tolist()).points, full, atol=0.01)


def test_all_points_come_back_as_they_were() -> None:
    full = mesh(FACE).points
    assert np.allclose(mesh(json.dumps({"points": full.tolist()})).points, full, atol=1e-3)
    flat = mesh(full[:, :2].tolist())
    assert np.allclose(flat.points[:, :2], full[:, :2], atol=1e-3)
    assert np.allclose(flat.points[:, 2], full[:, 2], atol=2), "depth comes from the template when it is not given"


def without(name: str) -> dict[str, Any]:
    return {k: v for k, v in FACE.items() if k != name}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("{not json", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("9" * 300_000, "longer than"),
        (7, "list of 468"),
        (None, "list of 468"),
        ([[1, 2]] * 10, "468 points; this one has 10"),
        ([[1, 2]] * 467 + [[1, 2, 3]], "a depth"),
        ([[1, 2]] * 468, "upright human face"),
        (without("chin"), "lack chin"),
        ({**FACE, "third_eye": [1, 2]}, "no landmark 'third_eye'"),
        ({**FACE, "chin": [310]}, "chin is not a point"),
        ({**FACE, "chin": "ab"}, "chin is not a point"),
        ({**FACE, "chin": [310, float("nan")]}, "not a number"),
        ({**FACE, "chin": [310, True]}, "not a number"),
        ({**FACE, "chin": [310, 10**400]}, "not a number"),
        ({**FACE, "chin": [310, 1e5]}, "outside the picture"),
        ({**FACE, "chin": [310, 240]}, "upright human face"),
        ({**FACE, "left_eye_outer": [370, 200], "right_eye_outer": [250, 200]}, "upright human face"),
        (dict.fromkeys(FACE, (100, 100)), "upright human face"),
    ],
)
def test_nonsense_is_one_sentence(data: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        mesh(data)
    assert len(str(refused.value)) < 800


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(list(NAMED)), inner, max_size=12),
    max_leaves=30,
)
points = st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=2)


@settings(max_examples=80, deadline=None)
@given(anything | st.fixed_dictionaries(dict.fromkeys(REQUIRED, points)))
def test_whatever_comes_a_finite_mesh_or_invalid_input_goes(data: object) -> None:
    try:
        found = mesh(data)
    except InvalidInput:
        return
    assert np.isfinite(found.points).all()
