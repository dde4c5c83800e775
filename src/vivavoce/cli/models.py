"""``vivavoce models``: weight files ahead of time, and avatars of models that others have trained."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from vivavoce.cli.console import bar, out, settings
from vivavoce.errors import EngineUnavailable, InvalidInput

if TYPE_CHECKING:
    from vivavoce.engines.nerf.workspace.convert import Finding
    from vivavoce.models import Fetching, ModelStore
    from vivavoce.nouns import Avatar

__all__ = ["app"]

app = typer.Typer(help="List and fetch model weights; import models of your own.", no_args_is_help=True)

_COLOURS = {"found": "green", "missing": "yellow", "assumed": "yellow", "here": "yellow"}


def _store() -> "ModelStore":
    from vivavoce.models import ModelStore

    held = settings().models
    return ModelStore(held.dir, held.cache, held.offline)


@app.command("list")
def show() -> None:
    """List every model, its licence, and whether it is here."""
    table = Table("Model", "What for", "Size", "Licence", Column("Where", overflow="fold"))
    for held in _store().entries():
        where = f"[dim]{escape(str(held.path))}[/]" if held.path else "[yellow]not here yet[/]"
        size = f"{held.weight.bytes / 1e6:.1f} MB" if held.weight.bytes else "your own"
        table.add_row(held.weight.name, held.weight.purpose, size, held.weight.licence, where)
    out.print(table)


@app.command()
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models to fetch; when none is named, all small ones.")
    ] = None,
) -> None:
    """Fetch models now, so that nothing is fetched later. Recognisers are large, and fetched by name only."""
    store = _store()
    for name in names or [held.weight.name for held in store.entries() if held.weight.sources]:
        with _fetching(name) as fetching:
            path = store.pull(name, fetching)
        out.print(f"{name}: {path}", highlight=False)


@app.command()
def path(name: Annotated[str, typer.Argument(help="A model of `vivavoce models list`.")]) -> None:
    """Print where a model lies, fetching it if need be."""
    with _fetching(name) as fetching:
        found = _store().path(name, fetching)
    out.print(str(found), highlight=False)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="wav2lip.")] = "wav2lip",
    to: Annotated[
        Path | None, typer.Option(help="File to write; wav2lip.onnx in the folder VIVAVOCE_MODELS__DIR when not given.")
    ] = None,
) -> None:
    """Write a checkpoint of your own as an ONNX model, which runs without torch."""
    from vivavoce.engines.wav2lip.weights import EXPORTED, LICENCE, find
    from vivavoce.engines.wav2lip.weights import export as write

    if name != "wav2lip":
        raise InvalidInput(f"There is nothing to export of {name!r}; wav2lip can be.")
    store = _store()
    path = find(store, "torch", settings().wav2lip.checkpoint).path
    if to is None and store.folder is None:
        raise InvalidInput("Say where to with --to, or set VIVAVOCE_MODELS__DIR.")
    target = to or Path(store.folder or ".") / EXPORTED
    write(path, target)
    out.print(f"{target}: {path.name} for onnxruntime; {LICENCE}", highlight=False)


@app.command("import")
def take_over(
    folder: Annotated[Path, typer.Argument(help="Workspace of an ER-NeRF or SyncTalk training: it holds checkpoints.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of its data (transforms_train.json, bc.jpg, …), where it is another.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the avatar; the folder's when missing.")] = None,
    engine: Annotated[str | None, typer.Option(help="ernerf or synctalk, where the checkpoint does not tell.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Make an avatar of a head that ER-NeRF or SyncTalk has trained. Nothing but tensors is read of its checkpoint."""
    from vivavoce.engines.neural.device import EXTRA, has_torch
    from vivavoce.store.avatars import AvatarLibrary
    from vivavoce.studio.scene import builtin_avatars

    if not has_torch():
        raise EngineUnavailable(f"torch is not installed, which reads these models; add it with `{EXTRA}`.")
    from vivavoce.engines.nerf.workspace.convert import convert

    held: list[Finding] = []

    def prepare(into: Path) -> "Avatar":
        made = convert(folder, into, _store(), data=data, engine=engine, report=lambda done: tell(done, "Importing"))
        held.extend(made.findings)
        return made.avatar

    library = AvatarLibrary(settings().studio().avatars, builtin_avatars())
    with bar("Reading the workspace") as tell:
        made = library.add(name or _named(folder), prepare)
    if as_json:
        told = [{"what": one.what, "level": one.level, "says": one.says} for one in held]
        typer.echo(
            json.dumps({"name": made.name, "engine": made.engine, "findings": told}, ensure_ascii=False, indent=1)
        )
        return
    table = Table("What", "", Column("Found, or what follows", overflow="fold"))
    for one in held:
        table.add_row(one.what, f"[{_COLOURS[one.level]}]{one.level}[/]", escape(one.says))
    out.print(table)
    out.print(f'The avatar {made.name} is ready: vivavoce speak "…" --avatar {made.name}', highlight=False)


def _named(folder: Path) -> str:
    """A folder's name as an avatar's."""
    return re.sub(r"[^a-z0-9_-]+", "-", folder.resolve().name.lower()).strip("-_")[:63] or "imported"


@contextmanager
def _fetching(name: str) -> "Iterator[Fetching]":
    with bar(f"Looking for {name}") as show:

        def progress(what: str, done: int, size: int) -> None:
            show(done / size if size else 0.0, f"Fetching {what}")

        yield progress
