"""Which languages there are, and which texts are refused before an engine sees them."""

import pytest

from vivavoce.errors import InvalidInput
from vivavoce.text.languages import LANGUAGES, check_speakable, resolve


def test_the_five_tested_languages_come_first() -> None:
    assert list(LANGUAGES)[:5] == ["ru", "kk", "en", "ko", "zh"]
    assert [LANGUAGES[c].name for c in ("ru", "kk", "en", "ko", "zh")] == [
        "Русский",
        "Қазақша",
        "English",
        "한국어",
        "中文",
    ]
    assert LANGUAGES["zh"].espeak == "cmn"
    assert all(language.code == code and language.name for code, language in LANGUAGES.items())


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("en", "en"),
        ("en-US", "en"),
        ("EN_gb", "en"),
        ("zh-CN", "zh"),
        ("zh_Hans_CN", "zh"),
        ("cmn", "zh"),
        (" ru ", "ru"),
        ("no", "nb"),
    ],
)
def test_usual_forms_of_codes_are_understood(code: str, meant: str) -> None:
    assert resolve(code).code == meant


@pytest.mark.parametrize("code", ["", "xx", "russian", "e", "en;ru", "../ru", "ру", "-", "q" * 1000])
def test_an_unknown_language_is_refused_with_the_list(code: str) -> None:
    with pytest.raises(InvalidInput, match="ru, kk, en, ko, zh"):
        resolve(code)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Привет, мир", "ru"), ("Сервер API и HTTP работают", "ru"), ("Сәлем", "kk"), ("2026", "ru"),
        ("15 %", "zh"), ("Hello 😀", "en"),
        ("안녕하세요", "ko"), ("大韓民國", "ko"), ("你好", "zh"), ("今日はカレー", "ja"),
        ("Zdravo", "sr"), ("Здраво", "sr"), ("ｈｅｌｌｏ", "en"),
        ("مرحبا", "ar"), ("नमस्ते", "hi"), ("naïve café", "en"), ("е\u0301", "ru"),
    ],
)  # fmt: skip
def test_what_the_language_is_written_in_is_accepted(text: str, language: str) -> None:
    check_speakable(text, resolve(language))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"), (" \t\n", "ru"), ("😀🎉👍🏽", "en"), ("…?!", "zh"), ("\u200b\u200d", "en"), ("%", "en"),
        ("Привет", "en"), ("Hello there", "ru"),
        ("안녕", "zh"), ("你好", "ru"), ("Hello мир", "ru"), ("\x00\x01", "en"),
    ],
)  # fmt: skip
def test_what_no_voice_can_say_is_refused(text: str, language: str) -> None:
    with pytest.raises(InvalidInput):
        check_speakable(text, resolve(language))
