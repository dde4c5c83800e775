from string import Formatter
from typing import get_args

import pytest

from vivavoce.errors import Cancelled, EngineUnavailable, Overloaded, VivavoceError
from vivavoce.web import messages
from vivavoce.web.messages import LANGUAGES, Key, Messages


def test_every_sentence_is_there_in_every_language_with_the_same_gaps() -> None:
    assert set(messages._TABLE) == set(get_args(Key))
    for key, sentences in messages._TABLE.items():
        assert len(sentences) == len(LANGUAGES) == 5
        assert all(s and s == s.strip() and "\n" not in s for s in sentences), key
        gaps = [{name for _, name, _, _ in Formatter().parse(s) if name} for s in sentences]
        assert all(g == gaps[0] for g in gaps), key
        assert len(set(sentences)) == 5, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_in_their_own_script(language: str) -> None:
    script = {"ko": "\uac00-\ud7a3", "en": "a-z", "ru": "а-я", "kk": "а-я", "zh": "\u4e00-\u9fff"}[language]
    first, last = script.split("-")
    for key in get_args(Key):
        sentence = messages._TABLE[key][LANGUAGES.index(language)]
        assert any(first <= c <= last for c in sentence), key


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "ko"),
        ("", "ko"),
        ("*", "ko"),
        ("ru", "ru"),
        ("RU-ru", "ru"),
        ("zh-Hant-TW,zh;q=0.9", "zh"),
        ("kk-KZ;q=0.7, en;q=0.8", "en"),
        ("en;q=0, ru;q=0.1", "ru"),
        ("fr", "en"),
        ("fr, zh;q=0.2", "zh"),
        ("fr, *;q=0.1", "ko"),
        (";;;q=,,", "ko"),
        ("en;q=9", "ko"),
        ("a" * 100_000, "ko"),
    ],
)
def test_the_language_of_a_header(header: str | None, language: str) -> None:
    assert Messages.accepted(header).language == language


def test_numbers_and_lists_as_the_language_writes_them() -> None:
    assert Messages("ko")("tts_done", seconds=3.456) == "TTS 완료 (3.5초)"
    assert Messages("ru")("tts_done", seconds=3.456) == "Голос готов (3,5 с)"
    assert Messages("zh")("avatar_missing", names=["anna", "david"]).endswith("anna、david。")
    assert (
        Messages("en")("avatar_unknown", name="'{names}'", names=["a"]) == "There is no avatar '{names}'; there are: a."
    )


def test_errors_keep_their_own_words_where_there_are_no_others() -> None:
    assert Messages("ko").of(Overloaded("64 requests")).startswith("처리 중인")
    assert Messages("en").of(Overloaded("64 requests")) == "64 requests"
    assert Messages("kk").of(Cancelled("x")) == "Тапсырма тоқтатылды."
    assert Messages("zh").of(VivavoceError("x")).startswith("服务器内部错误")
    assert Messages("zh").of(EngineUnavailable("Set ELEVENLABS_API_KEY.")) == "Set ELEVENLABS_API_KEY."
