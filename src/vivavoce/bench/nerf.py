"""How fast a radiance field is filmed and taught here: ER-NeRF's or SyncTalk's head, at the published sizes.

The head is a ball with random weights, as dense as one that has learnt: what a picture costs depends on how much of it
the head fills and on how soon its light is gone, and not on what is seen.
"""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vivavoce.bench.suite import Measured
from vivavoce.engines.neural.device import Place, has_torch, place
from vivavoce.errors import EngineUnavailable

if TYPE_CHECKING:
    from vivavoce.engines.nerf.training.ball import Ball

__all__ = ["measure"]

Show = Callable[[float, str], None]

_SIDES = (128, 256, 512)
_TARGETS = {("cpu", 128): 15.0, ("cpu", 256): 4.0, ("cpu", 512): 1.0}
"""Frames a second that are wanted; 50 of each size on a graphics card."""
_RAYS = 4096


def measure(engine: str, *, quick: bool = False, show: Show = lambda *_: None) -> tuple[list[Measured], str]:
    """Everything of ``ernerf`` or ``synctalk``, on this machine: about a minute. Needs torch.

    Returns rows, and what is to be known about them in Markdown. Raises ``EngineUnavailable`` without torch.
    """
    if not has_torch():
        raise EngineUnavailable("torch is not installed, which this measures; add `pip install 'vivavoce[neural]'`.")
    times = 2 if quick else 5
    here = place()
    from vivavoce.engines.nerf.training.ball import Ball

    ball = Ball(engine, str(here.device))
    rows = []
    for index, side in enumerate(_SIDES):
        show(0.8 * index / len(_SIDES), f"Filming at {side}x{side}")
        rows += _film_rows(ball, side, times, here)
    show(0.8, "Teaching")
    rows.append(_school_row(ball, times))
    more = (
        "Frames a second are those of a machine that does nothing else, reckoned from the processor's time; behind "
        f'"seen", what the clock saw. Best of {times}. The head fills {ball.share:.0%} of the picture; its light is '
        "gone after about eight places of a ray. The plain way asks about all places; what the fast one is tested by."
    )
    return rows, more


def _film_rows(ball: "Ball", side: int, times: int, here: Place) -> list[Measured]:
    """The plain way, ours in the same numbers, and ours as it runs here; in turn, so that all meet the same machine."""
    best = _taken(ball.ways(side), times, ball)
    wanted = _TARGETS.get((here.device.type, side), 50.0)
    names = {"exact": f"{here.device}, float32", "as it runs here": here.name}
    rows = []
    for way, numbers in names.items():
        free, seen = best[way]
        said = f"{free:.2f} fps, seen {seen:.2f}; {numbers}"
        rows.append(Measured(f"a picture of {side}x{side}, {way}", 1000 / free, "ms", 1000 / wanted, "less", said))
    exact, ours = (best[way][0] / best["plain"][0] for way in names)
    said = f"exact {exact:.1f}; plain {best['plain'][0]:.2f} fps"
    return [*rows, Measured(f"{side}x{side}: gain over the plain way", ours, "", 2.0, "more", said)]


def _taken(ways: dict[str, Callable[[], Any]], times: int, ball: "Ball") -> dict[str, tuple[float, float]]:
    """Each way's runs a second: on all cores of a machine that does nothing else, and as the clock saw it."""
    best = dict.fromkeys(ways, (0.0, 0.0))
    for turn in range(times + 1):  # the first is for warming up
        for way, run in ways.items():
            began = time.perf_counter(), time.process_time()
            run()
            ball.wait()
            clock, spent = time.perf_counter() - began[0], time.process_time() - began[1]
            # a graphics card's time is the clock's
            cores = min(len(os.sched_getaffinity(0)), ball.threads())
            free = cores / max(spent, 1e-9) if ball.device == "cpu" else 1 / clock
            if turn:
                best[way] = max(best[way][0], free), max(best[way][1], 1 / clock)
    return best


def _school_row(ball: "Ball", times: int) -> Measured:
    """A step of the head's stage."""
    steps = 3
    free, seen = _taken({"": ball.lesson(_RAYS, steps)}, times, ball)[""]
    detail = f"seen {steps * seen:.2f}; {_RAYS} rays a step, published 65536"
    return Measured("training of the head", steps * free, "steps/s", 1.0, "more", detail)
