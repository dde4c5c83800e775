"""A turn of a conversation, with a real model server: heard while it is written, remembered as it was heard."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from partners import Partner, partner
from vivavoce.engines.chats.openai import OpenAIChat
from vivavoce.engines.chats.scripted import ScriptedChat
from vivavoce.errors import Cancelled, Conflict, EngineUnavailable, InvalidInput, TimedOut, TooLarge
from vivavoce.nouns import ChatTraits, Turn
from vivavoce.store.conversations import ConversationStore
from vivavoce.studio.conversation import Limits, Memory, turn

LONG = "This is **one**. This is two! 😊 Is this three? And this is four."
HEARD = "This is one. This is two! …"
"""What is remembered of it when it breaks off in its midst."""


def nothing(_: float, __: str) -> None:
    """A report that nobody reads."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Partner]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with partner() as running:
        running.otherwise = LONG
        yield running


@pytest.fixture
def chat(server: Partner) -> Iterator[OpenAIChat]:
    engine = OpenAIChat({"here": {"base_url": server.url, "model": "m"}}, token_seconds=0.4)
    yield engine
    engine.close()


def test_an_answer_comes_in_sentences_that_can_be_spoken(chat: OpenAIChat) -> None:
    memory = Memory()
    told = list(turn(chat, memory, " Hello! ", report=nothing))
    assert told == ["This is one. ", "This is two! ", "Is this three? ", "And this is four."]
    assert memory.added == (Turn("user", "Hello!"), Turn("assistant", "".join(told)))


def test_the_first_sentence_does_not_wait_for_the_rest(server: Partner, chat: OpenAIChat) -> None:
    server.moods = ["stall"]
    memory = Memory()
    told = turn(chat, memory, "Hello!", report=nothing)
    assert next(told) == "This is one. "
    assert not server.left.is_set()
    told.close()
    assert server.left.wait(2)
    assert memory.added == (Turn("user", "Hello!"), Turn("assistant", "This is one. …"))


def test_a_slow_model_is_not_waited_for_when_its_sentence_is_whole(server: Partner) -> None:
    chat = OpenAIChat({"here": {"base_url": server.url, "model": "m"}})
    server.moods, server.patience, server.otherwise = ["slow"], 0.4, "No. And."  # three characters at a time
    told = turn(chat, Memory(), "Hello!", report=nothing)
    began = time.monotonic()
    assert next(told) == "No. "
    assert time.monotonic() - began < 0.4
    assert list(told) == ["And."]
    chat.close()


def test_three_turns_remember_each_other_and_sessions_never_mix(
    server: Partner, chat: OpenAIChat, tmp_path: Path
) -> None:
    server.otherwise = "Noted."
    store = ConversationStore(tmp_path)
    for said in ("My name is Anna.", "I live in Almaty.", "Who am I?"):
        for session in ("one", "two"):
            with store.turn("", session) as talk:
                spoken = turn(chat, talk, f"{session}: {said}", language="en", system="Be brief.", report=nothing)
                assert list(spoken) == ["Noted."]
    for asked, session in zip(server.asked[-2:], ("one", "two"), strict=True):
        (role, told), *rest = asked.messages
        assert role == "system"
        assert told.startswith("Be brief.\n\nAnswer only in English")
        assert rest == [
            ("user", f"{session}: My name is Anna."),
            ("assistant", "Noted."),
            ("user", f"{session}: I live in Almaty."),
            ("assistant", "Noted."),
            ("user", f"{session}: Who am I?"),
        ]


