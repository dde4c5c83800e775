"""The embedded voice: what it says, when it says so, and that nothing can wedge it."""

import gc
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import InvalidInput, TimedOut
from vivavoce.nouns import Speech
from vivavoce.text.chunking import words
from vivavoce.text.languages import LANGUAGES, resolve

TEXTS = {
    "ru": "Привет! В 2026 году API вырос на 15%, т.е. сильно.",
    "kk": "Сәлеметсіз бе! Қазақша 25 сөз айтамын.",
    "en": "Hello world, in 2026 the API grew 15%. Dr. Smith doesn't mind.",
    "ko": "안녕하세요 저는 말하는 서버입니다. API 서버 25개.",
    "zh": "你好，今天25号，Hello world。我们一起去公园玩。",
}


def say(voice: EspeakVoice, text: str, language: str = "en", id_: str = "") -> list[Speech]:
    return list(voice.synthesize(text, language=language, voice=id_))


def children() -> set[int]:
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def open_handles() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def process_of(voice: EspeakVoice) -> int:
    assert voice._process is not None
    return voice._process.pid


def assert_marks_hold(speech: Speech) -> None:
    phonemes, spoken = speech.of("phoneme"), speech.of("word")
    seconds = speech.audio.seconds
    assert phonemes[0].start == 0
    assert phonemes[-1].end == pytest.approx(seconds, abs=1e-3)
    assert all(a.end == pytest.approx(b.start, abs=1e-6) for a, b in pairwise(phonemes))
    assert all(m.end > m.start for m in phonemes)
    assert not any("(" in m.text for m in phonemes)
    assert all(0 <= m.start < m.end <= seconds + 1e-6 for m in spoken)
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(spoken))
    expected = words(speech.text, resolve(speech.language))
    assert [(m.offset, m.text) for m in spoken] == [(a, speech.text[a:b]) for a, b in expected]


@pytest.mark.parametrize("language", TEXTS)
def test_every_word_of_the_text_has_its_time(voice: EspeakVoice, language: str) -> None:
    parts = say(voice, TEXTS[language], language)
    assert "".join(p.text for p in parts) == TEXTS[language]
    for part in parts:
        assert part.audio.rate == 22050
        assert part.audio.samples.dtype == np.float32
        assert_marks_hold(part)


@pytest.mark.parametrize("language", TEXTS)
def test_the_sound_is_where_the_marks_say(voice: EspeakVoice, language: str) -> None:
    (speech,) = say(voice, TEXTS[language], language)
    samples, rate = speech.audio.samples, speech.audio.rate

    def loudness(start: float, end: float) -> float:
        return float(np.sqrt(np.mean(samples[int(start * rate) : int(end * rate)] ** 2)))

    pauses = [m for m in speech.of("phoneme") if not m.text and m.end - m.start > 0.1 and m.end < speech.audio.seconds]
    assert pauses
    for pause in pauses:
        assert loudness(pause.start + 0.05, pause.end) < 0.1 * loudness(0, speech.audio.seconds)
    for word in speech.of("word"):
        assert loudness(word.start, word.end) > 0.2 * loudness(0, speech.audio.seconds)


def test_numbers_are_one_word(voice: EspeakVoice) -> None:
    (speech,) = say(voice, "In 2026 it grew 15%.")
    assert [m.text for m in speech.of("word")] == ["In", "2026", "it", "grew", "15%"]
    year = speech.of("word")[1]
    assert year.end - year.start > 0.8  # "two thousand twenty six" takes its time


def test_silence_after_the_last_sound_is_short_and_pauses_stay(voice: EspeakVoice) -> None:
    text = " ".join(["This sentence is here to make the text long enough for several parts."] * 8)
    parts = say(voice, text)
    assert len(parts) > 1

    def tail(speech: Speech) -> float:
        sounding = np.flatnonzero(np.abs(speech.audio.samples) > 0.004)
        return (len(speech.audio.samples) - int(sounding[-1])) / speech.audio.rate

    assert tail(parts[-1]) == pytest.approx(0.05, abs=0.005)
    assert all(tail(p) > 0.15 for p in parts[:-1])


