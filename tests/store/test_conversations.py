"""Conversations: kept apart, bounded, forgotten in time, and one turn after another."""

import json
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from vivavoce.errors import Conflict, InvalidInput, NotFound
from vivavoce.nouns import Turn
from vivavoce.store import conversations
from vivavoce.store.conversations import ConversationStore

ANNA, BORIS = "a" * 16, "b" * 16


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> ConversationStore:
    return ConversationStore(tmp_path / "talks", turns=6, tokens=400, seconds=100, clock=clock)


def exchange(store: ConversationStore, owner: str, session: str, said: str) -> tuple[Turn, ...]:
    with store.turn(owner, session) as talk:
        talk.add(Turn("user", said), Turn("assistant", f"re: {said}"))
        return talk.turns


def texts(turns: tuple[Turn, ...]) -> list[str]:
    return [turn.text for turn in turns]


def test_turns_are_remembered_and_sessions_never_mix(store: ConversationStore) -> None:
    for said in ("Привет", "你好 😊"):
        exchange(store, ANNA, "one", said)
    exchange(store, ANNA, "two", "other")
    exchange(store, BORIS, "one", "Boris's")
    exchange(store, "", "one", "everybody's")
    assert texts(store.get(ANNA, "one")) == ["Привет", "re: Привет", "你好 😊", "re: 你好 😊"]
    assert [t.role for t in store.get(ANNA, "one")] == ["user", "assistant"] * 2
    assert texts(store.get(ANNA, "two")) == ["other", "re: other"]
    assert texts(store.get(BORIS, "one")) == ["Boris's", "re: Boris's"]
    assert texts(store.get("", "one")) == ["everybody's", "re: everybody's"]
    assert store.get(BORIS, "two") == ()
    assert store.sessions(ANNA) == ["one", "two"]
    store.remove(ANNA, "one")
    assert store.sessions(ANNA) == ["two"]
    with pytest.raises(NotFound):
        store.remove(ANNA, "one")


def test_the_oldest_turns_fall_out(store: ConversationStore) -> None:
    for i in range(9):
        kept = exchange(store, ANNA, "one", f"q{i}")
    assert texts(kept) == texts(store.get(ANNA, "one")) == ["q6", "re: q6", "q7", "re: q7", "q8", "re: q8"]
    exchange(store, ANNA, "one", "很长" * 97)
    assert len(store.get(ANNA, "one")) == 2


@pytest.mark.parametrize(
    "session",
    ["", ".", "..", "a/b", "../a", "a\\b", "a\0", "-a", "_a", ".a", "a.json", "a" * 65, "ä", "a b", "a\n", "%2e"],
)
def test_a_session_that_could_lead_elsewhere_is_refused(store: ConversationStore, tmp_path: Path, session: str) -> None:
    with pytest.raises(InvalidInput, match="session_id"), store.turn(ANNA, session):
        pass
    with pytest.raises(InvalidInput, match="session_id"):
        store.get(ANNA, session)
    with pytest.raises(InvalidInput, match="session_id"):
        store.remove(ANNA, session)
    assert not list(tmp_path.iterdir())


def test_an_owner_is_no_path(store: ConversationStore, tmp_path: Path) -> None:
    exchange(store, "../../elsewhere", "one", "hi")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json")] == ["talks/everybody/one.json"]


def test_a_conversation_is_forgotten_in_time(store: ConversationStore, clock: Clock) -> None:
    exchange(store, ANNA, "one", "q")
    clock.now += 60
    exchange(store, ANNA, "two", "q")
    clock.now += 60
    assert store.get(ANNA, "one") == ()
    assert store.sessions(ANNA) == ["two"]
    assert exchange(store, ANNA, "one", "new") == (Turn("user", "new"), Turn("assistant", "re: new"))
    clock.now += 60
    assert store.sweep() == 1
    assert store.sessions(ANNA) == ["one"]


