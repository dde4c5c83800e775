"""Reels: films that can be entered anywhere and played backwards."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vivavoce.errors import InvalidInput, NotFound
from vivavoce.media.kinds import kind_of
from vivavoce.media.reel import GROUP, Reel, join_reels, write_reel
from vivavoce.media.samples import samples


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 pictures, each as bright as its number tells."""
    path = tmp_path_factory.mktemp("reel") / "idle.mp4"
    pictures = (np.full((96, 64, 3), 30 + 4 * i, np.uint8) for i in range(50))
    assert write_reel(path, pictures, (64, 96), Fraction(30000, 1001)) == 50
    return path


def number(reel: Reel, i: int) -> int:
    luma = reel[i][0]
    assert luma.shape == (96, 64)
    return round(((float(luma.mean()) - 16) * 255 / 219 - 30) / 4)


@pytest.mark.parametrize("order", [range(50), range(49, -1, -1), [7, 45, 3, 3, GROUP, GROUP - 1, 49, 0]])
def test_pictures_come_in_any_order(film: Path, order: list[int]) -> None:
    with Reel(film) as reel:
        assert [number(reel, i) for i in order] == list(order)
        assert reel[0][1].shape == reel[0][2].shape == (48, 32)


def test_what_is_no_reel_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Reel(tmp_path / "missing.mp4")
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(NotFound):
        Reel(tmp_path / "text.mp4")
    with pytest.raises(InvalidInput, match="even"):
        write_reel(tmp_path / "odd.mp4", iter(()), (63, 96), Fraction(25))


def test_a_reel_that_was_cut_off_stands_still_or_says_so(film: Path, tmp_path: Path) -> None:
    with Reel(film) as reel:
        last = number(reel, 49)
        assert number(reel, 55) == last
        with pytest.raises(NotFound, match="cut off"):
            reel[500]


def test_samples_are_spread_over_the_film(film: Path) -> None:
    taken = list(samples(film, [0.1, 0.6, 1.1], max_side=48))
    assert [round((float(s.rgb.mean()) - 30) / 4) for s in taken] == pytest.approx([3, 18, 33], abs=GROUP)
    assert all(s.rgb.shape == (48, 32, 3) and s.scale == 2 for s in taken)


def test_kinds_are_told_by_bytes(film: Path, tmp_path: Path, shared: Path) -> None:
    named = tmp_path / "photo.jpg"
    named.write_bytes(film.read_bytes())
    assert kind_of(named) == "video"
    assert kind_of(shared / "media" / "portraits" / "man_0001.jpg") == "picture"
    for head in (b"", b"GIF89a", b"%PDF-1.4", b"\0\0\0\x20ftypheic\0\0\0\0"):
        named.write_bytes(head)
        assert kind_of(named) == "unknown"


def test_reels_that_follow_each_other_are_joined_without_being_encoded_again(tmp_path: Path) -> None:
    parts, at = [], 0
    for count in (2 * GROUP, GROUP, 5):
        path = tmp_path / f"{at}.mp4"
        shown = (np.full((96, 64, 3), 30 + 4 * i, np.uint8) for i in range(at, at + count))
        parts.append((path, write_reel(path, shown, (64, 96), Fraction(30000, 1001))))
        at += count
    join_reels(parts, tmp_path / "whole.mp4")
    with Reel(tmp_path / "whole.mp4") as reel:
        assert [number(reel, i) for i in range(at)] == list(range(at))
        assert [number(reel, i) for i in (40, 3, 24, 23)] == [40, 3, 24, 23]
