"""The tables of a person's head, and what is promised of it."""

from dataclasses import replace

import numpy as np

from vivavoce.bench.person import pooled_table, table
from vivavoce.engines.person.evaluate import ROWS, Pooled
from vivavoce.engines.person.measures import Score

GAP = np.sin(np.arange(50) / 4).astype(np.float32)
SCORE = Score(23.5, 0.7, 1.0, 0.9, 2.5, 0.7, -1, 1.1, (1.05, 1.1), GAP, GAP)


def test_a_row_for_each_thing_compared() -> None:
    lines = table(dict.fromkeys(ROWS, SCORE)).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(ROWS)
    assert "| 23.50 | 0.700 | 1.00 / 0.90 | 2.50 | 0.70 (-1) |" in lines[2]
    assert {line.count("|") for line in lines} == {9}


def test_the_folds_deviation_is_told() -> None:
    folds = (SCORE, replace(SCORE, psnr=21.5))
    pooled = Pooled(22.5, 0.7, 1.0, 0.8, 2.5, 0.6, 0, (1.0, 1.1), folds)
    line = pooled_table({"own sound": pooled}).splitlines()[2]
    assert line.startswith("| own sound | 22.50 ± 1.00 | 0.700 | 1.00 (0.80) | 2.50 | 0.60 (+0) |")
