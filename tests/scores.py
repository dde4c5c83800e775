"""Files of LPIPS and SyncNet with weights that mean nothing, for tests. Needs torch."""

from pathlib import Path

import torch
from torch import nn

from vivavoce.engines.neural.syncnet import Networks

CHANNELS = (64, 192, 384, 256, 256)


def alexnet() -> nn.Sequential:
    """The features of AlexNet as its authors' code writes them."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )


def write_weights(folder: Path) -> None:
    """AlexNet and SyncNet under the names of the models' folder."""
    torch.save({f"features.{k}": v for k, v in alexnet().state_dict().items()}, folder / "alexnet-owt-7be5be79.pth")
    torch.save(Networks().state_dict(), folder / "syncnet_v2.model")
