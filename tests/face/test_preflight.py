"""The pre-flight report: what is good is said to be good, and each fault is named with what to do about it."""

import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from vivavoce.errors import FaceRejected, InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.face.locate import FaceLocator
from vivavoce.face.preflight import Report, examine, refuse
from vivavoce.media.picture import open_picture
from vivavoce.media.reel import write_reel

Bytes = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def photo(shared: Path) -> Bytes:
    return open_picture(shared / "media" / "portraits" / "woman_0033.jpg").rgb


def levels(report: Report) -> dict[str, str]:
    return {finding.check: finding.level for finding in report.findings}


def of(rgb: npt.NDArray[np.generic], folder: Path, locator: FaceLocator) -> Report:
    path = folder / "photo.png"
    Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).save(path)
    return examine(path, locator)


def test_a_good_photo_is_good_and_quickly_said_to_be(photo: Bytes, tmp_path: Path, locator: FaceLocator) -> None:
    of(photo, tmp_path, locator)
    before = time.perf_counter()
    report = of(photo, tmp_path, locator)
    assert time.perf_counter() - before < 2
    assert report.kind == "picture"
    assert set(levels(report).values()) == {"ok"}
    assert all(f.advice.endswith(".") and f.value for f in report.findings)
    assert report.as_dict()["level"] == "ok"
    refuse(report)


def test_each_fault_is_named(photo: Bytes, tmp_path: Path, locator: FaceLocator) -> None:
    height, width = photo.shape[:2]
    shade = np.linspace(2.4, -1.2, width)[None, :, None]
    small = cv2.copyMakeBorder(cv2.resize(photo, (480, 480)), 200, 200, 200, 200, cv2.BORDER_REPLICATE)
    faults = {
        "light": photo * 0.28,
        "contrast": 130 + (photo.astype(float) - 130) * 0.35,
        "side-light": photo * shade,
        "sharpness": cv2.GaussianBlur(photo, (0, 0), 5),
        "face-size": small,
        "faces": np.hstack([photo, photo[:, ::-1]]),
        "tilt": cv2.warpAffine(photo, cv2.getRotationMatrix2D((width / 2, height / 2), 40, 0.8), (width, height)),
    }
    for check, picture in faults.items():
        found = levels(of(np.asarray(picture), tmp_path, locator))
        assert found[check] == "warn", check


def test_what_cannot_be_used_is_refused(photo: Bytes, tmp_path: Path, locator: FaceLocator) -> None:
    for rgb, word in ((np.full_like(photo, 128), "No face"), (photo * 0.12, "dark")):
        report = of(rgb, tmp_path, locator)
        assert report.level == "refuse"
        with pytest.raises(FaceRejected, match=word):
            refuse(report)
    (tmp_path / "text.mp4").write_text("no film at all, and no picture")
    with pytest.raises(UnsupportedMedia, match=r"JPEG, PNG or WebP, or a video"):
        examine(tmp_path / "text.mp4", locator)
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(InvalidInput, match="empty"):
        examine(tmp_path / "empty.jpg", locator)


def film(path: Path, pictures: list[Bytes], fps: int) -> Path:
    height, width = pictures[0].shape[:2]
    write_reel(path, iter(pictures), (width, height), Fraction(fps))
    return path


def test_films_are_sampled(photo: Bytes, tmp_path: Path, locator: FaceLocator) -> None:
    there, away = np.asarray(cv2.resize(photo, (640, 640)), np.uint8), np.full((640, 640, 3), 90, np.uint8)
    good = examine(film(tmp_path / "good.mp4", [there] * 225, 25), locator)
    assert good.kind == "video"
    assert set(levels(good).values()) == {"ok"}
    found = examine(film(tmp_path / "away.mp4", [there] * 30 + [away] * 12 + [there] * 6, 15), locator)
    assert {check for check, level in levels(found).items() if level == "warn"} >= {"duration", "frame-rate", "face"}
    refuse(found)
    assert any("%" in warning for warning in found.warnings)
    nobody = examine(film(tmp_path / "nobody.mp4", [away] * 48, 24), locator)
    with pytest.raises(FaceRejected, match="No face"):
        refuse(nobody)
    with pytest.raises(InvalidInput, match="at least 10 a second"):
        refuse(examine(film(tmp_path / "slow.mp4", [there] * 12, 5), locator))
    with pytest.raises(InvalidInput, match="only"):
        refuse(examine(film(tmp_path / "short.mp4", [there] * 12, 25), locator))
    tiny = [np.zeros((16, 16, 3), np.uint8)] * 610
    with pytest.raises(InvalidInput, match="at most 600 s"):
        refuse(examine(film(tmp_path / "long.mp4", tiny, 1), locator))


def test_a_video_with_too_many_pixels_is_too_large(tmp_path: Path, locator: FaceLocator) -> None:
    report = examine(film(tmp_path / "huge.mp4", [np.zeros((2176, 4096, 3), np.uint8)] * 2, 2), locator)
    with pytest.raises(TooLarge, match="3840x2160"):
        refuse(report)


@pytest.mark.slow
def test_a_twenty_second_video_takes_a_few_seconds(shared: Path, locator: FaceLocator) -> None:
    before = time.process_time()
    report = examine(shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4", locator)
    assert time.process_time() - before < 20, "of all cores together"
    assert report.level != "refuse"
    assert levels(report)["face"] == "ok"
