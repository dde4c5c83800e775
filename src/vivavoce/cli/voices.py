"""``vivavoce voices``: what can be heard here."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from vivavoce.cli.console import out, settings

__all__ = ["app"]

app = typer.Typer(help="List voices.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep ``list`` a command of its own."""


@app.command("list")
def show(
    language: Annotated[str | None, typer.Option(help="Only voices that speak it.")] = None,
    engine: Annotated[str | None, typer.Option(help="Only voices of this engine.")] = None,
) -> None:
    """List the voices of every installed engine."""
    from vivavoce.errors import EngineUnavailable
    from vivavoce.registry import Registry
    from vivavoce.studio.equipment import engine_options
    from vivavoce.text.languages import resolve

    wanted = resolve(language).code if language else None
    registry = Registry(engine_options(settings().studio()))
    table = Table("Voice", "Name", "Gender", "Languages", "Licence")
    try:
        for name in [engine] if engine else registry.names("voice"):
            try:
                traits = registry.get("voice", name).traits
            except EngineUnavailable as e:
                if engine:
                    raise
                table.add_row(f"{name}/…", f"[yellow]{escape(str(e))}[/]")
                continue
            for voice in traits.voices:
                spoken = voice.languages or traits.languages
                if wanted is None or wanted in spoken:
                    table.add_row(f"{name}/{voice.id}", voice.name, voice.gender, _few(spoken, wanted), traits.licence)
    finally:
        registry.close()
    out.print(table)


def _few(languages: tuple[str, ...], wanted: str | None) -> str:
    """The first languages, or the wanted one, and how many more there are."""
    shown = [wanted] if wanted else list(languages[:6])
    more = len(languages) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
