"""Workspaces of ER-NeRF and SyncTalk, as users have them, become avatars here; what is missing or unknown is named.

Nothing is made up in silence: what follows from a file that is not there is a finding, and kept with the avatar as a
warning. A workspace that is damaged is refused with the file and what is wrong with it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from vivavoce.engines.nerf.field.networks import EARS, Ear, Shape, window
from vivavoce.engines.nerf.field.occupancy import Occupancy
from vivavoce.engines.nerf.field.picture import Moment
from vivavoce.engines.nerf.field.picture import picture as rendered
from vivavoce.engines.nerf.field.rays import Camera, from_nerf
from vivavoce.engines.nerf.files import BEHIND, FILM, LONGEST, SOUND, VERSION
from vivavoce.engines.nerf.hearing import ENCODED, Hearing, unheard
from vivavoce.engines.nerf.talker import Talker, save
from vivavoce.engines.nerf.workspace.files import Places, Shot, Transforms, array, column, options, transforms
from vivavoce.engines.nerf.workspace.films import FPS, Pictures, background, beneath, pictures, still, write
from vivavoce.engines.nerf.workspace.head import Trained, asked, occupied, trained
from vivavoce.errors import InvalidInput
from vivavoce.media import audio
from vivavoce.media.picture import write_jpeg
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, Avatar

__all__ = ["Finding", "Imported", "convert"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

_SCALE = 4.0
_LATE = 25
"""Frames by which features may end before the film: the last is held, as published."""
_ASKED = 4
"""Moments in which a head is asked for its cells."""
_SHUT = 2.0
"""AU45 at which the eyes are shut."""
_RATE = 16_000
_FEATURES: dict[Ear, str] = {
    "deepspeech": "aud_ds.npy",
    "esperanto": "aud_eo.npy",
    "hubert": "aud_hu.npy",
    "hubert_cn": "aud_hu_cn.npy",
    "ave": "aud_ave.npy",
}
_AREAS = {7: (0, 1, 2, 3, 4, 8, 9), 4: (0, 2, 3, 8), 2: (8, 9)}
"""Blendshapes that SyncTalk's ``--bs_area`` upper, single and eye take of 52."""
_NEEDED = {"bound": 1, "att": 2, "torso_shrink": 0.8, "color_space": "srgb", "emb": False}
"""Options that heads are rendered with here, and no others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the workspace told, or did not."""

    what: str
    level: Literal["found", "missing", "assumed", "here"]
    """``here`` is not of the workspace, but of this machine."""
    says: str
    """What it is, or what follows from its not being there."""


@dataclass(frozen=True, slots=True)
class Imported:
    """An avatar that came of a workspace."""

    avatar: Avatar
    findings: tuple[Finding, ...]


def convert(
    training: Path,
    into: Path,
    models: ModelStore,
    *,
    data: Path | None = None,
    engine: str | None = None,
    report: Callable[[float], None] = lambda _: None,
) -> Imported:
    """Write what the workspace ``training`` holds into the folder ``into``; its data lie there too, or in ``data``.

    ``engine``, ``ernerf`` or ``synctalk``, is needed only where no tensor tells. ``report`` hears 0-1 and may raise.
    Raises ``InvalidInput`` or ``EngineUnavailable`` with the file that is missing or damaged, and what is wrong.
    """
    places = Places(training, data)
    called = options(places)
    _check_options(called)
    held = trained(places, engine)
    told = transforms(places)
    portrait = held.engine == "synctalk" and held.torso is None
    seen = pictures(places, told, portrait=portrait, torso=held.torso is not None)
    behind = background(places, told)
    sound = _sound(places)
    which = _whose(places, held, called)
    heard, sounds = _heard(places, held.head.shape.ear, told.shots, sound, models)
    eyes, gaze = _eyes(places, held, seen.shots, called)
    masks = write(places, told, seen, behind, into, lambda done: report(0.9 * done))
    cells, counted = _cells(held, heard, eyes)
    talker = Talker(
        engine=held.engine,
        head=held.head,
        cells=cells,
        torso=held.torso,
        camera=Camera(told.focal, told.centre, told.width, told.height),
        poses=_poses(seen.shots, called),
        background=torch.from_numpy(behind),
        fps=FPS,
        eyes=eyes,
        heard=heard,
        masks=None if masks is None else torch.from_numpy(masks),
        origin=f"{held.title}, {places.name(held.file)}",
    )
    save(talker, into)
    if sound is not None:
        audio.write_wav(into / SOUND, sound, _RATE)
    _poster(talker, told, seen, places, into)
    findings = (
        Finding("head", "found", f"{talker.origin}; it hears {held.head.shape.ear}."),
        *_told(held, told, seen, called),
        *which,
        *counted,
        *sounds,
        *_spoken(held.head.shape.ear, models, heard),
        *gaze,
    )
    warnings = tuple(one.says for one in findings if one.level in ("missing", "assumed"))
    _note(into, talker, seen, findings, warnings, sound=sound is not None)
    report(1.0)
    return Imported(Avatar(into.name, into, talker.engine, warnings), findings)


