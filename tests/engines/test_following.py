"""PocketSphinx hears on where it was: speech that grows, as live recognition asks for it."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from test_sphinx_ear import JFK, RATE, error_rate, say

from vivavoce.engines.ears.sphinx import SphinxEar
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.hear.vad import HOP
from vivavoce.media.audio import decode
from vivavoce.nouns import Audio, Transcript

pytest.importorskip("pocketsphinx")
STEP = 16 * HOP
"""Half a second."""


@pytest.fixture(scope="module")
def ear() -> Iterator[SphinxEar]:
    ear = SphinxEar()
    yield ear
    ear.close()


@pytest.fixture(scope="module")
def sentence(voice: EspeakVoice) -> Audio:
    """Speech with a little noise and a pause around it, as a window of live recognition has it; hops without a rest."""
    return window(say(voice, "We are going to the market and to the river this morning.").samples)


def window(speech: np.ndarray, before: int = 8, after: int = 6) -> Audio:
    sound = np.concatenate([np.zeros(before * HOP), speech * 0.7, np.zeros(after * HOP + -len(speech) % HOP)])
    return Audio((sound + np.random.default_rng(1).normal(0, 2e-4, len(sound))).astype(np.float32), RATE)


def heard(ear: SphinxEar, sound: Audio, until: int | None = None, since: int = 0) -> Transcript:
    (found,) = ear.recognize([Audio(sound.samples[since:until], RATE)], language="en")
    return found


def grown(ear: SphinxEar, sound: Audio) -> list[Transcript]:
    """What is heard each time that there is half a second more, and of the whole."""
    ends = [*range(20 * HOP, len(sound.samples) - 6 * HOP, STEP), len(sound.samples)]
    return [heard(ear, sound, end) for end in ends]


def test_a_text_grows_and_is_judged_at_the_pause(ear: SphinxEar, sentence: Audio) -> None:
    texts = grown(ear, sentence)
    assert all(later.words[-1].end > earlier.words[-1].end for earlier, later in pairwise(texts))
    for open_text in texts[:-1]:
        assert all(w.probability == 0 for w in open_text.words)
    last = texts[-1]
    assert all(0 < w.probability <= 1 for w in last.words)
    assert last.words[-1].end == pytest.approx(sentence.seconds - 6 * HOP / RATE, abs=0.4)
    assert error_rate("We are going to the market and to the river this morning", last.text) <= 0.6
    assert heard(ear, sentence) == last, "asked again, it says the same"


@pytest.mark.slow
def test_a_pause_that_goes_on_changes_nothing(ear: SphinxEar, sentence: Audio) -> None:
    last = grown(ear, sentence)[-1]
    noise = np.random.default_rng(2).normal(0, 2e-4, 10 * HOP).astype(np.float32)
    longer = Audio(np.concatenate([sentence.samples, noise]), RATE)
    assert heard(ear, longer).words == last.words


@pytest.mark.slow
def test_what_comes_after_a_pause_is_heard_on_and_what_was_before_it_stays(ear: SphinxEar, voice: EspeakVoice) -> None:
    first = window(say(voice, "Please open the window.").samples)
    second = window(say(voice, "Thank you very much.").samples, before=4)
    both = Audio(np.concatenate([first.samples, second.samples]), RATE)
    before = grown(ear, first)[-1].words
    texts = [heard(ear, both, end) for end in range(len(first.samples) + STEP, len(both.samples) - 6 * HOP, STEP)]
    last = heard(ear, both)
    for text in (*texts, last):
        assert text.words[: len(before)] == before
    after = last.words[len(before) :]
    assert "thank you" in " ".join(w.text for w in after)
    assert all(w.start >= first.seconds - 0.1 for w in after)


@pytest.mark.slow
def test_a_window_that_was_cut_is_still_the_same_piece(ear: SphinxEar, sentence: Audio) -> None:
    """Its words are those that were heard after the cut, and their times count from there."""
    whole = SphinxEar()
    expected = grown(whole, sentence)[-1]
    whole.close()
    middle = 2 * STEP + 20 * HOP
    for end in range(20 * HOP, middle + 1, STEP):
        heard(ear, sentence, end)
    cut = 24 * HOP
    for end in range(middle + STEP, len(sentence.samples) - 6 * HOP, STEP):
        heard(ear, sentence, end, since=cut)
    rest = heard(ear, sentence, since=cut)
    kept = [w for w in expected.words if (w.start + w.end) / 2 >= cut / RATE]
    assert 3 <= len(kept) < len(expected.words)
    assert [w.text for w in rest.words] == [w.text for w in kept]
    for word, known in zip(rest.words, kept, strict=True):
        assert word.end == pytest.approx(known.end - cut / RATE, abs=0.02)


@pytest.mark.slow
def test_several_who_speak_at_once_are_kept_apart(voice: EspeakVoice) -> None:
    """More than there are decoders to follow them."""
    ear = SphinxEar()
    speech = [
        window(say(voice, text).samples) for text in ("Open the door.", "Thank you.", "Good morning.", "One two.")
    ]
    most = max(len(s.samples) for s in speech)
    for end in range(20 * HOP, most + STEP, STEP):
        for sound in speech:
            if end < len(sound.samples) - 6 * HOP:
                heard(ear, sound, end)
    last = [heard(ear, sound).text for sound in speech]
    alone = SphinxEar()
    for sound, text in zip(speech, last, strict=True):
        assert error_rate(heard(alone, sound).text, text) <= 0.5
    assert len(set(last)) == 4
    ear.close()
    alone.close()


def test_a_recording_that_ends_in_the_middle_of_a_word_is_searched_whole(ear: SphinxEar, sentence: Audio) -> None:
    """The pieces of a file are not live: nothing follows."""
    piece = Audio(sentence.samples[HOP // 2 : 60 * HOP], RATE)
    (found,) = ear.recognize([piece], language="en")
    assert found.words
    assert all(w.probability > 0 for w in found.words)


@pytest.mark.slow
def test_people_are_understood_as_well_as_in_a_search_of_the_whole(ear: SphinxEar, shared: Path) -> None:
    sound = decode(shared / "media" / "speech" / "jfk_m_en.wav", max_seconds=60, rate=RATE)
    last = grown(ear, window(sound.samples, after=8))[-1]
    assert error_rate(JFK, last.text) <= 0.4
