"""From a film of a person to their library, in about the time that the film takes; killed, it goes on where it was."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vivavoce.engines.person import store
from vivavoce.engines.person.bases import base_stretches
from vivavoce.engines.person.hidden import hidden
from vivavoce.engines.person.learn import Sight, learned
from vivavoce.engines.person.library import VERSION, Library
from vivavoce.engines.person.look import CUT
from vivavoce.engines.person.verdict import LEAST_MOVED, LEAST_SPEECH, LEAST_USABLE, Found, verdict
from vivavoce.engines.person.voice import windows_of
from vivavoce.engines.person.watch import BLOCK, Plan, Rows, reel_parts, watch
from vivavoce.engines.photo.shoot import develop, picture_of, rate_of, takes_of
from vivavoce.errors import FaceRejected, InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.face.footage import Footage
from vivavoce.face.locate import MIN_EYES, FaceLocator
from vivavoce.face.mesh import FaceMesh
from vivavoce.face.preflight import MAX_SECONDS, USED_SECONDS, Report, examine, refuse
from vivavoce.face.track import Track, track
from vivavoce.media import audio, video
from vivavoce.media.kinds import kind_of
from vivavoce.media.picture import write_jpeg
from vivavoce.media.reel import Reel, join_reels
from vivavoce.media.samples import samples
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, Avatar
from vivavoce.ports import Report as Told
from vivavoce.text.cepstrum import HOP, log_mel, silences

__all__ = ["LONGEST", "MIN_FPS", "SHORTEST", "prepare"]

F32 = npt.NDArray[np.float32]
_Place = tuple[float, float, float]
"""x and y between the eyes, and their distance."""

SHORTEST, LONGEST = 8.0, 1800.0
"""Seconds of a film."""
MIN_FPS = 12.0
_MOST = 4000
"""Pictures that are looked at; of a longer film, those with speech."""
_FILMED = 60.0
"""Seconds, from the beginning, that are kept as a film to be replayed, unless more are asked for."""
_MARGIN = 0.3
"""Seconds around speech that are looked at."""
_LOOKS = 12
"""Pictures in which the person is looked for beforehand."""
_RATE = 16_000


@dataclass(frozen=True, slots=True)
class _Sound:
    audio: Audio
    speech: tuple[tuple[float, float], ...]
    """Seconds, on the clock of the pictures."""
    ahead: float
    """Seconds by which the sound's clock is ahead of the pictures'."""

    @property
    def seconds(self) -> float:
        """Of speech."""
        return sum(end - start for start, end in self.speech)


def prepare(
    source: Path,
    into: Path,
    models: ModelStore,
    *,
    work: Path | None = None,
    report: Told = lambda *_: None,
    filmed: float = _FILMED,
) -> Avatar:
    """Make the avatar of the person in the video ``source``, in the existing folder ``into``, which names it.

    ``work`` is a folder that keeps what was done, for the next try; it may be removed when all is well. ``report``
    hears 0-1 with ``examine``, ``track`` or ``library``, and may raise. ``filmed``: seconds that can be replayed.
    Raises ``InvalidInput`` and its kinds, with advice, for a film that cannot be used, ``EngineUnavailable`` when the
    landmark nets cannot be had.
    """
    with ExitStack() as stack:
        if work is None:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vivavoce-")))
        locator = FaceLocator(models)
        report(0.0, "examine")
        about, examined = _examined(source, locator)
        sound = _sound(source, about.seconds)
        report(0.02, "examine")
        plan = _planned(source, about, sound, _person(source, about, examined, locator), filmed)
        folder = _work_of(source, plan, work)
        rows = watch(source, folder, plan, models, lambda x: report(0.03 + 0.82 * x, "track"))
        _check(rows, plan)
        covered = hidden(rows.flesh, rows.points, rows.confidence > 0, rows.changed > CUT)
        rows = replace(rows, confidence=np.where(covered, np.float32(0), rows.confidence))
        report(0.85, "library")
        footage = _footage(rows, plan, folder, into, lambda x: report(0.85 + 0.08 * x, "library"))
        library = _library(rows, plan, footage, sound, Found(float(covered.mean()), video.oddities(source)))
    report(0.97, "library")
    _save(library, into, source, examined)
    report(1.0, "library")
    return Avatar(into.name, into, "person", _warnings(library, examined))


def _warnings(library: Library, examined: Report) -> tuple[str, ...]:
    """What was found beforehand, and what the whole film told."""
    beforehand = [f.advice for f in examined.findings if f.level == "warn" and f.check not in ("duration", "face")]
    return (*beforehand, *library.report["advice"])


def _save(library: Library, into: Path, source: Path, examined: Report) -> None:
    kept = into / "source"
    if not (kept.exists() and kept.samefile(source)):
        shutil.copyfile(source, kept)
    with Reel(into / library.footage.takes[0].name) as reel:
        write_jpeg(into / "poster.jpg", picture_of(reel[library.footage.number]))
    facts = {
        "name": into.name,
        "landmarks": "located",
        "warnings": list(_warnings(library, examined)),
        "report": examined.as_dict(),
        "frames": len(library.footage.track.points),
        "without_face": int((~library.footage.track.seen).sum()),
        "source": "source",
    }
    store.save(library, into, facts)


def _examined(source: Path, locator: FaceLocator) -> tuple[video.Probe, Report]:
    """What the file and its first pictures tell; raises for what cannot become a head."""
    if kind_of(source) != "video":
        raise UnsupportedMedia("A head that talks is learnt from a video of a person; send MP4, MOV, WebM or MKV.")
    about = video.probe(source)
    if about.seconds > LONGEST:
        raise TooLarge(
            f"The video lasts {about.seconds:.0f} s; at most {LONGEST:.0f} s are allowed, so send a part of it."
        )
    if 0 < about.seconds < SHORTEST - 0.2:
        raise InvalidInput(
            f"The video lasts only {about.seconds:.1f} s; at least {SHORTEST:.0f} s are needed, a minute is good."
        )
    if 0 < about.fps < MIN_FPS:
        raise InvalidInput(
            f"The video has {about.fps:.3g} pictures a second; at least {MIN_FPS:.0f} are needed, 25 or 30 are good."
        )
    examined = examine(source, locator, longest=max(LONGEST, MAX_SECONDS) + 1)
    refuse(examined)
    return about, examined


def _sound(source: Path, seconds: float) -> _Sound | None:
    """The film's sound, and where somebody speaks; None without any, or when all is silence."""
    try:
        heard = audio.decode(source, max_seconds=max(seconds, 1.0) * 1.1 + 30, rate=_RATE)
    except InvalidInput:
        return None
    if audio.is_silent(heard):
        return None
    ahead = video.sound_ahead(source)
    mel = log_mel(heard)
    speech, at = [], 0
    for first, last in [*silences(mel, 0.25), (len(mel), len(mel))]:
        if first - at > 10:  # a tenth of a second at least
            speech.append((at * HOP - ahead, first * HOP - ahead))
        at = last
    return _Sound(heard, tuple(speech), ahead)


