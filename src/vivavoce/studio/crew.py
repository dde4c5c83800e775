"""What workers are made of; light to import, so that the web process does not load what only workers need."""

import os

from vivavoce.studio.config import StudioConfig
from vivavoce.work.events import Performer

__all__ = ["apprentice", "performer"]

_NICER = 10
"""Beyond other workers: a training takes what they leave."""


def performer(config: StudioConfig) -> Performer:
    """A performer whose default engines and avatar are loaded and warm; called inside a worker."""
    from vivavoce.studio.perform import Stage

    stage = Stage(config)
    stage.warm()
    return stage


def apprentice(config: StudioConfig, device: str) -> Performer:
    """A performer for one training: nothing is warm, and it sees ``device`` alone: ``cpu``, a card's number, "" any."""
    os.nice(_NICER)
    if device:  # read when CUDA is first used
        os.environ["CUDA_VISIBLE_DEVICES"] = "" if device == "cpu" else device
    from vivavoce.studio.perform import Stage

    return Stage(config)
