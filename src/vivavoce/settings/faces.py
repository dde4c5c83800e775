"""Settings of face engines."""

from typing import Any, Literal

from pydantic import Field

from vivavoce.settings.base import Group

__all__ = ["Nerf", "Wav2Lip"]


class Wav2Lip(Group):
    """The face ``wav2lip``."""

    checkpoint: str = Field(
        default="", description="A file of the models' folder, or its path; empty looks for the usual names"
    )
    runtime: Literal["auto", "torch", "onnx"] = Field(
        default="auto", description="What runs it; auto is torch where it is installed, else an exported network"
    )
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where torch computes: auto, cpu, cuda, cuda:N"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="Kind of number; auto is fp16 on a GPU, bf16 on a processor that has it, else fp32"
    )
    threads: int = Field(default=0, ge=0, description="Threads on a CPU; 0 is one for each core")
    exact: bool = Field(default=False, description="Paste as published: whole boxes, hard edges, nothing at rest")
    sync_offset: int = Field(
        default=0, ge=-10, le=10, description="Frames by which it hears later than published; -1 is as it was trained"
    )

    def options(self) -> dict[str, Any]:
        """Constructor arguments of the engine."""
        return self.model_dump()


class Nerf(Group):
    """The faces ``ernerf`` and ``synctalk``."""

    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where torch computes: auto, cpu, cuda, cuda:N"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="Kind of number in films; auto is fp16 on a GPU, bf16 on a processor that has it"
    )
    threads: int = Field(default=0, ge=0, description="Threads on a CPU; 0 is one for each core")

    def options(self) -> dict[str, Any]:
        """Constructor arguments of the engines."""
        return self.model_dump()
