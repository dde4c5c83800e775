"""How alike a cloned voice is to the speaker, how well it can be understood, and how fast it speaks.

Each speaker is enrolled with some recordings and compared with the others, which the cloner has not heard. Alikeness is
the cosine that a speaker encoder gives; understanding is what a recogniser gets wrong, beside what it gets wrong of the
base voice itself.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vivavoce.bench.listening import word_errors
from vivavoce.bench.suite import Measured
from vivavoce.engines.clones.world import WorldCloner
from vivavoce.engines.ears.sphinx import SphinxEar
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.engines.speakers.ge2e import Ge2eEncoder
from vivavoce.errors import InvalidInput
from vivavoce.media.audio import decode, resample
from vivavoce.nouns import Audio, Speech
from vivavoce.ports import Cloner, Recognizer, SpeakerEncoder, Synthesizer

__all__ = ["SENTENCES", "Cloned", "measure", "rows", "table"]

Show = Callable[[float, str], None]
Floats = npt.NDArray[np.float64]

SENTENCES = (
    "The first hall shows how people built boats a thousand years ago.",
    "Please keep to the left on the stairs, and hold the hand of your child.",
    "At noon a fisherman tells stories by the big window of the old harbour.",
    "We wish you all a truly wonderful day in the museum and in the garden.",
    "Children under ten may ride the little train through the park for free.",
    "The doctor said that the patient should drink more water every morning.",
    "Nobody knew why the lights went out just before the play began.",
    "My brother keeps his tools in a wooden box under the kitchen table.",
    "The last bus to the airport leaves from the station at nine.",
    "Fresh bread and cheese were waiting for us when we came home.",
)
_SUFFIXES = {".flac", ".wav", ".mp3", ".ogg", ".m4a"}
_LONGEST = 600.0


@dataclass(frozen=True, slots=True)
class Cloned:
    """What was found of one speaker; cosines are means over sentences and unheard recordings."""

    speaker: str
    enrolled: float
    """Seconds of the recordings that were learnt from."""
    before: float
    """Cosine of the base voice."""
    after: float
    """Cosine of the clone."""
    real: float
    """Cosine of the recordings that were learnt from."""
    first: float
    """Share of sentences (0-1) whose clone is most alike to this speaker of all."""
    errors_before: float
    """Share of words that are recognised wrongly of the base voice, any words being possible."""
    errors_after: float
    chosen_before: float
    """The same where the recogniser knows the sentences that may come."""
    chosen_after: float
    learning: float
    """Seconds of enrolment."""
    speed: float
    """Seconds of speech made in one, the base voice included."""


def measure(
    folder: Path,
    show: Show = lambda *_: None,
    *,
    cloner: Cloner | None = None,
    base: Synthesizer | None = None,
    voice: str = "f2",
    encoder: SpeakerEncoder | None = None,
    ear: Recognizer | None = None,
    sentences: int = len(SENTENCES),
) -> list[Cloned]:
    """Clone every speaker in ``folder``, which has a folder for each with two recordings or more.

    ``base`` with its ``voice`` is who speaks unconverted. Raises ``InvalidInput`` when there are no two speakers,
    ``EngineUnavailable`` when the cloner, the encoder or the recogniser cannot be used here.
    """
    known = _recordings(folder)
    base, encoder, ear = base or EspeakVoice(), encoder or Ge2eEncoder(), ear or SphinxEar()
    cloner = cloner or WorldCloner(base)
    said = SENTENCES[:sentences]
    show(0.0, "Listening to the recordings")
    judge = _Judge(encoder, ear, {name: held for name, (_, held) in known.items()})
    plain = [_whole(list(base.synthesize(text, language="en", voice=voice))) for text in said]
    errors_before, chosen_before = judge.errors(plain, said)
    made = []
    for i, (name, (learnt, _)) in enumerate(known.items()):
        show((i + 1) / (len(known) + 1), f"Cloning {name}")
        with tempfile.TemporaryDirectory() as place:
            began = time.perf_counter()
            cloner.enrol(learnt, Path(place))
            learning = time.perf_counter() - began
            list(
                cloner.synthesize(said[0], language="en", voice=Path(place))
            )  # what is loaded on first use is not measured
            began = time.perf_counter()
            clones = [_whole(list(cloner.synthesize(text, language="en", voice=Path(place)))) for text in said]
            took = time.perf_counter() - began
        errors_after, chosen_after = judge.errors(clones, said)
        made.append(
            Cloned(
                speaker=name,
                enrolled=sum(audio.seconds for audio in learnt),
                before=judge.likeness(plain, name),
                after=judge.likeness(clones, name),
                real=judge.likeness(learnt, name),
                first=judge.first(clones, name),
                errors_before=errors_before,
                errors_after=errors_after,
                chosen_before=chosen_before,
                chosen_after=chosen_after,
                learning=learning,
                speed=sum(audio.seconds for audio in clones) / took,
            )
        )
    return made


def table(found: Sequence[Cloned]) -> str:
    """Markdown: a line for each speaker, and their means."""
    head = (
        "| speaker | learnt from | alike: base voice | clone | the speaker | nearest is the speaker "
        "| words wrong: base voice | clone | of known sentences: base voice | clone | learning | x real time |\n"
        f"|{'---|' * 12}\n"
    )
    return head + "\n".join([_row(one) for one in found] + [_row(_mean(found))]) + "\n"


def rows(found: Sequence[Cloned]) -> list[Measured]:
    """The two promises as lines of the bench's table."""
    mean = _mean(found)
    worse = 100 * (mean.errors_after - mean.errors_before)
    note = f"cosine of ge2e to unheard recordings of {len(found)} speakers; base voice {mean.before:.2f}"
    words = f"sphinx, any words: base voice {100 * mean.errors_before:.0f} %, clone {100 * mean.errors_after:.0f} %"
    return [
        Measured("clone: alikeness, mean", mean.after, "", 0.75, "more", note),
        Measured("clone: more words wrong than of the base voice", worse, "%", 10.0, "less", words),
        Measured("clone: speed", mean.speed, "x real time", 3.0, "more", "base voice included"),
    ]


