"""Looks at a picture or a video before an avatar is made of it, and says in a sentence each what would make it better.

Nothing is refused here that preparing would take: a finding of level ``refuse`` is what preparing will refuse, ``warn``
is what the user would do better to change. A video is sampled, not watched.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from vivavoce.errors import FaceRejected, InvalidInput, TooLarge, UnsupportedMedia, VivavoceError
from vivavoce.face.locate import (
    GOOD_EYES,
    MAX_TILT,
    MAX_YAW,
    MIN_CONTRAST,
    MIN_EYES,
    MIN_LUMA,
    FaceLocator,
)
from vivavoce.face.mesh import OVAL, FaceMesh
from vivavoce.face.track import sharpness
from vivavoce.media import video
from vivavoce.media.kinds import kind_of
from vivavoce.media.picture import open_picture
from vivavoce.media.samples import Sample, samples

__all__ = ["Finding", "Level", "Report", "examine", "of_picture", "refuse"]

Image = npt.NDArray[np.uint8]
Level = Literal["ok", "warn", "refuse"]

MAX_VIDEO_PIXELS = 3840 * 2160
MAX_SECONDS, USED_SECONDS, MIN_SECONDS, GOOD_SECONDS = 600.0, 25.0, 1.0, 8.0
MIN_FPS, GOOD_FPS = 10.0, 23.0
_SAMPLES = 24
"""Pictures of a video that are looked at."""
_LARGEST = 1280
"""Pixels of the longer side in which the face is looked for and its light is measured."""
_GOOD_LUMA, _BRIGHT_LUMA = 60.0, 215.0
_GOOD_CONTRAST = 16.0
_BURNT = 0.06
"""Share of the face that is white."""
_SIDE_LIGHT = 0.50
"""Difference of the face's two halves over their mean."""
_SOFT = {"picture": 28.0, "video": 18.0}
"""Variance of the Laplacian of a face 160 pixels high, see ``face.track.sharpness``; sharp ones have 100 and more."""
_TURN, _TILT = 0.22, 0.35
_OPEN, _PARTED = 0.09, 0.035
_FEW, _MANY = 0.05, 0.5
"""Shares of pictures without a face: warned of, refused."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """``resolution``, ``duration``, ``frame-rate``, ``face``, ``faces``, ``face-size``, ``light``, ``contrast``,
    ``side-light``, ``sharpness``, ``turn``, ``tilt``, ``mouth``."""
    level: Level
    value: str
    """What was measured, with its unit."""
    advice: str
    """A sentence."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an avatar of this source would be like."""

    kind: Literal["picture", "video"]
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst of all findings."""
        levels = [finding.level for finding in self.findings]
        return "refuse" if "refuse" in levels else "warn" if "warn" in levels else "ok"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what would be better otherwise."""
        return tuple(finding.advice for finding in self.findings if finding.level == "warn")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "level": self.level, "findings": [asdict(finding) for finding in self.findings]}


def refuse(report: Report) -> None:
    """Raise the error of a report whose source cannot be used, with its first sentence; else nothing."""
    kinds: dict[str, type[VivavoceError]] = {
        "resolution": TooLarge,
        "duration": InvalidInput,
        "frame-rate": InvalidInput,
    }
    for finding in report.findings:
        if finding.level == "refuse":
            raise kinds.get(finding.check, FaceRejected)(finding.advice)


def examine(source: Path, locator: FaceLocator, *, max_pixels: float = 50e6, longest: float = MAX_SECONDS) -> Report:
    """Look at a picture (under 2 s) or a video (a few seconds), which may last ``longest`` seconds.

    Raises ``UnsupportedMedia`` and ``InvalidInput`` for a file that cannot be read, ``EngineUnavailable`` when the
    landmark nets cannot be had.
    """
    kind = kind_of(source)
    if kind == "unknown" and source.stat().st_size:
        raise UnsupportedMedia(
            "This is no picture that can be read here; send a JPEG, PNG or WebP, or a video: MP4, MOV, WebM or MKV."
        )
    if kind == "video":
        return _of_video(source, locator, longest)
    rgb = open_picture(source, max_pixels=max_pixels).rgb
    return of_picture(rgb, locator.all(rgb))


@dataclass(frozen=True, slots=True)
class _Look:
    """What one picture shows. Lengths are pixels of the original."""

    faces: int
    eye: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0
    gap: float = 0.0
    luma: float = 0.0
    contrast: float = 0.0
    burnt: float = 0.0
    side: float = 0.0
    sharp: float = 0.0


def of_picture(rgb: Image, meshes: Sequence[FaceMesh]) -> Report:
    """The report of a picture ``rgb`` whose faces are known, the largest first."""
    look = _look(rgb, meshes)
    size = Finding("resolution", "ok", f"{rgb.shape[1]}x{rgb.shape[0]}", "The picture is large enough.")
    if not look.faces:
        return Report("picture", (size, _no_face("picture", "No face was found in the picture")))
    return Report("picture", (size, *_faces([look], "picture")))


