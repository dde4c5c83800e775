"""How full the graphics cards of this machine are, asked of their driver; a machine without one has none."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog

__all__ = ["CardMemory", "card_memory"]

_log = structlog.get_logger(__name__)
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CardMemory:
    """Memory of all cards together, MiB; zeros without a card."""

    total: int = 0
    used: int = 0
    free: int = 0


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
