"""``vivavoce train``: learn a person from a film, in this process; interrupted, the same command goes on."""

import json
import os
import secrets
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vivavoce.cli.console import bar, heeded, out, settings
from vivavoce.errors import InvalidInput

if TYPE_CHECKING:
    from vivavoce.registry import Registry
    from vivavoce.studio.config import StudioConfig
    from vivavoce.studio.training import Training
    from vivavoce.work.events import Event

__all__ = ["train"]

_STAGES = {"train": "Learning the person", "prepare": "Preparing the avatar"}


def train(
    source: Annotated[Path, typer.Argument(help="A video of one person who speaks, half a minute or more.")],
    name: Annotated[str, typer.Option(help="Name of the avatar that comes of it.")],
    engine: Annotated[str | None, typer.Option(help="Face engine; `person` where it is installed.")] = None,
    epochs: Annotated[int, typer.Option(min=1, max=1_000_000, help="How often the refinement sees the film.")] = 100,
    param: Annotated[
        list[str] | None, typer.Option(help="A parameter such as quality=best, lr=0.001 or batch=4; may be repeated.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="End the refinement after so many minutes and keep what is good.")
    ] = None,
    consent: Annotated[bool, typer.Option("--consent", help="The person agreed; it is noted in the avatar.")] = False,
    consent_by: Annotated[str, typer.Option(help="Who says so.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print what came of it as JSON.")] = False,
) -> None:
    """Learn a person from a video. Interrupted, the same command goes on where it was.

    A trained avatar of that name stays until the new one is whole. Lists: `vivavoce avatars list`, `GET /v1/models`.
    """
    from vivavoce.registry import Registry
    from vivavoce.store.avatars import AvatarLibrary
    from vivavoce.store.workrooms import WorkRooms
    from vivavoce.studio.equipment import engine_options
    from vivavoce.studio.forecast import advice
    from vivavoce.studio.parameters import consent_note, default_trainer, read_options
    from vivavoce.studio.scene import builtin_avatars
    from vivavoce.studio.training import Training

    if not source.is_file():
        raise InvalidInput(f"There is no file {source}.")
    more = [] if max_minutes is None else [f"max_minutes={max_minutes}"]
    options = read_options(",".join([*(param or []), *more]))
    held = settings()
    note = consent_note(consent, consent_by, "", required=held.clones.consent == "required")
    config = held.studio()
    rooms = WorkRooms(config.trainings)
    with closing(Registry(engine_options(config))) as registry:
        training = Training(registry, AvatarLibrary(config.avatars, builtin_avatars()))
        wanted = engine or default_trainer(config.face_engine, training.offer())
        about = source.stat()
        same = source.resolve(), about.st_size, about.st_mtime_ns, name, wanted, epochs, sorted(options.items())
        asked = {"face_engine": wanted, "epochs": epochs, "options": options}
        expected = _expected(registry, config, source, asked)
        if expected is not None:
            typer.secho(f"{advice(wanted, expected)}.", fg="yellow", err=True)
        with rooms.by_hand(*same) as folder:
            params = {
                **asked,
                "source": str(source),
                "folder": str(folder),
                "name": name,
                "consent": note,
                "job": _job(folder),
                "expected": expected,
            }
            made = _watched(training, params)
            rooms.remove(folder.name)
    _tell(made, as_json=as_json)


def _expected(registry: "Registry", config: "StudioConfig", source: Path, params: "Mapping[str, Any]") -> float | None:
    """Seconds that a radiance field takes on this processor; None for what else there is, and on a graphics card."""
    from vivavoce.media import video
    from vivavoce.studio.forecast import FIELDS, field_seconds, step_seconds

    engine = params["face_engine"]
    if engine not in FIELDS or registry.get("face", engine).traits.device != "cpu":
        return None
    film = video.probe(source)
    threads = int(config.face_options.get(f"face.{engine}", {}).get("threads", 0))
    step = step_seconds(threads or os.cpu_count() or 1)
    return round(field_seconds(film.seconds, film.fps, params["epochs"], params["options"], step))


def _job(folder: Path) -> str:
    """Names this training, also when it is taken up again: until it has ended."""
    path = folder / "job"
    if not path.exists():
        path.write_text(f"{folder.name}-{secrets.token_hex(8)}", encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _watched(training: "Training", params: dict[str, Any]) -> dict[str, Any]:
    """Train, with a bar; what came of it."""
    from vivavoce.studio.forecast import in_words
    from vivavoce.studio.thread import events_of
    from vivavoce.work.events import Done, Learnt, Progress

    result: dict[str, Any] = {}
    try:
        with heeded() as heed, bar("Learning the person", timed=False) as show:
            events = events_of(lambda prompter: training.works["train"](params, prompter))
            with closing(cast("Generator[Event]", events)):
                for event in events:
                    heed()
                    if isinstance(event, Learnt):
                        lesson = event.lesson
                        epoch = f" {lesson.epoch}/{lesson.epochs}" if lesson.epochs else ""
                        loss = "" if lesson.loss is None else f", loss {lesson.loss:.4g}"
                        left = "" if not event.remaining else f", {in_words(event.remaining)} left"
                        show(lesson.fraction, f"{lesson.stage}{epoch}{loss}{left}")
                    elif isinstance(event, Progress):
                        show(event.fraction, _STAGES.get(event.stage, event.stage))
                    elif isinstance(event, Done):
                        result = dict(event.result)
    except KeyboardInterrupt:
        typer.secho("Interrupted; the same command goes on where it was.", err=True)
        raise typer.Exit(130) from None
    return result


def _tell(made: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(made, ensure_ascii=False, indent=1))
        return
    for warning in made["warnings"]:
        typer.secho(warning, fg="yellow", err=True)
    if not made["trained"]["learnt"]:
        typer.secho(f"The engine {made['engine']} learns nobody: the avatar is prepared from the film.", err=True)
    if made["trained"]["ended"]:
        typer.secho("The time was over first; what was good by then is kept.", err=True)
    quality = made["quality"] or {}
    if refinement := quality.get("refinement"):
        _tell_refinement(refinement)
    if "psnr" in quality:
        usual = quality["mean_picture_psnr"]
        typer.echo(f"Its pictures reach {quality['psnr']:.1f} dB (PSNR) on its film; the mean picture, {usual:.1f}.")
    out.print(f'The avatar {made["name"]} is ready: vivavoce speak "…" --avatar {made["name"]}', highlight=False)


def _tell_refinement(told: dict[str, Any]) -> None:
    """Whether the mouth is refined, and by how much it is better on pictures that were held back."""
    for row, before in told["before"].items():
        after = told["after"][row]
        changes = (
            f"between the lips {before['inner_psnr']:.2f} to {after['inner_psnr']:.2f} dB, "
            f"mouth {before['mouth_psnr']:.2f} to {after['mouth_psnr']:.2f} dB, "
            f"sharpness {before['sharpness']:.2f} to {after['sharpness']:.2f}, "
            f"flicker {before['flicker'][0]:.2f} to {after['flicker'][0]:.2f}, "
            f"opening r {before['opening_r']:.2f} to {after['opening_r']:.2f}"
        )
        typer.echo(f"{row}: {changes}.")
    if told["used"]:
        typer.echo("The mouth is refined.")
    else:
        typer.secho(f"The refinement is not used: {'; '.join(told['against'])}.", fg="yellow", err=True)
