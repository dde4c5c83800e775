"""``vivavoce voices``: what can be heard here, and the voices of people, learnt from recordings of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from vivavoce.cli.console import bar, out, settings
from vivavoce.errors import EngineUnavailable, InvalidInput, NotFound

if TYPE_CHECKING:
    from vivavoce.registry import Registry
    from vivavoce.store.voices import VoiceStore

__all__ = ["app"]

app = typer.Typer(help="List voices, and learn those of people.", no_args_is_help=True)


@app.command("list")
def show(
    language: Annotated[str | None, typer.Option(help="Only voices that speak it.")] = None,
    engine: Annotated[str | None, typer.Option(help="Only voices of this engine; clone: those of people.")] = None,
) -> None:
    """List the voices of every installed engine, and those of people."""
    from vivavoce.registry import Registry
    from vivavoce.store.voices import CLONE, VoiceStore
    from vivavoce.studio.equipment import engine_options
    from vivavoce.text.languages import resolve

    wanted = resolve(language).code if language else None
    config = settings().studio()
    registry = Registry(engine_options(config))
    table = Table("Voice", "Name", "Gender", "Languages", "Licence")
    try:
        if engine in (None, CLONE):
            _add_people(table, registry, VoiceStore(config.voices), wanted)
        for name in registry.names("voice") if engine is None else [engine] * (engine != CLONE):
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


@app.command("add")
def add(
    voice: Annotated[str, typer.Argument(metavar="ID", help="1 to 64 letters, digits, _, -, . or inner spaces.")],
    recordings: Annotated[list[Path], typer.Argument(help="Recordings of the speaker, 1 to 10, 300 s altogether.")],
    name: Annotated[str, typer.Option(help="Shown to people; the ID when missing.")] = "",
    language: Annotated[str, typer.Option(help="The speaker's: the default of what is spoken with the voice.")] = "",
    engine: Annotated[str | None, typer.Option(help="Cloner: world, http or elevenlabs.")] = None,
    consent: Annotated[bool, typer.Option(help="Whether the speaker agreed to be cloned.")] = False,
    consent_by: Annotated[str, typer.Option(help="Who says so.")] = "",
    consent_text: Annotated[str, typer.Option(help="What was agreed to.")] = "",
) -> None:
    """Learn the voice of somebody who was recorded; then it speaks as clone/ID."""
    from dataclasses import asdict

    from vivavoce.cli.stage import theatre
    from vivavoce.store.voices import Consent, VoiceStore
    from vivavoce.text.languages import resolve

    for path in recordings:
        if not path.is_file():
            raise InvalidInput(f"There is no recording {path}.")
    held = settings()
    if held.clones.consent == "required" and not consent:
        raise InvalidInput("A voice is learnt only with its speaker's consent here; ask for it, and add --consent.")
    config = held.studio()
    store = VoiceStore(config.voices)
    store.clear()
    store.check("", voice)
    params = {
        "recordings": [str(path) for path in recordings],
        "owner": "",
        "id": voice,
        "name": name,
        "language": resolve(language).code if language else "",
        "engine": engine or config.cloner,
        "consent": asdict(Consent(consent, consent_by, text=consent_text)),
    }
    with bar("Loading the engines") as show_, theatre(config) as ready:
        done = ready.play("enrol", params, show_)
    for warning in done["warnings"]:
        typer.secho(warning, fg="yellow", err=True)
    out.print(f"clone/{done['id']}: learnt of {done['seconds']:.1f} s", highlight=False, markup=False)


@app.command("remove")
def remove(voice: Annotated[str, typer.Argument(metavar="ID", help="With or without clone/ before it.")]) -> None:
    """Forget the voice of somebody, with the recordings, here and at the service that learnt it."""
    from vivavoce.cli.stage import theatre

    id_ = voice.removeprefix("clone/")
    with bar("Removing") as show_, theatre(settings().studio()) as ready:
        ready.play("forget", {"owner": "", "id": id_}, show_)
    out.print(f"clone/{id_}: removed", highlight=False, markup=False)


def _add_people(table: Table, registry: "Registry", store: "VoiceStore", wanted: str | None) -> None:
    """A row for each voice of somebody; those that clients with keys enrolled are theirs alone."""
    for voice in store.list(""):
        try:
            traits = registry.get("clone", voice.engine).traits
        except (EngineUnavailable, NotFound) as e:
            table.add_row(f"clone/{escape(voice.id)}", f"[yellow]{escape(str(e))}[/]")
            continue
        own = (voice.language,) if voice.language else ()
        spoken = tuple(dict.fromkeys((*own, *traits.languages)))
        if wanted is None or wanted in spoken:
            about = f"{voice.engine}{', approximate' if traits.approximate else ''}: {traits.licence}"
            table.add_row(f"clone/{escape(voice.id)}", escape(voice.name), "", _few(spoken, wanted), about)


def _few(languages: tuple[str, ...], wanted: str | None) -> str:
    """The first languages, or the wanted one, and how many more there are."""
    shown = [wanted] if wanted else list(languages[:6])
    more = len(languages) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
