"""Speakers who enrolled stay, apart for each owner, and their names lead nowhere else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vivavoce.errors import Conflict, InvalidInput, NotFound
from vivavoce.store import speakers
from vivavoce.store.speakers import DEFAULT, Recording, SpeakerStore

ANNA, BORIS = "0123456789abcdef", "fedcba9876543210"


def recording(digest: str = "d1", engine: str = "ge2e", version: str = "1", first: float = 0.6) -> Recording:
    return Recording(engine, version, (first, 0.8), digest, 4.2, ("Too noisy: …",))


@pytest.fixture
def store(tmp_path: Path) -> SpeakerStore:
    return SpeakerStore(tmp_path / "speakers", clock=lambda: 1000.0)


def test_a_speaker_is_kept_with_every_recording(store: SpeakerStore, tmp_path: Path) -> None:
    store.add(ANNA, recording("d1"))
    added = store.add(ANNA, recording("d2", first=0.5))
    again = SpeakerStore(tmp_path / "speakers").get(ANNA)
    assert again == added
    assert again.name == DEFAULT
    assert [r.digest for r in again.recordings] == ["d1", "d2"]
    assert again.recordings[1].embedding == (0.5, 0.8)
    assert again.recordings[0].created == 1000.0
    assert again.recordings[0].id != again.recordings[1].id


def test_the_same_recording_counts_once(store: SpeakerStore) -> None:
    store.add(ANNA, recording("d1"), "me")
    assert len(store.add(ANNA, recording("d1"), "ME ").recordings) == 1
    assert len(store.add(ANNA, recording("d1", engine="campplus"), "me").recordings) == 2


def test_owners_do_not_see_each_other(store: SpeakerStore) -> None:
    store.add(ANNA, recording(), "me")
    assert store.names(BORIS) == []
    with pytest.raises(NotFound):
        store.get(BORIS, "me")
    with pytest.raises(NotFound):
        store.remove(BORIS, "me")
    store.add("", recording(), "everybody")
    assert store.names("") == ["everybody"]
    assert [s.name for s in store.all(ANNA)] == ["me"]


def test_an_owner_that_is_no_fingerprint_leads_nowhere(store: SpeakerStore, tmp_path: Path) -> None:
    store.add("../../outside", recording(), "me")
    assert [p.name for p in tmp_path.iterdir()] == ["speakers"]


@pytest.mark.parametrize("name", ["", "../me", "a/b", ".hidden", "-", "a" * 64, "имя", "me.json", "me\0", "me\n\n.."])
def test_a_name_is_never_a_path(store: SpeakerStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 63 letters"):
        store.add(ANNA, recording(), name)
    with pytest.raises(NotFound, match="enrol one"):
        store.get(ANNA, name)
    with pytest.raises(NotFound):
        store.remove(ANNA, name)
    assert list(tmp_path.rglob("*.json")) == []


def test_recordings_and_speakers_are_removed(store: SpeakerStore) -> None:
    first, second = store.add(ANNA, recording("d1")), store.add(ANNA, recording("d2"))
    with pytest.raises(NotFound, match="no recording"):
        store.remove(ANNA, DEFAULT, "unknown")
    store.remove(ANNA, DEFAULT, first.recordings[0].id)
    assert [r.digest for r in store.get(ANNA).recordings] == ["d2"]
    store.remove(ANNA, DEFAULT, second.recordings[1].id)
    assert store.names(ANNA) == []
    store.add(ANNA, recording())
    store.remove(ANNA, DEFAULT)
    with pytest.raises(NotFound):
        store.get(ANNA)


def test_another_encoder_cannot_use_them_and_says_so(store: SpeakerStore) -> None:
    speaker = store.add(ANNA, recording("d1", engine="ge2e", version="1"))
    assert [r.digest for r in speaker.usable("ge2e", "1")] == ["d1"]
    for engine, version in (("campplus", "1"), ("ge2e", "2")):
        with pytest.raises(Conflict, match="enrol the speaker again"):
            speaker.usable(engine, version)
    both = store.add(ANNA, recording("d2", engine="campplus", version="9"))
    assert [r.digest for r in both.usable("campplus", "9")] == ["d2"]


def test_their_number_is_bounded(store: SpeakerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speakers, "_MOST_RECORDINGS", 3)
    monkeypatch.setattr(speakers, "_MOST_SPEAKERS", 2)
    for n in range(3):
        store.add(ANNA, recording(f"d{n}"), "me")
    with pytest.raises(Conflict, match="3 recordings"):
        store.add(ANNA, recording("one more"), "me")
    store.add(ANNA, recording("d2"), "me")  # sent again
    store.add(ANNA, recording(), "you")
    with pytest.raises(Conflict, match="2 speakers"):
        store.add(ANNA, recording(), "them")
    store.add(BORIS, recording(), "them")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"recordings": [{}]}', '{"recordings": [{"embedding": [NaN]}]}'])
def test_a_damaged_file_hides_only_itself(store: SpeakerStore, tmp_path: Path, text: str) -> None:
    store.add(ANNA, recording(), "me")
    store.add(ANNA, recording(), "you")
    (tmp_path / "speakers" / ANNA / "me.json").write_text(text)
    with pytest.raises(NotFound, match="damaged"):
        store.get(ANNA, "me")
    assert [s.name for s in store.all(ANNA)] == ["you"]
    store.remove(ANNA, "me")
    assert store.names(ANNA) == ["you"]


def test_only_numbers_and_facts_are_kept(store: SpeakerStore, tmp_path: Path) -> None:
    store.add(ANNA, recording())
    (kept,) = tmp_path.rglob("*.json")
    assert set(json.loads(kept.read_text())["recordings"][0]) == set(Recording.__dataclass_fields__)
    assert kept.stat().st_mode & 0o077 == 0, "others on the machine can read it"


@pytest.mark.parametrize("embedding", [(), (float("nan"),), (0.1,) * 5000])
def test_what_is_no_embedding_is_refused(embedding: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        Recording("ge2e", "1", embedding, "d")


def test_processes_that_enrol_at_once_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vivavoce.store.speakers import Recording, SpeakerStore\n"
        "for n in range(6): SpeakerStore(Path(sys.argv[1])).add('', Recording('e', '1', (1.0,), sys.argv[2] + str(n)))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), who]) for who in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    kept = SpeakerStore(tmp_path).get("").recordings
    assert {r.digest for r in kept} == {f"{who}{n}" for who in "abc" for n in range(6)}
    assert [p.name for p in (tmp_path / "everybody").iterdir() if p.name.endswith(".part")] == []
