"""``vivavoce bench``: the numbers that we promise, measured on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from vivavoce.cli.console import bar, out

__all__ = ["bench"]


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions.")] = False,
    engine: Annotated[
        str, typer.Option(help="Face engine to measure; wav2lip, ernerf and synctalk have measurements of their own.")
    ] = "photo",
    sound: Annotated[
        Path | None,
        typer.Option(
            help="Measure the audio core instead, with the recordings in this folder: one folder for each speaker.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    studio: Annotated[
        Path | None,
        typer.Option(
            help="Measure cloned voices and conversation instead, with recordings in a folder for each speaker.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    write: Annotated[
        Path | None, typer.Option(help="Also write the table as Markdown, such as docs/benchmarks.md.")
    ] = None,
) -> None:
    """Measure speed, latency and memory, and compare them with the targets."""
    from vivavoce.bench import report

    more = ""
    with bar("Measuring") as show:
        if sound is not None:
            from vivavoce.bench.sound import measure as measure_sound

            title, command = "Sound", "vivavoce bench --sound FOLDER"
            rows, more = measure_sound(sound, quick=quick, show=show)
        elif studio is not None:
            from vivavoce.bench.studio import measure as measure_studio

            title, command = "Studio", "vivavoce bench --studio FOLDER"
            rows, more = measure_studio(studio, quick=quick, show=show)
        elif engine == "wav2lip":
            from vivavoce.bench.wav2lip import measure as measure_wav2lip

            title, command = "Wav2Lip", "vivavoce bench --engine wav2lip"
            rows, more = measure_wav2lip(quick=quick, show=show)
        elif engine in ("ernerf", "synctalk"):
            from vivavoce.bench.nerf import measure as measure_nerf

            title, command = f"Radiance field, {engine}", f"vivavoce bench --engine {engine}"
            rows, more = measure_nerf(engine, quick=quick, show=show)
        else:
            from vivavoce.bench.suite import measure

            title, command = "Films", "vivavoce bench"
            rows = measure(engine=engine, quick=quick, show=show)
    if write is not None:
        report.put(report.markdown(rows, title, f"{command} --write {write.name}", more), write)
    if as_json:
        out.print_json(report.as_json(rows))
    else:
        out.print(report.table(rows))
