"""What heads hear that follow lips: what is asked of a person who does not exist."""

import numpy as np
import pytest

import heads
from vivavoce.engines.nerf.answers import answering, misfit
from vivavoce.engines.nerf.lips import filmed_lips, gaping_lips, resting_lips, spoken_lips
from vivavoce.nouns import Audio, Canvas, Mark, Speech

FPS = 25


def said(*phonemes: str) -> Speech:
    """Each lasts 0.2 s, after and before 0.4 s of silence."""
    marks = tuple(Mark("phoneme", p, 0.4 + 0.2 * i, 0.6 + 0.2 * i) for i, p in enumerate(phonemes))
    n = int(16_000 * (0.8 + 0.2 * len(phonemes)))
    sound = (0.1 * np.sin(np.arange(n) * 0.05)).astype(np.float32)
    return Speech("", "en", Audio(sound, 16_000), marks)


def test_the_mouth_is_asked_for_what_the_film_shows_and_rests_at_both_ends() -> None:
    library = heads.library()
    speech, canvas = said("a", "m", "a", "a"), Canvas(64, 64, FPS)
    count = canvas.frames(speech.audio.seconds)
    bases = np.arange(count) % len(library)
    asked = spoken_lips(library, speech, canvas, bases)
    assert asked.shape == (count, 8)
    filmed = filmed_lips(library)
    assert (asked[:, :6] >= filmed[:, :6].min(axis=0) - 1e-6).all()
    assert (asked[:, :6] <= filmed[:, :6].max(axis=0) + 1e-6).all()
    rest = resting_lips(library, bases)
    assert np.allclose(asked[[0, -1]], rest[[0, -1]], atol=0.02)
    gap = asked[:, 0]
    vowels, closed = gap[round(0.5 * FPS)], gap[round(0.7 * FPS)]
    assert vowels > 0.5 * filmed[:, 0].max()
    assert closed < 0.15 * filmed[:, 0].max()
    # at rest the expression is that of the pictures that are replayed, so that listening goes on without a jump
    assert np.allclose(asked[[0, -1]], rest[[0, -1]], atol=1e-6)


def test_lips_that_part_are_accompanied_as_in_the_film() -> None:
    """A net that has only seen them together takes width, chin and expression for the gap."""
    library = heads.library()
    usable, filmed = library.usable, filmed_lips(library)
    low, high = np.percentile(filmed[usable, 0], [10, 90])
    gaps = np.linspace(low, high, 7)
    rows = gaping_lips(library, gaps)
    assert np.allclose(rows[:, 0], gaps)
    scale = filmed[usable].std(axis=0)
    told = scale > 1e-3
    assert told.sum() >= 3, "else nothing accompanies it"
    for gap, row in zip(gaps, rows, strict=True):
        near = filmed[usable & (np.abs(filmed[:, 0] - gap) < 0.1 * scale[0])]
        assert len(near)
        assert (np.abs(row - near.mean(axis=0))[told] / scale[told]).max() < 0.25
    assert gaping_lips(library, gaps[:0]).shape == (0, 8)
    many = gaping_lips(library, np.full(700, gaps[3]))
    assert np.allclose(many, rows[3], atol=1e-6), "as many as come are taken in parts"


def test_lips_that_answer_by_half_are_asked_for_twice_as_much() -> None:
    gaps = np.array([0.01, 0.02, 0.05, 0.1], np.float32)
    assert np.array_equal(answering(gaps, ()), gaps)
    half = [(0.02, 0.03), (0.12, 0.08), (0.22, 0.13)]
    assert np.allclose(answering(gaps, half), [0.01, 0.02, 0.08, 0.18], atol=1e-6)
    twice = [(0.02, 0.03), (0.22, 0.43)]
    assert np.allclose(answering(gaps, twice), [0.01, 0.02, 0.035, 0.06], atol=1e-6)
    dumb = [(0.02, 0.03), (0.12, 0.03), (0.22, 0.03)]
    assert np.allclose(answering(gaps, dumb), [0.01, 0.02, 0.02 + 2.5 * 0.03, 0.02 + 2.5 * 0.08], atol=1e-6)


def test_what_a_speech_wants_is_asked_by_the_heads_answers() -> None:
    library = heads.library()
    speech, canvas = said("a", "m", "a", "a"), Canvas(64, 64, FPS)
    bases = np.arange(canvas.frames(speech.audio.seconds)) % len(library)
    low, high = np.percentile(filmed_lips(library)[library.usable, 0], [0, 100])
    plain = spoken_lips(library, speech, canvas, bases, 0.5)
    wider = spoken_lips(library, speech, canvas, bases, 0.5, [(low, low), (high, (low + high) / 2)])
    assert np.allclose(wider[[0, -1]], plain[[0, -1]], atol=1e-6)
    vowel, closed = round(0.5 * FPS), round(0.7 * FPS)
    assert wider[vowel, 0] > 1.3 * plain[vowel, 0]
    assert wider[closed, 0] < 0.15 * high
    assert wider[:, 0].max() <= high


@pytest.mark.parametrize(
    "answers", [[(0.0, 0.0)], [(0.0, 0.0), (0.0, 0.1)], [(0.0, np.nan), (0.1, 0.1)], [(0, 0)] * 65]
)
def test_answers_that_are_none(answers: list[tuple[float, float]]) -> None:
    assert misfit(answers)
    assert not misfit([(0.0, 0.0), (0.1, 0.05)])
    assert not misfit(())
