"""Synthetic checkpoints: random numbers under the right names, in every format that users have."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.engines.wav2lip.architecture import shapes

__all__ = ["FORMATS", "random_state", "save"]

FORMATS = ("pth", "pth-legacy", "bare", "torchscript", "safetensors")


def random_state(seed: int = 0) -> dict[str, Any]:
    """Tensors of a network of the right shape whose answers spread over all greys without clinging to their ends."""
    import torch

    rng = np.random.default_rng(seed)
    state: dict[str, Any] = {}
    for name, shape in shapes().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(1000)
            continue
        if len(shape) == 4:
            up = name.startswith("face_decoder") and ".0.conv_block.0" in name and shape[2] == 3
            fan = (shape[0] * 9 / (1 if ".1.0." in name else 2.25)) if up else int(np.prod(shape[1:]))
            numbers = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(1.4 / fan))
        elif name.endswith("running_var"):
            numbers = rng.uniform(0.7, 1.4, shape)
        elif name.endswith("conv_block.1.weight"):
            numbers = rng.uniform(0.8, 1.2, shape)
        else:
            numbers = rng.normal(0, 0.1, shape)
        state[name] = torch.from_numpy(np.asarray(numbers, np.float32))
    state["output_block.1.weight"] *= 0.2
    return state


def save(state: dict[str, Any], target: Path, form: str) -> Path:
    """Write the tensors as one of ``FORMATS``."""
    import torch

    if form == "safetensors":
        from safetensors.torch import save_file

        save_file(state, str(target))
    elif form == "bare":
        torch.save(state, target)
    elif form == "torchscript":
        from vivavoce.engines.wav2lip.net import Published

        net = Published().eval()
        net.load_state_dict(state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.trace(net, (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96)), check_trace=False).save(
                str(target)
            )
    else:
        adam = {"state": {0: {"step": 3, "exp_avg": torch.zeros(5)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
        document = {
            "state_dict": {f"module.{name}": value for name, value in state.items()},
            "optimizer": adam,
            "global_step": 3,
            "global_epoch": 1,
        }
        torch.save(document, target, _use_new_zipfile_serialization=form == "pth")
    return target
