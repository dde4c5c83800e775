"""A film taken apart: what is known of the wall, the throat and the face of a person who was drawn."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from heads import face
from vivavoce.engines.nerf.training.layers import behind, below_jaw, face_mask, plate_of

F32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
SIZE = (320, 420)
SKIN, SHIRT, HAIR = (200, 150, 120), (30, 60, 160), (40, 30, 20)


def wall() -> Bytes:
    """Stripes, so that a place can be told from its neighbours."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    return np.stack([100 + 50 * np.sin(x / 9), 120 + 40 * np.sin(y / 7), 140 + 0 * x], axis=-1).astype(np.uint8)


def drawn(shift: float) -> tuple[Bytes, F32, F32]:
    """A person before the wall: picture, matte and landmarks."""
    points = face(np.zeros(1, np.float32))[0]
    points[:, 0] += shift
    chin = points[152, :2]
    image, matte = wall(), np.zeros(SIZE[::-1], np.uint8)
    neck = chin + np.array([(-28, -30), (28, -30), (28, 60), (-28, 60)])
    body = chin + np.array([(-110, 40), (110, 40), (110, 500), (-110, 500)])
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    middle, half = (low + high) / 2 - (0, 8), (high - low) / 2 + (10, 14)
    for polygon, colour in ((neck, SKIN), (body, SHIRT)):
        cv2.fillPoly(image, [polygon.astype(np.int32)], colour)
        cv2.fillPoly(matte, [polygon.astype(np.int32)], 255)
    for target, colour in ((image, HAIR), (matte, (255, 255, 255))):
        cv2.ellipse(target, middle.astype(int).tolist(), half.astype(int).tolist(), 0, 0, 360, colour, -1)
    cv2.fillConvexPoly(image, cv2.convexHull(points[:, :2].astype(np.int32)), SKIN)
    return image, np.asarray(matte / 255, np.float32), points


def test_the_wall_is_what_it_is_where_it_is_ever_seen() -> None:
    shown = [drawn(shift) for shift in np.linspace(-60, 60, 9)]
    plate = plate_of([image for image, *_ in shown], [matte for _, matte, _ in shown])
    covered = np.mean([matte > 0.02 for _, matte, _ in shown], axis=0)
    clear = cv2.erode((covered < 0.3).astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
    assert clear.mean() > 0.25
    assert np.abs(plate.astype(int) - wall())[clear].max() <= 3
    # where nobody ever stood aside, it goes on in the colours around
    never = covered == 1
    assert never.any()
    assert np.abs(plate[never].mean(axis=0) - wall().mean(axis=(0, 1))).max() < 60


def test_the_line_of_the_jaw_parts_head_and_throat() -> None:
    _, _, points = drawn(0)
    below = below_jaw(points, SIZE)
    chin = points[152, :2].astype(int)
    assert below[chin[1] + 4, chin[0]] == 1
    assert below[chin[1] - 4, chin[0]] == 0
    assert below[points[1, 1].astype(int), chin[0]] == 0
    # beside the face, ears and hair are the head's down to the mouth
    assert below[points[61, 1].astype(int) - 3, 5] == 0
    assert below[points[361, 1].astype(int) + 40, SIZE[0] - 5] == 1


def test_behind_the_head_are_wall_and_throat_and_nothing_of_it() -> None:
    image, matte, points = drawn(0)
    made = behind(image, matte, points, wall())
    chin, brow = points[152, :2].astype(int), points[10, :2].astype(int)
    # the face and the hair are gone
    assert (
        np.abs(made[brow[1] : brow[1] + 20, brow[0]].astype(int) - wall()[brow[1] : brow[1] + 20, brow[0]]).max() < 12
    )
    # throat beneath the chin and above it, shirt and wall as they are
    throat = made[chin[1] - 30 : chin[1] + 30, chin[0] - 8 : chin[0] + 8].reshape(-1, 3)
    assert np.abs(throat.astype(int) - SKIN).mean() < 12
    shirt = made[chin[1] + 60 : chin[1] + 90, chin[0] - 40 : chin[0] + 40].reshape(-1, 3)
    assert np.abs(shirt.astype(int) - SHIRT).max() < 3
    far = cv2.dilate(matte, np.ones((41, 41), np.uint8)) == 0
    assert np.array_equal(made[far], image[far])


@pytest.mark.parametrize("shift", [-25.0, 0.0, 30.0])
def test_a_mask_shows_the_face_and_no_more(shift: float) -> None:
    _, matte, points = drawn(shift)
    mask = face_mask(points, SIZE)
    inner = [1, 0, 17, 33, 263, 168]
    at = points[inner, :2].round().astype(int)
    assert (mask[at[:, 1], at[:, 0]] > 0.98).all()
    assert mask[int(points[10, 1]) - 15, int(points[10, 0])] < 0.1
    assert mask[int(points[152, 1]) + 30, int(points[152, 0])] < 0.05
    assert mask[cv2.dilate(matte, np.ones((25, 25), np.uint8)) == 0].max() < 0.02
