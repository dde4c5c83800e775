"""A voice is kept whole or not at all, apart for each owner, and no id leads out of its folder."""

import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vivavoce.errors import Conflict, InvalidInput, NotFound, TooLarge
from vivavoce.media.audio import decode
from vivavoce.nouns import Audio
from vivavoce.store import voices
from vivavoce.store.voices import Consent, StoredVoice, VoiceStore

ANNA, BORIS = "0123456789abcdef", "fedcba9876543210"
HUM = Audio((0.3 * np.sin(np.arange(24_000) / 12)).astype(np.float32), 24_000)


def learn(into: Path) -> tuple[str, ...]:
    assert list(into.iterdir()) == []
    (into / "bank").write_bytes(b"learnt")
    return ("Noisy: …",)


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(tmp_path / "voices", clock=lambda: 1000.0)


def add(store: VoiceStore, id_: str, owner: str = ANNA) -> StoredVoice:
    return store.add(owner, id_, [HUM], learn, engine="world")


def test_a_voice_is_kept_with_recordings_and_consent(store: VoiceStore, tmp_path: Path) -> None:
    consent = Consent(True, "Anna K.", text="I let my voice be cloned for the museum.")
    added = store.add(ANNA, "anna", [HUM, HUM], learn, engine="world", name="Anna", language="ru", consent=consent)
    again = VoiceStore(tmp_path / "voices").get(ANNA, "anna")
    assert again == added
    assert (again.id, again.name, again.language, again.engine) == ("anna", "Anna", "ru", "world")
    assert again.consent == Consent(True, "Anna K.", 1000.0, "I let my voice be cloned for the museum.")
    assert again.created == 1000.0
    assert again.warnings == ("Noisy: …",)
    assert (again.path / "bank").read_bytes() == b"learnt"
    assert len(again.recordings) == 2
    heard = decode(again.recordings[1], max_seconds=10)
    assert heard.rate == HUM.rate
    assert np.abs(heard.samples - HUM.samples).max() < 1e-4


@pytest.mark.parametrize("id_", ["a", "Анна Каренина", "小明", "음성-1", "v1.2_final", "x" * 64, "7"])
def test_ids_may_be_of_any_script(store: VoiceStore, id_: str) -> None:
    assert add(store, id_).id == id_
    assert store.get(ANNA, f" {id_} ").name == id_
    assert [voice.id for voice in store.list(ANNA)] == [id_]


def test_one_id_is_one_voice_however_it_is_composed(store: VoiceStore) -> None:
    add(store, "Зоя-й")
    assert store.get(ANNA, unicodedata.normalize("NFD", "Зоя-й")).id == "Зоя-й"
    with pytest.raises(Conflict, match="already"):
        add(store, unicodedata.normalize("NFD", "Зоя-й"))
    add(store, "anna")
    assert add(store, "Anna").id == "Anna", "another letter case is another voice"


@pytest.mark.parametrize(
    "id_",
    [
        *("", " ", ".", "..", "../a", "a/b", "a\\b", "/etc/passwd", "a\0b", "a\nb", "-a", "_a", ".a", "a..b", "x" * 65),
        *("C:\\a", "~", "%2e%2e", "a\u202eb", "everybody/a"),
    ],
)
def test_what_is_no_id_is_refused_and_never_found(store: VoiceStore, tmp_path: Path, id_: str) -> None:
    with pytest.raises(InvalidInput, match="letters"):
        add(store, id_)
    with pytest.raises(NotFound, match="There is no voice"):
        store.get(ANNA, id_)
    with pytest.raises(NotFound, match="There is no voice"):
        store.remove(ANNA, id_)
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=80))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_id_it_stays_in_its_folder(tmp_path_factory: pytest.TempPathFactory, id_: str) -> None:
    root = tmp_path_factory.mktemp("voices")
    store = VoiceStore(root / "voices")
    try:
        kept = store.add(BORIS, id_, [Audio(HUM.samples[:100], HUM.rate)], learn, engine="world")
    except InvalidInput:
        assert list(root.iterdir()) == []
        return
    assert store.get(BORIS, id_) == kept
    assert kept.path.parent.parent == root / "voices" / BORIS
    assert [p.name for p in root.iterdir()] == ["voices"]


