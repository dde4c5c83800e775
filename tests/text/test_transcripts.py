"""A transcript in every form that it leaves in."""

import json
import math

import pytest

from vivavoce.nouns import Segment, Transcript, Word
from vivavoce.text.english import code_of, english_name
from vivavoce.text.transcripts import from_plain, joined, raw, srt, to_plain, verbose, vtt

HEARD = Transcript(
    "en",
    4.0,
    (
        Segment("Hello there.", 0.5, 1.5, (Word("Hello", 0.5, 1.0, 0.9), Word("there.", 1.0, 1.5, 0.8))),
        Segment("You & I", 2.0, 3.25, (Word("You", 2.0, 2.5, 0.7), Word("&", 2.5, 2.6, 0.6), Word("I", 2.6, 3.25))),
    ),
)


def test_it_crosses_a_border_unchanged() -> None:
    assert from_plain(to_plain(HEARD)) == HEARD
    assert from_plain(json.loads(json.dumps(to_plain(HEARD)))) == HEARD
    nothing = Transcript("", 2.0)
    assert from_plain(to_plain(nothing)) == nothing


def test_raw_tells_everything() -> None:
    told = raw(HEARD)
    assert (told["language"], told["duration"]) == ("en", 4.0)
    assert [(s["id"], s["text"], s["start"], s["end"]) for s in told["segments"]] == [
        (0, "Hello there.", 0.5, 1.5),
        (1, "You & I", 2.0, 3.25),
    ]
    assert told["segments"][0]["words"][1] == {"word": "there.", "start": 1.0, "end": 1.5, "probability": 0.8}
    json.dumps(told)


def test_verbose_is_openais() -> None:
    told = verbose(HEARD)
    assert (told["task"], told["language"], told["duration"]) == ("transcribe", "english", 4.0)
    assert told["text"] == "Hello there. You & I"
    assert "words" not in told
    segment = told["segments"][0]
    assert segment["avg_logprob"] == pytest.approx((math.log(0.9) + math.log(0.8)) / 2, abs=1e-4)
    assert segment["seek"] == 50
    words = verbose(HEARD, ["word"])
    assert "segments" not in words
    assert words["words"][4] == {"word": "I", "start": 2.6, "end": 3.25}


def test_openais_client_reads_it() -> None:
    audio = pytest.importorskip("openai.types.audio")
    read = audio.TranscriptionVerbose.model_validate(verbose(HEARD, ("word", "segment")))
    assert [s.text for s in read.segments] == [s.text for s in HEARD.segments]
    assert [w.word for w in read.words] == [w.text for w in HEARD.words]
    silent = audio.TranscriptionVerbose.model_validate(verbose(Transcript("en", 1.0)))
    assert (silent.text, silent.segments) == ("", [])


def test_subtitles_of_words() -> None:
    assert vtt(HEARD).startswith("WEBVTT\n\n00:00:00.500 --> 00:00:01.800\nHello there.\n")
    assert "You &amp; I" in vtt(HEARD)
    assert srt(HEARD).startswith("1\n00:00:00,500 --> 00:00:01,800\nHello there.\n")
    assert "2\n00:00:02,000 --> " in srt(HEARD)


def test_subtitles_without_word_times_share_the_segment_out() -> None:
    long = "one two three four five six seven eight nine ten eleven twelve thirteen"
    told = srt(Transcript("en", 20.0, (Segment(long, 2.0, 18.0),)))
    lines = [line for line in told.splitlines() if line[:3].isalpha()]
    assert " ".join(lines) == long
    assert len(lines) > 1
    assert told.startswith("1\n00:00:02,000 --> ")
    assert "00:00:18,300" in told


def test_subtitles_of_languages_without_spaces() -> None:
    told = vtt(Transcript("zh", 5.0, (Segment("你好。我们说话。", 0.0, 4.0),)))
    assert "你好。\n" in told
    assert "我们说话。\n" in told
    assert vtt(Transcript("", 1.0)) == "WEBVTT\n"


def test_pieces_are_joined_and_nothing_reaches_beyond_the_end() -> None:
    one = joined([(10.0, HEARD), (20.0, HEARD)], "en", 22.5)
    assert [s.start for s in one.segments] == [10.5, 12.0, 20.5, 22.0]
    assert one.words[0].start == 10.5
    assert (one.segments[-1].end, one.words[-1].end) == (22.5, 22.5)
    assert one.seconds == 22.5


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("english", "en"),
        ("English", "en"),
        ("ru", "ru"),
        ("zh-CN", "zh"),
        ("chinese", "zh"),
        ("no", "nb"),
        ("", ""),
        ("x", ""),
    ],
)
def test_languages_by_their_english_names(told: str, code: str) -> None:
    assert code_of(told) == code


def test_english_names() -> None:
    assert (english_name("kk"), english_name("nb"), english_name("io")) == ("kazakh", "norwegian", "io")
