"""Threads that share one net: each gets its own, in fewer calls than there were questions."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.neural.together import Together

F32 = npt.NDArray[np.float32]


def asked_at_once(ask: Callable[[int], F32], count: int) -> list[F32 | BaseException]:
    """What ``count`` threads are answered that ask together."""
    answers: list[F32 | BaseException] = [RuntimeError("no answer")] * count
    ready = threading.Barrier(count)

    def run(i: int) -> None:
        ready.wait()
        try:
            answers[i] = ask(i)
        except ValueError as e:
            answers[i] = e

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    return answers


class Queue(list[Any]):
    """Tells when eight wait."""

    def __init__(self) -> None:
        super().__init__()
        self.full = threading.Event()

    def append(self, asked: Any) -> None:
        super().append(asked)
        if len(self) == 8:
            self.full.set()


def test_each_thread_gets_its_own_answer_from_shared_calls() -> None:
    queue = Queue()
    sizes: list[int] = []

    def net(x: F32, y: F32) -> F32:
        sizes.append(len(x))
        if len(sizes) == 1:  # the others come while it computes
            assert queue.full.wait(timeout=20)
        return x + 10 * y

    together = Together(net, most=8)
    together._waiting = queue
    count = 9

    def ask(i: int) -> F32:
        return together(np.full((2, 1), i, np.float32), np.full((2, 1), i + 1, np.float32))

    for i, answer in enumerate(asked_at_once(ask, count)):
        assert isinstance(answer, np.ndarray)
        assert answer.tolist() == [[i + 10 * (i + 1)]] * 2
    assert sizes == [2, 8, 8], "four questions of two fit into a call of eight"
    assert together.calls == 3


def test_a_question_larger_than_a_call_is_asked_alone() -> None:
    together = Together(lambda x: x * 2, most=4)
    assert together(np.ones((9, 1), np.float32)).sum() == 18


def test_a_failure_reaches_those_who_asked_and_nobody_else() -> None:
    def net(x: F32) -> F32:
        if x.max() > 5:
            raise ValueError("too much")
        return x

    together = Together(net, most=1)  # no sharing: a failure belongs to one
    answers = asked_at_once(lambda i: together(np.full((1, 1), i * 3, np.float32)), 4)
    assert [isinstance(answer, ValueError) for answer in answers] == [False, False, True, True]
    with pytest.raises(ValueError, match="too much"):
        together(np.full((1, 1), 9, np.float32))
    assert together(np.ones((1, 1), np.float32)).tolist() == [[1]]
