"""One utterance: its window is cut where nothing is lost, and its final text has every word once."""

import numpy as np

from vivavoce.hear.utterance import Utterance
from vivavoce.hear.vad import HOP, RATE
from vivavoce.nouns import Segment, Transcript, Word

WORDS = [Word(f"w{i}", 0.5 * i + 0.05, 0.5 * i + 0.45) for i in range(20)]
"""A word in each half second, with a little silence between."""


def spoken(seconds: float, *, dips: bool = True) -> Utterance:
    """An utterance that begins at 0; between two words the detector doubts, if it does."""
    utterance = Utterance(1, 0)
    for n in range(round(seconds * RATE / HOP)):
        inside = 0.07 < (n + 0.5) * HOP / RATE % 0.5 < 0.43
        utterance.add(np.full(HOP, n, np.float32), 0.9 if inside or not dips else 0.2)
    utterance.spoken = utterance.end
    return utterance


def hear(utterance: Utterance) -> None:
    """Every word of the window that is heard whole."""
    audio, since, until = utterance.window()
    start = since / RATE
    words = tuple(
        Word(w.text, w.start - start, w.end - start) for w in WORDS if start <= w.start and w.end <= until / RATE
    )
    text = " ".join(w.text for w in words)
    utterance.hear(Transcript("en", audio.seconds, (Segment(text, 0, audio.seconds, words),)), since, until)


def test_a_window_is_cut_in_a_gap_after_words_that_are_agreed_on() -> None:
    utterance = spoken(6)
    assert not utterance.trim(5), "nothing is agreed on yet"
    hear(utterance)
    hear(utterance)
    assert utterance.trim(4)
    audio, since, until = utterance.window()
    assert until == utterance.end
    assert 1.0 <= audio.seconds <= 4
    assert since % HOP == 0
    assert audio.samples[0] == since // HOP, "the sound that is left is the end of it"
    assert not any(w.start < since / RATE < w.end for w in WORDS)


def test_no_word_is_lost_or_doubled_by_cuts() -> None:
    utterance = spoken(9)
    for _ in range(3):
        hear(utterance)
        hear(utterance)
        utterance.trim(2)
    assert utterance.covered
    text, words = utterance.final()
    assert text == " ".join(w.text for w in WORDS[:18])
    assert np.allclose([w.start for w in words], [w.start for w in WORDS[:18]])


def test_a_short_window_is_left_alone() -> None:
    utterance = spoken(3)
    hear(utterance)
    hear(utterance)
    assert not utterance.trim(4)


def test_where_the_detector_sees_no_gap_the_window_is_cut_only_when_it_has_to_be() -> None:
    for seconds, cut in ((5, False), (7, True)):
        utterance = spoken(seconds, dips=False)
        hear(utterance)
        hear(utterance)
        assert utterance.trim(4) == cut


def test_a_long_window_is_cut_at_a_pause_even_when_nothing_is_agreed_on() -> None:
    utterance = Utterance(1, 0)
    for n in range(round(6 * RATE / HOP)):
        utterance.add(np.full(HOP, n, np.float32), 0.1 if 3.0 < n * HOP / RATE < 3.2 else 0.9)
    utterance.spoken = utterance.end
    hear(utterance)
    assert not utterance.trim(5)
    assert utterance.trim(4)
    _, since, _ = utterance.window()
    assert 3.0 < since / RATE < 3.2
    assert utterance.stable == "w0 w1 w2 w3 w4 w5"
    assert utterance.final()[0] == " ".join(w.text for w in WORDS[:12])


def test_a_forced_cut_keeps_what_was_heard_once() -> None:
    """At the quietest place of the second half; the words before it are kept though nobody agreed on them."""
    utterance = spoken(8)
    hear(utterance)
    assert utterance.stable == ""
    utterance.cut()
    assert utterance.stable.startswith("w0 w1 w2 w3 w4 w5 w6 w7")
    hear(utterance)
    assert utterance.final()[0] == " ".join(w.text for w in WORDS[:16])


def test_what_was_never_heard_to_its_end_is_not_covered() -> None:
    utterance = spoken(2)
    assert not utterance.covered
    hear(utterance)
    assert utterance.covered
    utterance.add(np.zeros(HOP, np.float32), 0.9)
    utterance.spoken = utterance.end
    assert not utterance.covered
    assert utterance.final()[0] == "w0 w1 w2 w3", "what there is"
