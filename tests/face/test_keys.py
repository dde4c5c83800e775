"""Frames that are made when not all are: lips still close, and nothing is further apart than asked for."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.face.keys import interpolated, key_frames
from vivavoce.nouns import Mark
from vivavoce.text.articulation import PARAMETERS, articulate, sample

JAW, PRESS = PARAMETERS.index("jaw"), PARAMETERS.index("press")


def said(*phonemes: tuple[str, float]) -> npt.NDArray[np.float32]:
    marks, at = [], 0.2
    for text, seconds in phonemes:
        marks.append(Mark("phoneme", text, at, at + seconds))
        at += seconds
    return sample(articulate(tuple(marks), at + 0.2, 100), 100, int((at + 0.2) * 25), 25, lead=0.05)


@pytest.mark.parametrize("skip", [2, 3, 4])
def test_lips_close_as_often_as_they_should(skip: int) -> None:
    curves = said(*[("m", 0.06), ("a", 0.10), ("p", 0.05), ("a", 0.14), ("b", 0.07), ("o", 0.16)] * 4)
    keys = key_frames(curves, skip)
    shown = interpolated(curves, keys)
    pressed = [
        i for i in range(1, len(curves) - 1) if curves[i, PRESS] >= max(curves[i - 1, PRESS], curves[i + 1, PRESS], 0.5)
    ]
    assert len(pressed) >= 8
    assert (shown[pressed, PRESS] >= curves[pressed, PRESS] - 1e-6).all()
    assert np.abs(shown[pressed, JAW] - curves[pressed, JAW]).max() < 1e-6
    assert np.corrcoef(shown[:, JAW], curves[:, JAW])[0, 1] > 0.95


def test_long_sounds_and_silence_need_few_frames() -> None:
    curves = said(("a", 2.0))
    assert len(key_frames(curves, 4)) < 0.4 * len(curves)
    assert len(key_frames(curves, 1)) == len(curves)
    assert list(key_frames(curves[:1], 4)) == [0]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_keys_are_never_further_apart_than_asked_for(n: int, skip: int, seed: int) -> None:
    curves = np.random.default_rng(seed).uniform(0, 1, (n, len(PARAMETERS))).astype(np.float32)
    keys = key_frames(curves, skip)
    assert keys[0] == 0
    assert keys[-1] == n - 1
    assert (np.diff(keys) >= 1).all()
    assert (np.diff(keys) <= skip).all()
    assert interpolated(curves, keys).shape == curves.shape
