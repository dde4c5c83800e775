"""The audio core measured with a folder of recordings: noise suppression, speakers, live recognition."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from vivavoce.bench import cleaning, listening, speakers
from vivavoce.bench.cleaning import Cleaning
from vivavoce.bench.server import running
from vivavoce.bench.suite import Measured
from vivavoce.errors import EngineUnavailable
from vivavoce.registry import Registry
from vivavoce.settings import Settings
from vivavoce.studio.audition import AUTO, EARS
from vivavoce.studio.equipment import engine_options

__all__ = ["measure"]

Show = Callable[[float, str], None]
_DEFAULT, _AUTO = "speex", "auto"


def measure(folder: Path, *, quick: bool = False, show: Show = lambda *_: None) -> tuple[list[Measured], str]:
    """Everything about sound on this machine, and the tables that belong to it, in Markdown.

    ``folder`` has a folder of recordings for each speaker. Raises ``InvalidInput`` when there are too few,
    ``EngineUnavailable`` when PESQ and STOI are not installed.
    """
    config = Settings().studio()
    registry = Registry(engine_options(config))
    try:
        show(0.0, "Telling speakers apart")
        told, voices = _speakers(folder, registry, config.speaker)
        heard = cleaning.measure(
            folder, partial(_within, show, 0.1, 0.7), registry=registry, utterances=2 if quick else 5
        )
    finally:
        registry.close()
    rows = [*told, *_cleaners(heard), *_live(folder, quick, partial(_within, show, 0.7, 1.0))]
    return rows, f"### Speakers\n\n{voices}\n\n### Noise suppression\n\n{cleaning.table(heard)}"


def _within(show: Show, start: float, end: float, fraction: float, words: str) -> None:
    show(start + (end - start) * fraction, words)


def _speakers(folder: Path, registry: Registry, chosen: str) -> tuple[list[Measured], str]:
    lines, rows = [speakers.HEADER], []
    for name in registry.names("speaker"):
        try:
            found = speakers.measure(folder, registry.get("speaker", name))
        except EngineUnavailable:
            continue
        lines.append(speakers.row(f"speaker.{name}", found))
        if name == chosen:
            pairs = f"speaker.{name}; {found['same']} pairs of one speaker, {found['different']} of two"
            rows = [
                Measured("speakers: equal error rate", 100 * found["eer"], "%", 2.0, "less", pairs),
                Measured("speakers: embedding", found["realtime"], "x real time", 20.0, "more", "one thread"),
            ]
    return rows, "\n".join(lines)


def _cleaners(heard: Sequence[Cleaning]) -> list[Measured]:
    """What is promised: the default does no harm, ``auto`` is the best choice."""
    noisy, default, auto = (_mean(heard, name) for name in ("", _DEFAULT, _AUTO))
    best = max(_mean(heard, c.engine) for c in heard if c.engine not in ("", _AUTO))
    harmless, chosen = f"{default:.2f}, noisy {noisy:.2f}", f"{auto:.2f}, the best other {best:.2f}"
    return [
        Measured("noise: PESQ of the default over the noisy sound's", default - noisy, "", 0.0, "more", harmless),
        Measured("noise: PESQ of auto over the best other engine's", auto - best, "", 0.0, "more", chosen),
    ]


def _mean(heard: Sequence[Cleaning], engine: str) -> float:
    return statistics.mean(c.pesq for c in heard if c.engine == engine and c.level is not None)


def _live(folder: Path, quick: bool, show: Show) -> list[Measured]:
    spoken = [*listening.embedded(), *listening.found(folder, most=4 if quick else 12)]
    settings = Settings()
    with TemporaryDirectory(prefix="vivavoce-bench-") as data, running(Path(data), settings.defaults.avatar) as server:
        ears = httpx.get(f"{server.url}/v1/audio/engines", timeout=60).raise_for_status().json()["ears"]
        working = {ear["engine"] for ear in ears}
        ear = next((name for name in EARS if name in working), "") if settings.ears.engine == AUTO else ""
        rows = listening.rows(listening.measure(server.url, spoken, show=show), f"ear.{ear or settings.ears.engine}")
        return rows + _chosen(server.url, ear)


def _chosen(url: str, ear: str) -> list[Measured]:
    """The same for a kiosk that knows what can be said, where the recogniser can choose."""
    if ear != "sphinx":
        return []
    spoken = listening.embedded()
    found = listening.measure(url, spoken, phrases=[s.text for s in spoken])
    what = f"ear.sphinx among {len(spoken)} phrases; {found['word_errors']:.0%} of the words wrong"
    late = found["final_latency"]["median"]
    return [Measured("live: final text where the phrases are known, median", late, "s", 1.0, "less", what)]