def test_one_turn_after_another(store: ConversationStore) -> None:
    with store.turn(ANNA, "one") as talk:
        talk.add(Turn("user", "q"), Turn("assistant", "a"))
        with pytest.raises(Conflict, match="still answering"), store.turn(ANNA, "one"):
            pass
        with pytest.raises(Conflict, match="still answering"):
            store.remove(ANNA, "one")
        with store.turn(ANNA, "two"), store.turn(BORIS, "one"):
            pass
        assert texts(store.get(ANNA, "one")) == ["q", "a"]
    assert texts(exchange(store, ANNA, "one", "r")) == ["q", "a", "r", "re: r"]


def test_of_many_who_talk_at_once_each_is_kept_or_refused(store: ConversationStore) -> None:
    kept, refused = [], []
    gate = threading.Barrier(8)

    def talk(number: int) -> None:
        gate.wait()
        for i in range(20):
            try:
                with store.turn(ANNA, "one") as one:
                    before = one.turns
                    one.add(Turn("user", f"{number}/{i}"))
                    assert one.turns[:-1] == before[len(before) - len(one.turns) + 1 :]
                    kept.append(f"{number}/{i}")
            except Conflict:
                refused.append(f"{number}/{i}")

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) + len(refused) == 160
    assert texts(store.get(ANNA, "one")) == kept[-6:]


def _hold_and_die(root: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with ConversationStore(root).turn(ANNA, "one"):
        ready.set()
        os._exit(1)


def test_the_floor_falls_with_its_process(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    process = spawn.Process(target=_hold_and_die, args=(tmp_path, ready))
    process.start()
    process.join(20)
    assert ready.is_set()
    store = ConversationStore(tmp_path)
    assert list((tmp_path / ANNA).glob(".*.lock"))
    exchange(store, ANNA, "one", "q")
    assert [p.name for p in (tmp_path / ANNA).iterdir()] == ["one.json"]


def test_what_cannot_be_written_changes_nothing(
    store: ConversationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange(store, ANNA, "one", "q")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vivavoce.store.conversations.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        exchange(store, ANNA, "one", "r")
    assert texts(store.get(ANNA, "one")) == ["q", "re: q"]
    assert [p.name for p in (tmp_path / "talks" / ANNA).iterdir()] == ["one.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"turns": 1}', '{"turns": [{"role": "user"}]}'])
def test_a_damaged_conversation_says_so(store: ConversationStore, tmp_path: Path, clock: Clock, content: str) -> None:
    exchange(store, ANNA, "one", "q")
    path = tmp_path / "talks" / ANNA / "one.json"
    path.write_text(content)
    clock.now = path.stat().st_mtime
    with pytest.raises(NotFound, match="damaged"), store.turn(ANNA, "one"):
        pass
    store.remove(ANNA, "one")
    assert store.get(ANNA, "one") == ()


def test_half_a_character_is_kept_as_a_mark(store: ConversationStore) -> None:
    exchange(store, ANNA, "one", "a\ud800\0b")
    assert texts(store.get(ANNA, "one"))[0] == "a\ufffd\ufffdb"


def test_files_are_for_their_server_only(store: ConversationStore, tmp_path: Path) -> None:
    exchange(store, ANNA, "one", "q")
    path = tmp_path / "talks" / ANNA / "one.json"
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == 1


def test_an_owner_has_so_many_and_the_oldest_goes(
    store: ConversationStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "_MOST_SESSIONS", 3)
    for name in ("one", "two", "three", "four"):
        clock.now += 1
        exchange(store, ANNA, name, "q")
    assert store.sessions(ANNA) == ["four", "three", "two"]


def test_what_the_dead_left_is_swept(store: ConversationStore, clock: Clock, tmp_path: Path) -> None:
    exchange(store, ANNA, "one", "q")
    folder = tmp_path / "talks" / ANNA
    for name in (".two.json.lock", ".1-00112233aabbccdd.part"):
        (folder / name).touch()
        clock.now = max(clock.now, (folder / name).stat().st_mtime)
    clock.now += 1000
    with store.turn(ANNA, "three") as talk:
        talk.add(Turn("user", "q"))
        assert store.sweep() == 1
    assert [p.name for p in folder.iterdir()] == ["three.json"]
