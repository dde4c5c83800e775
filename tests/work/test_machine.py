"""What the machine is doing: true, and measured no more often than once a second."""

from pathlib import Path

import psutil
import pytest

from vivavoce.work import machine
from vivavoce.work.graphics import Card
from vivavoce.work.machine import MachineMeter


def test_the_machine_is_measured(tmp_path: Path) -> None:
    held = MachineMeter(tmp_path / "not" / "there" / "yet").measure()
    assert 0 <= held.cpu_percent <= 100
    assert held.memory_total == psutil.virtual_memory().total
    assert 0 < held.memory_used < held.memory_total
    assert 0 < held.memory_percent < 100
    assert held.disk_percent == pytest.approx(psutil.disk_usage(str(tmp_path)).percent, abs=2)


def test_many_who_ask_cost_one_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now: list[float] = [100.0]
    asked: list[float] = []

    def cards() -> list[Card]:
        asked.append(now[0])
        return [Card("one", 5.0, 1, 2, 40)]

    monkeypatch.setattr(machine, "cards", cards)
    meter = MachineMeter(tmp_path, clock=lambda: now[0])
    first = meter.measure()
    for later in (100.5, 100.99):
        now[0] = later
        assert meter.measure() is first
    now[0] = 101.0
    assert meter.measure() is not first
    assert asked == [100.0, 101.0]
    assert first.cards == (Card("one", 5.0, 1, 2, 40),)
