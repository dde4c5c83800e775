"""A path is worth its name where the rest is one of our folders, however it is written; any other is worth nothing."""

from pathlib import Path

import pytest

from vivavoce.web.paths import path_name

ROOTS = ("uploads", "static/uploads", "files", "files/download", "/srv/vivavoce/files", r"C:\vivavoce\files")

GOOD = [
    ("input.wav", "input.wav"),
    ("./input.wav", "input.wav"),
    (r".\input.wav", "input.wav"),
    ("  input.wav ", "input.wav"),
    ("uploads/input.wav", "input.wav"),
    ("/uploads/input.wav", "input.wav"),
    ("./uploads/input.wav", "input.wav"),
    (r"uploads\input.wav", "input.wav"),
    (r"\uploads\input.wav", "input.wav"),
    (r".\static\uploads\input.wav", "input.wav"),
    ("/static/uploads/голос 1.wav", "голос 1.wav"),
    ("files/download/小明.webm", "小明.webm"),
    ("/srv/vivavoce/files/input.wav", "input.wav"),
    (r"C:\vivavoce\files\input.wav", "input.wav"),
    ("C:/vivavoce/files/input.wav", "input.wav"),
    ("uploads/й.wav", "й.wav"),
]

ATTACKS = [
    "",
    " ",
    ".",
    "..",
    "/",
    "\\",
    "../input.wav",
    "../../etc/passwd",
    "uploads/../input.wav",
    "uploads/../../etc/passwd",
    "uploads/./input.wav",
    "uploads//input.wav",
    "uploads/sub/input.wav",
    "uploads/",
    "uploads/..",
    "/etc/passwd",
    "/input.wav",
    "/uploadsinput.wav",
    "/srv/vivavoce/files/../jobs.db",
    "/srv/vivavoce/jobs.db",
    "srv/vivavoce/files/input.wav",
    "//uploads/input.wav",
    r"..\input.wav",
    r"uploads\..\input.wav",
    r"uploads/..\..\etc/passwd",
    r"\\server\share\input.wav",
    r"\\?\C:\vivavoce\files\input.wav",
    r"C:\Windows\win.ini",
    r"C:input.wav",
    r"C:\vivavoce\files\..\jobs.db",
    "D:/vivavoce/files/input.wav",
    "/C:/vivavoce/files/input.wav",
    "input.wav:stream",
    "uploads/input.wav::$DATA",
    "file:///etc/passwd",
    "http://127.0.0.1/input.wav",
    "%2e%2e/input.wav",
    "uploads/%2e%2e%2fjobs.db",
    "..%2f..%2fetc%2fpasswd",
    "input.wav\0",
    "input.wav\0.txt",
    "uploads/\ninput.wav",
    "~/input.wav",
    "~root/input.wav",
    "uploads/~root",
    "$HOME/input.wav",
    "UPLOADS/input.wav",
    "．．/input.wav",
    "uploads／..／input.wav/x",
    "/proc/self/environ",
    "/dev/stdin",
    "x" * 2000,
]


@pytest.mark.parametrize(("text", "name"), GOOD)
def test_a_path_into_one_of_our_folders_is_worth_its_name(text: str, name: str) -> None:
    assert path_name(text, ROOTS) == name


@pytest.mark.parametrize("text", ATTACKS)
def test_any_other_path_is_worth_nothing(text: str) -> None:
    assert path_name(text, ROOTS) is None


def test_the_disk_is_never_looked_at(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "there.wav").write_bytes(b"x")
    (tmp_path / "files" / "link.wav").symlink_to("/etc/passwd")
    root = str(tmp_path / "files")
    for name in ("there.wav", "not there.wav", "link.wav"):
        assert path_name(f"{root}/{name}", (root,)) == name
    for outside in (f"{tmp_path}/there.wav", f"{tmp_path}/not there.wav", f"{root}/../files/there.wav"):
        assert path_name(outside, (root,)) is None
