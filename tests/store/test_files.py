"""Files by name: safe, unique, each owner's own, and gone when their time is over."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import NotFound
from vivavoce.store.files import FileStore

ME, YOU = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files")


def put(store: FileStore, name: str, content: bytes = b"sound", owner: str = "") -> str:
    with store.part(owner) as part:
        part.write_bytes(content)
        return store.keep(part, name)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        *(("sample.wav", "sample.wav"), ("Привет мир.mp3", "Привет мир.mp3"), ("음성.wav", "음성.wav")),
        *(("../../etc/passwd", "passwd"), ("C:\\Users\\me\\a.wav", "a.wav"), ("/abs/b.wav", "b.wav")),
        *(("..", "file"), ("", "file"), (".hidden", "hidden"), ("a..b.wav", "a.b.wav"), ("a\x00b.wav", "a_b.wav")),
        *(("con<|>.wav", "con.wav"), ("tab\t.wav", "tab.wav"), ("no-suffix", "no-suffix"), ("-rf.wav", "rf.wav")),
        *(("a.tar.gz", "a.tar.gz"), ("odd.s*ffix", "odd.s_ffix"), ("x" * 300 + ".wav", "x" * 100 + ".wav")),
    ],
)
def test_a_name_is_made_safe(store: FileStore, name: str, kept: str) -> None:
    assert put(store, name) == kept
    assert store.find("", kept).read_bytes() == b"sound"


@given(st.text(max_size=400))
def test_whatever_the_name_it_stays_in_its_folder_and_can_be_read_back(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    root = tmp_path_factory.mktemp("files")
    store = FileStore(root)
    kept = put(store, name)
    assert [p.name for p in (root / "everybody").iterdir()] == [kept]
    assert store.find("", kept).read_bytes() == b"sound"


def test_nothing_is_overwritten(store: FileStore) -> None:
    names = [put(store, "a.wav", bytes([n])) for n in range(4)]
    assert names[0] == "a.wav"
    assert len(set(names)) == 4
    assert [store.find("", name).read_bytes() for name in names] == [bytes([n]) for n in range(4)]


def test_each_owner_has_a_folder_of_his_own(store: FileStore) -> None:
    assert put(store, "a.wav", b"mine", ME) == put(store, "a.wav", b"yours", YOU) == "a.wav"
    assert store.find(ME, "a.wav").read_bytes() == b"mine"
    with pytest.raises(NotFound):
        store.find("", "a.wav")


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "",
        "../secret",
        "..%2fsecret",
        "/etc/passwd",
        "a/../../secret",
        "a\\..\\secret",
        "secret\x00",
        "link.wav",
    ],
)
def test_no_name_leads_elsewhere(store: FileStore, tmp_path: Path, name: str) -> None:
    put(store, "a.wav")
    (tmp_path / "files" / "secret").write_text("secret")
    (tmp_path / "files" / "everybody" / "link.wav").symlink_to(tmp_path / "files" / "secret")
    with pytest.raises(NotFound, match="File not found"):
        store.find("", name)


def test_a_part_that_nobody_keeps_is_gone(store: FileStore, tmp_path: Path) -> None:
    def fail() -> None:
        with store.part("") as part:
            part.write_bytes(b"half")
            raise OSError

    with pytest.raises(OSError):
        fail()
    assert list((tmp_path / "files" / "everybody").iterdir()) == []


def test_what_is_old_goes_and_then_the_oldest_beyond_the_limit(tmp_path: Path) -> None:
    now = [1000.0]
    store = FileStore(tmp_path / "files", clock=lambda: now[0])
    for n in range(4):
        now[0] = 1000.0 + 100 * n
        put(store, f"{n}.wav", bytes(10), (ME, YOU)[n % 2])
    dead = tmp_path / "files" / ME / f".999999999-{'0' * 16}.part"
    dead.write_bytes(b"half")
    with store.part(ME) as writing:
        writing.write_bytes(b"being written")
        now[0] = 1350.0
        assert store.sweep(350, 20) == 3
        assert writing.exists()
    left = {p.name for p in (tmp_path / "files").rglob("*") if p.is_file()}
    assert left == {"2.wav", "3.wav"}
