"""How well a person's own head speaks, measured on pictures that it has not seen, beside what costs nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.bench import curves
from vivavoce.bench.perceptual import Perceptual
from vivavoce.bench.suite import Measured
from vivavoce.engines.person import store
from vivavoce.engines.person.evaluate import ROWS, Bench, Paint, Pooled, cross_validated, held_out, paint_with
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.measures import Score
from vivavoce.face.locate import FaceLocator
from vivavoce.models import ModelStore

__all__ = ["measure", "pooled_table", "refinement_table", "table"]

Show = Callable[[float, str], None]
_NEAREST, _, _ONE, _THREE, _OWN, _OTHER = ROWS


def measure(
    folder: Path,
    models: ModelStore,
    *,
    quick: bool = False,
    strip: Path | None = None,
    plot: Path | None = None,
    show: Show = lambda *_: None,
) -> tuple[list[Measured], str]:
    """Everything about the head in ``folder``, and the tables that belong to it, in Markdown.

    ``quick`` leaves out cross-validation, which takes ten times as long. ``strip`` is where a picture of truth above
    ours is written, ``plot`` where the curves of the lips' gap are, as SVG. All rows are of the library alone: a
    refinement has seen most of the pictures that are held out here, so what is told of it is what was measured after
    its training. Raises ``NotFound`` when there is no such head, ``InvalidInput`` when it learnt from no speech.
    """
    with Bench(folder, store.load(folder), FaceLocator(models)) as bench:
        clock, seen = _Clock(paint_with(bench)), Perceptual(models, folder)
        part = 1.0 if quick else 0.1
        held = held_out(bench, clock.paint, lambda x, words: show(part * x, words), strip, seen.add)
        text = "### Held out: the last eleventh\n\n" + table(held)
        if scores := seen.table():
            text += f"\n\n### As networks see it\n\n{scores}"
        panels = [_panel("own sound, the last eleventh", held[_OWN]), _panel("true lips", held[_THREE])]
        rows = [*_held_rows(held), clock.row()]
        if not quick:
            kept = [_NEAREST, _THREE, _OWN, _OTHER]
            pooled = cross_validated(bench, clock.paint, kept, lambda x, words: show(0.1 + 0.9 * x, words))
            rows += _pooled_rows(pooled)
            text += "\n\n### Eleven folds\n\n" + pooled_table(pooled)
            panels += [_panel(f"own sound, part {i}", fold) for i, fold in enumerate(pooled[_OWN].folds, 1)]
        if refined := bench.library.report.get("refinement"):
            text += "\n\n### Refinement\n\n" + refinement_table(refined)
        if plot is not None:
            curves.write(plot, panels, float(bench.library.footage.fps), unit="E")
    return rows, text


def _panel(title: str, score: Score) -> curves.Panel:
    return curves.Panel(f"{title}: gap of the lips, eye distances; r {score.opening:.2f}", score.truth, score.gap)


class _Clock:
    """Counts what painting costs."""

    def __init__(self, paint: Paint) -> None:
        self._paint = paint
        self._took: list[float] = []

    def paint(
        self,
        library: Library,
        base: int,
        shape: npt.NDArray[np.float32],
        sources: Sequence[int],
        weights: Sequence[float],
    ) -> npt.NDArray[np.uint8]:
        began = time.thread_time()
        made = self._paint(library, base, shape, sources, weights)
        self._took.append((time.thread_time() - began) * 1000)
        return made

    def row(self) -> Measured:
        spent = float(np.median(self._took))
        detail = f"median of {len(self._took)}, with the film's picture read and shown in its own size"
        return Measured("a frame painted, CPU of one thread", spent, "ms", 12.0, "less", detail)


def _held_rows(held: Mapping[str, Score]) -> list[Measured]:
    own, other, nearest, best = held[_OWN], held[_OTHER], held[_NEAREST], held[_THREE]
    beyond = f"{own.psnr:.2f} dB, the nearest visible picture {nearest.psnr:.2f}"
    gap = f"another moment's sound {other.psnr:.2f} dB, r {other.opening:.2f}"
    return [
        Measured("own sound: mouth beyond the nearest picture", own.psnr - nearest.psnr, "dB", 0.0, "more", beyond),
        Measured("own sound: beyond another moment's sound", own.psnr - other.psnr, "dB", 1.0, "more", gap),
        Measured("own sound: sharpness of the truth's", own.sharp, "", 0.8, "more", f"Laplacian {own.laplacian:.2f}"),
        Measured("own sound: not too sharp", own.sharp, "", 1.25, "less"),
        Measured("own sound: opening, r", own.opening, "", 0.6, "more", f"{len(own.gap)} pictures"),
        Measured("own sound: lag", abs(own.lag), "frames", 1, "less"),
        Measured("own sound: flicker of the truth's", own.flicker[0], "", 1.2, "less"),
        Measured("true lips: mouth", best.psnr, "dB", 25.5, "more", f"one picture {held[_ONE].psnr:.2f}"),
        Measured("true lips: opening, r", best.opening, "", 0.95, "more"),
    ]


def _pooled_rows(pooled: Mapping[str, Pooled]) -> list[Measured]:
    own, other, nearest = pooled[_OWN], pooled[_OTHER], pooled[_NEAREST]
    beyond = f"{own.psnr:.2f} dB, the nearest visible picture {nearest.psnr:.2f}"
    return [
        Measured(
            "eleven folds: opening, r pooled", own.opening, "", 0.5, "more", f"another moment {other.opening:.2f}"
        ),
        Measured("eleven folds: beyond the nearest picture", own.psnr - nearest.psnr, "dB", 0.0, "more", beyond),
        Measured("eleven folds: beyond another moment's sound", own.psnr - other.psnr, "dB", 1.0, "more"),
        Measured("eleven folds: least sharp", own.worst_sharp, "", 0.7, "more", f"mean {own.sharp:.2f}"),
    ]


def table(scores: Mapping[str, Score]) -> str:
    """Markdown, a row for each thing compared."""
    lines = [
        "| | PSNR dB | SSIM | sharp / Laplacian | landmarks px | opening r (lag) | spread | flicker |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, s in scores.items():
        lines.append(
            f"| {name} | {s.psnr:.2f} | {s.ssim:.3f} | {s.sharp:.2f} / {s.laplacian:.2f} | {s.landmarks:.2f} "
            f"| {s.opening:.2f} ({s.lag:+d}) | {s.spread:.2f} | {s.flicker[0]:.2f} / {s.flicker[1]:.2f} |"
        )
    return "\n".join(lines)


def pooled_table(scores: Mapping[str, Pooled]) -> str:
    """Markdown, means over the folds and their deviation."""
    lines = [
        "| | PSNR dB | SSIM | sharp (least) | landmarks px | opening r pooled (lag) | flicker |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, s in scores.items():
        spread = float(np.std([fold.psnr for fold in s.folds]))
        lines.append(
            f"| {name} | {s.psnr:.2f} ± {spread:.2f} | {s.ssim:.3f} | {s.sharp:.2f} ({s.worst_sharp:.2f}) "
            f"| {s.landmarks:.2f} | {s.opening:.2f} ({s.lag:+d}) | {s.flicker[0]:.2f} / {s.flicker[1]:.2f} |"
        )
    return "\n".join(lines)


def refinement_table(told: Mapping[str, Any]) -> str:
    """Markdown of what a training with quality=best noted: figures without and with the refinement."""
    used = "It is used." if told["used"] else f"It is not used: {'; '.join(told['against'])}."
    if not told["before"]:
        return used
    parts = ", ".join(f"{first}-{last - 1}" for first, last in told["held_out"])
    lines = [
        f"Measured on the pictures {parts}, which taught neither the library nor the net; the tables above are of the "
        "library alone.",
        "",
        "| | between the lips dB | mouth dB | sharp: between the lips / mouth | flicker | opening r |",
        "|---|---|---|---|---|---|",
    ]
    for row in told["before"]:
        for side, words in (("before", "library"), ("after", "refined")):
            f = told[side][row]
            lines.append(
                f"| {row}, {words} | {f['inner_psnr']:.2f} | {f['mouth_psnr']:.2f} "
                f"| {f['inner_sharpness']:.2f} / {f['sharpness']:.2f} | {f['flicker'][0]:.2f} / {f['flicker'][1]:.2f} "
                f"| {f['opening_r']:.2f} |"
            )
    return "\n".join([*lines, "", f"{used} Epochs: {told['epochs']}."])