def test_voices_and_options_change_the_sound(voice: EspeakVoice) -> None:
    def one(id_: str) -> Speech:
        return say(voice, "One two three four five six seven.", "en", id_)[0]

    usual, slow, fast, low, male = (one(i) for i in ("", ";rate=90", "f2;rate=260", "f3;pitch=5", "m1"))
    assert slow.audio.seconds > 1.4 * usual.audio.seconds > 1.4 * fast.audio.seconds
    assert one("en-gb+f3").of("phoneme") != usual.of("phoneme")
    for other in (low, male):
        assert not np.array_equal(other.audio.samples[:9000], usual.audio.samples[:9000])
    assert np.array_equal(one("").audio.samples, usual.audio.samples)


@pytest.mark.parametrize(
    "id_",
    ["nobody", "../f1", "f1;rate=10", "f1;rate=999", "f1;pitch=100", "f1;volume=9", "f1;rate=x", "ru+f1", "+", ";"],
)
def test_unknown_voices_are_refused_at_once(voice: EspeakVoice, id_: str) -> None:
    with pytest.raises(InvalidInput):
        voice.synthesize("Hello.", language="en", voice=id_)


@pytest.mark.parametrize(
    ("text", "language"), [("", "en"), (" \n ", "ru"), ("😀🎉", "en"), ("?!…", "zh"), ("Hello", "xx"), ("Привет", "en")]
)
def test_what_cannot_be_spoken_is_refused_at_once(voice: EspeakVoice, text: str, language: str) -> None:
    with pytest.raises(InvalidInput):
        voice.synthesize(text, language=language)


def test_markup_and_control_characters_are_not_obeyed(voice: EspeakVoice) -> None:
    plain = say(voice, "say it")[0]
    marked = say(voice, "<prosody rate='500%'>say it</prosody> &amp; &lt;")[0]
    assert marked.audio.seconds > 2 * plain.audio.seconds
    assert len(marked.of("phoneme")) > 2 * len(plain.of("phoneme"))
    commanded = say(voice, "say \x0150s it\x00 now [[h@'loU]]")[0]
    assert commanded.of("word")[0].text == "say"
    assert_marks_hold(commanded)
    assert commanded.audio.seconds > plain.audio.seconds  # nothing after the NUL is lost


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "5",
        "a\r\n\r\nb",
        "\ud800 word",
        "e\u0301te\u0301 na\u00efve",
        "x" * 300,
        "https://a.example/b?c=d&e=f",
        "1,000,000.50",
        "\u202eword\u202c",
        "a\u200bb",
    ],
)
def test_odd_texts_are_spoken(voice: EspeakVoice, text: str) -> None:
    parts = say(voice, text)
    assert "".join(p.text for p in parts) == text
    for part in parts:
        assert_marks_hold(part)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Z", "S", "C"]), max_size=60))
def test_any_text_is_spoken_or_refused(voice: EspeakVoice, text: str) -> None:
    try:
        parts = say(voice, text, "en")
    except InvalidInput:
        return
    assert "".join(p.text for p in parts) == text
    for part in parts:
        assert_marks_hold(part)


def test_a_long_text_comes_in_parts(voice: EspeakVoice) -> None:
    text = (TEXTS["ru"] + " ") * 100
    parts = say(voice, text[:5000], "ru")
    assert "".join(p.text for p in parts) == text[:5000]
    assert sum(p.audio.seconds for p in parts) > 200
    (whole,) = say(voice, "слово " * 300, "ru")  # no sentence ends: one part
    assert len(whole.of("word")) == 300


def test_a_killed_process_is_replaced_and_the_text_said(voice: EspeakVoice) -> None:
    (before,) = say(voice, "One sentence.")
    first = process_of(voice)
    os.kill(first, signal.SIGKILL)
    (after,) = say(voice, "One sentence.")
    assert process_of(voice) != first
    assert np.array_equal(before.audio.samples, after.audio.samples)


def test_a_hung_process_is_given_up_and_replaced() -> None:
    voice = EspeakVoice(seconds_limit=0.5)
    try:
        say(voice, "Start.")
        hung = process_of(voice)
        os.kill(hung, signal.SIGSTOP)
        with pytest.raises(TimedOut):
            say(voice, "Nobody answers.")
        assert hung not in children()
        assert say(voice, "Here again.")[0].of("word")
    finally:
        voice.close()


