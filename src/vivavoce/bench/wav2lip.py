"""How fast Wav2Lip runs here: the network and whole films, as published and as it is done here, torch and onnxruntime.

Without a checkpoint of the user's own, random weights take its place: they cost as much, and paint noise.
"""

import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.bench.suite import Measured
from vivavoce.engines.neural.device import has_torch, place
from vivavoce.engines.wav2lip.architecture import SIDE, shapes
from vivavoce.engines.wav2lip.engine import Wav2LipFace
from vivavoce.engines.wav2lip.weights import EXPORTED, Found, Net, export, find, load
from vivavoce.errors import EngineUnavailable
from vivavoce.media.video import encode
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, Avatar, Canvas, Mark, Speech
from vivavoce.settings import Settings
from vivavoce.studio.scene import builtin_avatars

__all__ = ["measure"]

Show = Callable[[float, str], None]
F32 = npt.NDArray[np.float32]

_CANVAS = Canvas(512, 512, 25)
_BATCHES = (1, 4, 16)
_STREAMS = 4


@dataclass(frozen=True, slots=True)
class _Speed:
    """Frames a second."""

    seen: float
    """By the clock, whatever else the machine does."""
    free: float
    """On all cores of a machine that does nothing else, reckoned from the processor's time."""


class _Watch:
    """Takes the time of a stretch of work, by the clock and of this process's threads."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def speed(self, frames: int) -> _Speed:
        """Of the work since it was made."""
        clock, spent = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        cores = len(os.sched_getaffinity(0))
        return _Speed(frames / clock, cores * frames / max(spent, 1e-9))


def _best(speeds: Iterable[_Speed]) -> _Speed:
    held = list(speeds)
    return _Speed(max(s.seen for s in held), max(s.free for s in held))


def measure(*, quick: bool = False, show: Show = lambda *_: None) -> tuple[list[Measured], str]:
    """Everything, on this machine: about three minutes, with ``quick`` one. Needs torch.

    Returns rows, and a table of the network alone in Markdown. Raises ``EngineUnavailable`` without torch and onnx.
    """
    if not has_torch():
        raise EngineUnavailable("torch is not installed, which this measures; add `pip install 'vivavoce[neural]'`.")
    times = 2 if quick else 5
    with TemporaryDirectory(prefix="vivavoce-bench-") as name, _nets(Path(name)) as nets:
        speeds = _speeds(nets.made, times, lambda x, words: show(0.4 * x, words))
        rows = _network_rows(speeds, nets.made)
        rows += _film_rows(nets, times, Path(name), lambda x, words: show(0.4 + 0.4 * x, words))
        show(0.8, "Filming several at once")
        rows.append(_together_row(nets, times))
        show(0.85, "Measuring memory")
        rows += [_memory_row(nets.folder, runtime) for runtime in ("torch", "onnx")]
        show(0.92, "Looking for faces")
        rows.append(_detector_row(nets.folder, times))
        said = "random weights" if nets.random else "the user's own checkpoint"
    more = (
        "Frames a second are those of a machine that does nothing else, reckoned from the processor's time; in "
        f'brackets, and behind "seen", what the clock saw. Best of {times}, {said}. The network alone, by pictures at '
        "once:"
    )
    return rows, f"{more}\n\n{_table(speeds)}"


# -- networks


class _Nets:
    """The networks that are compared, of one checkpoint."""

    def __init__(self, folder: Path, path: Path, *, random: bool) -> None:
        self.folder, self.random = folder, random
        place()  # before torch is loaded otherwise
        from vivavoce.engines.neural.checkpoint import tensors
        from vivavoce.engines.wav2lip.net import PublishedNet

        export(path, folder / EXPORTED)
        self.plain = PublishedNet(tensors(path, own=True))
        self.ours = load(Found(path, "torch"))
        self.single = load(Found(path, "torch"), precision="fp32")
        self.graph = load(Found(folder / EXPORTED, "onnx"))
        self.made: dict[str, Net] = {net.name: net for net in (self.plain, self.single, self.ours, self.graph)}


@contextmanager
def _nets(folder: Path) -> Iterator[_Nets]:
    """The networks of the user's checkpoint, or of random weights, in a folder of models of its own."""
    try:
        held = Settings()
        own = find(ModelStore(held.models.dir), "torch", held.wav2lip.checkpoint).path
    except EngineUnavailable:
        own = None
    path = folder / "wav2lip.safetensors"
    if own is None:
        _random(path)
    else:
        path = folder / (own.name if own.suffix != path.suffix else path.name)
        path.symlink_to(own.absolute())
    yield _Nets(folder, path, random=own is None)


