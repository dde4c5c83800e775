"""How well voices are told apart, and how fast: every recording against every other of a folder of speakers."""

import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.errors import InvalidInput
from vivavoce.media.audio import decode
from vivavoce.ports import SpeakerEncoder

__all__ = ["HEADER", "equal_error", "measure", "row"]

HEADER = (
    "| encoder | pairs same / different | equal error rate | at | same, mean and lowest | different, mean and highest "
    "| x real time |\n|---|---|---|---|---|---|---|"
)
_LONGEST = 600.0
_SUFFIXES = {".flac", ".wav", ".mp3", ".ogg", ".m4a"}


def measure(folder: Path, encoder: SpeakerEncoder) -> dict[str, Any]:
    """Compare all recordings in ``folder``, which has a folder for each speaker.

    Gives ``same`` and ``different`` (numbers of pairs), ``eer`` (0-1) and ``threshold`` (the cosine where it lies),
    ``same_mean``, ``same_lowest``, ``different_mean``, ``different_highest`` (cosines), ``refused`` and ``accepted``
    (shares of the wrong answers at the encoder's own threshold), ``seconds`` of sound, ``realtime`` (how many seconds
    are embedded in one) and ``rtf`` (its inverse); decoding is not counted. Raises ``InvalidInput`` when there are no
    two speakers with a recording and one with two.
    """
    files = sorted(p for p in folder.glob("*/*") if p.suffix in _SUFFIXES)
    rate = encoder.traits.rate
    sounds = [decode(path, max_seconds=_LONGEST, rate=rate) for path in files]
    pairs = list(combinations(range(len(files)), 2))
    same = np.array([files[i].parent == files[j].parent for i, j in pairs], bool)
    if not same.any() or same.all():
        raise InvalidInput(f"The folder {folder.name} needs a folder for each of at least two speakers, one with two.")
    encoder.embed(sounds[0])  # what is loaded on first use is not measured
    began = time.perf_counter()
    embeddings = [encoder.embed(sound) for sound in sounds]
    took = time.perf_counter() - began
    scores = np.array([embeddings[i] @ embeddings[j] for i, j in pairs], np.float64)
    rate_of_errors, threshold = equal_error(scores[same], scores[~same])
    seconds = sum(sound.seconds for sound in sounds)
    return {
        "same": int(same.sum()),
        "different": int((~same).sum()),
        "eer": rate_of_errors,
        "threshold": threshold,
        "same_mean": float(scores[same].mean()),
        "same_lowest": float(scores[same].min()),
        "different_mean": float(scores[~same].mean()),
        "different_highest": float(scores[~same].max()),
        "refused": float(np.mean(scores[same] < encoder.traits.threshold)),
        "accepted": float(np.mean(scores[~same] >= encoder.traits.threshold)),
        "seconds": seconds,
        "realtime": seconds / took,
        "rtf": took / seconds,
    }


def equal_error(same: npt.ArrayLike, different: npt.ArrayLike) -> tuple[float, float]:
    """The equal error rate, 0-1, and its threshold: where as many of ``same`` lie below as of ``different`` do not.

    Between two scores the threshold is their middle; the rate is the mean of the two where they do not meet.
    """
    genuine, impostor = np.sort(np.asarray(same, np.float64)), np.sort(np.asarray(different, np.float64))
    scores = np.unique(np.concatenate([genuine, impostor]))
    tried = np.concatenate([scores[:1] - 1, (scores[1:] + scores[:-1]) / 2, scores[-1:] + 1])
    refused = np.searchsorted(genuine, tried) / len(genuine)
    accepted = 1 - np.searchsorted(impostor, tried) / len(impostor)
    apart = np.abs(refused - accepted)
    best = np.flatnonzero(apart == apart.min())
    middle = int(best[len(best) // 2])
    return float((refused[middle] + accepted[middle]) / 2), float(tried[middle])


def row(name: str, found: dict[str, Any]) -> str:
    """A line of a Markdown table under ``HEADER``."""
    cells: Sequence[str] = (
        f"`{name}`",
        f"{found['same']} / {found['different']}",
        f"{100 * found['eer']:.1f} %",
        f"{found['threshold']:.2f}",
        f"{found['same_mean']:.2f}, {found['same_lowest']:.2f}",
        f"{found['different_mean']:.2f}, {found['different_highest']:.2f}",
        f"{found['realtime']:.0f}",
    )
    return f"| {' | '.join(cells)} |"