def _check_options(called: Mapping[str, Any]) -> None:
    for name, wanted in _NEEDED.items():
        if called.get(name, wanted) != wanted:
            raise InvalidInput(
                f"opt.txt says --{name} {called[name]}; only heads of {name} {wanted} are rendered here."
            )


def _poses(shots: Sequence[Shot], called: Mapping[str, Any]) -> torch.Tensor:
    """``(n, 4, 4)`` in the field's frame; moved as the training was told to."""
    scale, offset = called.get("scale", _SCALE), called.get("offset", [0, 0, 0])
    try:
        moved, times = torch.tensor([float(x) for x in offset]).reshape(3), float(scale)
    except (TypeError, ValueError, RuntimeError) as e:
        raise InvalidInput(f"opt.txt says --scale {scale} and --offset {offset}, which are no numbers.") from e
    poses = from_nerf(torch.from_numpy(np.stack([shot.pose for shot in shots])).float(), times)
    poses[:, :3, 3] += moved
    return poses


def _whose(places: Places, held: Trained, called: Mapping[str, Any]) -> list[Finding]:
    """Note which HuBERT the head hears: tensors do not tell the English one from the Chinese, options and files do."""
    shape = held.head.shape
    if shape.ear != "hubert":
        return []
    said = str(called.get("asr_model", ""))
    there = [ear for ear in ("hubert", "hubert_cn") if places.find(_FEATURES[ear]) is not None]
    if "hubert_cn" in said or ("hubert" not in said and there == ["hubert_cn"]):
        held.head.shape = replace(shape, ear="hubert_cn")
    if "hubert" in said or len(there) == 1:
        return []
    says = "Nothing tells which HuBERT it hears; the English one, hubert-large-ls960-ft, is taken."
    return [Finding("ear", "assumed", says)]


def _heard(
    places: Places,
    ear: Ear,
    shots: Sequence[Shot],
    sound: Audio | None,
    models: ModelStore,
) -> tuple[torch.Tensor | None, list[Finding]]:
    """The recording's features ``(m, *EARS[ear])``, a row a frame: those that lie there, or an encoder's."""
    heard = [] if sound is None else [Finding("sound", "found", f"aud.wav, {len(sound.samples) / sound.rate:.1f} s.")]
    if sound is None:
        heard.append(Finding("sound", "missing", "There is no aud.wav, so its own recording cannot be spoken."))
    needed = 1 + max(shot.sound for shot in shots)
    if (path := places.find(_FEATURES[ear], "aud.npy")) is not None:
        rows = array(path, EARS[ear][::-1], f"features of the kind {ear}")
        if len(rows) < needed - _LATE:
            raise InvalidInput(
                f"{path.name} has {len(rows)} rows, but the film's sound has {needed} frames; make the features again, "
                f"at {FPS} rows a second."
            )
        rows = np.concatenate([rows, np.repeat(rows[-1:], max(0, needed - len(rows)), axis=0)])
        rows = rows.transpose(0, 2, 1) if len(EARS[ear]) == 2 else rows
        heard.append(Finding("features", "found", f"{path.name}, {len(rows)} rows of {ear}."))
    elif sound is not None and ear in ENCODED and unheard(ear, models) is None:
        rows = Hearing(models).features(ear, sound, needed, float(FPS))
        heard.append(Finding("features", "found", f"{needed} rows of {ear}, which the encoder here made of aud.wav."))
    else:
        says = f"There is no {_FEATURES[ear]}, so its own recording cannot be spoken from it."
        return None, [*heard, Finding("features", "missing", says)]
    return torch.from_numpy(np.ascontiguousarray(rows)), heard


def _eyes(
    places: Places, held: Trained, shots: Sequence[Shot], called: Mapping[str, Any]
) -> tuple[torch.Tensor | None, list[Finding]]:
    """``(n, eyes)``, if the head has any."""
    shape = held.head.shape
    if not shape.eyes:
        return None, [Finding("eyes", "missing", "The head was trained without eyes (--exp_eye), so it cannot blink.")]
    blink, shapes = places.find("au.csv"), places.find("bs.npy")
    if held.engine == "synctalk" and shapes is not None and not called.get("au45", False):
        rows, path = _blendshapes(array(shapes, (52,), "blendshapes"), shape), shapes
    elif blink is not None:
        shut = np.clip(column(blink, "AU45_r"), 0, _SHUT) / _SHUT
        rows, path = np.repeat(shut[:, None], shape.eyes, axis=1), blink
    else:
        name = "bs.npy" if held.engine == "synctalk" else "au.csv"
        says = f"There is no {name}, so the eyes stay open: it does not blink."
        return torch.zeros(len(shots), shape.eyes), [Finding("eyes", "missing", says)]
    if (last := max(shot.image for shot in shots)) >= len(rows):
        raise InvalidInput(
            f"{path.name} has {len(rows)} rows, but there is a frame {last}; make it again of this film."
        )
    found = torch.from_numpy(np.ascontiguousarray(rows[[shot.image for shot in shots]]))
    return found, [Finding("eyes", "found", f"{path.name}, {shape.eyes} numbers a frame.")]


