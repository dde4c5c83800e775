"""From a library to a refinement, or to the finding that it needs none; killed, it goes on after its last epoch."""

import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt
import torch

from vivavoce.engines.person import store
from vivavoce.engines.person.evaluate import Bench
from vivavoce.engines.person.inner import FILE
from vivavoce.engines.person.learn import restricted
from vivavoce.engines.person.library import Library
from vivavoce.engines.person.refine.judge import Verdict, judged
from vivavoce.engines.person.refine.lessons import BATCH, LR, School
from vivavoce.engines.person.refine.pairs import MARGIN, Pairs, held_back, make_pairs, taught
from vivavoce.face.locate import FaceLocator
from vivavoce.models import ModelStore
from vivavoce.nouns import Lesson
from vivavoce.ports import Tell

__all__ = ["refine"]

_VERSION = 1
"""Of pairs and nets: what another one left in ``work`` is of no use."""
_THREADS = 1
"""Two on a busy machine of two cores wait for each other: measured, up to twenty times as slow."""
_LEARNT, _JUDGED = 0.06, 0.92
"""Fractions at which the pairs are there, and at which the net has learnt."""
_SHOWN = 4


def refine(
    folder: Path,
    work: Path,
    models: ModelStore,
    *,
    epochs: int,
    options: Mapping[str, float | str],
    tell: Tell,
) -> Verdict:
    """Train the refinement of the avatar in ``folder``, and put it there if it is better than the library alone.

    What it found is noted in ``avatar.json``, under ``person`` and ``refinement``. ``options``: ``lr`` and ``batch``.
    ``work`` keeps what was learnt, epoch by epoch; one that has seen ``epochs`` or more is only judged. ``tell`` hears
    fractions 0-1 of the whole, and may raise.
    """
    lr, batch = float(options.get("lr", LR)), int(options.get("batch", BATCH))
    library = store.load(folder)
    kept = work / f"refine-{_digest(library)}"
    kept.mkdir(parents=True, exist_ok=True)
    try:
        pairs = _pairs(folder, library, kept / "pairs.npz", lambda x: tell(Lesson(_LEARNT * x, "refine")))
    except ValueError:
        verdict = Verdict({}, {}, ("the first minute of the film shows too few mouths to learn from",))
        _note(folder, verdict, None, {"epochs": 0, "held_out": []})
        return verdict
    threads = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        school = _taken_up(lambda: School(lr, batch), kept / f"lr{lr:g}-batch{batch}.pt")
        _learn(school, kept / f"lr{lr:g}-batch{batch}.pt", pairs, epochs, tell)
        model = school.exported()
    finally:
        torch.set_num_threads(threads)
    with Bench(folder, library, FaceLocator(models)) as bench:
        verdict = judged(bench, model, lambda x: tell(Lesson(_JUDGED + (1 - _JUDGED) * x, "refine")))
        held = [[int(part[0]), int(part[-1]) + 1] for part in held_back(bench.count)]
    _note(folder, verdict, None if verdict.against else model, {"epochs": school.epoch, "held_out": held})
    tell(Lesson(1.0, "refine"))
    return verdict


def _note(folder: Path, verdict: Verdict, model: bytes | None, about: Mapping[str, object]) -> None:
    """Put the net into the avatar, or leave it out, and write down why."""
    if model is not None:
        part = folder / (FILE + ".part")
        part.write_bytes(model)
        part.replace(folder / FILE)
    facts = store.about(folder)
    sides = {"before": verdict.before, "after": verdict.after}
    figures = {side: {row: f.as_dict() for row, f in found.items()} for side, found in sides.items()}
    told = {"used": model is not None, "against": list(verdict.against), **about, **figures}
    store.write_about(folder, {**facts, "person": {**facts["person"], "refinement": told}})


def _digest(library: Library) -> str:
    """Of all that pairs are made of."""
    digest = hashlib.sha256(f"{_VERSION}".encode())
    for array in (library.points, library.slow, library.usable, library.corners):
        digest.update(np.ascontiguousarray(array).tobytes())
    for crop in library.crops:
        digest.update(crop)
    return digest.hexdigest()[:16]


def _pairs(folder: Path, library: Library, path: Path, show: Callable[[float], None]) -> Pairs:
    try:
        return Pairs.load(path)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        pass  # there are none yet
    known = np.ones(len(library), bool)
    count = len(library.footage.track.points)
    known[:count] = taught(count, held_back(count))
    pairs = make_pairs(folder, restricted(library, known), show=show)
    pairs.save(path)
    return pairs


def _taken_up(begin: Callable[[], School], path: Path) -> School:
    """As it was left in ``path``; a new one where there is none that can be read."""
    school = begin()
    try:
        school.take_up(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError):
        return begin()
    return school


def _learn(school: School, path: Path, pairs: Pairs, epochs: int, tell: Tell) -> None:
    """Up to ``epochs``, each of which is kept in ``path``."""
    while school.epoch < epochs:
        loss = school.learn(pairs)
        part = path.with_suffix(".part")
        torch.save(school.state(), part)
        part.replace(path)
        done = _LEARNT + (_JUDGED - _LEARNT) * school.epoch / epochs
        tell(Lesson(done, "refine", school.epoch, epochs, loss, _preview(school, pairs)))


def _preview(school: School, pairs: Pairs) -> bytes:
    """Some mouths as they were filmed, as the library paints them, and refined: rows of a JPEG."""
    some = np.linspace(0, len(pairs) - 1, _SHOWN).astype(int)
    seen, filmed = (np.stack(a) for a in zip(*(pairs.seen(int(i), 0) for i in some), strict=True))
    inner = slice(MARGIN, -MARGIN)
    seen, filmed = (np.ascontiguousarray(a[:, :, inner, inner]) for a in (seen, filmed))
    made = school.refined(seen)
    rows = [np.concatenate(list(a.transpose(0, 2, 3, 1)), axis=1) for a in (filmed, seen[:, :3], made)]
    strip: npt.NDArray[np.uint8] = np.clip(np.concatenate(rows) * 255 + 0.5, 0, 255).astype(np.uint8)
    large = cv2.resize(strip, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(large, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    return data.tobytes()
