"""The recogniser sphinx: a choice among phrases, and what it makes of free speech."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vivavoce.engines.ears.phrases import Phrasebook
from vivavoce.engines.ears.sphinx import SphinxEar
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.media.audio import decode, resample
from vivavoce.nouns import Audio, Transcript
from vivavoce.studio.speech import joined

pytest.importorskip("pocketsphinx")
RATE = 16_000
SENTENCES = (
    "Good morning, everybody.",
    "What is the weather today?",
    "The quick brown fox jumps over the lazy dog.",
    "Please open the window.",
    "Turn off the light!",
    "We are going to the market.",
    "Thank you very much.",
    "I would like a cup of tea.",
)
OTHERS = (
    "My father has a big car.",
    "There are seven days in a week.",
    "What is the time today?",
    "Please open the door.",
)
JFK = "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country."


@pytest.fixture(scope="module")
def ear() -> Iterator[SphinxEar]:
    ear = SphinxEar()
    yield ear
    ear.close()


def say(voice: EspeakVoice, text: str) -> Audio:
    return resample(joined(voice.synthesize(text, language="en", voice="f3")).audio, RATE)


def error_rate(wanted: str, heard: str) -> float:
    """Words that are wrong, left out or too many, to the words that were said (Levenshtein's distance)."""
    said, got = ([w.strip(".,!?").lower() for w in text.split()] for text in (wanted, heard))
    best = list(range(len(got) + 1))
    for i, word in enumerate(said, 1):
        before = best
        best = [i]
        for j, other in enumerate(got, 1):
            best.append(min(before[j] + 1, best[-1] + 1, before[j - 1] + (word != other)))
    return best[-1] / len(said)


def test_error_rate() -> None:
    assert error_rate("a b c d", "a x c d e") == 0.5
    assert error_rate("Ask not!", "ask not") == 0.0


def test_round_trip_of_eight_sentences(ear: SphinxEar, voice: EspeakVoice) -> None:
    """Text, embedded voice, recogniser, the same text."""
    pieces = [say(voice, text) for text in SENTENCES]
    heard = list(ear.recognize(pieces, language="en", phrases=SENTENCES))
    assert [t.text for t in heard] == list(SENTENCES)
    for transcript, piece in zip(heard, pieces, strict=True):
        words = transcript.words
        assert [w.text for w in words] == transcript.text.split()
        assert 0 <= words[0].start < 0.2
        assert piece.seconds - 0.5 < words[-1].end <= piece.seconds
        assert all(0.5 <= w.probability <= 1 for w in words)


def test_what_is_none_of_the_sentences_is_nothing(ear: SphinxEar, voice: EspeakVoice) -> None:
    rng = np.random.default_rng(5)
    sounds = [say(voice, text) for text in OTHERS]
    sounds += [Audio(np.zeros(2 * RATE, np.float32), RATE)]
    sounds += [Audio(rng.normal(0, level, 2 * RATE).astype(np.float32), RATE) for level in (0.003, 0.1)]
    heard = list(ear.recognize(sounds, phrases=SENTENCES))
    assert [t.text for t in heard] == [""] * len(sounds)


def test_people_are_understood_too(ear: SphinxEar, shared: Path) -> None:
    sound = decode(shared / "media" / "speech" / "jfk_m_en.wav", max_seconds=60, rate=RATE)
    ask = Audio(sound.samples[: 11 * RATE], RATE)
    (chosen,) = ear.recognize([ask], phrases=(*SENTENCES, JFK))
    assert chosen.text == JFK
    (nothing,) = ear.recognize([ask], phrases=SENTENCES)
    assert not nothing.segments


@pytest.mark.slow
def test_free_speech_is_mostly_understood(ear: SphinxEar, shared: Path) -> None:
    sound = decode(shared / "media" / "speech" / "jfk_m_en.wav", max_seconds=60, rate=RATE)
    first, second = (next(ear.recognize([sound], language="en")) for _ in range(2))
    assert error_rate(JFK, first.text) <= 0.4
    assert first == second, "what was heard before changes nothing"
    assert np.mean([w.probability for w in first.words]) < 0.99


def test_silence_and_noise_have_no_words(ear: SphinxEar) -> None:
    rng = np.random.default_rng(5)
    sounds = [Audio(rng.normal(0, level, 3 * RATE).astype(np.float32), RATE) for level in (0.0, 0.001, 0.1)]
    assert [t.segments for t in ear.recognize(sounds)] == [()] * 3


def test_threads_take_turns(ear: SphinxEar, voice: EspeakVoice) -> None:
    pieces = {text: say(voice, text) for text in SENTENCES[:4]}
    heard: dict[str, str] = {}

    def listen(text: str) -> None:
        heard[text] = next(ear.recognize([pieces[text]], phrases=(text, SENTENCES[7]))).text

    threads = [threading.Thread(target=listen, args=(text,)) for text in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {text: text for text in pieces}


def test_free_speech_is_the_same_alone_and_beside_others(ear: SphinxEar, voice: EspeakVoice) -> None:
    pieces = [say(voice, text) for text in SENTENCES[:3]]
    alone = [next(ear.recognize([piece])) for piece in pieces]
    together: dict[int, Transcript] = {}

    def listen(number: int) -> None:
        together[number] = next(ear.recognize([pieces[number]]))

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(len(pieces))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(len(pieces))] == alone
    assert all(transcript.segments for transcript in alone)


def test_other_languages_are_refused_at_once(ear: SphinxEar) -> None:
    with pytest.raises(InvalidInput, match="English only"):
        ear.recognize([], language="ru")


@pytest.mark.parametrize(
    ("phrases", "match"),
    [
        (("open the dverr please",), "does not know dverr; write other words"),
        (("open", "42"), "no English words"),
        (("открой",), "no English words"),
        (tuple(f"open {'the ' * i}door" for i in range(1001)), "at most 1000"),
    ],
)
def test_phrases_that_cannot_be_heard_are_refused_at_once(ear: SphinxEar, phrases: tuple[str, ...], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        ear.recognize([], phrases=phrases)


def test_a_phrase_is_told_as_it_was_given() -> None:
    book = Phrasebook(["Don't stop!", "WELL-known"], lambda _: True)
    assert book.holds(["don't", "stop"])
    assert not book.holds(["don't"])
    assert "don't stop | well known" in book.grammar


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'vivavoce\[sphinx\]'"):
        SphinxEar()
