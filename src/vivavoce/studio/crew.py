"""What workers are made of; light to import, so that the web process does not load what only workers need."""

from vivavoce.studio.config import StudioConfig
from vivavoce.work.events import Performer

__all__ = ["performer"]


def performer(config: StudioConfig) -> Performer:
    """A performer whose default engines and avatar are loaded and warm; called inside a worker."""
    from vivavoce.studio.perform import Stage

    stage = Stage(config)
    stage.warm()
    return stage
