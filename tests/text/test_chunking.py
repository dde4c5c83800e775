"""The chunks of a text: nothing lost, nothing torn, none too long, cut where a speaker would pause."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.text.chunking import chunks, sentences, words
from vivavoce.text.languages import resolve

LETTERS = {
    "ru": "абвгдеёжзий",
    "en": "abcdefgh",
    "kk": "әғқңөұү",
    "ko": "안녕하세요저는",
    "zh": "你好今天我们的去公园玩",
    "ja": "東京タワーへ行きました",
}
SIGNS = ".,!?;:…—–«»\"'()。！？，、“” \n\t0123456789%$@/-"


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, str]:
    language = draw(st.sampled_from(list(LETTERS)))
    alphabet = st.sampled_from(LETTERS[language] + SIGNS + "ab   ")
    return draw(st.text(alphabet, max_size=150)), language


def squeezed(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=150, deadline=None)
@given(texts(), st.integers(5, 30))
def test_nothing_is_lost_and_no_chunk_is_too_long(case: tuple[str, str], size: int) -> None:
    text, code = case
    language = resolve(code)
    made = chunks(text, size, language)
    assert all(c and c == c.strip() for c in made)
    assert squeezed("".join(made)) == squeezed(text)
    assert all(len(words(c, language)) <= size for c in made)
    if language.spaced:
        assert " ".join(made) == " ".join(text.split())


@settings(max_examples=150, deadline=None)
@given(texts())
def test_sentences_and_words_are_in_the_text(case: tuple[str, str]) -> None:
    text, code = case
    language = resolve(code)
    assert "".join(sentences(text, language)) == text
    end = 0
    for a, b in words(text, language):
        assert end <= a < b
        assert any(c.isalnum() for c in text[a:b])
        assert not any(c.isspace() for c in text[a:b])
        end = b
    covered = {i for a, b in words(text, language) for i in range(a, b)}
    assert all(i in covered for i, c in enumerate(text) if c.isalpha())


@pytest.mark.parametrize(
    ("language", "text", "size", "expected"),
    [
        ("ru", "Это первое предложение здесь. Это второе предложение, и оно длиннее первого.", 8,
         ["Это первое предложение здесь.", "Это второе предложение, и оно длиннее первого."]),
        ("en", "When the long day was over, they all went home without a word to anyone.", 8,
         ["When the long day was over,", "they all went home without a word to", "anyone."]),
        ("en", "one two three four five six seven eight nine ten eleven", 5,
         ["one two three four five", "six seven eight nine ten", "eleven"]),
        ("en", "Hello. W" + "word " * 9 + "end.", 9, ["Hello.", "W" + ("word " * 9).strip(), "end."]),
        ("kk", "Сәлеметсіз бе! Бүгін ауа райы өте жақсы екен.", 6,
         ["Сәлеметсіз бе!", "Бүгін ауа райы өте жақсы екен."]),
        ("zh", "你好。今天天气很好，我们一起去公园玩。", 5, ["你好。", "今天天气很好，", "我们一起去公园玩。"]),
        ("ko", "안녕하세요. 저는 말하는 서버입니다.", 5, ["안녕하세요. 저는 말하는 서버입니다."]),
    ],
)  # fmt: skip
def test_chunks_end_where_a_speaker_pauses(language: str, text: str, size: int, expected: list[str]) -> None:
    assert chunks(text, size, resolve(language)) == expected


@pytest.mark.parametrize("size", range(5, 16))
@pytest.mark.parametrize(
    ("language", "whole"),
    [
        ("ru", "1 000 000"),
        ("ru", "т. е. вот"),
        ("en", "Dr. Smith"),
        ("en", "https://a.example.com/b?c=d.e"),
        ("en", "3.14"),
        ("zh", "3.14"),
        ("zh", "Hello"),
    ],
)
def test_what_belongs_together_is_not_torn(language: str, whole: str, size: int) -> None:
    filler = "слово" if language == "ru" else "word" if language == "en" else "苹果"
    gap = "" if language == "zh" else " "
    for before in range(12):
        text = gap.join([filler] * before + [whole] + [filler] * 9)
        assert any(whole in c for c in chunks(text, size, resolve(language))), (before, size)


@pytest.mark.parametrize(
    ("language", "text", "n"),
    [
        ("ru", "Т.е. так. А.С. Пушкин жил в г. Москве. Цена 3.14 руб. за штуку! Да?", 4),
        ("kk", "2026 ж. болды. Иә!", 2),
        ("en", "Dr. Smith went to http://a.b.com/x?y=1 today. It was 3.14! “Really?” he said.", 3),
        ("zh", "你好。今天25号！“我们去？”好的。", 4),
    ],
)
def test_sentences_end_where_they_should(language: str, text: str, n: int) -> None:
    found = sentences(text, resolve(language))
    assert len(found) == n, found


def test_chinese_is_counted_in_words_of_one_or_two_characters() -> None:
    text = "我们一起去公园玩，看见了很多美丽的花，然后坐在树下休息，吃了一点东西，聊了很久才慢慢走回家。"
    found = [text[a:b] for a, b in words(text, resolve("zh"))]
    letters = len(re.findall(r"[\u4e00-\u9fff]", text))
    assert 1.3 <= letters / len(found) <= 2.0
    assert {"我们", "一起", "公园"} <= set(found)


def test_numbers_and_signs_are_words_as_written() -> None:
    text = "“In 2026” it grew 15%, don't you see? $5 (a lot)…"
    found = [text[a:b] for a, b in words(text, resolve("en"))]
    assert found == ["In", "2026", "it", "grew", "15%", "don't", "you", "see", "$5", "a", "lot"]


def test_signs_without_words_stay_with_the_words_beside_them() -> None:
    assert chunks("— — — — — — one two three four", 5, resolve("en")) == ["— — — — — — one", "two three four"]
    assert chunks("one two three four five — — — — — — —", 5, resolve("en")) == [
        "one two three four five — — — — — — —"
    ]


@pytest.mark.parametrize("text", ["", "   ", "\n\n"])
def test_no_text_has_no_chunks(text: str) -> None:
    assert chunks(text, 5, resolve("en")) == []
