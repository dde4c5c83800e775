"""From a picture or a video to a prepared avatar; the source stays with it, so that it can be prepared again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vivavoce.engines.photo import bundle
from vivavoce.engines.photo.fit import Portrait, fit
from vivavoce.engines.photo.renderer import Renderer
from vivavoce.engines.photo.replay import Replay
from vivavoce.engines.photo.shoot import shoot
from vivavoce.errors import InvalidInput, UnsupportedMedia
from vivavoce.face.given import mesh_from_json
from vivavoce.face.locate import FaceLocator, judge
from vivavoce.face.matte import background_plate, person_matte
from vivavoce.face.preflight import Report, examine, of_picture, refuse
from vivavoce.media.kinds import kind_of
from vivavoce.media.picture import Picture, open_picture, write_jpeg
from vivavoce.media.reel import Reel
from vivavoce.models import ModelStore
from vivavoce.nouns import Avatar, Canvas

__all__ = ["prepare"]

_BACKDROP = (203, 208, 214)
"""Behind a person whose picture is transparent around them."""
_ALLOWED = "send a JPEG, PNG or WebP, or a video: MP4, MOV, WebM or MKV"


def _portrait(
    picture: Picture, models: ModelStore, landmarks: object | None
) -> tuple[Portrait, tuple[str, ...], Report]:
    rgb = picture.rgb
    height, width = rgb.shape[:2]
    if landmarks is None:
        located = FaceLocator(models).locate(rgb)
        mesh = located.mesh
        warnings = located.warnings
    else:
        mesh = mesh_from_json(landmarks, (width, height))
        warnings = judge(rgb, mesh)
    report = of_picture(rgb, [mesh])
    warnings = (*warnings, *_further(report))
    if picture.alpha is not None and float((picture.alpha < 16).mean()) > 0.02:
        return Portrait(rgb, picture.alpha, np.full_like(rgb, _BACKDROP), mesh), warnings, report
    matte = person_matte(rgb, mesh, models)
    plate = background_plate(rgb, matte)
    return Portrait(rgb, (matte * 255 + 0.5).astype(np.uint8), plate, mesh), warnings, report


def _further(report: Report) -> tuple[str, ...]:
    """What the locator itself does not warn of."""
    said = ("faces", "face-size", "tilt")
    return tuple(f.advice for f in report.findings if f.level == "warn" and f.check not in said)


def prepare(
    source: Path,
    into: Path,
    models: ModelStore,
    *,
    landmarks: object | None = None,
    max_pixels: float = 50e6,
    report: Callable[[float], None] = lambda _: None,
) -> Avatar:
    """Write the bundle of ``source`` to the folder ``into``, which gives the avatar its name.

    ``landmarks`` (see ``face.given``) take the place of the detector in a picture. Raises ``InvalidInput`` and its
    kinds for a source that cannot be used, ``EngineUnavailable`` when the landmark nets cannot be had.
    """
    kind = kind_of(source)
    if kind == "video":
        if landmarks is not None:
            raise InvalidInput("Landmarks belong to a picture; the face in a video is found by itself.")
        return _of_video(source, into, models, report)
    if kind == "unknown" and source.stat().st_size:
        raise UnsupportedMedia(f"This is no picture that can be read here; {_ALLOWED}.")
    return _of_picture(source, into, models, landmarks, max_pixels)


def _of_picture(source: Path, into: Path, models: ModelStore, landmarks: object | None, max_pixels: float) -> Avatar:
    picture = open_picture(source, max_pixels=max_pixels)
    portrait, warnings, report = _portrait(picture, models, landmarks)
    facts = {
        "name": into.name,
        "landmarks": "given" if landmarks is not None else "located",
        "warnings": list(warnings),
        "report": report.as_dict(),
        "source": _kept(source, into),
    }
    if isinstance(landmarks, str):
        (into / "landmarks.json").write_text(landmarks, encoding="utf-8")
    bundle.save(portrait, into, facts)
    write_jpeg(into / "poster.jpg", Renderer(fit(portrait, Canvas())).base)
    return Avatar(into.name, into, "photo", warnings)


def _of_video(source: Path, into: Path, models: ModelStore, report: Callable[[float], None]) -> Avatar:
    locator = FaceLocator(models)
    examined = examine(source, locator)
    refuse(examined)
    footage = shoot(source, into, locator, report)
    lost = int((~footage.track.seen).sum())
    warnings = examined.warnings
    facts = {
        "name": into.name,
        "landmarks": "located",
        "warnings": list(warnings),
        "report": examined.as_dict(),
        "frames": len(footage.track.seen),
        "without_face": lost,
        "source": _kept(source, into),
    }
    bundle.save_footage(footage, into, facts)
    shown = Replay(footage, Canvas())
    with Reel(into / shown.screen.take.name) as reel:
        write_jpeg(into / "poster.jpg", shown.at_rest(footage.number, reel[footage.number]))
    return Avatar(into.name, into, "photo", warnings)


def _kept(source: Path, into: Path) -> str:
    """A copy of the source in the bundle; its name says nothing of what the client called it."""
    name = "source"
    if not (into / name).exists() or not (into / name).samefile(source):
        shutil.copyfile(source, into / name)
    return name
