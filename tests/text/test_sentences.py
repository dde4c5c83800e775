"""Sentences of a text that is still being written: nothing lost, none too late, and only what can be said."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.text.languages import resolve
from vivavoce.text.plain import Plain, plain
from vivavoce.text.sentences import Sentences, spoken_sentences

WRITTEN = {
    "en": [
        "Hello! ",
        "I met Dr. Smith at 5 p.m. on Monday. ",
        "It costs 3.14 dollars, i.e. not much. ",
        "Is that so?! ",
        '"Yes." ',
        "The U.S. Army came. ",
        "J. R. R. Tolkien wrote it... ",
        "And then?\n",
        "- apples\n",
        "- pears\n",
        "2. That is all.",
    ],
    "ru": [
        "Привет! ",
        "Сегодня 15 тыс. человек, т.е. много. ",
        "А. С. Пушкин родился в 1799 г. в Москве. ",
        "Он ушёл! ",
        "Потом вернулся?",
    ],
    "kk": ["Сәлем! ", "Бүгін ауа райы жақсы. ", "Қалайсыз?"],
    "ko": ["안녕하세요! ", "오늘은 3.5도입니다. ", "정말요? ", "네."],
    "zh": ["你好！", "今天是2026年3.5号。", "“真的吗？”", "他说。", "好的！", "再见"],
}
LETTERS = {"ru": "абвё", "en": "abcd", "kk": "әғқі", "ko": "안녕하", "zh": "你好今天"}
SIGNS = ".,!?;:…—«»\"'()。！？，、“”*_`#>|[]~\\/&< \n\t0123456789👍🏽\u200d\u0301"


@st.composite
def texts(draw: st.DrawFn) -> tuple[list[str], str]:
    language = draw(st.sampled_from(list(LETTERS)))
    alphabet = st.sampled_from(LETTERS[language] + SIGNS + "ab   ")
    return draw(st.lists(st.text(alphabet, max_size=30), max_size=12)), language


@settings(max_examples=100, deadline=None)
@given(texts(), st.integers(20, 60))
def test_joined_they_are_the_text_and_none_is_too_long(case: tuple[list[str], str], most: int) -> None:
    pieces, code = case
    splitter = Sentences(resolve(code), most=most)
    made = [s for piece in pieces for s in splitter.feed(piece)] + splitter.finish()
    assert "".join(made) == "".join(pieces)
    assert all(0 < len(s) <= most for s in made)
    assert splitter.finish() == []


@settings(max_examples=100, deadline=None)
@given(texts(), st.integers(20, 60))
def test_what_is_spoken_can_be_spoken(case: tuple[list[str], str], most: int) -> None:
    pieces, code = case
    made = list(spoken_sentences(pieces, resolve(code), most=most))
    assert all(any(c.isalnum() for c in s) and not s[0].isspace() and len(s) <= most + 1 for s in made)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for s in made for c in s.rstrip("\n"))
    assert "👍" not in "".join(made)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("абвг, .!?", max_size=20)), st.integers(1, 9))
def test_no_word_is_lost_or_added(pieces: list[str], size: int) -> None:
    text = "".join(pieces)
    cut = [text[i : i + size] for i in range(0, len(text), size)]
    said = "".join(spoken_sentences(cut, resolve("ru"), most=40))
    assert [c for c in said if c.isalpha()] == [c for c in text if c.isalpha()]


@pytest.mark.parametrize("code", WRITTEN)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_however_the_text_is_cut_its_sentences_are_the_same(code: str, size: int) -> None:
    text = "".join(WRITTEN[code])
    splitter = Sentences(resolve(code))
    made = [s for i in range(0, len(text), size) for s in splitter.feed(text[i : i + size])] + splitter.finish()
    assert made == WRITTEN[code]


@pytest.mark.parametrize("code", WRITTEN)
def test_a_sentence_comes_as_soon_as_the_next_word_is_there(code: str) -> None:
    text = "".join(WRITTEN[code])
    splitter, given_out, at = Sentences(resolve(code)), 0, 0
    for sentence in WRITTEN[code][:-1]:
        at += len(sentence)
        following = text[at:].split(maxsplit=1)[0]
        while splitter and given_out < at:
            read = text[: at + len(following) + 1]
            splitter = Sentences(resolve(code))
            given_out = sum(map(len, splitter.feed(read)))
            assert given_out >= at, sentence


@pytest.mark.parametrize(
    ("written", "given_out"),
    [
        ("That is it.", True),
        ("That is it. ", True),
        ('He said "yes!"', True),
        ("Это всё?", True),
        ("就这样。", True),
        ("I met Dr.", False),
        ("I met J.", False),
        ("It costs 3.", False),
        ("Это т.", False),
        ("And then", False),
        ("", False),
    ],
)
def test_in_a_pause_a_sentence_that_looks_whole_is_given_out(written: str, given_out: bool) -> None:
    splitter = Sentences(resolve("zh" if "就" in written else "ru" if "т" in written else "en"))
    assert splitter.feed(written) == []
    assert splitter.feed("") == ([written] if given_out else [])
    assert splitter.feed("") + splitter.finish() == ([written] if written and not given_out else [])


def test_a_pause_loses_no_space() -> None:
    pieces = ["One.", "", " Two.", "", "\nThree", "", " four."]
    assert list(spoken_sentences(pieces, resolve("en"))) == ["One. ", "Two. ", "Three four."]
    assert list(spoken_sentences(["一。", "", "二。"], resolve("zh"))) == ["一。", "二。"]


def test_another_language_keeps_its_own_rules() -> None:
    splitter = Sentences(resolve("en"))
    assert splitter.feed("这是第一句。这是第二句。还有") == ["这是第一句。", "这是第二句。"]


def test_a_long_sentence_is_cut_where_one_breathes() -> None:
    text = "one two three four five, six seven eight nine ten eleven twelve thirteen fourteen"
    splitter = Sentences(resolve("en"), most=40)
    assert splitter.feed(text) + splitter.finish() == [
        "one two three four five, ",
        "six seven eight nine ten eleven twelve ",
        "thirteen fourteen",
    ]
    with pytest.raises(ValueError, match="at least 20"):
        Sentences(resolve("en"), most=5)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("## A *very* **good** day", "A very good day"),
        ("这是**重点**内容", "这是重点内容"),
        ("- [x] done", "done"),
        ("> quoted __words__", "quoted words"),
        ("snake_case, 2 * 3 = 6, 2*3 and 2**3", "snake_case, 2 * 3 = 6, 2*3 and 2**3"),
        ("See [the docs](https://a.b/c?d=e.f).", "See the docs."),
        ("Look at https://www.example.com/a/b.html?x=1.", "Look at example.com."),
        ("请看https://a.com/b，谢谢", "请看a.com，谢谢"),
        ("<https://user@example.org:80/x>", "example.org"),
        ("Write to me@example.com", "Write to me@example.com"),
        ("Good 😊👨\u200d👩\u200d👧 day 👍🏽!", "Good day!"),
        ("می\u200cخواهم क्\u200dष", "می\u200cخواهم क्\u200dष"),
        ("It is 20 °C &amp; sunny™", "It is 20 °C & sunny™"),
        ("| a | b |", "a, b"),
        ("|---|:-:|", ""),
        ("* * *", ""),
        ("😊 …", ""),
        ("A → B", "A, B"),
        (r"\*not bold\*", "*not bold*"),
        ("Water <b>boils</b><br>", "Water boils"),
        ("if a < b and b > c", "if a < b and b > c"),
        ("As known[1] 【4:0†source】.", "As known."),
        ("`code` it", "code it"),
        ("1. First", "1. First"),
    ],
)
def test_what_is_only_seen_is_left_out(written: str, said: str) -> None:
    assert plain(written) == said


def test_code_is_left_out_however_it_is_cut() -> None:
    text = "Try this:\n```python\nprint('Hi there. You.')\n# Not a heading\n```\nIt greets. ```x``` too."
    for size in (1, 4, 1000):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        assert list(spoken_sentences(pieces, resolve("en"))) == ["Try this:\n", "It greets. ", "x too."]


def test_an_address_without_an_end_is_still_one_address() -> None:
    address = "https://example.com/" + "a1b2" * 100
    assert list(spoken_sentences([f"See {address} now."], resolve("en"), most=100)) == ["See ", "example.com", "now."]
    maker = Plain()
    assert [maker.said(s) for s in ("Go to https://example.com/a", "b/c?d ", "today.")] == [
        "Go to example.com",
        "",
        "today.",
    ]
