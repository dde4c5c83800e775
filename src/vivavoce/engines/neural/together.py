"""Several streams share one net: what waits while it computes goes through it together next time.

There is no thread and no timer. Whoever finds the net free takes along all that waits, and hands the others theirs; so
a lone stream never waits, and a busy net sees larger batches by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Condition, Lock
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Together"]

F32 = npt.NDArray[np.float32]


@dataclass(slots=True, eq=False)
class _Asked:
    inputs: Sequence[F32]
    made: F32 | None = None
    failed: BaseException | None = None
    done: bool = field(default=False)


class Together:
    """Calls ``net`` with arrays whose first axes count examples, those of several threads joined.

    ``most``: examples in one call, unless one thread brings more by itself.
    """

    def __init__(self, net: Callable[..., F32], most: int) -> None:
        self._net, self._most = net, most
        self._waiting: list[_Asked] = []
        self._busy = False
        self._changed = Condition(Lock())
        self.calls = 0
        """How often the net was called."""

    def __call__(self, *inputs: F32) -> F32:
        """What the net makes of these examples. Raises what it raises; others in the same call hear of it too."""
        mine = _Asked(inputs)
        with self._changed:
            self._waiting.append(mine)
        while True:
            with self._changed:
                while self._busy and not mine.done:
                    self._changed.wait()
                if mine.done:
                    break
                self._busy = True
                taken = self._take()
            try:
                self._run(taken)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
        if mine.failed is not None:
            raise mine.failed
        assert mine.made is not None
        return mine.made

    def _take(self) -> list[_Asked]:
        """The longest waiting that fit into one call."""
        taken, count = [self._waiting.pop(0)], 0
        count = len(taken[0].inputs[0])
        while self._waiting and count + len(self._waiting[0].inputs[0]) <= self._most:
            taken.append(self._waiting.pop(0))
            count += len(taken[-1].inputs[0])
        return taken

    def _run(self, taken: Sequence[_Asked]) -> None:
        try:
            joined: list[Any] = [
                np.concatenate(parts) for parts in zip(*(asked.inputs for asked in taken), strict=True)
            ]
            self.calls += 1
            made = self._net(*joined)
            at = 0
            for asked in taken:
                asked.made = made[at : at + len(asked.inputs[0])]
                at += len(asked.inputs[0])
        except BaseException as e:  # noqa: BLE001  it belongs to whoever asked: each raises it in its own thread
            for asked in taken:
                asked.failed = e
        finally:
            for asked in taken:
                asked.done = True
