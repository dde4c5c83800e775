"""How full the graphics cards of this machine are, asked of their driver; a machine without one has none."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog

__all__ = ["Card", "CardMemory", "card_memory", "cards"]

_log = structlog.get_logger(__name__)
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CardMemory:
    """Memory of all cards together, MiB; zeros without a card."""

    total: int = 0
    used: int = 0
    free: int = 0


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card and what it is doing."""

    name: str
    load: float
    """Percent of the last moment in which it computed."""
    memory_used: int
    """Bytes."""
    memory_total: int
    temperature: int
    """Degrees Celsius."""


def cards() -> list[Card]:
    """Every NVIDIA card of this machine; one that gives no answer is left out. It may take some milliseconds."""
    found = []
    for nvml, card in _cards():
        try:
            held = nvml.nvmlDeviceGetMemoryInfo(card)
            name = nvml.nvmlDeviceGetName(card)
            load = float(nvml.nvmlDeviceGetUtilizationRates(card).gpu)
            heat = int(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))
        except nvml.NVMLError as e:
            _log.debug("a graphics card gives no answer", reason=str(e))
            continue
        found.append(Card(name.decode() if isinstance(name, bytes) else name, load, held.used, held.total, heat))
    return found


def card_memory() -> CardMemory:
    """Ask every NVIDIA card; one that gives no answer is left out. It may take some milliseconds."""
    total = used = free = 0
    for nvml, card in _cards():
        try:
            held = nvml.nvmlDeviceGetMemoryInfo(card)
        except nvml.NVMLError as e:
            _log.debug("a graphics card gives no answer", reason=str(e))
            continue
        total, used, free = total + held.total, used + held.used, free + held.free
    return CardMemory(total // _MEBIBYTE, used // _MEBIBYTE, free // _MEBIBYTE)


@cache
def _cards() -> tuple[tuple[Any, Any], ...]:
    """Handles of the cards, each with its library; the driver is opened once."""
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
        return tuple((pynvml, pynvml.nvmlDeviceGetHandleByIndex(n)) for n in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError as e:
        _log.debug("no graphics card", reason=str(e))
        return ()