def test_an_abandoned_stream_blocks_nobody(voice: EspeakVoice) -> None:
    text = " ".join(["A sentence of a text that is long enough to be spoken in parts."] * 20)
    stream = voice.synthesize(text, language="en")
    first = next(stream)
    other = say(voice, "Another text in between.")
    second = next(stream)
    assert text.startswith(first.text + second.text)
    assert other[0].text == "Another text in between."
    stream.close()  # type: ignore[attr-defined]
    with pytest.raises(StopIteration):
        next(stream)


def test_threads_get_their_own_text(voice: EspeakVoice) -> None:
    numbers = ["one", "two hundred", "three thousand and three", "fourteen million"]
    alone = {n: say(voice, n)[0] for n in numbers}
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda n: say(voice, n)[0], numbers * 10))
    for speech in many:
        assert np.array_equal(speech.audio.samples, alone[speech.text].audio.samples)
        assert speech.marks == alone[speech.text].marks


def test_closing_leaves_no_process_and_no_handle() -> None:
    before, handles = children(), open_handles()
    for _ in range(3):
        voice = EspeakVoice()
        say(voice, "Hello.")
        assert children() - before
        voice.close()
        voice.close()
    assert children() == before
    assert open_handles() <= handles


def test_a_forgotten_voice_ends_its_process() -> None:
    before = children()
    voice = EspeakVoice()
    say(voice, "Hello.")
    del voice
    gc.collect()
    assert children() == before


def test_traits_say_what_is_there() -> None:
    traits = EspeakVoice().traits
    assert traits.languages[:5] == ("ru", "kk", "en", "ko", "zh")
    assert len(traits.languages) > 90
    assert traits.timings == {"word", "phoneme"}
    assert {v.gender for v in traits.voices} == {"female", "male"}
    assert "GPL" in traits.licence


def test_one_language_does_not_colour_the_next(voice: EspeakVoice) -> None:
    text = "Папа купил пальто, а потом пироги."
    before = say(voice, text, "ru")[0]
    for language, other in (("bn", "নমস্কার"), ("ht", "mama papa"), ("ku", "mama papa"), ("ky", "мама папа")):
        say(voice, other, language)
        after = say(voice, text, "ru")[0]
        assert after.marks == before.marks, language
        assert np.array_equal(after.audio.samples, before.audio.samples), language


@pytest.mark.slow
def test_every_language_has_a_voice(voice: EspeakVoice) -> None:
    greetings = {
        "Latn": "mama papa", "Cyrl": "мама папа", "Hang": "안녕", "Hans": "你好", "Jpan": "こんにちは", "Arab": "سلام",
        "Armn": "բարեւ", "Beng": "নমস্কার", "Deva": "नमस्ते", "Ethi": "ሰላም", "Geor": "გამარჯობა", "Grek": "καλημέρα",
        "Gujr": "નમસ્તે", "Guru": "ਸਤਿ", "Hebr": "שלום", "Knda": "ನಮಸ್ತೆ", "Mlym": "നമസ്തേ", "Mymr": "မြန်မာ",
        "Orya": "ଓଡ଼ିଆ", "Sinh": "සිංහල", "Taml": "தமிழ்", "Telu": "తెలుగు", "Thai": "ไทย",
    }  # fmt: skip
    for code, language in LANGUAGES.items():
        assert say(voice, greetings[language.script], code)[0].of("word"), code


@pytest.mark.parametrize("rate", [120, 155, 280])
def test_a_voiceless_stop_begins_where_the_mouth_closes(voice: EspeakVoice, rate: int) -> None:
    (speech,) = say(voice, "Папа купил пальто, а потом пироги. Кот пьёт, а пёс ест.", "ru", f"f3;rate={rate}")
    samples, hertz = speech.audio.samples, speech.audio.rate

    def loudness(start: float, end: float) -> float:
        return float(np.sqrt(np.mean(samples[int(start * hertz) : int(end * hertz)] ** 2)))

    usual = loudness(0, speech.audio.seconds)
    phonemes = speech.of("phoneme")
    stops = [
        (a, b) for a, b in pairwise(phonemes) if b.text[:1] in ("p", "t", "k") and a.text[-1:] in tuple("aɑʌəouiɪ")
    ]
    assert len(stops) >= 5
    for vowel, stop in stops:
        assert loudness(stop.start, stop.start + 0.02) < 0.12 * usual, stop
        assert loudness(vowel.start, vowel.end) > 0.25 * usual, vowel
    begun = {p.start for p in phonemes}
    assert all(w.start in begun for w in speech.of("word"))
