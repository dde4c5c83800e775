"""Family C, speakers, over HTTP: enrol, verify, forget."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import requests

from microphones import DEVICE, needs_portaudio
from serving import Served
from vivavoce.errors import EngineUnavailable
from vivavoce.media.audio import decode
from vivavoce.models import ModelStore


@pytest.fixture(scope="module")
def people(shared: Path) -> Path:
    try:
        ModelStore().path("speaker-ge2e")
    except EngineUnavailable as e:
        pytest.skip(f"the speaker encoder cannot be had here: {e}")
    return shared / "media" / "speech" / "speakers"


def recording(people: Path, speaker: str, number: int) -> tuple[str, bytes]:
    path = sorted((people / speaker).glob("*.flac"))[number]
    return path.name, path.read_bytes()


def verify(server: Served, probe: tuple[str, bytes], **more: object) -> requests.Response:
    files = {"probe": probe} | {k: v for k, v in more.items() if k == "reference"}
    data = {k: v for k, v in more.items() if k != "reference"}
    return requests.post(f"{server.url}/speaker/verify", files=files, data=data, timeout=120)  # type: ignore[arg-type]


def test_two_recordings_are_compared(server: Served, people: Path) -> None:
    probe = recording(people, "1688", 0)
    same = verify(server, probe, reference=recording(people, "1688", 1)).json()
    other = verify(server, probe, reference=recording(people, "2414", 1)).json()
    assert same["decision"] is True
    assert other["decision"] is False
    assert 0 <= other["score"] < same["threshold"] <= same["score"] <= 1
    assert "no protection" in same["note"]


def test_enrol_verify_forget(serve: Callable[..., Served], people: Path) -> None:
    server = serve()
    missing = verify(server, recording(people, "1998", 0))
    assert missing.status_code == 400
    assert "/speaker/enroll" in missing.json()["detail"]
    for number in (0, 1):
        answer = requests.post(
            f"{server.url}/speaker/enroll", files={"file": recording(people, "1998", number)}, timeout=120
        ).json()
        assert (answer["status"], answer["speaker"], answer["recordings"]) == ("ok", "default", number + 1)
    requests.post(
        f"{server.url}/speaker/enroll",
        files={"file": recording(people, "2033", 0)},
        data={"name": "Eve"},
        timeout=120,
    ).raise_for_status()
    assert verify(server, recording(people, "1998", 2)).json()["decision"] is True
    assert verify(server, recording(people, "1998", 2), speaker="eve").json()["decision"] is False
    names = [s["name"] for s in requests.get(f"{server.url}/speaker/speakers", timeout=10).json()["speakers"]]
    assert names == ["default", "eve"]
    assert requests.delete(f"{server.url}/speaker/speakers/eve", timeout=10).status_code == 204
    assert requests.delete(f"{server.url}/speaker/speakers/eve", timeout=10).status_code == 404
    assert verify(server, recording(people, "1998", 2), speaker="eve").status_code == 400


@pytest.mark.parametrize("name", ["../x", "a b", "", "x" * 64, "ключ"])
def test_a_name_is_a_name(server: Served, people: Path, name: str) -> None:
    answer = requests.post(
        f"{server.url}/speaker/enroll", files={"file": recording(people, "1998", 0)}, data={"name": name}, timeout=120
    )
    assert answer.status_code in (200 if not name else 400, 422)


@needs_portaudio
def test_the_servers_own_microphone(
    serve: Callable[..., Served], people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose microphone, a virtual one of ALSA, hears somebody speak."""
    heard = decode(sorted((people / "1998").glob("*.flac"))[1], max_seconds=60, rate=48_000).samples
    sound = tmp_path / "speech.raw"
    sound.write_bytes((np.clip(np.tile(heard, 4), -1, 1) * 32767).astype("<i2").tobytes())
    (tmp_path / "asound.conf").write_text(DEVICE.format(sound=sound, rate=48_000))
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    server = serve(audio__microphone="true", audio__microphone_seconds="6")
    answer = requests.post(f"{server.url}/speaker/train/microphone", timeout=120)
    assert answer.json()["status"] == "ok", answer.text
    assert "enrolled" in answer.json()["message"]
    assert verify(server, recording(people, "1998", 2)).json()["decision"] is True
    assert verify(server, recording(people, "2414", 2)).json()["decision"] is False
    assert not list((server.data / "files").rglob("*.part"))


def test_a_machine_without_a_microphone_says_so(
    serve: Callable[..., Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asound.conf").write_text('pcm.null { type null }\npcm.!default { type asym playback.pcm "null" }\n')
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    answer = requests.post(f"{serve(audio__microphone='true').url}/speaker/train/microphone", timeout=60)
    assert answer.status_code == 503
    assert "microphone" in answer.json()["detail"] or "libportaudio2" in answer.json()["detail"]


def test_the_microphone_is_closed_unless_the_operator_opens_it(server: Served) -> None:
    answer = requests.post(f"{server.url}/speaker/train/microphone", timeout=10)
    assert answer.status_code == 503
    assert "VIVAVOCE_AUDIO__MICROPHONE" in answer.json()["detail"]
