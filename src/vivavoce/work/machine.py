"""What this machine is doing: processor, memory, disk, graphics cards; asked often, so it is measured once a second."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import psutil

from vivavoce.work.graphics import Card, cards

__all__ = ["Machine", "MachineMeter"]

_FRESH = 1.0
"""Seconds for which a measurement is told again."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One measurement. Percents are 0-100, memory is in bytes."""

    cpu_percent: float
    """Since the measurement before."""
    memory_percent: float
    memory_used: int
    memory_total: int
    disk_percent: float
    """Of the disk that holds the data folder, as `df` counts."""
    cards: tuple[Card, ...]
    at: datetime


class MachineMeter:
    """Measures at most once a second, however many ask. ``clock`` gives seconds that never go back."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = Lock()
        self._held: tuple[float, Machine] | None = None
        psutil.cpu_percent()  # the first call only begins to count

    def measure(self) -> Machine:
        """The machine now, or less than a second ago."""
        with self._lock:
            now = self._clock()
            if self._held is None or now - self._held[0] >= _FRESH:
                self._held = (now, self._measured())
            return self._held[1]

    def _measured(self) -> Machine:
        memory = psutil.virtual_memory()
        folder = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        return Machine(
            cpu_percent=psutil.cpu_percent(),
            memory_percent=memory.percent,
            memory_used=memory.used,
            memory_total=memory.total,
            disk_percent=psutil.disk_usage(str(folder)).percent,
            cards=tuple(cards()),
            at=datetime.now(UTC),
        )
