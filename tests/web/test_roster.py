import json
import shutil
from pathlib import Path

import pytest

from vivavoce.store.avatars import AvatarLibrary
from vivavoce.studio.scene import builtin_avatars
from vivavoce.web.roster import RESOLUTIONS, by_name, by_path, listed, size_of


@pytest.fixture
def library(tmp_path: Path) -> AvatarLibrary:
    """The shipped avatars, and some of an operator's."""
    root = tmp_path / "avatars"
    for name in ("talk_long", "talk_short_480p", "both", "both_720p"):
        shutil.copytree(builtin_avatars() / "anna", root / name)
    (root / "damaged").mkdir()
    (root / "damaged" / "avatar.json").write_text("{")
    shutil.copytree(builtin_avatars() / "anna", tmp_path / "elsewhere")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    return AvatarLibrary(root, builtin_avatars())


def test_a_row_for_each_avatar_and_resolution(library: AvatarLibrary) -> None:
    rows = listed(library)
    ids = [row.id for row in rows]
    assert len(ids) == len(set(ids))
    for name in ("anna", "david", "aigul", "talk_long", "both"):
        assert {f"{name}_{r}" for r in RESOLUTIONS} <= set(ids)
    assert [i for i in ids if i.startswith("talk_short")] == ["talk_short_480p"]
    assert not any(i.startswith(("damaged", "linked")) for i in ids)
    assert {row.avatar for row in rows if row.id == "both_720p"} == {"both_720p"}
    assert {row.avatar for row in rows if row.id == "both_480p"} == {"both"}
    for row in rows:
        assert by_path(rows, row.path, None) == row
        assert by_name(rows, row.id, None) == row
        assert by_name(rows, row.base, row.resolution) == row
        assert by_path(rows, row.path.replace(".npz", ".pkl"), None) == row


def test_size_in_the_shape_of_the_picture(library: AvatarLibrary) -> None:
    anna = library.get("anna")
    assert size_of(anna, "720p") == "1182x720"
    bare = library.get("talk_long")
    facts = json.loads((bare.path / "avatar.json").read_text())
    (bare.path / "avatar.json").write_text(json.dumps({k: v for k, v in facts.items() if k not in ("width", "height")}))
    assert size_of(bare, "480p") == "480x480"  # its poster is square
    (bare.path / "poster.jpg").unlink()
    assert size_of(bare, "480p") == "854x480"
