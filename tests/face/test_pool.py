"""What streams borrow, and which canvases a face takes."""

import pytest

from vivavoce.errors import InvalidInput
from vivavoce.face.pool import Pool, check_canvas
from vivavoce.nouns import Canvas, FaceTraits


def test_one_that_was_given_back_is_lent_again() -> None:
    pool: Pool[object] = Pool(2)
    with pool.lent("a", object) as first, pool.lent("a", object) as second:
        assert first is not second, "no two streams share one"
    with pool.lent("a", object) as again, pool.lent("a", object) as other:
        assert again in (first, second)
        assert other not in (first, second), "one of a kind is kept"


def test_the_kind_that_was_borrowed_longest_ago_goes() -> None:
    pool: Pool[object] = Pool(2)
    made: dict[str, object] = {}
    for kind in ("a", "b", "a", "c"):
        with pool.lent(kind, object) as thing:
            made.setdefault(kind, thing)
    with pool.lent("a", object) as a, pool.lent("c", object) as c:
        assert (a, c) == (made["a"], made["c"])
    with pool.lent("b", object) as b:
        assert b is not made["b"]


def test_what_was_in_use_when_something_failed_comes_back() -> None:
    pool: Pool[object] = Pool(1)
    with pytest.raises(KeyError), pool.lent("a", object) as thing:
        raise KeyError
    with pool.lent("a", object) as again:
        assert again is thing


@pytest.mark.parametrize("size", [(127, 512), (512, 130 - 4), (513, 512), (512, 1922)])
def test_sizes_are_even_and_neither_too_small_nor_too_large(size: tuple[int, int]) -> None:
    traits = FaceTraits(sources=frozenset({"picture"}), min_side=128, max_side=1920)
    with pytest.raises(InvalidInput, match=f"from 128 to 1920, not {size[0]}x{size[1]}"):
        check_canvas(traits, Canvas(*size))
    check_canvas(traits, Canvas(128, 1920))
