"""``vivavoce transcribe``, ``enhance`` and ``verify``: the audio core on files of this machine."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vivavoce.cli.console import bar, out, settings
from vivavoce.cli.stage import theatre
from vivavoce.errors import InvalidInput

__all__ = ["enhance", "transcribe", "verify"]

Source = Annotated[Path, typer.Argument(help="A sound file, or a film with sound.", exists=True, dir_okay=False)]


def transcribe(
    file: Source,
    language: Annotated[str | None, typer.Option(help="ru, kk, en, …; left out, the recogniser finds out.")] = None,
    engine: Annotated[str | None, typer.Option(help="whisper, openai or sphinx.")] = None,
    form: Annotated[Literal["text", "srt", "vtt", "json"], typer.Option("--format", help="What to print.")] = "text",
) -> None:
    """Write down what is said in FILE."""
    from vivavoce.text.languages import resolve
    from vivavoce.text.transcripts import from_plain, raw, srt, vtt

    held = settings().studio()
    params = {
        "source": str(file),
        "engine": engine or held.ear,
        "language": resolve(language).code if language else "",
    }
    with bar("Loading the recogniser") as show, theatre(held) as ready:
        transcript = from_plain(ready.play("transcribe", params, show)["transcript"])
    match form:
        case "srt":
            said = srt(transcript)
        case "vtt":
            said = vtt(transcript)
        case "json":
            said = json.dumps({"text": transcript.text, "raw": raw(transcript)}, ensure_ascii=False)
        case _:
            said = transcript.text
    out.print(said, highlight=False, markup=False, soft_wrap=True)


def enhance(
    file: Source,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The WAV file to write.")] = None,
    engine: Annotated[str | None, typer.Option(help="speex, rnnoise, gtcrn or auto.")] = None,
) -> None:
    """Suppress the noise in FILE."""
    held = settings().studio()
    target = output or file.with_name(f"{file.stem}_enhanced.wav")
    if target.resolve() == file.resolve():
        raise InvalidInput("The result would overwrite the file; name another one with -o.")
    params = {"source": str(file), "target": str(target), "engine": engine or held.cleaner}
    with bar("Listening") as show, theatre(held) as ready:
        made = ready.play("enhance", params, show)
    was, now = made["snr_before"], made["snr_after"]
    told = "nobody speaks" if was is None or now is None else f"speech over noise {was:.0f} dB, now {now:.0f} dB"
    out.print(
        f"{target}: {made['seconds']:.1f} s, {made['engine']}; {told}",
        highlight=False,
        markup=False,
    )


def verify(
    probe: Source,
    references: Annotated[list[Path], typer.Argument(help="Recordings of the speaker.", exists=True, dir_okay=False)],
) -> None:
    """Tell whether PROBE is the speaker of REFERENCES; ends with 1 when it is not."""
    from vivavoce.studio.verifying import verify as compare

    held = settings()
    config = held.studio()
    with bar("Listening") as show, theatre(config) as ready:

        def embedded(source: Path) -> dict[str, Any]:
            return ready.play("embed", {"source": str(source), "engine": config.speaker}, show)

        heard = embedded(probe)
        chosen = held.audio.threshold
        limit = heard["threshold"] if chosen is None else chosen
        found = compare(heard, [embedded(path) for path in references], limit)
    words = "the same speaker" if found["decision"] else "another speaker"
    out.print(
        f"{words}: score {found['score']:.3f}, threshold {found['threshold']:.3f}. {found['note']}",
        highlight=False,
        markup=False,
    )
    for warning in found["warnings"]:
        typer.secho(warning, fg="yellow", err=True)
    if not found["decision"]:
        raise typer.Exit(1)