def _planned(source: Path, about: video.Probe, sound: _Sound | None, person: _Place | None, seconds: float) -> Plan:
    fps, takes = rate_of(about), takes_of(about)
    start = next(video.read_frames(source)).time
    total = max(1, round((about.seconds or LONGEST) * fps))
    filmed = min(total, round(seconds * fps) // BLOCK * BLOCK or BLOCK)
    shrink = takes[0].width / about.width
    return Plan(
        fps=fps,
        takes=takes,
        start=start,
        blocks=tuple(_blocks(_wanted(total, filmed, fps, sound), filmed)),
        filmed=filmed,
        place=person and (person[0] * shrink, person[1] * shrink, person[2] * shrink),
    )


def _wanted(total: int, filmed: int, fps: Fraction, sound: _Sound | None) -> list[tuple[int, int]]:
    """Ticks to look at: all of a short film, of a longer one its beginning and what is spoken after."""
    if total <= max(_MOST, filmed):
        return [(0, total)]
    spans, left = [(0, filmed)], max(_MOST - filmed, 0)
    for start, end in sound.speech if sound else ((0.0, float(total / fps)),):
        first = max(int((start - _MARGIN) * fps), spans[-1][1])
        last = min(int((end + _MARGIN) * fps) + 1, total, first + left)
        if last > first:
            spans.append((first, last))
            left -= last - first
    return spans


def _blocks(spans: Sequence[tuple[int, int]], filmed: int) -> list[tuple[int, int]]:
    """Stretches of at most ``BLOCK`` ticks; those of the reels begin where a group of pictures may."""
    edges = [(first, last) for first, last in spans if first < last]
    split = [(first, min(last, filmed)) for first, last in edges if first < filmed]
    split += [(max(first, filmed), last) for first, last in edges if last > filmed]
    return [(at, min(at + BLOCK, last)) for first, last in split for at in range(first, last, BLOCK)]


def _person(source: Path, about: video.Probe, examined: Report, locator: FaceLocator) -> _Place | None:
    """Where the largest person that stays usually is, pixels of the film; None where there is but one."""
    if about.seconds <= USED_SECONDS and all(f.level == "ok" for f in examined.findings if f.check == "faces"):
        return None
    times = [float(t) for t in (np.arange(_LOOKS) + 0.5) * (about.seconds or 10.0) / _LOOKS]
    faces: list[tuple[float, float, float]] = []
    for sample in samples(source, times, max_side=1280):
        for mesh in locator.all(sample.rgb, quick=True):
            x, y = mesh.points[[33, 263], :2].mean(axis=0) * sample.scale
            faces.append((float(x), float(y), mesh.eye_distance * sample.scale))
    if not faces:
        raise FaceRejected("No face was found in the video; use a video of one person who looks towards the camera.")
    at = np.array(faces)
    away = np.linalg.norm(at[:, None, :2] - at[None, :, :2], axis=-1) / at[:, 2]
    near = (away < 1.5) & (np.abs(np.log(at[:, None, 2] / at[None, :, 2])) < 0.6)
    group = near[int((near * at[:, 2]).sum(axis=1).argmax())]
    x, y, eye = np.median(at[group], axis=0)
    return float(x), float(y), float(eye)


def _work_of(source: Path, plan: Plan, work: Path) -> Path:
    """A folder in ``work`` for just this film looked at in just this way."""
    digest = hashlib.sha256(json.dumps([VERSION, source.stat().st_size, repr(plan)]).encode())
    with source.open("rb") as file:
        digest.update(file.read(1 << 20))
    folder = work / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check(rows: Rows, plan: Plan) -> None:
    """Raise for a film of which too little can be used."""
    if len(rows.ticks) < 0.95 * SHORTEST * plan.fps:
        raise InvalidInput(
            f"Only {len(rows.ticks) / float(plan.fps):.1f} s of the video can be read, it seems to be damaged; "
            f"at least {SHORTEST:.0f} s are needed."
        )
    seen = rows.confidence > 0
    if seen.sum() < max(LEAST_USABLE, 0.2 * len(seen)):
        raise FaceRejected(
            f"Only {seen.mean():.0%} of the pictures show the face from the front; use a video of one person who looks "
            "towards the camera."
        )
    eyes = np.linalg.norm(rows.points[seen, 263, :2] - rows.points[seen, 33, :2], axis=1)
    if np.median(eyes) < MIN_EYES:
        raise FaceRejected(
            f"The face in the video is too small: {np.median(eyes):.0f} pixels between the outer corners of the eyes, "
            f"at least {MIN_EYES} are needed; film from nearer."
        )


def _footage(rows: Rows, plan: Plan, folder: Path, into: Path, report: Callable[[float], None]) -> Footage:
    """Join the reels, and make out what a film's base needs."""
    filmed = rows.ticks < plan.filmed
    edges = [first for first, _ in plan.blocks if first < plan.filmed]
    counts = np.diff(np.searchsorted(rows.ticks[filmed], [*edges, plan.filmed])).tolist()
    for take in plan.takes:
        parts = zip(reel_parts(folder, plan, take), counts, strict=True)
        join_reels([(part, count) for part, count in parts if count], into / take.name)
    raw = _tracked(rows, filmed)
    moved = np.concatenate([rows.moved[filmed][1:], rows.moved[filmed][-1:]])
    return develop(into, plan.takes, plan.fps, raw, rows.sharp[filmed], moved, report)


def _tracked(rows: Rows, which: npt.NDArray[np.bool_]) -> Track:
    meshes = [
        FaceMesh(points, float(confidence)) if confidence > 0 else None
        for points, confidence in zip(rows.points[which], rows.confidence[which], strict=True)
    ]
    try:
        return track(meshes)
    except ValueError as error:
        raise FaceRejected("The beginning of the video shows no face; let it begin with the person.") from error


def _library(rows: Rows, plan: Plan, footage: Footage, sound: _Sound | None, found: Found) -> Library:
    whole = _tracked(rows, np.ones(len(rows.ticks), bool))
    breaks = (rows.changed > CUT) | (np.diff(rows.ticks, prepend=rows.ticks[0] - 1) != 1)
    breaks |= np.diff(whole.seen.astype(int), prepend=int(whole.seen[0])) != 0
    times = rows.ticks / float(plan.fps)
    sight = Sight(
        points=whole.points,
        seen=whole.seen,
        parts=np.where(whole.seen, np.cumsum(breaks), -1).astype(np.intp),
        opening=rows.opening,
        skin=rows.skin,
        lips=rows.lips,
        windows=windows_of(sound.audio, times + sound.ahead) if sound else None,
        crops=tuple(crop if there else b"" for crop, there in zip(rows.crops, whole.seen.tolist(), strict=True)),
        corners=rows.corners.astype(np.intp),
    )
    speech = sound.seconds if sound else 0.0
    try:
        library = learned(sight, footage, np.ones(len(times), bool))
    except ValueError as error:
        raise FaceRejected(
            "Hardly a picture of the video is sharp; put more light on the face, and hold still."
        ) from error
    if library.usable.sum() < LEAST_USABLE:
        raise FaceRejected(
            f"Only {library.usable.sum()} pictures of the video are sharp and show the whole mouth, {LEAST_USABLE} are "
            "needed; put more light on the face, and keep hands and microphone away from it."
        )
    low, high = np.percentile(library.features[library.usable, 0], [6, 96])
    if high - low < LEAST_MOVED:
        raise FaceRejected(
            "The person in the video hardly opens the mouth; let them speak for a minute, or make an avatar of the "
            "engine photo, which needs no speech."
        )
    if speech < LEAST_SPEECH:
        library = replace(library, voice=None)
    library = replace(library, stretches=base_stretches(library))
    return replace(library, report=verdict(library, speech, len(times) / float(plan.fps), found))
