"""What a radiance field's training is said to take: by hand, and at its ends."""

import pytest

from vivavoce.studio.forecast import advice, field_seconds, in_words, step_seconds


def test_an_epoch_sees_each_picture_once() -> None:
    minute = field_seconds(60, 25, 100, {}, 0.5)
    assert minute == pytest.approx(100 * 1500 / 4 * 0.5 + 180)
    assert field_seconds(60, 25, 100, {"batch": 8}, 0.5) == pytest.approx((minute - 180) / 2 + 180)
    assert field_seconds(60, 25, 200, {}, 0.25) == pytest.approx(minute)
    assert field_seconds(60, 25, 100, {"size": 64, "ear": "mel"}, 0.5) == minute


def test_of_a_long_film_five_minutes_count_and_of_a_quick_one_half_the_pictures() -> None:
    minute = field_seconds(60, 30, 10, {}, 0.5)
    assert field_seconds(1800, 30, 10, {}, 0.5) == field_seconds(300, 30, 10, {}, 0.5) == pytest.approx(5 * minute)
    assert field_seconds(60, 120, 10, {}, 0.5) == minute
    assert field_seconds(0, 0, 10, {}, 0.5) == field_seconds(60, 25, 10, {}, 0.5), "what is not known is usual"


def test_time_that_is_limited_is_not_exceeded() -> None:
    assert field_seconds(60, 25, 1_000_000, {"max_minutes": 30}, 0.5) == pytest.approx(1800 + 180)
    assert field_seconds(10, 25, 1, {"max_minutes": 30, "batch": 1024}, 0.5) == pytest.approx(20 * 0.5 + 30)


def test_more_cores_are_faster_up_to_a_point() -> None:
    assert step_seconds(1) == pytest.approx(0.5)
    assert 0.35 < step_seconds(2) < 0.45
    assert step_seconds(1000) == step_seconds(16) > 0.05
    assert step_seconds(0) == step_seconds(1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 minute"),
        (59, "1 minute"),
        (150, "2 minutes"),
        (5300, "88 minutes"),
        (5400, "1.5 hours"),
        (7200, "2 hours"),
        (36_000, "10 hours"),
        (1e6, "278 hours"),
    ],
)
def test_so_many_seconds_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_advice_names_the_engine_and_what_is_faster() -> None:
    said = advice("ernerf", 18_900)
    assert said.startswith("ER-NeRF takes about 5.2 hours on this processor")
    assert "person" in said
