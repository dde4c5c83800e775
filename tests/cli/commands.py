"""Runs commands inside the test's own process, and judges their refusals."""

from typer.testing import CliRunner, Result

from vivavoce.cli import app

__all__ = ["refused", "run"]


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def refused(result: Result, code: int, says: str) -> None:
    """The command ended with ``code`` and one sentence, in which ``says`` stands."""
    assert result.exit_code == code, result.output
    sentence = result.stderr.strip().splitlines()[0]
    assert sentence.startswith("Error: ")
    assert says in sentence
    assert "Traceback" not in result.output
