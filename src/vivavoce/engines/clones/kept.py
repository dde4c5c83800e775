"""What a cloner over the network keeps of a voice: a small JSON document, and one recording to be sent along."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.errors import InvalidInput
from vivavoce.hear.activity import activity
from vivavoce.media.audio import resample, write_wav
from vivavoce.nouns import Audio

__all__ = ["REFERENCE", "put", "reference", "told"]

REFERENCE = "reference.wav"
_FACTS = "clone.json"
_VERSION = 1
_GAP = 0.3
"""Seconds of silence between two recordings."""


def reference(recordings: Sequence[Audio], into: Path, *, least: float, most: float, rate: int = 24_000) -> list[str]:
    """Join recordings to one WAV file of at most ``most`` seconds, without their long pauses; returns warnings.

    Raises ``InvalidInput`` when less than a second of speech is in them; below ``least`` seconds it warns.
    """
    parts: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    left, spoken = most, 0.0
    for recording in recordings:
        heard = activity(recording)
        if left <= 0 or not heard.stretches:
            continue
        edge = heard.audio.rate / 10
        begin = max(0.0, (heard.stretches[0][0] - edge) / heard.audio.rate)
        end = min((heard.stretches[-1][1] + edge) / heard.audio.rate, begin + left)
        whole = resample(recording, rate).samples[round(begin * rate) : round(end * rate)]
        parts += [whole, np.zeros(round(_GAP * rate), np.float32)]
        spoken += heard.seconds
        left -= end - begin + _GAP
    if spoken < 1:
        raise InvalidInput(
            f"There is {spoken:.1f} s of speech in the recordings; at least 1 s is needed, better {least:g} s or more."
        )
    write_wav(into / REFERENCE, Audio(np.concatenate(parts[:-1]), rate), rate)
    if spoken < least:
        return [f"Little speech: {spoken:.1f} s; the voice becomes more alike with {least:g} s or more."]
    return []


def put(into: Path, facts: Mapping[str, Any]) -> None:
    """Keep ``facts``."""
    (into / _FACTS).write_text(json.dumps({"version": _VERSION, **facts}) + "\n", encoding="utf-8")


def told(voice: Path, engine: str) -> dict[str, Any]:
    """What ``put`` kept. Raises ``InvalidInput`` when the folder is not one of this engine."""
    try:
        facts = json.loads((voice / _FACTS).read_text(encoding="utf-8"))
        if facts["version"] == _VERSION and facts["engine"] == engine:
            return dict(facts)
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise InvalidInput(f"This voice was not made by the cloner {engine}, or is damaged; enrol it again.")
