"""Who speaks: the right voice is accepted, another refused, and what makes the answer doubtful is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vivavoce.engines.speakers.ge2e import Ge2eEncoder
from vivavoce.errors import Cancelled, Conflict, EngineUnavailable, InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.media.audio import decode, write_wav
from vivavoce.nouns import Audio
from vivavoce.store.speakers import Recording, SpeakerStore
from vivavoce.studio.verifying import NOTE, embed, verify

Embed = Callable[[Path], dict[str, Any]]


@pytest.fixture(scope="module")
def encoder() -> Ge2eEncoder:
    try:
        return Ge2eEncoder()
    except EngineUnavailable as e:
        pytest.skip(f"the weights cannot be had here: {e}")


@pytest.fixture(scope="module")
def embedded(encoder: Ge2eEncoder) -> Embed:
    return lambda source: embed(source, encoder, max_seconds=60, report=lambda *_: None)


@pytest.fixture(scope="module")
def voices(shared: Path) -> Path:
    return shared / "media" / "speech" / "speakers"


def test_a_speaker_is_told_from_another(embedded: Embed, voices: Path, encoder: Ge2eEncoder) -> None:
    references = [embedded(voices / "1688" / f"1688-142285-000{n}.flac") for n in (1, 3, 4)]
    threshold = encoder.traits.threshold
    right = verify(embedded(voices / "1688" / "1688-142285-0000.flac"), references, threshold)
    wrong = verify(embedded(voices / "2033" / "2033-164914-0000.flac"), references, threshold)
    assert right["decision"] is True
    assert wrong["decision"] is False
    assert 0 <= wrong["score"] < threshold <= right["score"] <= 1
    assert right["threshold"] == threshold
    assert right["note"] == NOTE
    assert "synthetic" in NOTE
    assert right["warnings"] == []


def test_an_answer_travels_and_is_kept_as_json(embedded: Embed, voices: Path, tmp_path: Path) -> None:
    found = embedded(voices / "3005" / "3005-163389-0000.flac")
    assert json.loads(json.dumps(found)) == found
    assert len(found["embedding"]) == 256
    assert np.linalg.norm(found["embedding"]) == pytest.approx(1, abs=1e-4)
    assert 0 < found["speech_seconds"] <= found["seconds"]
    store = SpeakerStore(tmp_path)
    store.add("", Recording.of(found, "ge2e"))
    kept = store.get("").usable("ge2e", found["version"])
    assert verify(found, [one.as_reference() for one in kept], 0.75)["score"] == 1.0


def test_any_format_rate_and_channels(embedded: Embed, voices: Path, tmp_path: Path) -> None:
    sound = decode(voices / "1688" / "1688-142285-0000.flac", max_seconds=60)
    write_wav(tmp_path / "fine.wav", sound, 44_100)
    one, other = embedded(voices / "1688" / "1688-142285-0000.flac"), embedded(tmp_path / "fine.wav")
    assert verify(one, [other], 0.75)["score"] > 0.99
    assert one["digest"] != other["digest"]


def test_short_noisy_and_clipped_recordings_are_warned_about(embedded: Embed, voices: Path, tmp_path: Path) -> None:
    sound = decode(voices / "1998" / "1998-15444-0000.flac", max_seconds=60)
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.4 * np.sqrt(np.mean(sound.samples**2)), len(sound.samples)).astype(np.float32)
    peak = float(np.abs(sound.samples).max())
    changed = {
        "Too short": sound.samples[: 16_000 * 2],
        "Too noisy": sound.samples + noise,
        "Clipped": np.clip(sound.samples * 4, -peak, peak),
    }
    for warning, samples in changed.items():
        write_wav(tmp_path / "changed.wav", Audio(samples, 16_000))
        found = embedded(tmp_path / "changed.wav")
        assert [w.split(":")[0] for w in found["warnings"]] == [warning]
        told = verify(found, [found], 0.75)["warnings"]
        assert told == [*found["warnings"], *(f"Reference: {w}" for w in found["warnings"])]


def test_too_little_speech_is_refused_with_the_numbers(embedded: Embed, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for samples in (np.zeros(48_000, np.float32), rng.normal(0, 0.1, 48_000).astype(np.float32)):
        write_wav(tmp_path / "nobody.wav", Audio(samples, 16_000))
        with pytest.raises(
            InvalidInput, match=r"There are 0\.0 s of speech in 3\.0 s of sound; at least 1 s"
        ) as refused:
            embedded(tmp_path / "nobody.wav")
        assert refused.value.status == 400


def test_what_is_no_sound_is_refused(embedded: Embed, tmp_path: Path, encoder: Ge2eEncoder, voices: Path) -> None:
    (tmp_path / "page.wav").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    with pytest.raises(UnsupportedMedia):
        embedded(tmp_path / "page.wav")
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(InvalidInput):
        embedded(tmp_path / "empty.wav")
    with pytest.raises(TooLarge):
        embed(voices / "1688" / "1688-142285-0000.flac", encoder, max_seconds=2, report=lambda *_: None)


def test_it_ends_when_it_is_cancelled(encoder: Ge2eEncoder, voices: Path) -> None:
    told: list[tuple[float, str]] = []

    def cancel(fraction: float, stage: str) -> None:
        told.append((fraction, stage))
        if fraction > 0.1:
            raise Cancelled("The work was cancelled.")

    with pytest.raises(Cancelled):
        embed(voices / "1688" / "1688-142285-0000.flac", encoder, max_seconds=60, report=cancel)
    assert told[0] == (0.0, "embed")
    assert len(told) == 2


def one(*embedding: float, version: str = "1") -> dict[str, Any]:
    return {"embedding": list(embedding), "version": version, "warnings": []}


def test_the_score_is_the_cosine_with_the_mean_reference() -> None:
    assert verify(one(1, 0), [one(0.6, 0.8)], 0.6)["score"] == pytest.approx(0.6)
    assert verify(one(1, 0), [one(1, 0), one(0, 1)], 0.7)["score"] == pytest.approx(np.sqrt(0.5), abs=1e-4)
    assert verify(one(2, 0), [one(5, 0)], 0.5)["score"] == 1.0
    assert verify(one(1, 0), [one(-1, 0)], 0.5) | {"note": ""} == {
        "score": 0.0,
        "decision": False,
        "threshold": 0.5,
        "warnings": [],
        "note": "",
    }


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InvalidInput, match="enrol the speaker first"):
        verify(one(1, 0), [], 0.5)
    for reference in (one(1, 0, 0), one(1, 0, version="2")):
        with pytest.raises(Conflict, match="another speaker encoder"):
            verify(one(1, 0), [one(1, 0), reference], 0.5)
