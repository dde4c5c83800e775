"""Noises like those that people record by accident, made from numbers: no recordings have to be shipped."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["NOISES", "RATE", "mixed", "noise"]

Array = npt.NDArray[np.float64]
Maker = Callable[[int, np.random.Generator, Sequence[Array]], Array]

RATE = 16_000
"""Hz."""
_ACTIVE = 0.1
"""Share of the loudest moment from which a moment counts as speech."""


def noise(kind: str, n: int, draw: np.random.Generator, voices: Sequence[Array]) -> Array:
    """``n`` samples of a noise of ``NOISES`` with a power of 1; ``voices`` are the people in the background."""
    made = NOISES[kind](n, draw, voices)
    return np.asarray(made / np.std(made))


def mixed(speech: Array, sound: Array, level: float) -> Array:
    """Speech with a noise of power 1 that lies ``level`` dB below it, pauses not counted."""
    moments = speech[: len(speech) // 160 * 160].reshape(-1, 160).std(axis=1)
    active = moments[moments > _ACTIVE * moments.max()]
    return np.asarray(speech + sound * np.sqrt(np.mean(active**2)) * 10 ** (-level / 20))


def _shaped(n: int, draw: np.random.Generator, low: float, high: float, slope: float = 0.5) -> Array:
    """Random noise between two frequencies; a slope of 0.5 makes it pink, 0 white."""
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    weight = np.where((hertz >= low) & (hertz <= high), np.maximum(hertz, 1.0) ** -slope, 0.0)
    made = np.fft.irfft(np.fft.rfft(draw.standard_normal(n)) * weight, n)
    return np.asarray(made / np.std(made))


def _pink(n: int, draw: np.random.Generator, _: Sequence[Array]) -> Array:
    return _shaped(n, draw, 30, 8000)


def _fan(n: int, draw: np.random.Generator, _: Sequence[Array]) -> Array:
    """Air that beats with the blades, and the hum of the mains with its harmonics."""
    time = np.arange(n) / RATE
    loud = {1: 0.5, 2: 1.0, 3: 0.4, 4: 0.5, 6: 0.2, 8: 0.1}
    hum = sum(a * np.sin(2 * np.pi * 50 * k * time + draw.uniform(0, 6)) for k, a in loud.items())
    blades = 1 + 0.2 * np.sin(2 * np.pi * draw.uniform(20, 26) * time)
    return np.asarray(_shaped(n, draw, 60, 3000) * blades + 0.5 * hum / np.std(hum))


def _babble(n: int, draw: np.random.Generator, voices: Sequence[Array], people: int = 6) -> Array:
    made = np.zeros(n)
    for index in draw.choice(len(voices), people, replace=len(voices) < people):
        voice = np.roll(voices[index], draw.integers(len(voices[index])))
        made += np.resize(voice, n) / np.std(voice) * draw.uniform(0.5, 1)
    return made


def _rain(n: int, draw: np.random.Generator, _: Sequence[Array]) -> Array:
    """A rush that swells and falls, and single drops."""
    swells = np.interp(
        np.arange(n), np.arange(0, n + RATE, RATE // 2), draw.normal(1, 0.3, len(range(0, n + RATE, RATE // 2)))
    )
    made = _shaped(n, draw, 800, 7500, 0) * np.clip(swells, 0.3, 2)
    for _drop in range(25 * n // RATE):
        length = int(draw.integers(40, 200))
        _add(
            made,
            int(draw.integers(n)),
            draw.standard_normal(length) * np.exp(-4 * np.arange(length) / length),
            draw.uniform(1, 5),
        )
    return made


def _cafe(n: int, draw: np.random.Generator, voices: Sequence[Array]) -> Array:
    """People, air, and now and then a cup."""
    talk = _babble(n, draw, voices, 8)
    made = talk / np.std(talk) + 0.5 * _pink(n, draw, voices)
    time = np.arange(3000) / RATE
    for _ in range(3 * n // (2 * RATE)):
        ring = sum(np.sin(2 * np.pi * draw.uniform(2000, 6500) * time) for _ in range(4))
        _add(made, int(draw.integers(n)), ring * np.exp(-time * draw.uniform(25, 60)), draw.uniform(0.5, 1.5))
    return made


def _keys(n: int, draw: np.random.Generator, _: Sequence[Array]) -> Array:
    """Somebody types in a quiet room: each key sounds when it goes down and when it comes up."""
    made = 0.15 * _shaped(n, draw, 60, 4000)
    time = np.arange(400) / RATE
    at = 0
    while (at := at + int(draw.gamma(2, 0.07) * RATE)) < n:
        for later, loud in ((0, 1.0), (int(draw.uniform(0.03, 0.08) * RATE), 0.5)):
            click = 0.6 * draw.standard_normal(400) + np.sin(2 * np.pi * draw.uniform(1500, 4500) * time)
            _add(made, at + later, click * np.exp(-time * draw.uniform(250, 500)), 3 * loud * draw.uniform(0.5, 1.5))
    return made


def _add(made: Array, at: int, event: Array, loud: float) -> None:
    """Lay an event over what is there; one that begins after the end is not heard."""
    heard = event[: max(0, len(made) - at)]
    made[at : at + len(heard)] += loud * heard


NOISES: Mapping[str, Maker] = {
    "pink": _pink,
    "fan and hum": _fan,
    "babble": _babble,
    "rain": _rain,
    "café": _cafe,
    "keys": _keys,
}
