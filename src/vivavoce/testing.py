"""What every engine must keep, ours or anybody's: run these over a new engine before you ship it.

Each check plays the engine as the server does and raises ``ContractBroken`` with a sentence that says which promise of
``vivavoce.ports`` is broken. They need no test framework:

    check_synthesizer(MyVoice())
    check_animator(MyFace(), MyFace().prepare(picture, empty_folder))
"""

import itertools
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import numpy as np

from vivavoce.errors import VivavoceError
from vivavoce.nouns import Audio, Avatar, Canvas, Frame, Mark, Speech
from vivavoce.ports import Animator, Synthesizer

__all__ = ["SENTENCES", "ContractBroken", "check_animator", "check_prepare", "check_synthesizer", "sample_speech"]

SENTENCES: Mapping[str, str] = {
    "ru": "Привет! Сегодня 2026 год, и мы говорим.",
    "kk": "Сәлем! Бүгін 2026 жыл, біз сөйлейміз.",
    "en": "Hello there! It is the year 2026, and we speak.",
    "ko": "안녕하세요! 지금은 2026년입니다.",
    "zh": "你好！现在是2026年，我们在说话。",
}
"""What a voice is asked to say, by language; another language is asked to say a number."""

_OTHERWISE = "1 2 3 4 5."
_SLACK = 0.01
"""Seconds by which a mark may reach over the end of the sound."""


class ContractBroken(AssertionError):
    """An engine does not keep a promise of its port."""


def _require(kept: object, sentence: str) -> None:
    if not kept:
        raise ContractBroken(sentence)


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


def check_synthesizer(engine: Synthesizer, sentences: Mapping[str, str] = SENTENCES) -> None:
    """Every promise of ``Synthesizer``, in each of its languages that ``sentences`` has, else in its first."""
    traits = engine.traits
    _require(traits.languages, "A voice engine declares at least one language in its traits.")
    _require(traits == engine.traits, "Traits are the same whenever they are read.")
    ids = [voice.id for voice in traits.voices]
    _require(len(ids) == len(set(ids)), "Each voice id is declared once.")
    for voice in traits.voices:
        strange = set(voice.languages) - set(traits.languages)
        _require(not strange, f"The voice {voice.id} declares languages that the engine lacks: {sorted(strange)}.")
    spoken = [language for language in sentences if language in traits.languages] or [traits.languages[0]]
    for language in spoken:
        text = sentences.get(language, _OTHERWISE)
        _check_speech(text, language, list(engine.synthesize(text, language=language, voice="")), engine)
    language, text = spoken[0], sentences.get(spoken[0], _OTHERWISE)
    for voice in traits.voices:
        if language in (voice.languages or traits.languages):
            _check_speech(text, language, list(engine.synthesize(text, language=language, voice=voice.id)), engine)
            break
    _check_refusals(engine, language, text)
    _check_voices_apart(engine, language, text)
    _check_closing(lambda: engine.synthesize(text * 5, language=language, voice=""), "synthesize")


def _check_speech(text: str, language: str, parts: list[Speech], engine: Synthesizer) -> None:
    _require("".join(p.text for p in parts) == text, f"The parts' texts joined give the text back ({language}).")
    total = sum(p.audio.seconds for p in parts)
    _require(total > 0.2, f"A sentence lasts longer than {total:.2f} s ({language}).")
    for part in parts:
        samples = part.audio.samples
        _require(samples.dtype == np.float32 and samples.ndim == 1, "Sound is mono float32, shape (n,).")
        _require(np.isfinite(samples).all() and np.abs(samples).max(initial=0) <= 1, "Sound lies between -1 and 1.")
        _require(part.audio.rate >= 8000, "Sound has a rate of at least 8000 Hz.")
        for kind in ("word", "phoneme"):
            marks = part.of(kind)
            if kind not in engine.traits.timings:
                _require(not marks, f"Marks of kind {kind} come only from an engine that declares them as timings.")
            elif kind == "phoneme" or part.text.strip():
                _require(marks, f"An engine that declares {kind} timings gives them ({language}).")
            _check_marks(part, marks)
    loud = max(float(np.abs(p.audio.samples).max(initial=0)) for p in parts)
    _require(loud > 0.01, f"A sentence can be heard ({language}).")


