"""How the commands talk: results to the standard output, all else to the standard error, failures in one sentence."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from vivavoce import __version__
from vivavoce.errors import EngineUnavailable, InvalidInput, NotFound, VivavoceError

if TYPE_CHECKING:
    from vivavoce.settings import Settings

__all__ = ["Commands", "bar", "end_like_interrupt", "heeded", "out", "settings", "version"]

_PIPED = 240
"""Columns when nobody watches: a table that goes into a file or a pipe is not cut."""


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, soft_wrap=True)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPED
    return console


out = _console(stderr=False)
_err = _console(stderr=True)
_CODES = ((EngineUnavailable, 3), (InvalidInput, 2), (NotFound, 2), (VivavoceError, 1))


class Commands(TyperGroup):
    """Turns every failure that a user may cause or meet into one red sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except VivavoceError as e:
            _err.print(f"[bold red]Error:[/] {escape(str(e))}", highlight=False)
            for note in getattr(e, "__notes__", ()):
                _err.print(note, style="dim", markup=False)
            raise typer.Exit(next(code for kind, code in _CODES if isinstance(e, kind))) from None
        except KeyboardInterrupt:
            _err.print("Interrupted; nothing was left behind.")
            raise typer.Exit(130) from None


def end_like_interrupt() -> None:
    """Let SIGTERM end a command as Ctrl-C does: files and processes are cleaned up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def _say_version(wanted: bool) -> None:
    if wanted:
        out.print(f"vivavoce {__version__}", highlight=False)
        raise typer.Exit


def version(
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Hold the option that needs no command."""


def settings() -> "Settings":
    """The operator's settings; raises ``InvalidInput`` naming the variable that is wrong."""
    from pydantic import ValidationError

    from vivavoce.settings import Settings

    try:
        return Settings()
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        name = "VIVAVOCE_" + "__".join(str(part) for part in first["loc"]).upper()
        raise InvalidInput(f"The setting {name} is wrong: {first['msg']}.") from None


@contextmanager
def heeded() -> Iterator[Callable[[], None]]:
    """Ctrl-C is kept until the function that is given is called, which then raises ``KeyboardInterrupt``.

    Python raises it wherever it is just then, and where that is a destructor the interrupt is lost. A second Ctrl-C
    interrupts at once, as everywhere; where Ctrl-C is ignored, as behind ``nohup``, it stays so.
    """
    heard = False

    def hear(*_: object) -> None:
        nonlocal heard
        heard = True
        signal.signal(signal.SIGINT, before)

    def heed() -> None:
        if heard:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGINT, hear)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def bar(title: str, *, timed: bool = True) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on the standard error: call it with the fraction done, 0–1, and what is being done.

    ``timed``: whether it reckons how long it still takes; else the caller says it.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    left = (TimeRemainingColumn(),) if timed else ()
    with Progress(*columns, *left, console=_err, transient=True) as progress:
        task = progress.add_task(title, total=1.0)

        def advance(fraction: float, doing: str) -> None:
            progress.update(task, completed=fraction, description=doing or title)

        yield advance
