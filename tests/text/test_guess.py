import pytest

from vivavoce.text.guess import guess_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Привет, как дела?", "ru"),
        ("Сәлем, қалайсың?", "kk"),
        ("Hello there", "en"),
        ("안녕하세요", "ko"),
        ("안녕하세요, Kim 님", "ko"),
        ("你好，世界", "zh"),
        ("こんにちは、世界", "ja"),
        ("Привіт, як справи? Ще є їжа.", "uk"),
        ("Γειά σου", "el"),
        ("2026", "ru"),
    ],
)
def test_the_language_is_guessed_from_the_script(text: str, language: str) -> None:
    assert guess_language(text, "ru") == language


def test_the_default_language_wins_within_its_script() -> None:
    assert guess_language("Guten Tag", "de") == "de"
    assert guess_language("Guten Tag", "ru") == "en"


@pytest.mark.parametrize(
    ("text", "language"),
    [("The Korean word 안녕 is a greeting.", "en"), ("Слово 你好 значит привет.", "ru"), ("Город Нұр-Сұлтан", "kk")],
)
def test_one_foreign_word_does_not_decide(text: str, language: str) -> None:
    assert guess_language(text, "ru") == language
