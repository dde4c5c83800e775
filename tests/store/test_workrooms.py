"""Folders of long work, and folders that change places."""

import os
import time
from pathlib import Path

import pytest

from vivavoce.errors import Conflict, InvalidInput
from vivavoce.nouns import Avatar
from vivavoce.store import swap as swapping
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.store.workrooms import WorkRooms


def test_folders_of_jobs_that_ended_are_swept_and_those_of_commands_after_a_week(tmp_path: Path) -> None:
    rooms = WorkRooms(tmp_path)
    for id_ in ("train_20261126_054414", "0123abcd"):
        (rooms.path(id_) / "work").mkdir(parents=True)
    assert rooms.sweep(()) == 0, "a job may have begun just now"
    aged(tmp_path, 100)
    with rooms.by_hand("a.mp4", "mary") as mine:
        (mine / "checkpoint").write_text("1")
    assert rooms.sweep({"0123abcd"}) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0123abcd", mine.name]
    with rooms.by_hand("a.mp4", "mary") as again:
        assert again == mine
        assert (again / "checkpoint").exists()
    aged(tmp_path, 8 * 86_400)
    assert rooms.sweep({"0123abcd"}) == 1
    assert not mine.exists()


def aged(root: Path, seconds: float) -> None:
    for folder in root.iterdir():
        os.utime(folder, (time.time() - seconds, time.time() - seconds))


def test_the_same_command_twice_at_once_is_refused(tmp_path: Path) -> None:
    rooms = WorkRooms(tmp_path)
    with rooms.by_hand("a.mp4"), pytest.raises(Conflict, match="at work"), rooms.by_hand("a.mp4"):
        pass
    with rooms.by_hand("a.mp4"), rooms.by_hand("b.mp4"):
        pass


@pytest.mark.parametrize("id_", ["..", "a/b", "", ".hidden", "a" * 200])
def test_what_is_no_id_has_no_folder(tmp_path: Path, id_: str) -> None:
    with pytest.raises(ValueError):
        WorkRooms(tmp_path).path(id_)


def made(word: str) -> Avatar:
    raise AssertionError(word)


def write(word: str, into: Path) -> Avatar:
    (into / "head").write_text(word)
    return Avatar(into.name, into, "toy")


@pytest.fixture(params=["one step", "three steps"])
def library(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AvatarLibrary:
    if request.param == "three steps":
        monkeypatch.setattr(swapping, "_exchange", lambda *_: swapping._CANNOT[0])
    (tmp_path / "builtin" / "anna").mkdir(parents=True)
    (tmp_path / "builtin" / "anna" / "avatar.json").write_text('{"engine": "toy"}')
    return AvatarLibrary(tmp_path / "avatars", tmp_path / "builtin")


def test_an_avatar_takes_the_place_of_another_when_it_is_whole(library: AvatarLibrary) -> None:
    library.put("mary", lambda into: write("first", into))
    folder = library.get("mary").path

    def second(into: Path) -> Avatar:
        assert (folder / "head").read_text() == "first"
        return write("second", into)

    library.put("mary", second)
    assert (folder / "head").read_text() == "second"
    with pytest.raises(ZeroDivisionError):
        library.put("mary", lambda _: made(str(1 // 0)))
    assert (folder / "head").read_text() == "second"
    assert [p.name for p in folder.parent.iterdir()] == ["mary"]
    with pytest.raises(InvalidInput, match="anna"):
        library.put("anna", lambda into: write("mine", into))
