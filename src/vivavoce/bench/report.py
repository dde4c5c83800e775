"""The measurements as a table for a terminal, as Markdown and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich.table import Table

from vivavoce import __version__
from vivavoce.bench.suite import Measured, machine

__all__ = ["as_json", "markdown", "table"]


def _value(row: Measured, number: float | None) -> str:
    if number is None:
        return "not measured"
    digits = 1 if row.unit in {"x real time", "s"} else 0
    return f"{number:.{digits}f} {row.unit}"


def _target(row: Measured) -> str:
    return f"{'≥' if row.better == 'more' else '≤'} {_value(row, row.target)}"


def table(rows: Sequence[Measured]) -> Table:
    """For the terminal."""
    made = Table("What", "Measured", "Target", "Detail", caption=machine())
    for row in rows:
        colour = {True: "green", False: "red", None: "yellow"}[row.reached]
        made.add_row(row.what, f"[{colour}]{_value(row, row.value)}[/]", _target(row), row.detail)
    return made


def markdown(rows: Sequence[Measured]) -> str:
    """For ``docs/benchmarks.md``."""
    lines = [
        "# Benchmarks",
        "",
        f"`vivavoce bench --write docs/benchmarks.md`, version {__version__}, {datetime.now(UTC):%Y-%m-%d}, on",
        f"{machine()}. Other work on the machine makes all of it slower; run it on yours.",
        "",
        "| what | measured | target | detail |",
        "|---|---|---|---|",
    ]
    lines += [f"| {r.what} | {_value(r, r.value)} | {_target(r)} | {r.detail} |" for r in rows]
    return "\n".join([*lines, ""])


def as_json(rows: Sequence[Measured]) -> str:
    """For programs: a list of objects."""
    return json.dumps([asdict(row) | {"reached": row.reached} for row in rows], ensure_ascii=False)
