"""What a person's film is worth, in numbers and in sentences: what would make the head speak better."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from vivavoce.engines.person.learn import BLURRED
from vivavoce.engines.person.library import Library

__all__ = ["LEAST_MOVED", "LEAST_SPEECH", "LEAST_USABLE", "SHUT", "TRUSTED", "verdict"]

SHUT = 0.01
"""Opening below which a mouth is shut."""
TRUSTED = 0.35
"""Cross-validated correlation from which the person's own sound is asked."""
LEAST_SPEECH, LEAST_USABLE = 8.0, 60
"""Seconds of speech and usable pictures below which there is no library."""
LEAST_MOVED = 0.015
"""Eye distances by which lips have to part in speech, or nothing is learnt of it."""
_GOOD_SPEECH = 60.0
_ROUND = (0.15, 0.01)
"""Share of the fast width's range, and eye distances of protrusion, of a rounded mouth."""
_BLURRED, _LOST, _HIDDEN, _CLOSURES, _ROUNDED, _TURNED = 0.2, 0.05, 0.01, 20, 10, 20.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a library does not tell of its film."""

    hidden: float = 0.0
    """Share of the pictures in which something is before the mouth; to the library no face is seen there."""
    oddities: Collection[str] = frozenset()
    """Those of ``media.video``."""


_NOTHING = Found()


def verdict(library: Library, speech: float, watched: float, found: Found = _NOTHING) -> dict[str, Any]:
    """The report, of built-in types only: ``speech`` and ``watched`` are seconds of speech and of film."""
    seen = library.seen
    degrees = np.degrees(library.head.angles[seen])
    ranges = {
        name: [round(float(v), 1) for v in np.percentile(column, [1, 99])]
        for name, column in zip(("yaw", "pitch", "roll"), degrees.T, strict=True)
    }
    usable = library.usable
    closures = int((library.opening[usable] < SHUT).sum())
    facts: dict[str, Any] = {
        "seconds": round(watched, 2),
        "speech_seconds": round(speech, 2),
        "frames": len(library),
        "usable_frames": int(usable.sum()),
        "lost_share": round(float(1 - seen.mean() - found.hidden), 3),
        "hidden_share": round(found.hidden, 3),
        "blurred_share": round(float((library.skin[seen] < BLURRED).mean()), 3),
        "pose_degrees": ranges,
        "closed_frames": closures,
        "rounded_frames": _rounded(library),
        "cuts": max(0, len(np.unique(library.run[usable])) - 1),
        "own_voice": None if library.voice is None else round(library.voice.sure, 3),
        "base_seconds": [round((last - first) / float(library.footage.fps), 2) for first, last in library.stretches],
    }
    return {**facts, "advice": _advice(facts, found.oddities)}


def _rounded(library: Library) -> int:
    """Usable pictures with lips drawn together and forward."""
    width, forward = library.features[library.usable, 1], -library.features[library.usable, 5]
    low, high = np.percentile(width, [2, 98])
    return int(((width < low + _ROUND[0] * (high - low)) & (np.abs(forward) > _ROUND[1])).sum())


def _advice(facts: dict[str, Any], oddities: Collection[str]) -> list[str]:
    said = []
    if facts["own_voice"] is None:
        heard = f"only {facts['speech_seconds']:.0f} s of" if facts["speech_seconds"] >= 1 else "no"
        said.append(
            f"The video has {heard} speech, too little to learn from the sound, so the mouth follows the words alone; "
            "speak for a minute."
        )
    elif facts["speech_seconds"] < _GOOD_SPEECH:
        said.append(
            f"There are {facts['speech_seconds']:.0f} s of speech; speak for a minute or longer, and the mouth follows "
            "the person's own voice much better."
        )
    if facts["own_voice"] is not None and facts["own_voice"] < TRUSTED:
        said.append("The sound tells too little of the mouth, so words drive it; speak clearly, near the microphone.")
    if facts["blurred_share"] > _BLURRED:
        said.append(
            f"{facts['blurred_share']:.0%} of the pictures are blurred by motion; put more light on the face and hold "
            "the head calmer."
        )
    if facts["lost_share"] > _LOST:
        said.append(
            f"No face is seen in {facts['lost_share']:.0%} of the pictures; look towards the camera all the time."
        )
    if facts["hidden_share"] > _HIDDEN:
        said.append(
            f"Something is before the mouth in {facts['hidden_share']:.0%} of the pictures, which are not used; keep "
            "hands, cups and the microphone away from the face."
        )
    yaw = facts["pose_degrees"]["yaw"]
    if yaw[1] - yaw[0] > 2 * _TURNED:
        said.append("The head turns far to the sides; the mouth is found more often where it looks into the camera.")
    if facts["closed_frames"] < _CLOSURES:
        said.append("The lips are hardly ever shut; pause now and then with the mouth closed.")
    if facts["rounded_frames"] < _ROUNDED:
        said.append("Hardly a rounded mouth is seen; say some sentences with long o and u.")
    if facts["cuts"]:
        said.append(f"The video is cut {facts['cuts']} times; one piece without cuts moves more naturally.")
    if "hdr" in oddities:
        said.append("The video is HDR and was toned down; film without HDR if its colours should stay as they are.")
    if "interlaced" in oddities:
        said.append("The video is interlaced, so moving lips are less sharp; film in progressive mode, p instead of i.")
    return said
