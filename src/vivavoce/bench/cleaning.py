"""How well noise is taken out of speech: every installed enhancer, on the same mixtures, by PESQ, STOI and speed.

PESQ (ITU-T P.862.2, wide band, 1-4.64) tells how good speech sounds beside the clean recording, STOI (Taal et al. 2011,
0-1) how well it can be understood.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.bench.noises import NOISES, RATE, Array, mixed, noise
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.hear.cleaning import cleaned
from vivavoce.media.audio import decode
from vivavoce.nouns import Audio
from vivavoce.ports import Enhancer
from vivavoce.registry import Registry

__all__ = ["LEVELS", "Cleaning", "Mixture", "measure", "mixtures", "scores", "table"]

Show = Callable[[float, str], None]

LEVELS = 0.0, 5.0, 10.0
"""dB by which speech is louder than the noise."""
_PIECE = RATE // 10
_SHORTEST, _LONGEST = 3.0, 9.0
"""Seconds of an utterance; shorter ones are not taken, longer ones cut."""
_KINDS = {".flac", ".wav", ".ogg", ".mp3", ".m4a"}


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What one enhancer made of all mixtures of one level."""

    engine: str
    """"" is the noisy sound itself."""
    level: float | None
    """dB of speech over noise; None: nothing was mixed in."""
    pesq: float
    stoi: float
    speed: float
    """Seconds of sound cleaned in a second."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Speech and the same with noise, at 16 kHz."""

    speech: Array
    noisy: Array
    level: float | None
    kind: str


def measure(
    folder: Path,
    show: Show,
    *,
    registry: Registry | None = None,
    utterances: int = 5,
    seconds: float = _LONGEST,
    seed: int = 7,
) -> list[Cleaning]:
    """Clean speech of ``folder`` (recordings of several people, at any depth) with every noise, at every level.

    ``registry`` holds the enhancers; one that cannot be used here is left out. Raises ``EngineUnavailable`` when PESQ
    and STOI are not installed, ``InvalidInput`` when there is too little speech.
    """
    _judges()
    sounds = list(mixtures(folder, utterances=utterances, seconds=seconds, seed=seed))
    rows = scores("", None, sounds, show)
    known = registry or Registry()
    for name in known.names("clean"):
        try:
            engine = known.get("clean", name)
            rows += scores(name, engine, sounds, show)
        except EngineUnavailable as e:
            show(1.0, f"{name} is left out: {e}")
    return rows


def mixtures(folder: Path, *, utterances: int, seconds: float = _LONGEST, seed: int) -> Iterator[Mixture]:
    """Every noise at every level with each of ``utterances`` recordings of up to ``seconds``, and each alone."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _KINDS)
    heard = [decode(path, max_seconds=600, rate=RATE).samples.astype(np.float64) for path in files]
    usable = [(path.parent, sound) for path, sound in zip(files, heard, strict=True) if len(sound) >= _SHORTEST * RATE]
    draw = np.random.default_rng(seed)
    if len(usable) < 2:
        raise InvalidInput(f"The folder {folder} holds too little speech; put at least two recordings of 3 s there.")
    for index in draw.permutation(len(usable))[:utterances]:
        place, sound = usable[index]
        part = sound[: round(seconds * RATE)]
        speech = 0.4 * part / np.abs(part).max()
        yield Mixture(speech, speech, None, "")
        others = [other for where, other in usable if where != place] or [sound]
        for kind in NOISES:
            for level in LEVELS:
                noisy = mixed(speech, noise(kind, len(speech), draw, others), level)
                loud = max(1.0, float(np.abs(noisy).max()))
                yield Mixture(speech / loud, noisy / loud, level, kind)


def scores(name: str, engine: Enhancer | None, sounds: Sequence[Mixture], show: Show) -> list[Cleaning]:
    """One row for each level, and one for speech alone; without an engine, of the sound as it is."""
    pesq, stoi = _judges()
    found: dict[float | None, list[tuple[float, float, float, float]]] = {}
    for index, mixture in enumerate(sounds):
        show(index / len(sounds), f"Cleaning with {name}" if name else "Judging the noisy sound")
        began = time.perf_counter()
        made = mixture.noisy if engine is None else _cleaned(engine, mixture.noisy)
        took = time.perf_counter() - began
        judged = float(pesq(RATE, mixture.speech, made, "wb")), float(stoi(mixture.speech, made, RATE))
        found.setdefault(mixture.level, []).append((*judged, len(made) / RATE, took))
    rows = []
    for level in sorted(found, key=lambda level: np.inf if level is None else level):
        pesqs, stois, lengths, times = zip(*found[level], strict=True)
        rows.append(Cleaning(name, level, float(np.mean(pesqs)), float(np.mean(stois)), sum(lengths) / sum(times)))
    return rows


def table(rows: Sequence[Cleaning]) -> str:
    """Markdown: a line for each engine; in a cell PESQ and STOI."""
    levels = sorted({row.level for row in rows}, key=lambda level: np.inf if level is None else level)
    heads = [f"{level:.0f} dB" if level is not None else "clean" for level in levels]
    lines = [
        "| enhancer | " + " | ".join(f"{head}: PESQ / STOI" for head in [*heads, "mean of noisy"]) + " | x real time |",
        "|" + "---|" * (len(heads) + 3),
    ]
    for engine in dict.fromkeys(row.engine for row in rows):
        own = [row for row in rows if row.engine == engine]
        noisy = [row for row in own if row.level is not None]
        cells = [f"{row.pesq:.2f} / {row.stoi:.3f}" for level in levels for row in own if row.level == level]
        mean = f"{np.mean([row.pesq for row in noisy]):.3f} / {np.mean([row.stoi for row in noisy]):.4f}"
        speed = f"{np.median([row.speed for row in own]):.0f}" if engine else "–"
        lines.append(f"| {f'clean.{engine}' if engine else 'as it came'} | {' | '.join([*cells, mean])} | {speed} |")
    return "\n".join([*lines, ""])


def _cleaned(engine: Enhancer, sound: Array) -> Array:
    blocks = (Audio(sound[at : at + _PIECE].astype(np.float32), RATE) for at in range(0, len(sound), _PIECE))
    with closing(cleaned(engine, blocks, RATE)) as stream:
        return np.concatenate([block.samples for block in stream]).astype(np.float64)


def _judges() -> tuple[Any, Any]:
    try:
        from pesq import pesq
        from pystoi import stoi
    except ImportError as e:
        raise EngineUnavailable("PESQ and STOI are not installed; add them with `pip install pesq pystoi`.") from e
    return pesq, stoi
