"""Making an avatar with whatever engine there is: what it is told of, and what is noted beside what it writes."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, cast

from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.face.given import mesh_from_json
from vivavoce.face.locate import FaceLocator
from vivavoce.media.picture import open_picture
from vivavoce.nouns import Avatar
from vivavoce.ports import Report
from vivavoce.registry import Registry

__all__ = ["completed", "noted", "preparation"]


def preparation(
    registry: Registry, engine: str, landmarks: str | None, report: Report
) -> Callable[[Path, Path], Avatar]:
    """The engine's ``prepare`` with what it takes besides: points on the face, and whom to tell how far it is.

    Raises ``InvalidInput`` when there are landmarks and the engine takes none, and what ``Registry.get`` raises.
    """
    prepare = registry.get("face", engine).prepare
    taken = signature(prepare).parameters
    more: dict[str, Any] = {"report": report} if "report" in taken else {}
    if landmarks is not None:
        if "landmarks" not in taken:
            raise InvalidInput(f"The engine {engine} finds faces by itself and takes no landmarks.")
        more["landmarks"] = landmarks
    return partial(cast("Callable[..., Avatar]", prepare), **more)


def completed(landmarks: str, source: Path, locator: FaceLocator, max_pixels: float) -> str:
    """Points that a person gave, with all those that were not given: as JSON again, see ``face.given``.

    They follow the face that is found in the picture ``source``; a picture in which none is found is left to the
    engine. Raises what ``face.given`` and ``media.picture`` raise.
    """
    rgb = open_picture(source, max_pixels=max_pixels).rgb
    try:
        found = locator.all(rgb)
    except EngineUnavailable:  # given points are there for machines without the nets, too
        found = []
    if not found:
        return landmarks
    mesh = mesh_from_json(landmarks, rgb.shape[1::-1], like=found[0])
    return json.dumps(mesh.points.astype(float).round(2).tolist())


def noted(avatar: Avatar, facts: Mapping[str, Any]) -> Avatar:
    """The avatar, with ``facts`` added to its ``avatar.json``, which the engine need not have written."""
    path = avatar.path / "avatar.json"
    own = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**own, **facts}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return avatar
