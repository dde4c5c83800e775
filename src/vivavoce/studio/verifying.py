"""Who speaks: a recording becomes an embedding, and an embedding is compared with those of a known speaker.

Nothing is denoised on the way: an encoder hears less of a voice in cleaned sound. What makes the answer doubtful is
said beside it instead. Everything comes in built-in types, for it is sent from a worker and kept as JSON.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.errors import Conflict, InvalidInput
from vivavoce.hear.activity import activity
from vivavoce.hear.noise import measure
from vivavoce.media.audio import decode, resample
from vivavoce.nouns import Audio
from vivavoce.ports import Report, SpeakerEncoder

__all__ = ["NOTE", "embed", "verify"]

NOTE = (
    "The score compares voices and is no protection against deception: "
    "a recording, an imitation or a synthetic copy of a voice can score as high as the person."
)

_STAGE = "embed"
_SHORT = 3.0
"""Seconds of speech; with less, embeddings of one speaker lie further apart."""
_NOISY = 18.0
"""dB of speech over noise (``hear.noise``); below it one genuine probe in three was refused in our trials."""
_CLIPPED = 1e-3
"""Share of samples at the peak; natural speech has a tenth of it, overdriven speech several times as much."""


def embed(source: Path, encoder: SpeakerEncoder, *, max_seconds: float, report: Report) -> dict[str, Any]:
    """The voice in a sound file of any format.

    Gives ``embedding`` (list of floats, length 1), ``seconds`` and ``speech_seconds``, ``snr_db``, ``warnings``
    (sentences for the user), ``digest`` (SHA-256 of the file) and ``version`` (of the encoder).
    Raises ``InvalidInput`` when there is too little speech, and what ``media.audio.decode`` and the encoder raise.
    """
    report(0.0, _STAGE)
    sound = decode(source, max_seconds=max_seconds)
    clipped = _share_at_peak(sound)
    sound = resample(sound, encoder.traits.rate)
    report(0.2, _STAGE)
    speech_seconds = activity(sound).seconds
    if speech_seconds < encoder.traits.least:
        raise InvalidInput(
            f"There are {speech_seconds:.1f} s of speech in {sound.seconds:.1f} s of sound; at least "
            f"{encoder.traits.least:g} s are needed, {_SHORT:g} s and more make the answer reliable."
        )
    snr = measure(sound).snr
    report(0.3, _STAGE)
    embedding = encoder.embed(sound)
    report(1.0, _STAGE)
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "embedding": [float(x) for x in embedding],
        "seconds": round(sound.seconds, 3),
        "speech_seconds": round(speech_seconds, 3),
        "snr_db": round(snr, 1),
        "warnings": _warnings(speech_seconds, snr, clipped),
        "digest": digest,
        "version": encoder.traits.version,
    }


def verify(probe: Mapping[str, Any], references: Sequence[Mapping[str, Any]], threshold: float) -> dict[str, Any]:
    """Whether the voice of ``probe`` is that of ``references``, one or several recordings of one speaker.

    All of them are what ``embed`` gives. ``score`` is the cosine between the probe's embedding and the mean of the
    references' embeddings; a negative one counts as 0, so it lies between 0 (nothing in common) and 1 (the same).
    ``decision`` says whether it reaches ``threshold``. ``warnings`` are those of the probe, and those of the
    references with "Reference:" before them; ``note`` says what a score does not say.

    Raises ``InvalidInput`` without references, ``Conflict`` when probe and references are of different encoders.
    """
    if not references:
        raise InvalidInput("There is nothing to compare with; send a reference recording, or enrol the speaker first.")
    if any(_kind(reference) != _kind(probe) for reference in references):
        raise Conflict("The reference was made with another speaker encoder and cannot be compared; enrol it again.")
    centre = np.mean([_unit(reference["embedding"]) for reference in references], axis=0)
    score = round(float(np.clip(_unit(probe["embedding"]) @ _unit(centre), 0, 1)), 4)
    warnings = list(probe.get("warnings", ()))
    for reference in references:
        told = [f"Reference: {warning}" for warning in reference.get("warnings", ())]
        warnings += [warning for warning in told if warning not in warnings]
    return {
        "score": score,
        "decision": score >= threshold,
        "threshold": threshold,
        "warnings": warnings,
        "note": NOTE,
    }


def _warnings(speech_seconds: float, snr: float, clipped: float) -> list[str]:
    found = []
    if speech_seconds < _SHORT:
        found.append(f"Too short: {speech_seconds:.1f} s of speech; the answer is reliable from {_SHORT:g} s on.")
    if snr < _NOISY:
        found.append(
            f"Too noisy: speech stands {snr:.0f} dB out of the noise; below {_NOISY:g} dB the right speaker "
            "is often refused."
        )
    if clipped > _CLIPPED:
        found.append(f"Clipped: {100 * clipped:.1f} % of the sound is cut off at its peak; record it more quietly.")
    return found


def _share_at_peak(sound: Audio) -> float:
    level = np.abs(sound.samples)
    return float(np.mean(level >= 0.99 * level.max())) if level.any() else 0.0


def _kind(embedded: Mapping[str, Any]) -> tuple[int, str]:
    """What two embeddings must share to be comparable."""
    return len(embedded["embedding"]), str(embedded.get("version", ""))


def _unit(embedding: npt.ArrayLike) -> npt.NDArray[np.float64]:
    vector = np.asarray(embedding, np.float64)
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
