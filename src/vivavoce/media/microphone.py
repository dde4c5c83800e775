"""The machine's own microphone, through PortAudio (extra ``mic``)."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.errors import EngineUnavailable, Overloaded
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio

__all__ = ["record"]

_STALL = 3.0
"""Seconds after which a device that gives nothing is given up."""
_BLOCK = 0.05
"""Seconds between two looks at ``stop``."""

_recording = Lock()


def record(
    seconds: float,
    *,
    rate: int = 16_000,
    device: int | str | None = None,
    stop: Callable[[], bool] | None = None,
) -> Audio:
    """Record ``seconds`` from the microphone, mixed to mono, at ``rate`` Hz; less when ``stop`` says so meanwhile.

    ``device`` is PortAudio's number or part of a name; without one, the system's own choice. The device runs at its
    own rate, for systems resample badly. Raises ``Overloaded`` while somebody else records, ``EngineUnavailable`` when
    there is no microphone, it gives no sound, or a package or library is missing.
    """
    if not _recording.acquire(blocking=False):
        raise Overloaded("The microphone is recording already; try again when that has ended.")
    try:
        sounddevice = _library()
        about = _device(sounddevice, device)
        return resample(_recorded(sounddevice, about, seconds, stop), rate)
    finally:
        _recording.release()


def _library() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError as e:
        raise EngineUnavailable(
            "Recording needs the package sounddevice; install it with `pip install 'vivavoce[mic]'`."
        ) from e
    except OSError as e:  # the package is there, the library that it binds is not
        raise EngineUnavailable(
            "Recording needs the library PortAudio; install it with the system's package manager "
            "(Debian and Ubuntu: `apt install libportaudio2`)."
        ) from e
    return sounddevice


def _device(sounddevice: Any, device: int | str | None) -> dict[str, Any]:
    """What PortAudio knows of an input device; one that was plugged in after the start is found too."""
    for again in (False, True):
        try:
            if again:  # PortAudio looks for devices only when it begins
                sounddevice._terminate()  # noqa: SLF001  it has no public name for it
                sounddevice._initialize()  # noqa: SLF001
            about: dict[str, Any] = sounddevice.query_devices(device, "input")
        except (sounddevice.PortAudioError, ValueError):
            continue
        return about
    named = "" if device is None else f" like {str(device)[:60]!r}"
    raise EngineUnavailable(
        f"This machine has no microphone{named} that can be used; connect one, or enrol with a sound file."
    )


def _recorded(sounddevice: Any, about: dict[str, Any], seconds: float, stop: Callable[[], bool] | None) -> Audio:
    rate = round(about["default_samplerate"])
    wanted = max(1, round(seconds * rate))
    blocks: SimpleQueue[npt.NDArray[np.float32]] = SimpleQueue()
    heard = 0

    def take(data: npt.NDArray[np.float32], *_: object) -> None:
        nonlocal heard
        if heard >= wanted:
            raise sounddevice.CallbackStop
        heard += len(data)
        blocks.put(data.mean(axis=1, dtype=np.float32))

    try:
        with sounddevice.InputStream(
            samplerate=rate,
            blocksize=round(_BLOCK * rate),
            device=about["index"],
            channels=_channels(sounddevice, about, rate),
            dtype="float32",
            callback=take,
        ):
            samples = _collect(blocks, wanted, stop)
    except sounddevice.PortAudioError as e:
        raise EngineUnavailable(
            f"The microphone {about['name']!r} cannot be opened ({e}); see whether another program uses it."
        ) from e
    return Audio(np.clip(samples, -1, 1), rate)


def _channels(sounddevice: Any, about: dict[str, Any], rate: int) -> int:
    """One, or all that the device has where it gives no fewer."""
    try:
        sounddevice.check_input_settings(about["index"], channels=1, dtype="float32", samplerate=rate)
    except sounddevice.PortAudioError:
        return int(about["max_input_channels"])
    return 1


def _collect(
    blocks: "SimpleQueue[npt.NDArray[np.float32]]", wanted: int, stop: Callable[[], bool] | None
) -> npt.NDArray[np.float32]:
    kept: list[npt.NDArray[np.float32]] = []
    missing = wanted
    while missing > 0 and not (stop and stop()):
        try:
            kept.append(blocks.get(timeout=_STALL))
        except Empty:
            raise EngineUnavailable(
                f"The microphone gave no sound for {_STALL:g} seconds; see whether it is connected and switched on."
            ) from None
        missing -= len(kept[-1])
    return np.concatenate([*kept, np.zeros(0, np.float32)])[:wanted]
