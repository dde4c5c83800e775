"""``vivavoce evaluate``: how well a trained head speaks, on pictures that it has not seen."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown

from vivavoce.cli.console import bar, out, settings
from vivavoce.errors import InvalidInput

__all__ = ["evaluate"]

_ENGINE = "person"


def evaluate(
    name: Annotated[str, typer.Argument(help="An avatar of the engine person: `vivavoce avatars list` has names.")],
    quick: Annotated[bool, typer.Option("--quick", help="Only the last eleventh, without cross-validation.")] = False,
    strip: Annotated[Path | None, typer.Option(help="Also write a picture: the truth above, ours below.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also write the lips' curves, filmed and painted, as SVG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    write: Annotated[Path | None, typer.Option(help="Also write the tables as Markdown.")] = None,
) -> None:
    """Judge a trained head: PSNR, sharpness, lips, timing and flicker, beside baselines and true lips.

    The last eleventh of the film is held out, then each of eleven parts in turn: ten times as long as with --quick.
    """
    from vivavoce.bench import report
    from vivavoce.bench.person import measure
    from vivavoce.models import ModelStore
    from vivavoce.store.avatars import AvatarLibrary
    from vivavoce.studio.scene import builtin_avatars

    config = settings().studio()
    avatar = AvatarLibrary(config.avatars, builtin_avatars()).get(name)
    if avatar.engine != _ENGINE:
        raise InvalidInput(f"{avatar.name} was made by {avatar.engine}; only heads of {_ENGINE} can be evaluated.")
    models = ModelStore(config.models_dir, config.models_cache, config.offline)
    with bar("Evaluating") as show:
        rows, tables = measure(avatar.path, models, quick=quick, strip=strip, plot=plot, show=show)
    if write is not None:
        report.put(report.markdown(rows, "Person", f"vivavoce evaluate {avatar.name}", tables), write)
    if as_json:
        out.print_json(report.as_json(rows))
    else:
        out.print(report.table(rows))
        out.print(Markdown(tables))
