"""How long a radiance field is learnt, told before it begins: on a processor that is hours, and people should know.

Pure functions; nothing is loaded. What is said of a processor was measured on one; of graphics cards nothing is said.
"""

from collections.abc import Mapping

__all__ = ["FIELDS", "PICTURES_A_STEP", "advice", "field_seconds", "in_words", "step_seconds"]

FIELDS: Mapping[str, str] = {"ernerf": "ER-NeRF", "synctalk": "SyncTalk"}
"""Face engines that learn a radiance field, in steps of so many rays, and how their names are written."""
PICTURES_A_STEP = 4
"""On a processor, where ``batch`` says nothing else; see ``engines.nerf.training.learning``."""
_STEP = 0.5
"""Seconds of a step of 4096 rays with one thread of an EPYC; the size of the pictures changes it little."""
_SPREAD = 0.3
"""What more threads give, on a machine that has other work too: seconds fall with this power of their number."""
_MOST_THREADS = 16
"""More are no faster at so little a step."""
_FILMED, _FASTEST = 300.0, 30.0
"""Seconds of a film that are learnt from at most, and pictures a second."""
_USUAL = 60.0
"""Seconds of a film of which nothing is known."""
_BESIDE = 3.0
"""Seconds in which a second of film is watched and taken apart, with one thread."""
_FEWEST = 20
"""Steps of the shortest training."""


def step_seconds(cores: int) -> float:
    """Seconds of one step on a processor with so many cores."""
    return float(_STEP / max(1, min(cores, _MOST_THREADS)) ** _SPREAD)


def field_seconds(seconds: float, fps: float, epochs: int, options: Mapping[str, float | str], step: float) -> float:
    """Seconds in which a film of so many ``seconds`` is learnt in steps of ``step`` seconds each.

    0 for what is not known of the film.
    """
    pictures = min(seconds or _USUAL, _FILMED) * min(fps or 25.0, _FASTEST)
    steps = max(_FEWEST, epochs * pictures / float(options.get("batch", PICTURES_A_STEP)))
    learnt = steps * step
    if "max_minutes" in options:
        learnt = min(learnt, 60 * float(options["max_minutes"]))
    return learnt + _BESIDE * pictures / 25


def in_words(seconds: float) -> str:
    """So many seconds as people say it."""
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    hours = seconds / 3600
    return f"{hours:.0f} hours" if hours >= 10 else f"{hours:.1f} hours".replace(".0 ", " ")


def advice(engine: str, seconds: float) -> str:
    """What is to be said before a processor begins with it."""
    return (
        f"{FIELDS[engine]} takes about {in_words(seconds)} on this processor; a graphics card is faster, and the "
        "engine person learns the same person in a minute or two"
    )
