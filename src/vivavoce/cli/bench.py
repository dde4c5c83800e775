"""``vivavoce bench``: the numbers that we promise, measured on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from vivavoce.cli.console import bar, out

__all__ = ["bench"]


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions.")] = False,
    engine: Annotated[str, typer.Option(help="Face engine to measure.")] = "photo",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    write: Annotated[
        Path | None, typer.Option(help="Also write the table as Markdown, such as docs/benchmarks.md.")
    ] = None,
) -> None:
    """Measure speed, latency and memory, and compare them with the targets."""
    from vivavoce.bench.report import as_json as to_json
    from vivavoce.bench.report import markdown, table
    from vivavoce.bench.suite import measure

    with bar("Measuring") as show:
        rows = measure(engine=engine, quick=quick, show=show)
    if write is not None:
        write.write_text(markdown(rows), encoding="utf-8")
    if as_json:
        out.print_json(to_json(rows))
    else:
        out.print(table(rows))
