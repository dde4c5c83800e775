"""Speech joined and padded: nothing lost, silent ends, whole frames."""

import numpy as np
import pytest

from vivavoce.errors import VivavoceError
from vivavoce.media.video import grid
from vivavoce.nouns import Audio, Canvas, Mark, Speech
from vivavoce.studio import speech as speeches

RATE = 22050


def spoken(text: str, seconds: float = 0.5, before: float = 0.0, after: float = 0.0) -> Speech:
    tone = 0.5 * np.ones(round(seconds * RATE), np.float32)
    quiet = [np.zeros(round(s * RATE), np.float32) for s in (before, after)]
    samples = np.concatenate([quiet[0], tone, quiet[1]])
    mark = Mark("word", text.strip(), before, before + seconds, 0)
    return Speech(text, "en", Audio(samples, RATE), (mark, Mark("phoneme", "a", before, before + seconds)))


def test_joined_keeps_text_sound_and_where_words_are() -> None:
    parts = [spoken("Hello. "), spoken("World.", 0.25)]
    whole = speeches.joined(parts)
    assert whole.text == "Hello. World."
    assert whole.audio.seconds == pytest.approx(0.75, abs=1e-3)
    first, second = whole.of("word")
    assert (first.offset, second.offset) == (0, 7)
    assert whole.text[second.offset :] == second.text
    assert second.start == pytest.approx(0.5)
    assert [m.offset for m in whole.of("phoneme")] == [-1, -1]


def test_no_parts_are_an_error() -> None:
    with pytest.raises(VivavoceError):
        speeches.joined([])


@pytest.mark.parametrize("fps", [12, 24, 25, 30, 60])
@pytest.mark.parametrize("before", [0.0, 0.02, 0.3])
@pytest.mark.parametrize(
    ("text", "pause"), [("End.", 0.2), ("«Конец!»", 0.2), ("结束。", 0.2), ("and,", 0.12), ("mid", 0.04)]
)
def test_padded_is_silent_at_both_ends_and_whole_frames_long(text: str, pause: float, before: float, fps: int) -> None:
    canvas = Canvas(fps=fps)
    padded = speeches.padded(spoken(text, 0.5, before, 0.01), canvas)
    heard = np.flatnonzero(padded.audio.samples)
    assert heard[0] >= 0.04 * RATE - 1
    assert len(padded.audio.samples) - heard[-1] >= pause * RATE - 1
    assert len(heard) == round(0.5 * RATE)
    frames = canvas.frames(padded.audio.seconds)
    assert padded.audio.seconds == pytest.approx(frames / fps, abs=1 / RATE)
    assert frames % grid(fps) == 0
    assert padded.audio.seconds < max(0.04, before) + 0.5 + pause + (grid(fps) + 1) / fps
    assert padded.marks[0].start == pytest.approx(heard[0] / RATE, abs=1e-3)


def test_padding_takes_silence_and_nothing(subtests: pytest.Subtests) -> None:
    for samples in (np.zeros(0, np.float32), np.zeros(3000, np.float32)):
        with subtests.test(n=len(samples)):
            padded = speeches.padded(Speech("", "en", Audio(samples, RATE)), Canvas())
            assert padded.audio.seconds == pytest.approx(8 / 25)


def test_plain_form_comes_back_the_same() -> None:
    before = spoken("Hello.")
    plain = speeches.to_plain(before)
    after = speeches.from_plain(plain)
    assert isinstance(plain["samples"], bytes)
    assert (after.text, after.language, after.marks) == (before.text, before.language, before.marks)
    np.testing.assert_array_equal(after.audio.samples, before.audio.samples)


def test_words_keep_the_punctuation_around_them() -> None:
    text = "«Hello», it is 2026 (I think)."
    found = [
        Mark("word", w, n, n + 1, text.index(w)) for n, w in enumerate(["Hello", "it", "is", "2026", "I", "think"])
    ]
    words = speeches.words(Speech(text, "en", Audio(np.zeros(RATE, np.float32), RATE), tuple(found)))
    assert [word for word, _, _ in words] == ["«Hello»,", "it", "is", "2026", "(I", "think)."]
    assert words[3][1:] == (3, 4)
    unplaced = Speech(text, "en", Audio(np.zeros(RATE, np.float32), RATE), (Mark("word", "Hello", 0, 1),))
    assert speeches.words(unplaced) == [("Hello", 0, 1)]
    assert speeches.words(Speech("", "en", Audio(np.zeros(RATE, np.float32), RATE))) == []
