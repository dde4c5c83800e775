"""Subtitles as a viewer reads them."""

import itertools

from vivavoce.text.subtitles import Cue, cues, srt, vtt


def spoken(text: str, seconds: float = 0.4) -> list[tuple[str, float, float]]:
    return [(word, n * seconds, (n + 0.9) * seconds) for n, word in enumerate(text.split())]


def test_cues_end_with_sentences_and_are_never_too_long() -> None:
    text = "Good morning. " + "This is a rather long sentence, that goes on and on until nobody can read it any more."
    made = cues(spoken(text))
    assert made[0].text == "Good morning."
    assert " ".join(cue.text for cue in made) == text
    assert all(len(cue.text) <= 42 and cue.end - cue.start <= 6.5 for cue in made)
    assert all(a.end <= b.start for a, b in itertools.pairwise(made))


def test_no_letters_between_words_where_the_script_has_none() -> None:
    words = [("我们", 0.0, 0.4), ("说话。", 0.4, 0.9), ("你好！", 1.0, 1.5)]
    assert [cue.text for cue in cues(words, spaced=False)] == ["我们说话。", "你好！"]


def test_files() -> None:
    made = [Cue(0.0, 1.25, "1 < 2 & so on"), Cue(3661.5, 3662.0, "an hour later")]
    assert vtt(made) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\n1 &lt; 2 &amp; so on\n\n"
        "01:01:01.500 --> 01:01:02.000\nan hour later\n"
    )
    assert srt(made).startswith("1\n00:00:00,000 --> 00:00:01,250\n1 < 2 & so on\n\n2\n01:01:01,500")
    assert vtt([]) == "WEBVTT\n"
