"""Curves as an SVG picture."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from vivavoce.bench.curves import Panel, write

SVG = "{http://www.w3.org/2000/svg}"


def test_each_curve_is_drawn_where_its_values_are(tmp_path: Path) -> None:
    rising, falling = np.linspace(0, 0.3, 50), np.linspace(0.3, 0, 50)
    write(tmp_path / "a.svg", [Panel("one & two", rising, falling), Panel("three", rising, rising)], 25, unit="E")
    root = ET.parse(tmp_path / "a.svg").getroot()
    lines = [
        np.array([[float(v) for v in point.split(",")] for point in line.get("points", "").split()])
        for line in root.iter(f"{SVG}polyline")
    ]
    assert [len(line) for line in lines] == [50] * 4
    truth, ours, lower, same = lines
    assert np.all(np.diff(truth[:, 1]) <= 0), "up is more"
    assert np.all(np.diff(ours[:, 1]) >= 0)
    assert np.array_equal(lower, same)
    assert lower[:, 1].min() > truth[:, 1].max(), "the second panel lies below"
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"one & two", "three", "0 s", "1.8 s", "0.30"} <= set(texts)


@pytest.mark.parametrize("count", [1, 2])
def test_short_curves_are_curves_too(tmp_path: Path, count: int) -> None:
    write(tmp_path / "a.svg", [Panel("short", np.zeros(count), np.zeros(count))], 25, unit="E")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").count("<polyline") == 2
