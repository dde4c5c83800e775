"""``vivavoce avatars``: who can be seen here."""

import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.markup import escape
from rich.table import Column, Table

from vivavoce.cli.console import bar, out, settings
from vivavoce.errors import InvalidInput

if TYPE_CHECKING:
    from vivavoce.face.preflight import Report
    from vivavoce.nouns import Avatar
    from vivavoce.ports import Animator
    from vivavoce.store.avatars import AvatarLibrary
    from vivavoce.studio.config import StudioConfig

__all__ = ["app"]

app = typer.Typer(help="Make, list, look at and remove avatars.", no_args_is_help=True)

_GREETING = {
    "en": "Hello! This is what I look like when I speak.",
    "ru": "Здравствуйте! Вот так я выгляжу, когда говорю.",
    "kk": "Сәлеметсіз бе! Мен сөйлегенде осындаймын.",
    "ko": "안녕하세요! 저는 말할 때 이런 모습입니다.",
    "zh": "您好！我说话的时候就是这个样子。",
}
_MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]better otherwise[/]", "refuse": "[red]cannot be used[/]"}


def _library() -> "AvatarLibrary":
    from vivavoce.store.avatars import AvatarLibrary
    from vivavoce.studio.scene import builtin_avatars

    return AvatarLibrary(settings().studio().avatars, builtin_avatars())


@app.command()
def check(
    source: Annotated[Path, typer.Argument(help="A photo of one face, or a video of one person.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at a photo or a video before an avatar is made of it. Ends with 1 when it cannot be used."""
    if not source.is_file():
        raise InvalidInput(f"There is no file {source}.")
    with bar("Looking at the file"):
        report = _examined(source, settings().studio())
    if as_json:
        typer.echo(json.dumps(report.as_dict(), ensure_ascii=False, indent=1))
    else:
        _show(report.as_dict()["findings"])
    if report.level == "refuse":
        raise typer.Exit(1)


def _examined(source: Path, config: "StudioConfig") -> "Report":
    from vivavoce.face.locate import FaceLocator
    from vivavoce.face.preflight import examine
    from vivavoce.models import ModelStore

    locator = FaceLocator(ModelStore(config.models_dir, config.models_cache, config.offline))
    return examine(source, locator, max_pixels=config.max_pixels)


def _show(findings: list[dict[str, str]]) -> None:
    table = Table("Check", "", "Measured", Column("Advice", overflow="fold"))
    for finding in findings:
        table.add_row(finding["check"], _MARKS[finding["level"]], escape(finding["value"]), escape(finding["advice"]))
    out.print(table)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Letters, digits, - and _.")],
    source: Annotated[Path, typer.Argument(help="A photo of one face, seen from the front, or a video of one person.")],
    engine: Annotated[str | None, typer.Option(help="Face engine; the default one when missing.")] = None,
    landmarks: Annotated[
        Path | None, typer.Option(help="JSON file of points on the face, for a drawing in which none is found.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the avatar and the findings as JSON.")] = False,
) -> None:
    """Make an avatar of a photo or a video."""
    from vivavoce.registry import Registry
    from vivavoce.studio.equipment import engine_options

    for given in (source, landmarks):
        if given is not None and not given.is_file():
            raise InvalidInput(f"There is no file {given}.")
    config = settings().studio()
    wanted = engine or config.face_engine
    registry = Registry(engine_options(config))
    library = _library()
    with bar("Preparing the avatar"), closing(registry):
        prepare = _preparation(registry.get("face", wanted), wanted, landmarks)
        made = library.add(name, lambda into: prepare(source, into))
    report = library.facts(made.name).get("report")  # an engine of somebody else's need not write one
    if as_json:
        facts = {"name": made.name, "engine": made.engine, "warnings": list(made.warnings), "report": report}
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    if report and made.warnings:
        _show(report["findings"])
    for warning in made.warnings:
        typer.secho(warning, fg="yellow", err=True)
    out.print(f'The avatar {made.name} is ready: vivavoce speak "…" --avatar {made.name}', highlight=False)


def _preparation(engine: "Animator", name: str, landmarks: Path | None) -> "Callable[[Path, Path], Avatar]":
    """The engine's ``prepare``, with the given landmarks if there are any."""
    if landmarks is None:
        return engine.prepare
    if "landmarks" not in signature(engine.prepare).parameters:
        raise InvalidInput(f"The engine {name} finds faces by itself and takes no landmarks.")
    try:
        points = landmarks.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"{landmarks} is not a JSON file.") from None
    return partial(cast("Callable[..., Avatar]", engine.prepare), landmarks=points)


@app.command("list")
def show() -> None:
    """List the avatars that ship with the package and your own."""
    library = _library()
    table = Table("Avatar", "Engine", Column("Picture", overflow="fold"), "Warnings")
    for name in library.names():
        avatar = library.get(name)
        table.add_row(
            name, avatar.engine, f"[dim]{escape(str(library.poster(name)))}[/]", escape(" ".join(avatar.warnings))
        )
    out.print(table)


@app.command("rm")
def remove(name: Annotated[str, typer.Argument(help="An avatar of your own.")]) -> None:
    """Remove an avatar of your own."""
    _library().remove(name)
    out.print(f"The avatar {name} is removed.", highlight=False, markup=False)


@app.command()
def preview(
    name: Annotated[str, typer.Argument(help="An avatar of `vivavoce avatars list`.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The film to write; NAME.mp4 when missing.")
    ] = None,
    language: Annotated[str, typer.Option(help="Language of the greeting: ru, kk, en, ko or zh.")] = "en",
    size: Annotated[str | None, typer.Option(help="512x512, 720p, …")] = None,
) -> None:
    """Make a short film in which an avatar greets you."""
    from vivavoce.cli.speak import film

    code = language if language in _GREETING else "en"
    film(_GREETING[code], output or Path(f"{name}.mp4"), language=code, avatar=name, size=size)