def _check_marks(part: Speech, marks: tuple[Mark, ...]) -> None:
    for mark in marks:
        inside = 0 <= mark.start <= mark.end <= part.audio.seconds + _SLACK
        _require(inside, f"The mark {mark} lies inside the sound of {part.audio.seconds:.3f} s.")
        if mark.kind == "word" and mark.offset >= 0:
            there = part.text[mark.offset : mark.offset + len(mark.text)]
            _require(there == mark.text, f"The mark {mark} points at its word in the text, not at {there!r}.")
    for one, two in itertools.pairwise(marks):
        _require(one.end <= two.start + 1e-6, f"Marks are in order and do not overlap: {one}, {two}.")


def _check_refusals(engine: Synthesizer, language: str, text: str) -> None:
    _refused(lambda: list(engine.synthesize(" \n", language=language, voice="")), "a blank text")
    _refused(lambda: list(engine.synthesize(text, language=language, voice="no such voice")), "an unknown voice")


def _refused(call: Callable[[], object], what: str) -> None:
    try:
        call()
    except VivavoceError as e:
        _require(e.status < 500, f"Refusing {what} is the caller's fault (a 4xx error), not {e.status}.")
        return
    _require(False, f"An engine refuses {what}.")


def _check_voices_apart(engine: Synthesizer, language: str, text: str) -> None:
    """Two streams read in turn say what each says alone."""
    other = text[: max(1, len(text) // 2)] + "."
    first, second = (engine.synthesize(t, language=language, voice="") for t in (text, other))
    heard: tuple[list[Speech], list[Speech]] = ([], [])
    for pair in itertools.zip_longest(first, second):
        for part, parts in zip(pair, heard, strict=True):
            if part is not None:
                parts.append(part)
    for wanted, parts in zip((text, other), heard, strict=True):
        _check_speech(wanted, language, parts, engine)


def check_prepare(engine: Animator, picture: Path, into: Path) -> Avatar:
    """``prepare`` makes an avatar that lies whole in its folder, and refuses what is no picture."""
    nonsense = into / "nonsense"
    nonsense.mkdir(parents=True)
    broken = into / "broken.jpg"
    broken.write_bytes(b"this is no picture")
    _refused(lambda: engine.prepare(broken, nonsense), "a file that is no picture")
    folder = into / "avatar"
    folder.mkdir()
    before = picture.read_bytes()
    avatar = engine.prepare(picture, folder)
    _require(avatar.path == folder, "An avatar's path is the folder that it was asked to be written to.")
    _require(any(folder.iterdir()), "An avatar is written to its folder.")
    _require(picture.read_bytes() == before, "The source is not changed.")
    return avatar


def check_animator(engine: Animator, avatar: Avatar, canvas: Canvas = Canvas(256, 256, 25)) -> None:  # noqa: B008  frozen
    """Every promise of ``Animator`` about frames."""
    traits = engine.traits
    _require(traits == engine.traits, "Traits are the same whenever they are read.")
    _require(0 < traits.min_side <= traits.max_side, "A face engine declares the sides that it can fill.")
    _check_frames(engine, avatar, canvas)
    _check_shapes(engine, avatar, canvas)
    _check_faces_apart(engine, avatar, canvas)
    _check_continuity(engine, avatar, canvas)
    _check_closing(lambda: engine.animate(avatar, sample_speech(4.0), canvas=canvas), "animate")


def _check_frames(engine: Animator, avatar: Avatar, canvas: Canvas) -> None:
    speech = sample_speech()
    held: list[Frame] = []
    copies: list[np.ndarray] = []
    for frame in engine.animate(avatar, speech, canvas=canvas):
        held.append(frame)
        copies.append(frame.image.copy())
    wanted = canvas.frames(speech.audio.seconds)
    _require(len(held) == wanted, f"The frames cover the speech: {wanted} of them, not {len(held)}.")
    for frame in held:
        right = frame.image.shape == (canvas.height, canvas.width, 3) and frame.image.dtype == np.uint8
        _require(right, f"A frame is RGB, uint8, shape (height, width, 3), not {frame.image.shape}.")
    for one, two in itertools.pairwise(held):
        step = two.time - one.time
        _require(abs(step - 1 / canvas.fps) < 1e-3, f"Frames are 1/{canvas.fps} s apart, not {step:.4f} s.")
    kept = all(np.array_equal(f.image, c) for f, c in zip(held, copies, strict=True))
    _require(kept, "A frame belongs to the receiver: the engine does not write to it again.")
    again = [f.image for f in engine.animate(avatar, speech, canvas=canvas)]
    _require(_same(copies, again), "The same input gives the same frames.")
    moved = max(float(np.abs(c.astype(np.int16) - copies[0]).max()) for c in copies)
    _require(moved > 0, "A face that speaks moves.")
    skipping = sum(1 for _ in engine.animate(avatar, speech, canvas=canvas, frame_skip=3))
    _require(skipping == wanted, f"With frame_skip, too, frames cover the speech: {wanted} of them, not {skipping}.")


def _check_shapes(engine: Animator, avatar: Avatar, canvas: Canvas) -> None:
    small = max(128, engine.traits.min_side + engine.traits.min_side % 2)
    wide = min(small * 2, engine.traits.max_side // 2 * 2)
    short = sample_speech(0.15)
    for shape in (Canvas(small, small, 12), Canvas(wide, small, 60), Canvas(small, wide, canvas.fps)):
        sizes = [f.image.shape[:2] for f in engine.animate(avatar, short, canvas=shape)]
        right = sizes == [(shape.height, shape.width)] * shape.frames(short.audio.seconds)
        _require(right, f"Frames fill the canvas {shape.width}x{shape.height} at {shape.fps} frames a second.")
    blink = list(engine.animate(avatar, sample_speech(0.001, silent=True), canvas=canvas))
    _require(len(blink) == 1, "The shortest speech has one frame.")


def _check_faces_apart(engine: Animator, avatar: Avatar, canvas: Canvas) -> None:
    """Two streams read in turn show what each shows alone."""
    one, two = sample_speech(0.8), sample_speech(1.1, silent=True)
    alone = [f.image for f in engine.animate(avatar, one, canvas=canvas)]
    streams = engine.animate(avatar, one, canvas=canvas), engine.animate(avatar, two, canvas=canvas)
    mixed = [pair[0].image for pair in zip(*streams, strict=False)]
    for stream in streams:
        _close(stream)
    _require(_same(alone, mixed), "Two streams read in turn do not mix: state lives in the iterator.")


def _check_continuity(engine: Animator, avatar: Avatar, canvas: Canvas) -> None:
    """Idle motion goes on where the chunk before it stopped."""
    half = canvas.fps
    whole = engine.animate(avatar, sample_speech(2 * half / canvas.fps, silent=True), canvas=canvas)
    later = engine.animate(avatar, sample_speech(half / canvas.fps, silent=True), canvas=canvas, start_frame=half)
    for a, b in zip(itertools.islice(whole, half, None), later, strict=True):
        apart = float(np.abs(a.image.astype(np.int16) - b.image).mean())
        _require(apart < 1, f"A chunk that starts at frame {half} goes on as the whole film does (off by {apart:.1f}).")


def _check_closing(start: Callable[[], Iterator[object]], what: str) -> None:
    """Closing an iterator early leaves no thread and no file handle, however often."""
    counts = []
    for _ in range(4):
        stream = start()
        next(stream)
        _close(stream)
        counts.append((threading.active_count(), _open_files()))
    grown = counts[-1][0] > counts[0][0] or counts[-1][1] > counts[0][1]
    _require(not grown, f"Closing the iterator of {what} frees its threads and files (threads, files: {counts}).")


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def _close(stream: Iterator[object]) -> None:
    if isinstance(stream, Generator):  # an iterator over a finished list has nothing left to cancel
        stream.close()


def _same(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return len(one) == len(two) and all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
