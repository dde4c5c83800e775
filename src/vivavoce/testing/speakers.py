"""The promises of ``SpeakerEncoder``."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from vivavoce.nouns import Audio
from vivavoce.ports import SpeakerEncoder
from vivavoce.testing.base import refused, require

__all__ = ["check_encoder"]

_SAME = 1 - 1e-4
"""Cosine of two embeddings of the same sound."""


def check_encoder(engine: SpeakerEncoder, one: Audio, again: Audio, other: Audio) -> None:
    """Every promise of ``SpeakerEncoder``.

    ``one`` and ``again`` are different recordings of one speaker, ``other`` is another's; each mono at
    ``engine.traits.rate`` and some seconds of speech.
    """
    traits = engine.traits
    require(traits == engine.traits, "Traits are the same whenever they are read.")
    require(traits.size > 0 and traits.rate >= 8000 and traits.least > 0, "Traits declare size, rate and least.")
    require(-1 <= traits.threshold <= 1, "The threshold is a cosine, between -1 and 1.")
    before = one.samples.copy()
    first, second, third = (_embedded(engine, audio) for audio in (one, again, other))
    require(np.array_equal(one.samples, before), "The sound is not changed.")
    require(float(first @ _embedded(engine, one)) > _SAME, "The same sound has the same embedding.")
    require(first @ second > first @ third, "Two recordings of one speaker are more alike than those of two speakers.")
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda audio: _embedded(engine, audio), (one, other)))
    apart = float(both[0] @ first) > _SAME and float(both[1] @ third) > _SAME
    require(apart, "Two recordings embedded at once do not mix.")
    _check_refusals(engine, one)


def _embedded(engine: SpeakerEncoder, audio: Audio) -> npt.NDArray[np.float32]:
    embedding = engine.embed(audio)
    right = embedding.shape == (engine.traits.size,) and embedding.dtype == np.float32
    require(right, f"An embedding is float32 of shape ({engine.traits.size},), not {embedding.shape}.")
    length = float(np.linalg.norm(embedding))
    require(abs(length - 1) < 1e-3, f"An embedding has length 1, not {length:.3f}.")
    return embedding


def _check_refusals(engine: SpeakerEncoder, speech: Audio) -> None:
    rate = engine.traits.rate
    nothing = Audio(np.zeros(0, np.float32), rate)
    silence = Audio(np.zeros(rate * 5, np.float32), rate)
    loud = int(np.argmax(np.abs(speech.samples)))
    half = int(rate * engine.traits.least / 2)
    syllable = Audio(speech.samples[max(0, loud - half // 2) :][:half], rate)
    for audio, what in ((nothing, "sound of no length"), (silence, "silence"), (syllable, "too little speech")):
        refused(lambda audio=audio: engine.embed(audio), what)  # type: ignore[misc]
