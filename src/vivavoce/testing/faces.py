"""The promises of ``Animator``."""

import itertools
from pathlib import Path

import numpy as np

from vivavoce.nouns import Audio, Avatar, Canvas, Frame, Mark, Speech
from vivavoce.ports import Animator
from vivavoce.testing.base import check_closing, close, refused, require

__all__ = ["check_animator", "check_prepare", "sample_speech"]


def sample_speech(seconds: float = 1.2, *, silent: bool = False) -> Speech:
    """A buzz that says "mama", with marks, or silence: speech for a face that needs no voice."""
    rate = 16000
    n = round(seconds * rate)
    time = np.arange(n) / rate
    if silent:
        return Speech("", "en", Audio(np.zeros(n, np.float32), rate))
    buzz = 0.3 * np.sign(np.sin(2 * np.pi * 120 * time)) * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * time / seconds))
    edges = np.linspace(0.1 * seconds, 0.9 * seconds, 5)
    phonemes = [
        Mark("phoneme", ipa, float(a), float(b)) for ipa, (a, b) in zip("mama", itertools.pairwise(edges), strict=True)
    ]
    word = Mark("word", "mama", float(edges[0]), float(edges[-1]), 0)
    return Speech("mama", "en", Audio(buzz.astype(np.float32), rate), (word, *phonemes))


def check_prepare(engine: Animator, picture: Path, into: Path) -> Avatar:
    """``prepare`` makes an avatar that lies whole in its folder, and refuses what is no picture."""
    nonsense = into / "nonsense"
    nonsense.mkdir(parents=True)
    broken = into / "broken.jpg"
    broken.write_bytes(b"this is no picture")
    refused(lambda: engine.prepare(broken, nonsense), "a file that is no picture")
    folder = into / "avatar"
    folder.mkdir()
    before = picture.read_bytes()
    avatar = engine.prepare(picture, folder)
    require(avatar.path == folder, "An avatar's path is the folder that it was asked to be written to.")
    require(any(folder.iterdir()), "An avatar is written to its folder.")
    require(picture.read_bytes() == before, "The source is not changed.")
    return avatar


def check_animator(engine: Animator, avatar: Avatar, canvas: Canvas = Canvas(256, 256, 25)) -> None:  # noqa: B008  frozen
    """Every promise of ``Animator`` about frames."""
    traits = engine.traits
    require(traits == engine.traits, "Traits are the same whenever they are read.")
    require(0 < traits.min_side <= traits.max_side, "A face engine declares the sides that it can fill.")
    _check_frames(engine, avatar, canvas)
    _check_shapes(engine, avatar, canvas)
    _check_faces_apart(engine, avatar, canvas)
    _check_continuity(engine, avatar, canvas)
    check_closing(lambda: engine.animate(avatar, sample_speech(4.0), canvas=canvas), "animate")


def _check_frames(engine: Animator, avatar: Avatar, canvas: Canvas) -> None:
    speech = sample_speech()
    held: list[Frame] = []
    copies: list[np.ndarray] = []
    for frame in engine.animate(avatar, speech, canvas=canvas):
        held.append(frame)
        copies.append(frame.image.copy())
    wanted = canvas.frames(speech.audio.seconds)
    require(len(held) == wanted, f"The frames cover the speech: {wanted} of them, not {len(held)}.")
    for frame in held:
        right = frame.image.shape == (canvas.height, canvas.width, 3) and frame.image.dtype == np.uint8
        require(right, f"A frame is RGB, uint8, shape (height, width, 3), not {frame.image.shape}.")
    for one, two in itertools.pairwise(held):
        step = two.time - one.time
        require(abs(step - 1 / canvas.fps) < 1e-3, f"Frames are 1/{canvas.fps} s apart, not {step:.4f} s.")
    kept = all(np.array_equal(f.image, c) for f, c in zip(held, copies, strict=True))
    require(kept, "A frame belongs to the receiver: the engine does not write to it again.")
    again = [f.image for f in engine.animate(avatar, speech, canvas=canvas)]
    require(_same(copies, again), "The same input gives the same frames.")
    moved = max(float(np.abs(c.astype(np.int16) - copies[0]).max()) for c in copies)
    require(moved > 0, "A face that speaks moves.")
    skipping = sum(1 for _ in engine.animate(avatar, speech, canvas=canvas, frame_skip=3))
    require(skipping == wanted, f"With frame_skip, too, frames cover the speech: {wanted} of them, not {skipping}.")


def _check_shapes(engine: Animator, avatar: Avatar, canvas: Canvas) -> None:
    small = max(128, engine.traits.min_side + engine.traits.min_side % 2)
    wide = min(small * 2, engine.traits.max_side // 2 * 2)
    short = sample_speech(0.15)
    for shape in (Canvas(small, small, 12), Canvas(wide, small, 60), Canvas(small, wide, canvas.fps)):
        sizes = [f.image.shape[:2] for f in engine.animate(avatar, short, canvas=shape)]
        right = sizes == [(shape.height, shape.width)] * shape.frames(short.audio.seconds)
        require(right, f"Frames fill the canvas {shape.width}x{shape.height} at {shape.fps} frames a second.")
    blink = list(engine.animate(avatar, sample_speech(0.001, silent=True), canvas=canvas))
    require(len(blink) == 1, "The shortest speech has one frame.")


def _check_faces_apart(engine: Animator, avatar: Avatar, canvas: Canvas) -> None:
    """Two streams read in turn show what each shows alone."""
    one, two = sample_speech(0.8), sample_speech(1.1, silent=True)
    alone = [f.image for f in engine.animate(avatar, one, canvas=canvas)]
    streams = engine.animate(avatar, one, canvas=canvas), engine.animate(avatar, two, canvas=canvas)
    mixed = [pair[0].image for pair in zip(*streams, strict=False)]
    for stream in streams:
        close(stream)
    require(_same(alone, mixed), "Two streams read in turn do not mix: state lives in the iterator.")


def _check_continuity(engine: Animator, avatar: Avatar, canvas: Canvas) -> None:
    """Idle motion goes on where the chunk before it stopped."""
    half = canvas.fps
    whole = engine.animate(avatar, sample_speech(2 * half / canvas.fps, silent=True), canvas=canvas)
    later = engine.animate(avatar, sample_speech(half / canvas.fps, silent=True), canvas=canvas, start_frame=half)
    for a, b in zip(itertools.islice(whole, half, None), later, strict=True):
        apart = float(np.abs(a.image.astype(np.int16) - b.image).mean())
        require(apart < 1, f"A chunk that starts at frame {half} goes on as the whole film does (off by {apart:.1f}).")


def _same(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return len(one) == len(two) and all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
