"""Answers from a file: the right one is found in five languages, and a wrong file is told what is wrong with it."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk import ASKED, STRANGE
from vivavoce.engines.chats.likeness import Likeness
from vivavoce.engines.chats.scripted import ScriptedChat
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.nouns import Turn

UNKNOWN = {
    "ru": "Этого я не знаю.",
    "kk": "Білмеймін, өкінішке қарай.",
    "en": "I do not know.",
    "ko": "잘 모르겠어요.",
    "zh": "我不知道。",
}


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> ScriptedChat:
    entries = [
        {"questions": list(written), "answer": f"{subject} {language}.", "language": language}
        for subject, told in ASKED.items()
        for language, (written, _) in told.items()
    ]
    file = tmp_path_factory.mktemp("kiosk") / "answers.json"
    file.write_text(json.dumps([*entries, {"question": "*", "answer": UNKNOWN}], ensure_ascii=False), encoding="utf-8")
    return ScriptedChat(file)


def ask(engine: ScriptedChat, said: str, **options: str) -> str:
    return "".join(engine.reply((Turn("user", said),), **options))


@pytest.mark.parametrize("pinned", [False, True])
def test_people_are_understood(kiosk: ScriptedChat, pinned: bool) -> None:
    cases = [(s, q, code) for s, told in ASKED.items() for code, (_, said) in told.items() for q in said]
    wrong = [
        (q, answer)
        for subject, q, code in cases
        if (answer := ask(kiosk, q, language=code if pinned else "")) != f"{subject} {code}."
    ]
    assert len(wrong) <= 0.05 * len(cases), wrong


def test_what_the_kiosk_does_not_know_it_says_so(kiosk: ScriptedChat) -> None:
    cases = [(q, code) for code, asked in STRANGE.items() for q in asked]
    wrong = [(q, answer) for q, code in cases if (answer := ask(kiosk, q, language=code)) != UNKNOWN[code]]
    assert not wrong


@pytest.mark.parametrize("code", UNKNOWN)
def test_what_is_written_is_found_in_every_spelling(kiosk: ScriptedChat, code: str) -> None:
    for subject, told in ASKED.items():
        for question in told[code][0]:
            for spelt in (question, question.upper(), question.rstrip("?？") + "!!", f"  {question}\n"):
                assert ask(kiosk, spelt) == f"{subject} {code}."


def test_an_answer_is_in_the_language_that_is_asked_for(kiosk: ScriptedChat) -> None:
    assert ask(kiosk, "Where is the lift?", language="en") == "lift en."
    assert ask(kiosk, "Where is the lift?", language="ru") == UNKNOWN["ru"]
    with pytest.raises(InvalidInput, match=r"no answers in Français \(fr\) here; ask in ru, kk, en, ko, zh"):
        ask(kiosk, "Où est l'ascenseur ?", language="fr")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab дё한국你好 ?", min_size=1, max_size=12), min_size=1, max_size=6),
    st.text("ab д한你?", max_size=12),
)
def test_likeness_lies_between_nothing_and_the_same(texts: list[str], said: str) -> None:
    likeness = Likeness(texts)
    assert all(0 < score <= 1 + 1e-9 for score in likeness.scores(said).values())
    for i, text in enumerate(texts):
        if any(c.isalnum() for c in text):
            assert likeness.scores(text)[i] == pytest.approx(1)


# ---- files

MARKDOWN = """# Kiosk
Anything before the first question with an answer.

## Where is the lift?
## How do I get upstairs?
The lift is **on the left**,
behind the [stairs](https://example.com/stairs).

It goes to floor 3.
## \\*
Ask my colleague.
"""
TABLE = """question;answer;language
"Where is the lift?|How do I get upstairs?";"On the left; behind the stairs.";en
*;Ask my colleague.;
"""


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("a.md", MARKDOWN, "The lift is on the left, behind the stairs.\nIt goes to floor 3."),
        ("a.csv", TABLE, "On the left; behind the stairs."),
        ("a.csv", TABLE.replace("; behind", ", behind").replace(";", ","), "On the left, behind the stairs."),
        ("a.tsv", TABLE.replace(";", "\t").replace("left\t", "left,"), "On the left, behind the stairs."),
        (
            "a.json",
            '\ufeff[{"questions": ["Where is the lift?", "How do I get upstairs?"], "answer": "Left."},'
            ' {"question": "*", "answer": {"en": "Ask my colleague."}}]',
            "Left.",
        ),
    ],
)
def test_every_kind_of_file_is_read(tmp_path: Path, name: str, text: str, answer: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    engine = ScriptedChat(tmp_path / name)
    assert ask(engine, "where's the lift") == ask(engine, "how to get upstairs") == answer
    assert ask(engine, "Who are you?") == "Ask my colleague."


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "x", "ends in none of .json, .csv"),
        ("a.json", "{", "it is no JSON"),
        ("a.json", "{}", "no JSON list"),
        ("a.json", "[]", "there is no question in it"),
        ("a.json", '["x"]', "entry 1 is no object"),
        ("a.json", '[{"question": "?", "answer": "Yes."}]', "entry 1 has no question"),
        ("a.json", '[{"question": "A", "answer": 1}]', "entry 1 has no answer"),
        ("a.json", '[{"question": "A", "answer": {"xx": "Yes."}}]', "entry 1 is in a language that is not known"),
        ("a.csv", "a,b\n1,2\n", "does not name the columns question and answer"),
        ("a.csv", "question,answer\nWhy,\n", "line 2 has no answer"),
        ("a.md", "# Why?\n# \nBecause.", "the question in line 1 has no answer"),
        ("a.md", "Nothing.", "there is no question in it"),
    ],
)
def test_a_wrong_file_is_told_what_is_wrong(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(EngineUnavailable, match=sentence) as raised:
        ScriptedChat(tmp_path / name)
    assert "VIVAVOCE_CHATS__SCRIPTED__FILE" in str(raised.value)


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"# \xff\xfe\n")
    with pytest.raises(EngineUnavailable, match="UTF-8"):
        ScriptedChat(tmp_path / "a.md")
    with pytest.raises(EngineUnavailable, match="cannot be read"):
        ScriptedChat(tmp_path / "b.md")
    with pytest.raises(EngineUnavailable, match="set VIVAVOCE_CHATS__SCRIPTED__FILE"):
        ScriptedChat()


def test_a_file_that_changes_is_read_again_unless_it_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("# Who are you?\nAnna.\n", encoding="utf-8")
    engine = ScriptedChat(file)
    for when, (text, answer) in enumerate(
        [("# Who are you?\nBoris.\n", "Boris."), ("# Who?\n", "Boris."), ("# Who are you?\nAnna.\n", "Anna.")], 1
    ):
        file.write_text(text, encoding="utf-8")
        os.utime(file, (when, when))
        assert ask(engine, "who are you") == answer
    file.unlink()
    assert ask(engine, "who are you") == "Anna."


def test_without_a_word_for_it_the_house_says_that_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '[{"question": "Где лифт?", "answer": "Слева."},'
        ' {"question": "Où est l\'ascenseur ?", "answer": "À gauche.", "language": "fr"}]',
        encoding="utf-8",
    )
    engine = ScriptedChat(tmp_path / "a.json")
    assert ask(engine, "Сколько звёзд на небе?", language="ru") == "На это у меня нет ответа."
    assert ask(engine, "Ou est l'ascenseur?", language="fr") == "À gauche."
    with pytest.raises(InvalidInput, match="Nothing here answers this"):
        ask(engine, "Combien d'étoiles dans le ciel ?", language="fr")
