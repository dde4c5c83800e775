"""A person known to the pixel, with a radiance field that has seen a little of them: enough to be filmed."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carried import FPS, N, picture
from carried import avatar as film_of_a_person
from shots import write_film
from vivavoce.engines.nerf.files import Engine
from vivavoce.engines.person import store
from vivavoce.models import ModelStore
from vivavoce.nouns import Avatar

if TYPE_CHECKING:
    from vivavoce.engines.nerf.field.networks import Ear

__all__ = ["avatar"]


def avatar(
    into: Path,
    engine: Engine,
    steps: int = 12,
    *,
    ear: "Ear" = "lips",
    sound: npt.NDArray[np.float32] | None = None,
    models: ModelStore | None = None,
) -> Avatar:
    """The avatar in the folder ``into``; needs torch. ``sound`` is the film's, 16 kHz, where the ``ear`` hears one."""
    import torch

    from vivavoce.engines.nerf.field.encodings import Grid
    from vivavoce.engines.nerf.field.networks import Shape
    from vivavoce.engines.nerf.training.learning import Wish, finish
    from vivavoce.engines.nerf.training.prepare import prepare
    from vivavoce.engines.nerf.training.school import Plan, School

    film_of_a_person(into)
    if sound is not None:
        write_film(into / "source.mp4", [picture(i)[::4, ::4] for i in range(N)], FPS, sound=sound)
        (into / "source.mp4").rename(into / "source")
    library = store.load(into)
    work = into.parent / f"{into.name}-parts"
    work.mkdir()
    eyes = 7 if engine == "synctalk" else 1
    prepared = prepare(library, into, work, models or ModelStore(offline=True), ear=ear, eyes=eyes, pixels=64)
    shape = Shape.synctalk() if engine == "synctalk" else Shape()
    grid = Grid(levels=3, features=2, base=16, finest=64)
    own = Shape(ear, eyes, shape.eye_width, shape.eye_gate, len(prepared.poses), shape.code, grid)
    torso = steps // 4 if engine == "ernerf" else 0
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    school = School(Plan(own, head=steps - torso, torso=torso, rays=256, together=2, cells=32))
    school.learn(prepared.lessons())
    torch.set_num_threads(before)
    finish(engine, school, prepared, library, Wish.of({"size": 64, "ear": ear}, "cpu"), into)
    return Avatar(into.name, into, engine)
