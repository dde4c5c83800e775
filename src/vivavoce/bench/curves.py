"""Curves over time as an SVG picture: what was wanted and what came, one panel below the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["Panel", "write"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 200, 56, 16, 34, 30
"""Pixels of a panel and of its margins."""
_TRUTH, _OURS, _INK, _FAINT = "#8a8f98", "#0b6bcb", "#22262d", "#dfe2e7"
_TICKS = 10
"""Seconds between two ticks are chosen so that there are about so many."""
_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass(frozen=True, slots=True)
class Panel:
    """Two curves over the same pictures."""

    title: str
    truth: npt.NDArray[np.floating]
    """``(n,)``."""
    ours: npt.NDArray[np.floating]
    """``(n,)``."""


def write(path: Path, panels: Sequence[Panel], fps: float, *, unit: str) -> None:
    """Write the panels, the truth grey and ours blue; all share their scale. ``unit`` is what the values are in."""
    values = np.concatenate([np.concatenate([panel.truth, panel.ours]) for panel in panels])
    low, high = min(0.0, float(values.min())), max(float(values.max()), 1e-6)
    height = _HEIGHT * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        *(line for i, panel in enumerate(panels) for line in _panel(panel, i * _HEIGHT, fps, (low, high), unit)),
        "</svg>",
    ]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _panel(panel: Panel, top: int, fps: float, span: tuple[float, float], unit: str) -> list[str]:
    low, high = span
    count = max(len(panel.truth), 2)
    wide, tall = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across(number: float) -> float:
        return _LEFT + wide * number / (count - 1)

    def up(value: float) -> float:
        return top + _TOP + tall * (high - value) / (high - low)

    def line(curve: npt.NDArray[np.floating], colour: str) -> str:
        points = " ".join(f"{across(i):.1f},{up(float(v)):.1f}" for i, v in enumerate(curve))
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'

    seconds = (count - 1) / fps
    step = next((s for s in _STEPS if seconds / s <= _TICKS), _STEPS[-1])
    made = [f'<text x="{_LEFT}" y="{top + 20}" fill="{_INK}" font-weight="bold">{escape(panel.title)}</text>']
    for words, colour, left in (("filmed", _TRUTH, _WIDTH - 150), ("painted", _OURS, _WIDTH - 80)):
        made.append(f'<text x="{left}" y="{top + 20}" fill="{colour}">{words}</text>')
    for value in (low, (low + high) / 2, high):
        y = up(value)
        made.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="{_FAINT}"/>')
        made.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{_INK}">{value:.2f}</text>')
    for number in range(int(seconds / step) + 1):
        x = across(number * step * fps)
        made.append(
            f'<text x="{x:.1f}" y="{top + _HEIGHT - 10}" text-anchor="middle" fill="{_INK}">{number * step:g} s</text>'
        )
    made.append(f'<text x="12" y="{top + 20}" fill="{_INK}">{escape(unit)}</text>')
    return [*made, line(panel.truth, _TRUTH), line(panel.ours, _OURS)]