def _blendshapes(rows: F32, shape: Shape) -> F32:
    """Those that the head takes. They were smoothed when they were written."""
    if shape.eyes not in _AREAS:
        raise InvalidInput(f"The head takes {shape.eyes} blendshapes for its eyes; SyncTalk's takes 7, 4 or 2.")
    return np.asarray(rows[:, _AREAS[shape.eyes]])


def _cells(held: Trained, heard: torch.Tensor | None, eyes: torch.Tensor | None) -> tuple[Occupancy, list[Finding]]:
    """The file's cells, or those that the head itself tells of."""
    if (cells := occupied(held)) is not None:
        return cells, []
    n = 1 if heard is None else len(heard)
    quiet = torch.zeros(1, *EARS[held.head.shape.ear])
    head = held.head.laid_out()
    moments = []
    with torch.inference_mode():
        for frame in np.unique(np.linspace(0, n - 1, _ASKED).astype(int)).tolist():
            audio_code = head.listen(window(quiet if heard is None else heard, frame)[None])
            moments.append(Moment(audio_code, None if eyes is None else eyes[[min(frame, len(eyes) - 1)]]))
    says = f"The checkpoint lacks its cells; the head was asked for them in {len(moments)} moments."
    return asked(head, moments), [Finding("cells", "assumed", says)]


def _sound(places: Places) -> Audio | None:
    """The recording. Raises ``InvalidInput`` when it is damaged."""
    path = places.find("aud.wav")
    if path is None:
        return None
    try:
        return audio.decode(path, max_seconds=LONGEST / float(FPS) + 60, rate=_RATE)
    except InvalidInput as e:
        raise InvalidInput(f"aud.wav: {e}") from e


def _spoken(ear: Ear, models: ModelStore, heard: torch.Tensor | None) -> list[Finding]:
    """Whether it can speak anything else than its recording, if that."""
    if (why := unheard(ear, models)) is None:
        return []
    left = "says nothing" if heard is None else "speaks its own recording, and no other"
    return [Finding("speech", "here" if ear in ENCODED else "missing", f"{why} So it {left}.")]


def _told(held: Trained, told: Transforms, seen: Pictures, called: Mapping[str, Any]) -> list[Finding]:
    """What the rest of the files says."""
    found = [
        Finding("camera", "found", f"{told.width}x{told.height} pixels, focal length {told.focal:g}."),
        Finding("frames", "found", f"{len(seen.shots)}, {len(seen.shots) / float(FPS):.1f} s."),
    ]
    if not called:
        says = f"There is no opt.txt; the published --scale {_SCALE:g} and no --offset are taken."
        found.append(Finding("options", "assumed", says))
    if seen.left_out:
        says = f"{seen.left_out} of {len(told.shots)} frames lack a picture and are left out; the head jumps there."
        found.append(Finding("frames", "missing", says))
    found.append(
        Finding("torso", "found", f"{seen.behind}, filmed." if held.torso is None else "A net, with the head.")
    )
    if seen.lacking:
        says = f"There are no {seen.lacking}, so the head is not blended into its film, but stands before its torso."
        found.append(Finding("film", "missing", says))
    elif seen.film:
        found.append(Finding("film", "found", f"{seen.film}, which the face is blended into."))
    return found


def _poster(talker: Talker, told: Transforms, seen: Pictures, places: Places, into: Path) -> None:
    """A picture of the film, or, without one, of the head."""
    if (rgb := still(places, told, seen.shots[0])) is not None:
        write_jpeg(into / "poster.jpg", rgb)
        return
    heard = talker.heard if talker.heard is not None else torch.zeros(1, *EARS[talker.head.shape.ear])
    head, eyes = talker.head.laid_out(), talker.eyes
    with torch.inference_mode():
        moment = Moment(head.listen(window(heard, 0)[None]), None if eyes is None else eyes[:1])
        below = beneath(places, told, seen, seen.shots[0], talker.background.numpy())
        behind = torch.from_numpy(below).float() / 255
        made = rendered(head, talker.cells, talker.camera, talker.poses[0], moment, behind, talker.torso)
    write_jpeg(into / "poster.jpg", np.asarray(torch.round(made * 255).to(torch.uint8).numpy()))


def _note(
    into: Path, talker: Talker, seen: Pictures, findings: Sequence[Finding], warnings: Sequence[str], *, sound: bool
) -> None:
    """Write ``avatar.json``, the last of the files."""
    facts = {
        "version": VERSION,
        "engine": talker.engine,
        "kind": "video",
        "width": talker.camera.width,
        "height": talker.camera.height,
        "fps": float(FPS),
        "name": into.name,
        "warnings": list(warnings),
        "frames": len(talker),
        "film": FILM if seen.film else None,
        "behind": BEHIND if seen.behind else None,
        "sound": SOUND if sound else None,
        "origin": talker.origin,
        "imported": [asdict(one) for one in findings],
    }
    part = into / "avatar.json.part"
    part.write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(into / "avatar.json")