def _no_face(kind: str, what: str) -> Finding:
    medium = "a photo of one face" if kind == "picture" else "a video of one person"
    return Finding("face", "refuse", "none", f"{what}; use {medium}, seen from the front, in good light.")


def _look(rgb: Image, meshes: Sequence[FaceMesh], scale: float = 1.0) -> _Look:
    """Measure the largest face of a picture that was shrunk by ``scale``."""
    if not meshes:
        return _Look(0)
    mesh = meshes[0]
    height, width = rgb.shape[:2]
    outline = np.round(mesh.points[list(OVAL), :2]).astype(np.int32)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [outline], 255)
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    inside = luma[mask > 0].astype(np.float64)
    if not len(inside):
        return _Look(0)
    p = mesh.points[:, :2]
    middle = (p[10] + p[152]) / 2
    across = (p[263] - p[33]) / np.linalg.norm(p[263] - p[33])
    ys, xs = np.nonzero(mask)
    right = (np.stack([xs, ys], 1) - middle) @ across > 0
    halves = inside[right].mean() if right.any() else 0.0, inside[~right].mean() if (~right).any() else 0.0
    large = [other for other in meshes if other.eye_distance > 0.35 * mesh.eye_distance]
    return _Look(
        faces=len(large),
        eye=mesh.eye_distance * scale,
        yaw=mesh.yaw,
        roll=mesh.roll,
        gap=mesh.lip_gap,
        luma=float(inside.mean()),
        contrast=float(inside.std()),
        burnt=float((inside > 250).mean()),
        side=float((halves[0] - halves[1]) / max(inside.mean(), 1.0)),
        sharp=sharpness(rgb, mesh),
    )


def _of_video(source: Path, locator: FaceLocator, longest: float) -> Report:
    about = video.probe(source)
    technical = _technical(about, longest)
    if any(finding.level == "refuse" for finding in technical):
        return Report("video", technical)
    looks = [_sampled(s, locator) for s in samples(source, _times(about), max_side=_LARGEST)]
    shown = [look for look in looks if look.faces]
    missing = 1 - len(shown) / max(len(looks), 1)
    if missing > _MANY:
        what = f"No face was found in {missing:.0%} of the pictures"
        return Report("video", (*technical, _no_face("video", what)))
    level: Level = "warn" if missing > _FEW else "ok"
    advice = (
        f"No face is seen in {missing:.0%} of the pictures; there the film is shown as it is, so look towards the "
        "camera all the time."
        if level == "warn"
        else "The face is seen all the time."
    )
    gone = Finding("face", level, f"{1 - missing:.0%} of the pictures", advice)
    return Report("video", (*technical, gone, *_faces(shown, "video")))


def _technical(about: video.Probe, longest: float) -> tuple[Finding, ...]:
    size = f"{about.width}x{about.height}"
    found = []
    if about.width * about.height > MAX_VIDEO_PIXELS:
        found.append(
            Finding("resolution", "refuse", size, f"The video has {size} pixels; at most 3840x2160 are allowed.")
        )
    elif min(about.width, about.height) < 480:
        found.append(
            Finding(
                "resolution", "warn", size, "The video has few pixels; film in 1920x1080 or more for a sharp avatar."
            )
        )
    else:
        found.append(Finding("resolution", "ok", size, "The video has enough pixels."))
    seconds = f"{about.seconds:.1f} s"
    if about.seconds > longest:
        advice = f"The video lasts {about.seconds:.0f} s; at most {longest:.0f} s are allowed."
        found.append(Finding("duration", "refuse", seconds, advice))
    elif 0 < about.seconds < MIN_SECONDS:
        advice = f"The video lasts only {seconds}; at least {MIN_SECONDS:.0f} s are needed."
        found.append(Finding("duration", "refuse", seconds, advice))
    elif 0 < about.seconds < GOOD_SECONDS:
        advice = f"The video is short, so its movements repeat visibly; {GOOD_SECONDS:.0f} to 25 s look more natural."
        found.append(Finding("duration", "warn", seconds, advice))
    elif about.seconds > USED_SECONDS + 1:
        found.append(Finding("duration", "ok", seconds, f"The first {USED_SECONDS:.0f} s of the video are used."))
    else:
        found.append(Finding("duration", "ok", seconds, "The video is long enough."))
    fps = f"{about.fps:.3g} a second"
    if 0 < about.fps < MIN_FPS:
        advice = f"The video has {fps} pictures; at least {MIN_FPS:.0f} a second are needed, 25 or 30 are good."
        found.append(Finding("frame-rate", "refuse", fps, advice))
    elif 0 < about.fps < GOOD_FPS:
        found.append(Finding("frame-rate", "warn", fps, "The video is jerky; film with 25 or 30 pictures a second."))
    else:
        found.append(Finding("frame-rate", "ok", fps, "The frame rate is good."))
    return tuple(found)


def _times(about: video.Probe) -> list[float]:
    """Seconds, evenly spread over the part that is used."""
    seconds = min(about.seconds or USED_SECONDS, USED_SECONDS)
    return [float(t) for t in (np.arange(_SAMPLES) + 0.5) * seconds / _SAMPLES]