def _random(path: Path) -> None:
    """Weights whose answers neither die out nor grow without end."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    made: dict[str, npt.NDArray[Any]] = {}
    for name, shape in shapes().items():
        if len(shape) == 4:
            made[name] = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(1 / np.prod(shape[1:])))
        elif name.endswith(("running_var", "conv_block.1.weight")):
            made[name] = np.ones(shape, np.float32)
        else:
            made[name] = np.zeros(shape, np.int64 if name.endswith("tracked") else np.float32)
    save_file(made, str(path))


def _speeds(nets: dict[str, Net], times: int, show: Show) -> dict[str, dict[int, _Speed]]:
    """Frames a second of each network, by pictures at once; taken in turn, so that all meet the same machine."""
    rng = np.random.default_rng(1)
    mel = rng.uniform(-4, 4, (max(_BATCHES), 80, 16)).astype(np.float32)
    face = rng.uniform(0, 1, (max(_BATCHES), SIDE, SIDE, 6)).astype(np.float32)
    best: dict[str, dict[int, _Speed]] = {name: dict.fromkeys(_BATCHES, _Speed(0, 0)) for name in nets}
    for turn in range(times + 1):  # the first is for warming up
        for name, net in nets.items():
            show(turn / (times + 1), "Measuring the network")
            for batch in _BATCHES:
                watch = _Watch()
                net(mel[:batch], face[:batch])
                if turn:
                    best[name][batch] = _best([best[name][batch], watch.speed(batch)])
    return best


def _network_rows(speeds: dict[str, dict[int, _Speed]], nets: dict[str, Net]) -> list[Measured]:
    wanted = {"as published": 0.0, "norms folded, channels last": 20.0, "as it runs here": 35.0, "exported": 20.0}
    best = [_best(speeds[name].values()) for name in nets]
    rows = [
        Measured(f"network, {way}", speed.free, "fps", target, "more", f"{name}; seen {speed.seen:.0f}")
        for (way, target), speed, name in zip(wanted.items(), best, nets, strict=True)
    ]
    gain = best[2].free / best[0].free
    seen = f"seen {best[2].seen / best[0].seen:.1f}"
    return [*rows, Measured("network: gain over the published one", gain, "", 2.0, "more", seen)]


def _table(speeds: dict[str, dict[int, _Speed]]) -> str:
    lines = ["| | " + " | ".join(str(b) for b in _BATCHES) + " |", "|---" * (1 + len(_BATCHES)) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{v.free:.1f} ({v.seen:.1f})" for v in by.values()) + " |"
        for name, by in speeds.items()
    ]
    return "\n".join(lines)


# -- films


def _speech(seconds: float = 2.0) -> Speech:
    """Syllables without a pause, between two moments of silence."""
    n = round(seconds * 16_000)
    t = np.arange(n) / 16_000
    says = (t > 0.1) & (t < seconds - 0.1)
    sound = 0.3 * says * np.sign(np.sin(2 * np.pi * 130 * t)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    edges = np.linspace(0.1, seconds - 0.1, round(seconds * 8) + 1)
    marks = [Mark("phoneme", "ma"[i % 2], float(a), float(b)) for i, (a, b) in enumerate(pairwise(edges))]
    return Speech("", "en", Audio(sound.astype(np.float32), 16_000), tuple(marks))


def _engine(nets: _Nets, net: Net, *, exact: bool = False) -> Wav2LipFace:
    made = Wav2LipFace(nets.folder, exact=exact)
    made.use(net)
    return made


def _avatar() -> Avatar:
    return Avatar("anna", builtin_avatars() / "anna", "wav2lip")


def _film(engine: Wav2LipFace, target: Path) -> tuple[_Speed, float]:
    """The speed of a film with its encoding, and seconds to its first painted picture, of a warm engine."""
    speech = _speech()
    frames = _CANVAS.frames(speech.audio.seconds)
    watch = _Watch()
    encode(target, engine.animate(_avatar(), speech, canvas=_CANVAS), speech.audio, _CANVAS)
    speed = watch.speed(frames)
    began = time.perf_counter()
    stream = engine.animate(_avatar(), speech, canvas=_CANVAS)
    for _, _ in zip(range(4), stream, strict=False):  # three are silent
        pass
    return speed, time.perf_counter() - began


def _film_rows(nets: _Nets, times: int, folder: Path, show: Show) -> list[Measured]:
    ways = {
        "as published": _engine(nets, nets.plain, exact=True),
        "as it runs here": _engine(nets, nets.ours),
        "exact": _engine(nets, nets.ours, exact=True),
        "exported": _engine(nets, nets.graph),
    }
    taken: dict[str, list[tuple[_Speed, float]]] = {way: [] for way in ways}
    for turn in range(times + 1):
        for way, engine in ways.items():
            show(turn / (times + 1), "Filming")
            made = _film(engine, folder / "film.mp4")
            if turn:
                taken[way].append(made)
    speeds = {way: _best(speed for speed, _ in all_) for way, all_ in taken.items()}
    first = [wait for _, wait in taken["as it runs here"]]
    targets = {"as published": 0.0, "as it runs here": 25.0, "exact": 25.0, "exported": 15.0}
    rows = [
        Measured(
            f"film at 512x512 with its encoding, {way}",
            speeds[way].free,
            "fps",
            targets[way],
            "more",
            f"seen {speeds[way].seen:.1f}, best of {times}; network: {engine.runs_on}",
        )
        for way, engine in ways.items()
    ]
    gain = speeds["as it runs here"].free / speeds["as published"].free
    rows.append(Measured("film: gain over the published way", gain, "", 2.0, "more"))
    detail = f"best of {times}, median {statistics.median(first):.2f}; 3 silent pictures and the first painted one"
    rows.append(Measured("first painted picture, warm", min(first), "s", 0.5, "less", detail))
    return rows


def _together_row(nets: _Nets, times: int) -> Measured:
    """Several films at once in one process, through one network."""
    engine = _engine(nets, nets.ours)
    frames = _CANVAS.frames(_speech().audio.seconds)

    def run() -> None:
        for _ in engine.animate(_avatar(), _speech(), canvas=_CANVAS):
            pass

    made = []
    for _ in range(times):
        threads = [threading.Thread(target=run) for _ in range(_STREAMS)]
        watch = _Watch()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made.append(watch.speed(_STREAMS * frames))
    best = _best(made)
    detail = f"seen {best.seen:.0f}; {_STREAMS} streams in one process, not encoded; {best.free / 25:.1f} at 25 fps"
    return Measured("films at once, frames of all together", best.free, "fps", 25, "more", detail)


def _worker_peak(folder: Path, runtime: Any, answer: Any) -> None:
    """In a process of its own: load, film, tell the peak of memory in bytes."""
    engine = Wav2LipFace(folder, runtime=runtime)
    for _ in engine.animate(_avatar(), _speech(), canvas=_CANVAS):
        pass
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    answer.put(next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")))


def _memory_row(folder: Path, runtime: str) -> Measured:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_worker_peak, args=(folder, runtime, answer))
    process.start()
    peak = answer.get(timeout=240)
    process.join()
    return Measured(f"peak memory of a process that films, {runtime}", peak / 1e6, "MB", 1500, "less")


def _detector_row(folder: Path, times: int) -> Measured:
    """S3FD with random weights: what it costs does not depend on them."""
    from safetensors.numpy import save_file

    from vivavoce.engines.wav2lip.s3fd import MOST, S3FD
    from vivavoce.engines.wav2lip.s3fd import shapes as detector

    rng = np.random.default_rng(2)
    made = {}
    for name, shape in detector().items():
        scale = np.sqrt(2 / np.prod(shape[1:])) * (0.05 if "_mbox_" in name else 1) if len(shape) == 4 else 0.01
        made[name] = rng.standard_normal(shape, np.float32) * np.float32(scale)
    save_file(made, str(folder / "s3fd.safetensors"))
    net = S3FD(folder / "s3fd.safetensors")
    rgb = rng.integers(0, 256, (MOST, MOST * 3 // 4, 3), dtype=np.uint8)
    took = []
    for _ in range(times + 1):
        watch = _Watch()
        net.boxes(rgb)
        took.append(watch.speed(1))
    best = _best(took[1:])
    detail = f"seen {1 / best.seen:.1f}; once for an avatar, random weights, {place(precision='fp32').name}"
    return Measured(f"S3FD on {MOST * 3 // 4}x{MOST}", 1 / best.free, "s", 1.0, "less", detail)
