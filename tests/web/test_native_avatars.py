"""Avatars made, looked at and removed over HTTP."""

import io
import json
import threading
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import requests
from PIL import Image

from serving import Served
from vivavoce.engines.photo import bundle
from vivavoce.face import preflight
from vivavoce.face.given import NAMED
from vivavoce.face.locate import FaceLocator
from vivavoce.media.video import encode
from vivavoce.nouns import Audio, Canvas, Frame
from vivavoce.studio.scene import builtin_avatars
from vivavoce.web import avatars

Picture = npt.NDArray[np.uint8]
Points = dict[str, list[float]]


def anna() -> tuple[Picture, Points]:
    """A portrait and the named points on its face."""
    portrait = bundle.load(builtin_avatars() / "anna")
    return portrait.rgb, {name: portrait.mesh.points[i, :2].round(1).tolist() for name, i in NAMED.items()}


def photo(rgb: Picture, *, orientation: int = 1, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(rgb).save(buffer, kind, quality=92, exif=exif)
    return buffer.getvalue()


def noise(height: int, width: int) -> Picture:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def film(path: Path, picture: Picture, seconds: float, size: int = 256) -> bytes:
    """A film in which nothing moves."""
    still = np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    frames = (Frame(still, n / 25) for n in range(round(seconds * 25)))
    encode(path, frames, Audio(np.zeros(round(seconds * 16_000), np.float32), 16_000), Canvas(size, size))
    return path.read_bytes()


def make(server: Served, name: str, data: bytes, fields: dict[str, str] | None = None, **headers: str) -> Any:
    """The answer to ``POST /v1/avatars``."""
    sent = {"Prefer": "wait=120"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return requests.post(
        f"{server.url}/v1/avatars",
        data={"name": name, **(fields or {})},
        files={"file": ("photo.jpg", data)},
        headers=sent,
        timeout=180,
    )


def listed(server: Served) -> dict[str, dict[str, Any]]:
    answer = requests.get(f"{server.url}/v1/avatars", timeout=10).json()
    return {avatar["name"]: avatar for avatar in answer["avatars"]}


def refused(answer: requests.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert words in body["detail"]
    assert body["detail"][0].isalnum()
    for inside in ("Traceback", "vivavoce.", "site-packages", "/home", "/tmp", "pydantic"):
        assert inside not in body["detail"]


def test_limits_are_those_of_the_preflight() -> None:
    assert (avatars.MOST_SECONDS, avatars.MOST_VIDEO_PIXELS) == (preflight.MAX_SECONDS, preflight.MAX_VIDEO_PIXELS)


def test_what_is_known_of_an_avatar(server: Served) -> None:
    known = listed(server)
    assert list(known)[:3] == ["aigul", "anna", "david"]
    assert known["anna"]["builtin"]
    assert not known["toy"]["builtin"]
    assert known["toy"]["default"]
    facts = requests.get(f"{server.url}/v1/avatars/Anna", timeout=10).json()
    assert facts.items() >= known["anna"].items()
    assert facts["resolutions"]["720p"].endswith("x720")
    assert facts["width"] > 500
    assert requests.get(server.url + facts["poster_url"], timeout=10).headers["content-type"] == "image/jpeg"
    for name in ("nobody", "..%2f..%2fetc", "ANNA%00", "x" * 500):
        refused(requests.get(f"{server.url}/v1/avatars/{name}", timeout=10), 404, "")


def test_a_damaged_avatar_does_not_hide_the_others(server: Served) -> None:
    folder = server.data / "avatars" / "broken"
    folder.mkdir()
    (folder / "avatar.json").write_text("{")
    assert {"anna", "toy"} <= set(listed(server))
    refused(requests.get(f"{server.url}/v1/avatars/broken", timeout=10), 404, "damaged")
    assert requests.delete(f"{server.url}/v1/avatars/broken", timeout=10).status_code == 204
    assert not folder.exists()


# ---- a photo, its points given, so that no nets are needed


def test_a_photo_with_given_points_becomes_an_avatar_that_speaks(server: Served) -> None:
    rgb, points = anna()
    answer = make(server, "mary", photo(rgb), {"landmarks": json.dumps(points)})
    job = answer.json()
    assert (answer.status_code, job["kind"], job["state"]) == (200, "prepare", "succeeded"), job
    assert "landmarks" not in job["params"]
    assert "source" not in job["params"]
    result = job["result"]
    assert result.keys() >= {"name", "warnings", "report", "poster_url", "idle_url"}
    assert result["report"]["kind"] == "picture"
    facts = requests.get(f"{server.url}/v1/avatars/mary", timeout=10).json()
    assert (facts["kind"], facts["landmarks"], facts["builtin"]) == ("picture", "given", False)
    assert facts["created"].startswith("20")
    assert facts["report"] == result["report"]
    poster = requests.get(server.url + result["poster_url"], timeout=10)
    assert np.asarray(Image.open(io.BytesIO(poster.content))).std() > 20
    spoken = requests.post(
        f"{server.url}/v1/videos",
        json={"text": "Hello there.", "language": "en", "avatar": "mary"},
        headers={"Prefer": "wait=60"},
        timeout=90,
    ).json()
    assert spoken["state"] == "succeeded", spoken
    refused(make(server, "mary", photo(rgb)), 409, "already")
    refused(make(server, "Mary", photo(rgb)), 400, "letters a-z")
    assert requests.delete(f"{server.url}/v1/avatars/mary", timeout=10).status_code == 204
    refused(requests.get(f"{server.url}/v1/avatars/mary", timeout=10), 404, "mary")
    refused(requests.delete(f"{server.url}/v1/avatars/mary", timeout=10), 404, "mary")
    assert server.left() == []


@pytest.mark.parametrize("orientation", [6, 3, 5])
def test_points_belong_to_the_upright_picture(server: Served, orientation: int) -> None:
    rgb, points = anna()
    tall = np.ascontiguousarray(np.pad(rgb, ((0, 200), (0, 0), (0, 0)), mode="edge"))
    lying = {6: np.rot90(tall, 1), 3: np.rot90(tall, 2), 5: np.swapaxes(tall, 0, 1)}[orientation]
    name = f"lying-{orientation}"
    data = photo(np.ascontiguousarray(lying), orientation=orientation)
    job = make(server, name, data, {"landmarks": json.dumps(points)}).json()
    assert job["state"] == "succeeded", job
    facts = requests.get(f"{server.url}/v1/avatars/{name}", timeout=10).json()
    assert (facts["width"], facts["height"]) == tall.shape[1::-1]


def test_the_same_key_and_file_are_the_same_job(server: Served) -> None:
    rgb, points = anna()
    fields = {"landmarks": json.dumps(points)}

    def send(data: bytes) -> requests.Response:
        answer: requests.Response = make(server, "once", data, fields, Idempotency_Key="make-once")
        return answer

    data = photo(rgb)
    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(send, [data] * 4))
    after = send(data)
    assert {a.json().get("id") for a in [*first, after]} == {after.json()["id"]}
    assert after.json()["state"] == "succeeded"
    refused(send(photo(rgb[::2, ::2])), 409, "key")
    assert server.left() == []


def test_events_tell_how_far_it_is(server: Served) -> None:
    rgb, points = anna()
    answer = make(server, "told", photo(rgb), {"landmarks": json.dumps(points)}, Accept="text/event-stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    datas = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert any(data.get("stage") == "prepare" for data in datas)
    assert datas[-1]["state"] == "succeeded"
    assert datas[-1]["result"]["idle_url"] == "/v1/avatars/told/idle"
    idle = requests.get(server.url + "/v1/avatars/told/idle?resolution=128x192", timeout=60)
    with av.open(io.BytesIO(idle.content), "r") as loop:
        assert (loop.streams.video[0].width, loop.streams.video[0].height) == (128, 192)
    refused(requests.get(server.url + "/v1/avatars/told/idle?resolution=big", timeout=10), 400, "720p")


def test_removing_an_avatar_that_speaks_crashes_nothing(server: Served) -> None:
    rgb, points = anna()
    assert make(server, "leaving", photo(rgb), {"landmarks": json.dumps(points)}).json()["state"] == "succeeded"
    ask = {"text": "One two three four five six seven. " * 12, "language": "en", "avatar": "leaving"}
    ids = [requests.post(f"{server.url}/v1/videos", json=ask, timeout=30).json()["id"] for _ in range(6)]
    events = requests.get(f"{server.url}/v1/jobs/{ids[0]}/events", stream=True, timeout=60)
    next(line for line in events.iter_lines() if b'"stage": "face"' in line and b'"progress": 0.0' not in line)
    assert requests.delete(f"{server.url}/v1/avatars/leaving", timeout=10).status_code == 204
    events.close()
    states = []
    for id_ in ids:
        last = requests.get(f"{server.url}/v1/jobs/{id_}/events", timeout=120).text
        assert '"state": "succeeded"' in last or '"state": "failed"' in last
        job = requests.get(f"{server.url}/v1/jobs/{id_}", timeout=10).json()
        states.append(job["state"])
        if job["error"]:
            assert job["error"]["code"] == "not-found", job["error"]
            assert "leaving" in job["error"]["message"]
    assert states[0] == "succeeded", "it holds what it has loaded"
    assert states[-1] == "failed"


# ---- what is refused


def text_file() -> bytes:
    return b"I am no picture, and no film."


def hundred_megapixels() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")
    return buffer.getvalue()


def gif() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(buffer, "GIF")
    return buffer.getvalue()


def moving_webp() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(
        buffer, "WEBP", save_all=True, append_images=[Image.fromarray(noise(64, 64)[::-1])], duration=100
    )
    return buffer.getvalue()


def heic() -> bytes:
    return b"\0\0\0\x20ftypheic" + bytes(200)


def broken_film() -> bytes:
    return b"\0\0\0\x20ftypisom" + bytes(20_000)


def head_of_a_jpeg() -> bytes:
    return photo(noise(300, 300))[:12]


FILES: list[tuple[Callable[[], bytes], int, str]] = [
    (text_file, 415, "no picture that can be read here"),
    (bytes, 400, "The file is empty"),
    (hundred_megapixels, 413, "10000x10000 pixels; at most 50 million"),
    (gif, 415, "send a JPEG, PNG or WebP"),
    (moving_webp, 415, "animated"),
    (heic, 415, "no picture that can be read here"),
    (head_of_a_jpeg, 400, "cut off or damaged"),
]


@pytest.mark.parametrize(("data", "status", "words"), FILES, ids=[made.__name__ for made, _, _ in FILES])
@pytest.mark.parametrize("path", ["", "/check"])
def test_a_file_is_refused_at_once(
    server: Served, path: str, data: Callable[[], bytes], status: int, words: str
) -> None:
    fields = {} if path else {"name": "bad"}
    files = {"file": ("../../etc/passwd", data())}
    answer = requests.post(f"{server.url}/v1/avatars{path}", data=fields, files=files, timeout=30)
    refused(answer, status, words)
    assert server.left() == []
    assert "bad" not in listed(server)


@pytest.mark.parametrize("path", ["", "/check"])
def test_a_film_that_cannot_be_opened_is_refused_at_once(server: Served, path: str) -> None:
    fields = {} if path else {"name": "bad"}
    answer = requests.post(
        f"{server.url}/v1/avatars{path}", data=fields, files={"file": ("a.mp4", broken_film())}, timeout=30
    )
    assert answer.status_code in (400, 415), answer.text
    assert server.left() == []


GOOD = {"name": "good"}
FIELDS: list[tuple[str, dict[str, str], int, str]] = [
    ("no name", {}, 400, "name"),
    ("empty name", {"name": ""}, 400, "letters a-z"),
    ("name in capitals", {"name": "Good"}, 400, "letters a-z"),
    ("name is a path", {"name": "../../etc"}, 400, "letters a-z"),
    ("name with a line end", {"name": "good\n"}, 400, "letters a-z"),
    ("name too long", {"name": "x" * 64}, 400, "letters a-z"),
    ("name of a built-in one", {"name": "anna"}, 409, "already"),
    ("unknown engine", GOOD | {"engine": "magic"}, 400, "installed"),
    ("unknown field", GOOD | {"colour": "red"}, 400, "colour"),
    ("landmarks are no JSON", GOOD | {"landmarks": "{"}, 400, "not valid JSON"),
    ("landmarks are a number", GOOD | {"landmarks": "5"}, 400, "named points"),
    ("too few landmarks", GOOD | {"landmarks": '{"chin": [1, 2]}'}, 400, "lack"),
    ("unknown landmark", GOOD | {"landmarks": '{"tail": [1, 2]}'}, 400, "tail"),
    ("landmarks are huge", GOOD | {"landmarks": "[" + "1," * 150_000 + "1]"}, 400, "landmarks"),
    ("landmarks are deep", GOOD | {"landmarks": "[" * 50_000}, 400, "not valid JSON"),
    ("webhook at home", GOOD | {"webhook": "http://127.0.0.1/"}, 400, ""),
    ("webhook is none", GOOD | {"webhook": "nonsense"}, 400, ""),
]


@pytest.mark.parametrize(("fields", "status", "words"), [f[1:] for f in FIELDS], ids=[f[0] for f in FIELDS])
def test_fields_are_refused(server: Served, fields: dict[str, str], status: int, words: str) -> None:
    files = {"file": ("a.jpg", photo(noise(64, 64)))}
    refused(requests.post(f"{server.url}/v1/avatars", data=fields, files=files, timeout=30), status, words)
    assert server.left() == []


def test_landmarks_far_from_the_picture_or_upside_down(server: Served) -> None:
    rgb, points = anna()
    far = {name: [x + 9000, y] for name, (x, y) in points.items()}
    refused(make(server, "far", photo(rgb), {"landmarks": json.dumps(far)}), 400, "outside the picture")
    turned = {name: [x, -y + 1000] for name, (x, y) in points.items()}
    refused(make(server, "turned", photo(rgb), {"landmarks": json.dumps(turned)}), 400, "upright human face")


@pytest.mark.parametrize("path", ["", "/check"])
def test_calls_without_a_form_are_refused(server: Served, path: str) -> None:
    url = f"{server.url}/v1/avatars{path}"
    refused(requests.post(url, json={"name": "x"}, timeout=10), 400, "multipart/form-data")
    refused(requests.post(url, data={"name": "x"}, timeout=10), 400, "multipart/form-data")
    refused(requests.post(url, files={"other": b"x"}, timeout=10), 400, "field file")
    two = [("file", ("a.jpg", b"x")), ("file", ("b.jpg", b"y"))]
    refused(requests.post(url, data=GOOD, files=two, timeout=10), 400, "files")
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(requests.post(url, data=b"--x\r\nnonsense", headers=headers, timeout=10), 400, "")


def test_uploads_over_the_limit_and_films_too_long(serve: Callable[..., Served], tmp_path: Path) -> None:
    server = serve(limits__upload_bytes="100000", limits__picture_pixels="20000", work__processes="1")
    refused(make(server, "big", bytes(200_000)), 413, "100000 bytes")
    refused(make(server, "big", photo(np.zeros((200, 200, 3), np.uint8))), 413, "at most 0.02 million")
    long = tmp_path / "long.mp4"
    with av.open(str(long), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width = stream.height = 64
        for n in range(700):
            frame = av.VideoFrame(64, 64, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([100]) * plane.buffer_size)
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    refused(make(server, "long", long.read_bytes()), 413, "at most 600 s")
    assert server.left() == []


def test_what_may_not_be_removed(server: Served) -> None:
    refused(requests.delete(f"{server.url}/v1/avatars/anna", timeout=10), 400, "part of the program")
    refused(requests.delete(f"{server.url}/v1/avatars/toy", timeout=10), 409, "default avatar")
    for name in ("nobody", "..%2f..%2fdata", "%2e%2e"):
        assert requests.delete(f"{server.url}/v1/avatars/{name}", timeout=10).status_code in (404, 405)
    assert {"anna", "toy"} <= set(listed(server))


def test_an_engine_that_takes_no_picture_fails_the_job_with_its_sentence(server: Served) -> None:
    job = make(server, "toy-2", photo(noise(64, 64)), {"engine": "toy"}).json()
    assert (job["state"], job["error"]) == (
        "failed",
        {"code": "face-rejected", "message": "The toy takes no pictures."},
    )
    rgb, points = anna()
    job = make(server, "toy-2", photo(rgb), {"engine": "toy", "landmarks": json.dumps(points)}).json()
    assert job["state"] == "failed"
    assert "takes no landmarks" in job["error"]["message"]
    assert server.left() == []


def test_keys_are_needed_and_avatars_are_shared(serve: Callable[..., Served]) -> None:
    server = serve(server__api_keys='["one", "two"]', work__processes="1")
    rgb, points = anna()
    fields = {"landmarks": json.dumps(points)}
    assert make(server, "ours", photo(rgb), fields).status_code == 401
    made = make(server, "ours", photo(rgb), fields, X_API_Key="one")
    assert made.json()["state"] == "succeeded"
    theirs = {"X-API-Key": "two"}
    assert requests.get(f"{server.url}/v1/avatars/ours", headers=theirs, timeout=10).status_code == 200
    job = f"{server.url}/v1/jobs/{made.json()['id']}"
    assert requests.get(job, headers=theirs, timeout=10).status_code == 404, "the job is its owner's alone"
    assert requests.delete(f"{server.url}/v1/avatars/ours", timeout=10).status_code == 401
    assert requests.delete(f"{server.url}/v1/avatars/ours", headers=theirs, timeout=10).status_code == 204


# ---- with the nets


@pytest.mark.usefixtures("locator")
def test_a_photo_is_looked_at(server: Served) -> None:
    rgb, points = anna()
    files = {"file": ("a.png", photo(rgb, kind="PNG"))}
    answer = requests.post(f"{server.url}/v1/avatars/check", files=files, timeout=60)
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert (seen["width"], seen["height"]) == rgb.shape[1::-1]
    assert seen["report"]["kind"] == "picture"
    assert {"face-size", "light", "sharpness", "turn", "mouth"} <= {f["check"] for f in seen["report"]["findings"]}
    eyes = np.linalg.norm(np.subtract(points["left_eye_outer"], points["right_eye_outer"]))
    apart = [np.linalg.norm(np.subtract(seen["landmarks"][name], point)) / eyes for name, point in points.items()]
    assert max(apart) < 0.12
    kind, data = seen["preview"].split(",", 1)
    assert kind == "data:image/jpeg;base64"
    shown = np.asarray(Image.open(io.BytesIO(b64decode(data))))
    assert shown.shape[1] / shown.shape[0] == pytest.approx(rgb.shape[1] / rgb.shape[0], abs=0.01)
    assert server.left() == []
    jobs = requests.get(f"{server.url}/v1/jobs?kind=check&limit=1", timeout=10).json()["jobs"]
    assert jobs[0]["result"] in ({}, None), "nothing of it is kept"


@pytest.mark.usefixtures("locator")
def test_a_lying_photo_is_seen_upright(server: Served) -> None:
    rgb, points = anna()
    files = {"file": ("a.jpg", photo(np.ascontiguousarray(np.rot90(rgb)), orientation=6))}
    seen = requests.post(f"{server.url}/v1/avatars/check", files=files, timeout=60).json()
    assert np.abs(np.subtract(seen["landmarks"]["chin"], points["chin"])).max() < 30


@pytest.mark.usefixtures("locator")
def test_a_picture_without_a_face(server: Served) -> None:
    data = photo(noise(300, 400))
    seen = requests.post(f"{server.url}/v1/avatars/check", files={"file": data}, timeout=60).json()
    assert (seen["report"]["level"], seen["landmarks"]) == ("refuse", None)
    assert seen["preview"]
    job = make(server, "nobody", data).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "face-rejected")
    assert "No face was found" in job["error"]["message"]
    assert server.left() == []
    assert "nobody" not in listed(server)


@pytest.mark.usefixtures("locator")
def test_a_cut_off_photo_fails_with_a_sentence(server: Served) -> None:
    data = photo(noise(300, 300))[:20_000]
    refused(requests.post(f"{server.url}/v1/avatars/check", files={"file": data}, timeout=60), 400, "cut off")
    job = make(server, "cut", data).json()
    assert "cut off or damaged" in job["error"]["message"]


@pytest.mark.slow
def test_cancelling_leaves_nothing_and_the_name_is_free_again(
    server: Served, tmp_path: Path, locator: FaceLocator
) -> None:
    rgb, _ = anna()
    data = film(tmp_path / "a.mp4", rgb, 20, 512)
    job = make(server, "halfway", data, Prefer="").json()
    refused(make(server, "halfway", data), 409, "being made")
    with requests.get(server.url + job["events_url"], stream=True, timeout=60) as events:
        next(line for line in events.iter_lines() if line.startswith(b"data: ") and b'"progress": 0.0' not in line)
        gone = threading.Event()
        timer = threading.Timer(1.5, gone.set)
        timer.start()
        answer = requests.delete(f"{server.url}/v1/jobs/{job['id']}", timeout=10)
        in_time = not gone.is_set()
        timer.cancel()
    assert answer.json()["state"] == "cancelled"
    assert in_time
    assert server.left() == []
    assert requests.get(f"{server.url}/v1/avatars/halfway", timeout=10).status_code == 404
    short = film(tmp_path / "b.mp4", rgb, 1.5, 512)
    done = make(server, "halfway", short).json()
    assert done["state"] == "succeeded", done
    facts = requests.get(f"{server.url}/v1/avatars/halfway", timeout=10).json()
    assert (facts["kind"], facts["fps"]) == ("video", 25)


@pytest.mark.slow
@pytest.mark.usefixtures("locator")
def test_real_photos_become_avatars(server: Served, shared: Path) -> None:
    for path in sorted((shared / "media" / "portraits").glob("*.jpg")):
        name = path.stem.replace("_", "-")
        seen = requests.post(f"{server.url}/v1/avatars/check", files={"file": path.read_bytes()}, timeout=60).json()
        assert seen["report"]["level"] != "refuse", (path.name, seen["report"])
        moved = seen["landmarks"] | {"chin": [seen["landmarks"]["chin"][0], seen["landmarks"]["chin"][1] + 4]}
        job = make(server, name, path.read_bytes(), {"landmarks": json.dumps(moved)}).json()
        assert job["state"] == "succeeded", job
        assert make(server, f"{name}-found", path.read_bytes()).json()["state"] == "succeeded"


@pytest.mark.slow
@pytest.mark.usefixtures("locator")
def test_the_real_video_becomes_an_avatar(server: Served, shared: Path) -> None:
    data = (shared / "media" / "videos" / "man_20s_1080x1920_25fps.mp4").read_bytes()
    seen = requests.post(f"{server.url}/v1/avatars/check", files={"file": data}, timeout=120).json()
    assert (seen["width"], seen["height"], seen["landmarks"]) == (1080, 1920, None)
    assert seen["seconds"] == pytest.approx(20, abs=0.2)
    assert seen["report"]["level"] != "refuse"
    refused(make(server, "man", data, {"landmarks": "{}"}), 400, "belong to a picture")
    job = make(server, "man", data, Prefer="wait=300").json()
    assert job["state"] == "succeeded", job
    facts = requests.get(f"{server.url}/v1/avatars/man", timeout=10).json()
    assert facts["kind"] == "video"
    assert facts["frames"] == pytest.approx(500, abs=5)
    ask = {"text": "안녕하세요, 반갑습니다.", "language": "ko", "avatar": "man", "resolution": "360x640"}
    spoken = requests.post(f"{server.url}/v1/videos", json=ask, headers={"Prefer": "wait=120"}, timeout=150).json()
    assert spoken["state"] == "succeeded", spoken