def _sampled(sample: Sample, locator: FaceLocator) -> _Look:
    return _look(sample.rgb, locator.all(sample.rgb, quick=True), sample.scale)


def _grade(bad: bool, worse: bool) -> Level:
    return "refuse" if worse else "warn" if bad else "ok"


def _finding(check: str, value: str, level: Level, good: str, bad: str, worse: str = "") -> Finding:
    return Finding(check, level, value, {"ok": good, "warn": bad, "refuse": worse or bad}[level])


def _faces(looks: Sequence[_Look], kind: Literal["picture", "video"]) -> tuple[Finding, ...]:
    """What the faces are like: medians, and of a video how much it varies."""

    def usual(of: Callable[[_Look], float]) -> float:
        return float(np.median([of(look) for look in looks]))

    again = "use a larger photo" if kind == "picture" else "film from nearer"
    eye, luma, contrast = usual(lambda v: v.eye), usual(lambda v: v.luma), usual(lambda v: v.contrast)
    side, sharp = usual(lambda v: v.side), usual(lambda v: v.sharp)
    yaw, roll, gap = usual(lambda v: abs(v.yaw)), usual(lambda v: abs(v.roll)), usual(lambda v: v.gap)
    many = max(look.faces for look in looks)
    burnt = usual(lambda v: v.burnt)
    out = [
        _finding(
            "faces",
            str(many),
            _grade(many > 1, worse=False),
            "One face is seen.",
            f"The {kind} shows {many} faces; the largest is used, so show one person alone.",
        ),
        _finding(
            "face-size",
            f"{eye:.0f} pixels between the eyes' outer corners",
            _grade(eye < GOOD_EYES, eye < MIN_EYES),
            "The face is large enough.",
            f"The face is small ({eye:.0f} pixels between the eyes' outer corners); the film may be soft, so {again}.",
            f"The face is too small: {eye:.0f} pixels between the outer corners of the eyes, at least {MIN_EYES} are "
            f"needed; {again}.",
        ),
        _light(luma, burnt),
        _finding(
            "contrast",
            f"{contrast:.0f} of 255",
            _grade(contrast < _GOOD_CONTRAST, contrast < MIN_CONTRAST),
            "The face has clear contrast.",
            "The face looks flat, as through fog; clean the lens and light the face from the front.",
            "The face has too little contrast; use a clear, well lit photo.",
        ),
        _finding(
            "side-light",
            f"{abs(side):.0%}",
            _grade(abs(side) > _SIDE_LIGHT, worse=False),
            "The light comes evenly from both sides.",
            f"The light comes from the {'right' if side > 0 else 'left'}; turn the face to the window, or put a lamp "
            "on the other side.",
        ),
        _finding(
            "sharpness",
            f"{sharp:.0f}",
            _grade(sharp < _SOFT[kind], worse=False),
            "The face is sharp.",
            "The face is not sharp; hold the camera still, clean the lens and focus on the eyes.",
        ),
        _finding(
            "turn",
            f"{yaw:.2f} of the eye distance",
            _grade(yaw > _TURN, yaw > MAX_YAW),
            "The face looks towards the camera.",
            "The face is turned to the side; look straight into the camera.",
            f"The face is turned too far to the side; use a {kind} that looks towards the camera.",
        ),
        _finding(
            "tilt",
            f"{np.degrees(roll):.0f} degrees",
            _grade(roll > (MAX_TILT if kind == "picture" else _TILT), worse=False),
            "The head is upright.",
            f"The head is tilted by {np.degrees(roll):.0f} degrees; turn the {kind} if that is not meant.",
        ),
    ]
    return (*out, _mouth(looks, gap, kind))


def _light(luma: float, burnt: float) -> Finding:
    value = f"{luma:.0f} of 255"
    if luma < MIN_LUMA:
        return Finding("light", "refuse", value, "The face is too dark; use a photo with more light on the face.")
    if luma < _GOOD_LUMA:
        return Finding("light", "warn", value, "The face is dark; put more light on it, from the front.")
    if luma > _BRIGHT_LUMA or burnt > _BURNT:
        return Finding(
            "light", "warn", value, "Parts of the face are too bright; use softer light or a shorter exposure."
        )
    return Finding("light", "ok", value, "The face is well lit.")


def _mouth(looks: Sequence[_Look], gap: float, kind: Literal["picture", "video"]) -> Finding:
    if kind == "video":
        shut = float(np.mean([look.gap < _PARTED for look in looks]))
        value = f"shut in {shut:.0%} of the pictures"
        if shut < 0.15:
            advice = "The mouth is hardly ever shut; be silent now and then, so that the resting mouth is seen."
            return Finding("mouth", "warn", value, advice)
        return Finding("mouth", "ok", value, "The resting mouth is seen.")
    value = f"lips {gap:.2f} eye distances apart"
    if gap > _OPEN:
        return Finding("mouth", "warn", value, "The mouth is wide open; a face with the lips together speaks better.")
    if gap > _PARTED:
        return Finding("mouth", "warn", value, "The teeth show; a face with the lips together speaks more clearly.")
    return Finding("mouth", "ok", value, "The lips are together.")