def test_owners_do_not_see_each_other(store: VoiceStore) -> None:
    add(store, "me")
    assert store.list(BORIS) == []
    for call in (store.get, store.remove):
        with pytest.raises(NotFound):
            call(BORIS, "me")
    add(store, "me", BORIS)
    add(store, "me", "../../outside")
    assert [voice.path.parents[1].name for owner in (ANNA, BORIS, "") for voice in store.list(owner)] == [
        ANNA,
        BORIS,
        "everybody",
    ]


def test_the_newest_voice_comes_first(tmp_path: Path) -> None:
    now = [1000.0]
    store = VoiceStore(tmp_path, clock=lambda: now[0])
    for id_ in ("b", "c", "a"):
        add(store, id_)
        now[0] += 1
    assert [voice.id for voice in store.list(ANNA)] == ["a", "c", "b"]


def test_what_cannot_be_learnt_leaves_nothing(store: VoiceStore, tmp_path: Path) -> None:
    def refuse(into: Path) -> tuple[str, ...]:
        learn(into)
        raise InvalidInput("There is no speech.")

    with pytest.raises(InvalidInput, match="no speech"):
        store.add(ANNA, "anna", [HUM], refuse, engine="world")
    assert list((tmp_path / "voices" / ANNA).iterdir()) == []


def test_recordings_are_bounded(store: VoiceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        store.add(ANNA, "anna", [], learn, engine="world")
    with pytest.raises(TooLarge, match="up to 10 recordings"):
        store.add(ANNA, "anna", [HUM] * 11, learn, engine="world")
    long = Audio(np.zeros(301 * 8000, np.float32), 8000)
    with pytest.raises(TooLarge, match="of 300 s"):
        store.add(ANNA, "anna", [long], learn, engine="world")
    monkeypatch.setattr(voices, "_MOST_VOICES", 1)
    add(store, "one")
    with pytest.raises(Conflict, match="remove one"):
        add(store, "two")


def test_a_voice_that_somebody_made_meanwhile_is_not_replaced(store: VoiceStore) -> None:
    undone: list[bytes] = []

    def slow(into: Path) -> tuple[str, ...]:
        add(store, "anna")
        (into / "bank").write_bytes(b"late")
        return ()

    with pytest.raises(Conflict, match="already"):
        store.add(
            ANNA, "anna", [HUM], slow, engine="world", forget=lambda path: undone.append((path / "bank").read_bytes())
        )
    assert (store.get(ANNA, "anna").path / "bank").read_bytes() == b"learnt"
    assert undone == [b"late"], "what a service has learnt in vain is forgotten there"


def test_removing_tells_the_service_first(store: VoiceStore, tmp_path: Path) -> None:
    add(store, "anna")

    def fail(path: Path) -> None:
        assert (path / "bank").read_bytes() == b"learnt"
        raise OSError

    with pytest.raises(OSError):
        store.remove(ANNA, "anna", fail)
    assert store.get(ANNA, "anna").id == "anna"
    told: list[Path] = []
    store.remove(ANNA, "anna", told.append)
    assert len(told) == 1
    assert list((tmp_path / "voices" / ANNA).iterdir()) == []
    with pytest.raises(NotFound):
        store.remove(ANNA, "anna", told.append)
    assert len(told) == 1


@pytest.mark.parametrize("facts", ["", "[]", "{}", '{"id": 5}'])
def test_a_damaged_voice_is_not_found_and_can_be_removed(store: VoiceStore, facts: str) -> None:
    made = add(store, "anna")
    (made.path.parent / "voice.json").write_text(facts)
    with pytest.raises(NotFound, match="damaged"):
        store.get(ANNA, "anna")
    assert store.list(ANNA) == []
    store.remove(ANNA, "anna")
    add(store, "anna")


def test_what_a_killed_process_left_is_cleared(store: VoiceStore, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; import numpy as np\n"
        "from vivavoce.nouns import Audio; from vivavoce.store.voices import VoiceStore\n"
        "sound = Audio(np.zeros(100, np.float32), 8000)\n"
        f"VoiceStore(Path(sys.argv[1])).add('{ANNA}', 'half', [sound], lambda into: os._exit(1), engine='world')"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "voices"], check=False)
    assert len(list((tmp_path / "voices" / ANNA).iterdir())) == 1
    assert store.list(ANNA) == []
    store.clear()
    assert list((tmp_path / "voices" / ANNA).iterdir()) == []
