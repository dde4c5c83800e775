"""The benchmark says what it measured, on what, and whether that is what was promised."""

import json
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from vivavoce.bench.picture import first_pictures
from vivavoce.bench.report import as_json, markdown, put, table
from vivavoce.bench.suite import Measured, playable
from vivavoce.cli import app
from vivavoce.errors import EngineUnavailable
from vivavoce.media import video
from vivavoce.nouns import Canvas, Frame
from vivavoce.testing import sample_speech

ROWS = [
    Measured("films", 7.25, "x real time", 6.0, "more", "best of 3"),
    Measured("first bytes", 262.4, "ms", 250.0, "less"),
    Measured("first picture", None, "%", 40.0, "less", "There is no Chromium on this machine."),
]


def test_more_and_less_are_told_apart() -> None:
    assert [row.reached for row in ROWS] == [True, False, None]
    assert [row["reached"] for row in json.loads(as_json(ROWS))] == [True, False, None]


def test_the_table_shows_value_and_target() -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(table(ROWS))
    shown = console.export_text()
    for text in (markdown(ROWS, "Films", "vivavoce bench"), shown):
        assert "7.2 x real time" in text
        assert "≥ 6.0 x real time" in text
        assert "≤ 250 ms" in text
        assert "not measured" in text
        assert "no Chromium" in text
    assert "cores" in markdown(ROWS, "Films", "vivavoce bench")


def test_a_section_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    for title in ("Films", "Sound", "Films"):
        put(markdown(ROWS, title, "vivavoce bench", "more of it" if title == "Sound" else ""), page)
    text = page.read_text()
    assert text.startswith("# Benchmarks\n\n## Films\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## Films", "## Sound"]
    assert text.endswith("more of it\n")


def test_playable_is_what_a_player_could_show() -> None:
    """A real stream is playable before its end, and not before its first fragment is whole."""
    canvas, speech = Canvas(128, 128, 25), sample_speech(1.2)
    black = np.zeros((128, 128, 3), np.uint8)
    frames = (Frame(black, i / 25) for i in range(canvas.frames(1.2)))
    whole = BytesIO()
    video.encode(whole, frames, speech.audio, canvas, fragmented=True)
    data = whole.getvalue()
    first = next(n for n in range(len(data)) if playable(data[:n]))
    assert 0 < data.index(b"mdat") < first < len(data)
    assert not playable(b"")
    assert not playable(data[: data.index(b"mdat")])


@pytest.mark.browser
def test_the_first_picture_is_there_long_before_the_file(tmp_path: Path) -> None:
    try:
        waits = first_pictures(tmp_path, 5)
    except EngineUnavailable as e:
        pytest.skip(str(e))
    assert sorted(wait.share for wait in waits)[2] <= 0.4
    assert all(wait.finished_file > 1.7 for wait in waits), "88 pictures at 50 a second"


def test_without_a_browser_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match=r"Chromium|Playwright"):
        first_pictures(tmp_path, 1)


@pytest.mark.slow
def test_the_whole_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_DATA_DIR", str(tmp_path / "data"))
    page = tmp_path / "benchmarks.md"
    result = CliRunner().invoke(app, ["bench", "--quick", "--json", "--write", str(page)])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert len(rows) == 8
    assert all(row["value"] is None or row["value"] > 0 for row in rows)
    assert page.read_text().count("|") > 8 * 5


def test_an_engine_without_an_avatar_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["bench", "--engine", "nobody"])
    assert result.exit_code == 2
    assert "no avatar of the engine nobody" in result.stderr
