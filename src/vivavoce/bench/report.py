"""The measurements as a table for a terminal, as Markdown and as JSON."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from vivavoce import __version__
from vivavoce.bench.suite import Measured, machine

__all__ = ["as_json", "markdown", "put", "table"]


def _value(row: Measured, number: float | None) -> str:
    if number is None:
        return "not measured"
    digits = {"x real time": 1, "s": 1, "": 2, "dB": 2}.get(row.unit, 0)
    return f"{number:.{digits}f} {row.unit}".strip()


def _target(row: Measured) -> str:
    return f"{'≥' if row.better == 'more' else '≤'} {_value(row, row.target)}"


def table(rows: Sequence[Measured]) -> Table:
    """For the terminal."""
    made = Table("What", "Measured", "Target", "Detail", caption=machine())
    for row in rows:
        colour = {True: "green", False: "red", None: "yellow"}[row.reached]
        made.add_row(row.what, f"[{colour}]{_value(row, row.value)}[/]", _target(row), row.detail)
    return made


def markdown(rows: Sequence[Measured], title: str, command: str, more: str = "") -> str:
    """A section for ``docs/benchmarks.md``; ``more`` are other tables that belong to it."""
    lines = [
        f"## {title}",
        "",
        f"`{command}`, version {__version__}, {datetime.now(UTC):%Y-%m-%d}, on {machine()}.",
        "Other work on the machine makes all of it slower; run it on yours.",
        "",
        "| what | measured | target | detail |",
        "|---|---|---|---|",
    ]
    lines += [f"| {r.what} | {_value(r, r.value)} | {_target(r)} | {r.detail} |" for r in rows]
    return "\n".join([*lines, "", *([more.strip(), ""] if more else [])])


def put(section: str, page: Path) -> None:
    """Write a section into a page, in the place of the one of the same title; the other sections stay."""
    before = page.read_text(encoding="utf-8") if page.is_file() else "# Benchmarks\n"
    head, *sections = re.split(r"(?m)^(?=## )", before)
    title = section.partition("\n")[0]
    titles = [held.partition("\n")[0] for held in sections]
    if title in titles:
        sections[titles.index(title)] = section
    else:
        sections.append(section)
    page.write_text("\n".join(part.strip() + "\n" for part in (head, *sections)), encoding="utf-8")


def as_json(rows: Sequence[Measured]) -> str:
    """For programs: a list of objects."""
    return json.dumps([asdict(row) | {"reached": row.reached} for row in rows], ensure_ascii=False)
