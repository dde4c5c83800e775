"""The command line: every command in one file of its own, and nothing heavy imported before one is chosen."""

import typer

from vivavoce.cli import avatars, bench, doctor, evaluate, models, serve, sound, speak, train, voices, worker
from vivavoce.cli.console import Commands, end_like_interrupt, version

__all__ = ["app", "main"]

app = typer.Typer(
    name="vivavoce",
    cls=Commands,
    help="Text or a voice in, a lip-synced video of a person out.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong input, 3 an engine or model is missing, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    callback=version,
)
app.command("speak")(speak.speak)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("transcribe")(sound.transcribe)
app.command("enhance")(sound.enhance)
app.command("verify")(sound.verify)
app.add_typer(avatars.app, name="avatars")
app.add_typer(voices.app, name="voices")
app.add_typer(models.app, name="models")
app.command("doctor")(doctor.doctor)
app.command("bench")(bench.bench)


def main() -> None:
    """The entry point of the program ``vivavoce``."""
    end_like_interrupt()
    app()