def test_a_second_turn_of_a_session_waits_its_turn(server: Partner, chat: OpenAIChat, tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    server.moods = ["stall"]
    with store.turn("", "one") as talk:
        told = turn(chat, talk, "Hello!", report=nothing)
        next(told)
        with pytest.raises(Conflict), store.turn("", "one"):
            pass
        told.close()
    with store.turn("", "one") as talk:
        assert [t.text for t in talk.turns] == ["Hello!", "This is one. …"]


@pytest.mark.parametrize(
    ("mood", "error", "heard"),
    [
        ("truncated", EngineUnavailable, HEARD),
        ("cut", EngineUnavailable, HEARD),
        ("error", EngineUnavailable, HEARD),
        ("stall", TimedOut, HEARD),
        ("filtered", InvalidInput, HEARD),
        ("401", EngineUnavailable, ""),
        ("silent", TimedOut, ""),
        ("empty", EngineUnavailable, ""),
    ],
)
def test_a_failure_leaves_only_what_was_heard(
    server: Partner, tmp_path: Path, mood: str, error: type[Exception], heard: str
) -> None:
    store, known = ConversationStore(tmp_path), (Turn("user", "Before."), Turn("assistant", "Well."))
    chat = OpenAIChat({"here": {"base_url": server.url}}, first_seconds=0.4, token_seconds=0.4)
    with store.turn("", "one") as talk:
        talk.add(*known)
    server.moods = [mood]
    told: list[str] = []
    try:
        with store.turn("", "one") as talk, pytest.raises(error):
            told.extend(turn(chat, talk, "Hello!", report=nothing))
    finally:
        chat.close()
    after = (Turn("user", "Hello!"), Turn("assistant", heard)) if heard else ()
    assert store.get("", "one") == known + after
    assert "".join(told) == heard.removesuffix("…")
    assert not [t for t in threading.enumerate() if t.name.startswith(("chat", "voice network"))]


@pytest.mark.parametrize("mood", ["hang", "silent", "stall"])
def test_a_cancel_is_heard_while_the_model_is_silent(server: Partner, mood: str) -> None:
    chat = OpenAIChat({"here": {"base_url": server.url, "model": "m"}})
    server.moods = [mood]
    cancelled: list[float] = []

    def report(_: float, stage: str) -> None:
        if server.busy.is_set() and stage == "think":
            cancelled.append(time.monotonic())
            raise Cancelled("The work was cancelled.")

    memory = Memory()
    with pytest.raises(Cancelled):
        list(turn(chat, memory, "Hello!", report=report))
    assert time.monotonic() - cancelled[0] < 0.5
    assert server.left.wait(2)
    assert [t.text for t in memory.added] in ([], ["Hello!", HEARD])
    chat.close()


def test_a_long_answer_is_cut_short_at_a_sentence(server: Partner, chat: OpenAIChat) -> None:
    server.moods = ["endless"]
    memory = Memory()
    told = list(turn(chat, memory, "Hello!", limits=Limits(reply_characters=60), report=nothing))
    assert told == ["This is one. ", "This is two! ", "Is this three? ", "And this is four. "]
    assert memory.added[-1].text == "".join(told) + "…"
    assert server.left.wait(2)


def test_a_long_conversation_is_sent_without_its_beginning(server: Partner, chat: OpenAIChat) -> None:
    known = [Turn(role, f"{role} {i}") for i in range(50) for role in ("user", "assistant")]
    limits = Limits(turns=5, tokens=1000)
    list(turn(chat, Memory(known), "Now?", system="Be brief.", limits=limits, report=nothing))
    assert [text for _, text in server.asked[0].messages] == [
        *("Be brief.", "user 48", "assistant 48", "user 49", "assistant 49", "Now?")
    ]


@pytest.mark.parametrize(("said", "error"), [("", InvalidInput), (" \n…", InvalidInput), ("long " * 1001, TooLarge)])
def test_what_says_nothing_or_too_much_is_refused_at_once(
    server: Partner, chat: OpenAIChat, said: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        turn(chat, Memory(), said, report=nothing)
    with pytest.raises(InvalidInput):
        turn(chat, Memory(), "Hello!", model="nobody", report=nothing)
    assert not server.asked


class Mute:
    """A partner who writes only what nobody can say."""

    traits = ChatTraits(models=("mute",))

    def reply(self, turns: Sequence[Turn], *, model: str = "", language: str = "") -> Iterator[str]:
        del turns, model, language
        return iter(["```\nx = 1\n", "```\n", "😊"])


def test_an_answer_without_a_word_is_an_error(server: Partner) -> None:
    memory = Memory()
    with pytest.raises(EngineUnavailable, match="nothing that can be spoken"):
        list(turn(Mute(), memory, "Hello!", report=nothing))
    assert not memory.added


def test_a_script_answers_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Кто ты?\nЯ Анна. Рада вас видеть!\n# *\nНе знаю.\n", encoding="utf-8")
    chat, memory = ScriptedChat(tmp_path / "a.md"), Memory()
    assert list(turn(chat, memory, "кто ты такая", language="ru", report=nothing)) == ["Я Анна. ", "Рада вас видеть!"]
    assert list(turn(chat, memory, "сколько времени", language="ru", report=nothing)) == ["Не знаю."]
    assert len(memory.turns) == 4