class _Judge:
    """Compares voices with unheard recordings, and hears what they say."""

    def __init__(self, encoder: SpeakerEncoder, ear: Recognizer, held: dict[str, list[Audio]]) -> None:
        self._encoder, self._ear = encoder, ear
        self._held = {name: self._embedded(audios) for name, audios in held.items()}

    def likeness(self, audios: Sequence[Audio], name: str) -> float:
        return float((self._embedded(audios) @ self._held[name].T).mean())

    def first(self, audios: Sequence[Audio], name: str) -> float:
        each = {other: (self._embedded(audios) @ held.T).mean(axis=1) for other, held in self._held.items()}
        return float(np.mean(each[name] >= np.max(list(each.values()), axis=0)))

    def errors(self, audios: Sequence[Audio], said: Sequence[str]) -> tuple[float, float]:
        """Shares of words that are wrong: of any, and of the known sentences."""
        pieces = [resample(audio, self._ear.traits.rate) for audio in audios]
        shares = []
        for phrases in ((), SENTENCES):
            heard = self._ear.recognize(pieces, language="en", phrases=phrases)
            shares.append(float(np.mean([word_errors(text, h.text) for text, h in zip(said, heard, strict=True)])))
        return shares[0], shares[1]

    def _embedded(self, audios: Sequence[Audio]) -> Floats:
        rate = self._encoder.traits.rate
        return np.stack([self._encoder.embed(resample(audio, rate)) for audio in audios]).astype(np.float64)


def _recordings(folder: Path) -> dict[str, tuple[list[Audio], list[Audio]]]:
    """By speaker: what is learnt from, and every third recording, beginning with the second, which is not."""
    known = {}
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in place.iterdir() if path.suffix.lower() in _SUFFIXES)
        if len(files) > 1:
            heard = [decode(path, max_seconds=_LONGEST) for path in files]
            known[place.name] = ([a for i, a in enumerate(heard) if i % 3 != 1], heard[1::3])
    if len(known) < 2:
        raise InvalidInput(f"The folder {folder.name} needs folders of at least two speakers, two recordings in each.")
    return known


def _whole(parts: Sequence[Speech]) -> Audio:
    return Audio(np.concatenate([part.audio.samples for part in parts]), parts[0].audio.rate)


def _mean(found: Sequence[Cloned]) -> Cloned:
    numbers = {name: float(np.mean([getattr(one, name) for one in found])) for name in Cloned.__slots__[1:]}
    return Cloned("mean", **numbers)


def _row(one: Cloned) -> str:
    cells = (
        one.speaker,
        f"{one.enrolled:.0f} s",
        *(f"{cosine:.2f}" for cosine in (one.before, one.after, one.real)),
        f"{100 * one.first:.0f} %",
        *(
            f"{100 * share:.0f} %"
            for share in (one.errors_before, one.errors_after, one.chosen_before, one.chosen_after)
        ),
        f"{one.learning:.1f} s",
        f"{one.speed:.1f}",
    )
    return f"| {' | '.join(cells)} |"
