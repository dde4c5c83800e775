"""What every face engine has besides its face: canvases that it takes, and makers of pictures that streams borrow."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Canvas, FaceTraits

__all__ = ["Pool", "check_canvas"]

T = TypeVar("T")


def check_canvas(traits: FaceTraits, canvas: Canvas) -> None:
    """Raise ``InvalidInput`` for a size that is odd, or that the engine does not paint."""
    if not all(traits.min_side <= side <= traits.max_side and side % 2 == 0 for side in canvas.size):
        raise InvalidInput(
            f"The size must be even numbers from {traits.min_side} to {traits.max_side}, "
            f"not {canvas.width}x{canvas.height}."
        )


class Pool(Generic[T]):
    """Things that own scratch memory: each stream borrows one of its own, and one of a kind is kept for the next."""

    def __init__(self, most: int) -> None:
        """``most``: kinds that are kept; the one that was borrowed longest ago goes."""
        self._most = most
        self._idle: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def lent(self, key: Hashable, make: Callable[[], T]) -> Iterator[T]:
        """One of the kind ``key`` for as long as the block lasts, made where none is idle."""
        with self._lock:
            found = self._idle.pop(key, None)
        thing = make() if found is None else found
        try:
            yield thing
        finally:
            with self._lock:
                self._idle.setdefault(key, thing)
                self._idle.move_to_end(key)
                while len(self._idle) > self._most:
                    self._idle.popitem(last=False)
