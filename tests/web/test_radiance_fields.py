"""SyncTalk and ER-NeRF by the example requests of the studio's document, from a film to a film, on a processor."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
import requests
from test_training_kills import school

from carried import SIZE, picture
from lessons import ended, native, rest
from loads import follow
from people import SENTENCE, enrolled, recording
from serving import Served
from shots import write_film
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media import audio

pytest.importorskip("torch", reason="the dependency group neural is not installed")
pytestmark = [pytest.mark.neural, pytest.mark.usefixtures("locator")]
Grey = npt.NDArray[np.float32]
TRAINING = {"model_choice": "SyncTalk", "gpu_choice": "GPU0", "epoch": "2", "custom_params": "size=64,batch=8,lr=0.002"}
VIDEO = {
    "model_name": "SyncTalk",
    "model_param": "models/user",
    "ref_audio_id": "espeak/m1",
    "gpu_choice": "GPU0",
    "target_text": "My father saw a large black car.",
}
PICTURES, TURN = 225, 130
MOUTH, BROW = (slice(134, 145), slice(108, 132)), (slice(70, 81), slice(108, 132))
"""Rows and columns, in films of half the size, of what is between the lips, and of as much forehead."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, voice: EspeakVoice) -> bytes:
    """A person known to the pixel, forth and back, who speaks; not what is seen on the lips."""
    path: Path = tmp_path_factory.mktemp("film") / "me.mp4"
    said = audio.decode(recording(voice, " ".join([SENTENCE] * 4)), max_seconds=60, rate=16_000)
    order = np.abs((np.arange(PICTURES) + TURN) % (2 * TURN) - TURN).tolist()
    write_film(path, [picture(i) for i in order], 25, sound=said.samples[: PICTURES * 640])
    return path.read_bytes()


