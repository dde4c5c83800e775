"""``vivavoce speak``: one sentence in, one film out."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.console import bar, out, settings
from vivavoce.cli.stage import Theatre, theatre
from vivavoce.errors import InvalidInput

if TYPE_CHECKING:
    from vivavoce.settings import Settings

__all__ = ["film", "speak"]


def speak(
    text: Annotated[str, typer.Argument(help="What to say; - reads it from the standard input.")] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="The film to write, .mp4.")] = Path("film.mp4"),
    language: Annotated[str | None, typer.Option(help="ru, kk, en, ko, zh, …; by the script when missing.")] = None,
    voice: Annotated[str | None, typer.Option(help="A voice of `vivavoce voices list`, also clone/ID.")] = None,
    avatar: Annotated[str | None, typer.Option(help="A name of `vivavoce avatars list`, or a photo.")] = None,
    engine: Annotated[str | None, typer.Option(help="Face engine for a photo, such as photo.")] = None,
    size: Annotated[str | None, typer.Option(help="512x512, 720p, 480p, 360p, 1080x1920, …")] = None,
    fps: Annotated[int | None, typer.Option(help="Frames a second, 12 to 60.")] = None,
    audio: Annotated[
        Path | None, typer.Option(help="A recording to speak with; the text, if given, is its words.")
    ] = None,
) -> None:
    """Make a film in which an avatar says TEXT, or speaks with a recording."""
    words = sys.stdin.read() if text == "-" else text
    if not words.strip() and audio is None:
        raise InvalidInput("There is nothing to say; give a text, or a recording with --audio.")
    film(
        words, output, language=language, voice=voice, avatar=avatar, engine=engine, size=size, fps=fps, recording=audio
    )


def film(
    text: str,
    output: Path,
    *,
    language: str | None = None,
    voice: str | None = None,
    avatar: str | None = None,
    engine: str | None = None,
    size: str | None = None,
    fps: int | None = None,
    recording: Path | None = None,
) -> None:
    """Make one film with a progress bar, and say what was made."""
    from vivavoce.text.guess import guess_language

    _check_paths(output, recording)
    held = settings()
    if language is None and text.strip():
        language = guess_language(text, _own_language(held, voice) or held.defaults.language)
    began = time.monotonic()
    with bar("Loading the engines") as show, _with_avatar(held, avatar, engine, show) as (scene_avatar, theatre_):
        scene = theatre_.stager.scene(
            text,
            language=language,
            voice=voice,
            avatar=scene_avatar,
            engine=engine,
            size=size,
            fps=fps,
            recorded=recording is not None,
        )
        target = {"video": str(output), "recording": str(recording) if recording else None}
        made = theatre_.play("film", scene.params(**target), show)
    if "voice_fallback" in made:
        typer.secho(f"The embedded voice speaks: {made['voice_fallback']}", fg="yellow", err=True)
    took = time.monotonic() - began
    canvas = scene.canvas
    out.print(
        f"{output}: {made['seconds']:.1f} s, {canvas.width}x{canvas.height}, {canvas.fps} frames/s, "
        f"language {scene.language}; made in {took:.1f} s",
        highlight=False,
        markup=False,
    )


def _own_language(held: "Settings", voice: str | None) -> str:
    """What somebody who was recorded speaks; "" for other voices, and where nobody said."""
    from vivavoce.store.voices import CLONE, VoiceStore

    engine, _, id_ = (voice or "").partition("/")
    return VoiceStore(held.studio().voices).get("", id_).language if engine == CLONE else ""


def _check_paths(output: Path, recording: Path | None) -> None:
    if output.suffix.lower() != ".mp4":
        raise InvalidInput(f"A film is an .mp4 file, not {output.name!r}; name it so with -o.")
    if not output.parent.is_dir():
        raise InvalidInput(f"The folder {output.parent} does not exist.")
    if recording is not None and not recording.is_file():
        raise InvalidInput(f"There is no recording {recording}.")


@contextmanager
def _with_avatar(
    held: "Settings", avatar: str | None, engine: str | None, show: Callable[[float, str], None]
) -> Iterator[tuple[str | None, Theatre]]:
    """The name of the avatar and a theatre that has it; a photo becomes an avatar that is gone afterwards."""
    config = held.studio()
    photo = Path(avatar) if avatar else None
    if photo is None or not (photo.is_file() or photo.suffix):
        with theatre(config) as ready:
            yield avatar, ready
        return
    if not photo.is_file():
        raise InvalidInput(f"There is no picture {photo}.")
    with TemporaryDirectory(prefix="vivavoce-") as folder, theatre(replace(config, data_dir=Path(folder))) as ready:
        (Path(folder) / config.voices.name).symlink_to(config.voices)
        params = {"source": str(photo), "name": "guest", "face_engine": engine or config.face_engine}
        for warning in ready.play("prepare", params, show)["warnings"]:
            typer.secho(warning, fg="yellow", err=True)
        yield "guest", ready
