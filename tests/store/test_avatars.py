"""The avatar library: names, built-in avatars, and folders that appear whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vivavoce.errors import FaceRejected, InvalidInput, NotFound
from vivavoce.nouns import Avatar
from vivavoce.store.avatars import AvatarLibrary


@pytest.fixture
def library(tmp_path: Path) -> AvatarLibrary:
    folder = tmp_path / "builtin" / "anna"
    folder.mkdir(parents=True)
    (folder / "avatar.json").write_text('{"version": 1, "name": "anna", "engine": "photo", "warnings": []}')
    (folder / "poster.jpg").write_bytes(b"anna")
    return AvatarLibrary(tmp_path / "own", tmp_path / "builtin")


def prepare(into: Path) -> Avatar:
    assert list(into.iterdir()) == []
    (into / "poster.jpg").write_bytes(b"poster")
    return Avatar("whatever", into, "toy", ("Two faces; the larger one was taken.",))


def test_an_added_avatar_is_listed_found_and_removed(library: AvatarLibrary, tmp_path: Path) -> None:
    assert library.names() == ["anna"]
    made = library.add("Aida-2", prepare)
    assert made == Avatar("aida-2", tmp_path / "own" / "aida-2", "toy", ("Two faces; the larger one was taken.",))
    assert library.get(" AIDA-2 ") == made
    assert library.poster("aida-2").read_bytes() == b"poster"
    assert library.names() == ["anna", "aida-2"]
    assert json.loads((made.path / "avatar.json").read_text())["version"] == 1
    library.remove("Aida-2")
    assert library.names() == ["anna"]
    assert list((tmp_path / "own").iterdir()) == []


def test_what_the_engine_wrote_about_an_avatar_is_kept(library: AvatarLibrary) -> None:
    def rich(into: Path) -> Avatar:
        (into / "avatar.json").write_text('{"version": 4, "width": 640}')
        return prepare_more(into)

    def prepare_more(into: Path) -> Avatar:
        return Avatar("x", into, "toy")

    facts = json.loads((library.add("rich", rich).path / "avatar.json").read_text())
    assert facts == {"version": 4, "width": 640, "name": "rich", "engine": "toy", "warnings": []}


def test_nothing_is_left_of_a_refused_picture(library: AvatarLibrary, tmp_path: Path) -> None:
    def refuse(into: Path) -> Avatar:
        (into / "half").write_bytes(b"half")
        assert library.names() == ["anna"]
        raise FaceRejected("No face was found.")

    with pytest.raises(FaceRejected):
        library.add("nobody", refuse)
    assert list((tmp_path / "own").iterdir()) == []


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "../a", "a/b", "a.b", "ж", "a" * 64, "a\0", ".1-a"])
def test_bad_names(library: AvatarLibrary, name: str) -> None:
    with pytest.raises(InvalidInput, match="letters"):
        library.add(name, prepare)
    with pytest.raises(NotFound):
        library.get(name)
    with pytest.raises(NotFound):
        library.poster(name)
    with pytest.raises(NotFound):
        library.remove(name)


def test_built_in_avatars_stay(library: AvatarLibrary) -> None:
    with pytest.raises(InvalidInput, match="already"):
        library.add("ANNA", prepare)
    with pytest.raises(InvalidInput, match="cannot be removed"):
        library.remove("anna")
    assert library.get("Anna").engine == "photo"


def test_a_taken_name_is_refused_even_when_somebody_was_faster(library: AvatarLibrary) -> None:
    def slow(into: Path) -> Avatar:
        library.add("aida", prepare)
        return prepare(into)

    with pytest.raises(InvalidInput, match="already"):
        library.add("aida", slow)
    assert library.names() == ["anna", "aida"]


def test_a_damaged_avatar_is_not_found(library: AvatarLibrary) -> None:
    made = library.add("aida", prepare)
    for broken in ("", "[]", "{}", '{"engine": "toy", "warnings": 5}'):
        (made.path / "avatar.json").write_text(broken)
        with pytest.raises(NotFound, match="damaged"):
            library.get("aida")
    library.remove("aida")


def test_what_a_killed_process_left_is_cleared(library: AvatarLibrary, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from vivavoce.store.avatars import AvatarLibrary\n"
        "AvatarLibrary(Path(sys.argv[1]), Path('none')).add('half', lambda into: os._exit(1))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "own"], check=False)
    assert len(list((tmp_path / "own").iterdir())) == 1
    library.add("aida", prepare)
    assert [p.name for p in (tmp_path / "own").iterdir()] == ["aida"]