@pytest.fixture(scope="module")
def house(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """A server whose films are half the size of the film that is learnt."""
    side = f"{SIZE[0] // 2}x{SIZE[1] // 2}"
    nerf = {"nerf__device": "cpu", "nerf__threads": "1"}
    with start(defaults__size=side, defaults__language="en", work__processes="1", **nerf) as served:
        yield served


@pytest.fixture(scope="module")
def upload(house: Served, film: bytes) -> str:
    """What the document calls the path to a video."""
    sent = requests.post(f"{house.url}/files/upload", files={"file": ("me.mp4", film)}, timeout=30)
    return f"/uploads/{sent.json()['filename']}"


def form(server: Served, path: str, fields: dict[str, str]) -> requests.Response:
    return requests.post(server.url + path, files={k: (None, v) for k, v in fields.items()}, timeout=300)


def filmed(server: Served, path: str) -> Grey:
    """The pictures of a film, grey: ``(n, height, width)``."""
    answer = requests.get(server.url + path, timeout=30)
    with av.open(io.BytesIO(answer.content), "r") as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(np.float32)


def swings(pictures: Grey, part: tuple[slice, slice]) -> float:
    """How far a part's brightness goes, from its darkest tenth of pictures to its brightest."""
    level = pictures[:, *part].mean(axis=(1, 2))
    return float(np.percentile(level, 95) - np.percentile(level, 5))


def learning(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was told of steps."""
    return [data for data in told if data.get("loss") is not None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("title", "epochs", "stages"), [("SyncTalk", 2, ["head", "lips"]), ("ER-NeRF", 4, ["head", "lips", "torso"])]
)
def test_a_person_is_learnt_and_says_what_they_are_told(
    house: Served, upload: str, voice: EspeakVoice, title: str, epochs: int, stages: list[str]
) -> None:
    name = title.replace("-", "").lower()
    asked = TRAINING | {"model_choice": title, "epoch": str(epochs)}
    before = monotonic()
    begun = form(house, "/model_training", asked | {"ref_video": upload, "speaker_id": name})
    body = begun.json()
    assert (begun.status_code, body["status"]) == (200, "success"), body
    assert f"{title} takes about" in body["message"]
    assert "on this processor" in body["message"]
    assert "the engine person" in body["message"]
    told: list[dict[str, Any]] = []
    killed = 0.0
    for _, kind, data in follow(house.url, body["task_id"], timeout=120):
        if kind == "progress":
            told.append(data | {"heard_after": monotonic() - before})
        if title == "SyncTalk" and not killed and data.get("preview_url") and data.get("loss") is not None:
            killed = data["progress"]
            for process in school(house):
                process.kill()
    assert data["state"] == "succeeded", data
    check_remaining(told, house, body["task_id"])
    check_progress(house, told, epochs, stages, killed)
    check_facts(house, name, epochs)
    check_films(house, title, name, voice)
    assert rest(house) == []


def check_remaining(told: list[dict[str, Any]], house: Served, job: str) -> None:
    """While the film is watched: what was said before, less the time that is over, which is no more than was here."""
    said = requests.get(f"{house.url}/v1/jobs/{job}", timeout=10).json()["params"]["expected"]
    assert 10 < said < 300
    watched = [(data["remaining"], said - data["heard_after"]) for data in told if data["stage"] == "layers"]
    assert watched
    assert all(max(0.0, least) - 0.2 <= left <= said for left, least in watched)
    lefts = [left for left, _ in watched]
    assert lefts == sorted(lefts, reverse=True)


def check_progress(house: Served, told: list[dict[str, Any]], epochs: int, stages: list[str], killed: float) -> None:
    steps = learning(told)
    assert list(dict.fromkeys(data["stage"] for data in steps)) == stages
    assert {"track", "layers"} <= {data["stage"] for data in told}
    assert {data["epoch"] for data in steps} == set(range(1, epochs + 1))
    assert all(data["epochs"] == epochs for data in steps)
    heads = [data["loss"] for data in steps if data["stage"] == "head"]
    assert np.mean(heads[-5:]) < 0.5 * np.mean(heads[:3])
    late = [data["remaining"] for data in steps if data["progress"] > 0.5]
    assert all(left is not None and left < 300 for left in late)
    shown = {data["preview_url"] for data in told if data.get("preview_url")}
    picture = requests.get(house.url + shown.pop(), timeout=10)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    if killed:
        again = next(i for i in range(1, len(told)) if told[i]["progress"] < told[i - 1]["progress"])
        first = learning(told[again:])[0]
        assert first["progress"] >= killed - 0.02, "it began again further back than its checkpoint"


def check_facts(house: Served, name: str, epochs: int) -> None:
    told = requests.get(f"{house.url}/v1/models/{name}", timeout=20).json()
    assert (told["engine"], told["learnt"], told["epochs"]) == (name, True, epochs)
    assert [epoch for epoch, _ in told["losses"]] == list(range(1, epochs + 1))
    quality = told["quality"]
    assert (quality["ear"], quality["size"]) == ("lips", 64)
    assert quality["psnr"] > quality["mean_picture_psnr"] + 1


def check_films(house: Served, title: str, name: str, voice: EspeakVoice) -> None:
    cast = VIDEO | {"model_name": title, "model_param": f"models/{name}"}
    made = form(house, "/video_generation", cast).json()
    assert made["status"] == "success", made
    assert "SyncTalk" not in made["message"], "nothing stood in"
    assert "ER-NeRF" not in made["message"]
    pictures = filmed(house, made["video_path"])
    assert len(pictures) == round(made["duration"] * 25)
    assert swings(pictures, MOUTH) > 2 * swings(pictures, BROW) + 10, "the mouth does not move"
    silent = form(house, "/video_generation", cast | {"target_text": ""})
    if title == "ER-NeRF":
        assert (silent.status_code, silent.json()["status"]) == (400, "error")
        assert "target_text is required with ER-NeRF" in silent.json()["message"]
        return
    assert silent.status_code == 400, "there is no recording of a voice that nobody recorded"
    heard = recording(voice)
    speaker = enrolled(house, heard, engine="toy").json()["id"]
    spoken = form(house, "/video_generation", cast | {"target_text": "", "ref_audio_id": speaker}).json()
    assert spoken["status"] == "success", spoken
    assert spoken["duration"] == pytest.approx(audio.decode(heard, max_seconds=60).seconds, abs=0.5)
    assert swings(filmed(house, spoken["video_path"]), MOUTH) > 10
    other = form(house, "/video_generation", cast | {"model_name": "ER-NeRF"}).json()
    assert f"{name} was not made by ER-NeRF: {name} is played by synctalk" in other["message"]


@pytest.mark.slow
def test_time_that_is_over_makes_an_avatar_at_once(house: Served, film: bytes) -> None:
    options = "size=64,batch=8,lr=0.002,max_minutes=0.02"
    job = native(house, film, name="hurried", engine="ernerf", epochs="100000", options=options).json()
    assert "1 minute on this processor" in job["params"]["notes"][0]
    done = ended(house, job["id"])
    assert done["state"] == "succeeded", done
    assert (done["result"]["trained"]["ended"], done["result"]["trained"]["epochs"]) == ("max_minutes", 1)
    assert done["result"]["quality"]["steps"] == 1, "it was over when the film had been watched"
    cast = VIDEO | {"model_name": "ER-NeRF", "model_param": "hurried", "target_text": "Now."}
    made = form(house, "/video_generation", cast).json()
    seen = filmed(house, made["video_path"])
    own = np.stack([picture(i)[::2, ::2].mean(axis=2) for i in range(10)]).mean(axis=0)
    shoulders = np.s_[215:, :]
    assert np.abs(seen.mean(axis=0)[shoulders] - own[shoulders]).mean() < 12, "what was not learnt is the film's own"
    assert rest(house) == []


@pytest.mark.slow
def test_a_training_is_cancelled_amid_its_steps(house: Served, film: bytes) -> None:
    job = native(house, film, name="halted", engine="synctalk", epochs="100000", options="size=64").json()
    for _, _, data in follow(house.url, job["id"], timeout=120):
        if data.get("loss") is not None:
            break
    assert data["epochs"] == 100_000
    assert data["remaining"] is None or data["remaining"] > 3600
    answer = requests.delete(f"{house.url}/v1/jobs/{job['id']}", timeout=30)
    assert answer.json()["state"] == "cancelled"
    assert answer.elapsed.total_seconds() < 10
    assert requests.get(f"{house.url}/v1/models/halted", timeout=10).status_code == 404
    assert rest(house) == []


def test_where_torch_is_they_are_offered_and_need_no_stand_in(house: Served, film: bytes) -> None:
    told = requests.get(f"{house.url}/v1/models", timeout=20).json()
    teachers = {one["engine"]: one for one in told["engines"]}
    for engine in ("ernerf", "synctalk"):
        assert teachers[engine]["learns"]
        assert {"lr", "batch", "size", "ear", "max_minutes"} <= set(teachers[engine]["options"])
        assert "quality" not in teachers[engine]["options"]
        assert 0.05 < teachers[engine]["step_seconds"] < 5
    assert teachers["person"]["step_seconds"] is None
    job = native(house, film, name="patient", engine="synctalk", epochs="100").json()
    assert "SyncTalk takes about 47 minutes on this processor" in job["params"]["notes"][0]
    assert requests.delete(f"{house.url}/v1/jobs/{job['id']}", timeout=30).json()["state"] == "cancelled"
    made = form(house, "/video_generation", VIDEO | {"model_param": "toy", "target_text": "Hello."}).json()
    assert "toy was not made by SyncTalk: toy is played by toy" in made["message"]


def test_an_ear_whose_file_is_not_here_is_neither_offered_nor_taken(
    start: Callable[..., AbstractContextManager[Served]], tmp_path: Path
) -> None:
    def ears(server: Served) -> list[str]:
        options = requests.get(f"{server.url}/v1/models", timeout=60).json()["options"]
        return next(list(one["words"]) for one in options if one["name"] == "ear")

    with start(models__dir=str(tmp_path), work__processes="1") as server:
        assert ears(server) == ["lips", "mel"]
        answer = native(server, b"not looked at", engine="synctalk", options="ear=ave")
        assert answer.status_code == 503
        assert "audio_visual_encoder.pth" in answer.json()["detail"]
        (tmp_path / "audio_visual_encoder.pth").write_bytes(b"weights")
        assert ears(server) == ["lips", "mel", "ave"]
        assert native(server, b"no film", engine="synctalk", options="ear=ave").status_code == 415
        answer = native(server, b"not looked at", engine="ernerf", options="ear=hubert_cn")
        assert answer.status_code == 503
        assert "exp_w2v2t_zh-cn_hubert_s449, which is not here" in answer.json()["detail"]
