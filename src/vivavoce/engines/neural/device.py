"""Where a net computes, and with which numbers."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from vivavoce.errors import EngineUnavailable

__all__ = ["EXTRA", "Place", "Precision", "has_bfloat16", "has_torch", "likely", "place"]

Precision = Literal["auto", "fp32", "bf16", "fp16"]
EXTRA = "pip install 'vivavoce[neural]'"
_HALF = ("avx512_bf16", "amx_bf16")
"""Flags of processors that multiply bfloat16; others would convert it first and be slower."""


@dataclass(frozen=True, slots=True)
class Place:
    """A device of torch's and the type that a net's numbers have there."""

    device: Any
    """``torch.device``."""
    dtype: Any
    """``torch.dtype``."""

    @property
    def name(self) -> str:
        """In words: ``cpu, bfloat16``."""
        return f"{self.device}, {str(self.dtype).removeprefix('torch.')}"


def has_torch() -> bool:
    """Whether torch is installed; it is not imported."""
    return find_spec("torch") is not None


def has_bfloat16() -> bool:
    """Whether this machine's processor multiplies bfloat16."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = next((line for line in told.splitlines() if line.startswith("flags")), "").split()
    return any(flag in flags for flag in _HALF)


def likely(device: str) -> str:
    """``cpu`` or ``cuda``: what ``place`` will most likely choose; nothing is imported."""
    if device != "auto":
        return device
    return "cuda" if has_torch() and Path("/dev/nvidiactl").exists() else "cpu"


def place(device: str = "auto", precision: Precision = "auto") -> Place:
    """The device and type for ``device`` auto, cpu, cuda or cuda:N.

    Unless told otherwise: float16 on a GPU, bfloat16 on a processor that multiplies it, else float32. Imports torch.
    Raises ``EngineUnavailable`` where torch or the device is missing.
    """
    if not has_torch():
        raise EngineUnavailable(f"torch is not installed; add it with `{EXTRA}`.")
    # read when torch is loaded: threads that wait in a circle cost a busy machine two thirds of its speed
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    here = torch.cuda.is_available()
    if device.startswith("cuda") and not here:
        raise EngineUnavailable(
            f"torch finds no CUDA graphics card for the device {device!r}; set it to cpu or auto, or install a torch "
            "that is built for CUDA."
        )
    chosen = torch.device("cuda" if device == "auto" and here else "cpu" if device == "auto" else device)
    half = torch.float16 if chosen.type == "cuda" else torch.bfloat16 if has_bfloat16() else torch.float32
    types = {"auto": half, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision == "fp16" and chosen.type == "cpu":
        raise EngineUnavailable("A processor computes in fp32 or bf16; fp16 is for graphics cards.")
    return Place(chosen, types[precision])
