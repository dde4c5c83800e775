"""Family B as its clients see it: the document's own Python, events, languages, refusals, cancelling, crowds."""

import io
import json
import re
import shutil
import socket
import subprocess
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import av
import pytest
import requests

from serving import Served
from vendors import KEY, vendor
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.studio.scene import builtin_avatars

STREAM, SYNC = "/api/v2/lipsync/stream", "/api/v2/lipsync"
HANGUL = "안녕하세요, 면접에 오신 것을 환영합니다."
GOOD = {"text": HANGUL, "avatar": "talk_long", "resolution": "360p"}
SLOW = GOOD | {"text": "slowly " + HANGUL}
ENDLESS = GOOD | {"text": "forever " + HANGUL}
PYTHON = """
import requests
import json

response = requests.post(
    'http://localhost:5000/api/v2/lipsync/stream',
    json={
        'text': '안녕하세요, 면접에 오신 것을 환영합니다.',
        'avatar': 'talk_long',
        'resolution': '720p'
    },
    stream=True
)

for line in response.iter_lines():
    if line:
        line_str = line.decode('utf-8')
        if line_str.startswith('data: '):
            data = json.loads(line_str[6:])

            if data['type'] == 'status':
                print(f"[{data['stage']}] {data['message']}")
            elif data['type'] == 'done':
                print(f"\\n[완료] 비디오: {data['video_url']}")
                print(f"       소요시간: {data['elapsed']['total']}초")
            elif data['type'] == 'error':
                print(f"\\n[오류] {data['message']}")
"""


def hire(server: Served, name: str = "talk_long", source: Path | None = None) -> None:
    """One more avatar of the server's: the toy under another name, or a shipped one."""
    target = server.data / "avatars" / name
    shutil.copytree(source or server.data / "avatars" / "toy", target)
    facts = json.loads((target / "avatar.json").read_text())
    (target / "avatar.json").write_text(json.dumps(facts | {"name": name}))


@pytest.fixture(scope="module")
def studio(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """A server with the avatar that the document's examples name."""
    with start() as served:
        hire(served)
        yield served


@pytest.fixture(scope="module")
def single(start: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """A server with one worker: who holds it keeps everybody waiting."""
    with start(work__processes="1") as served:
        hire(served)
        yield served


def post(server: Served, path: str, body: Any, **headers: str) -> requests.Response:
    return requests.post(server.url + path, json=body, headers=headers, timeout=60)


def told(answer: requests.Response) -> Iterator[dict[str, Any]]:
    """The events of an answer as they come; dropping the iterator is leaving."""
    for line in answer.iter_lines(chunk_size=1):
        if line:
            assert line.startswith(b"data: ")
            yield json.loads(line[6:])


def opened(server: Served, body: Any, **headers: str) -> requests.Response:
    answer = requests.post(server.url + STREAM, json=body, headers=headers, stream=True, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer


def filming(events: Iterator[dict[str, Any]]) -> str:
    """The task, as soon as its film has begun."""
    task: str = next(e["task_id"] for e in events if e.get("stage") == "lipsync")
    return task


def films(server: Served) -> set[str]:
    """Whatever lies among the results, half made or whole."""
    root = server.data / "artifacts"
    return {p.name for p in root.rglob("*") if p.is_file()}


def samples(content: bytes) -> bytes:
    with wave.open(io.BytesIO(content)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16_000, 1, 2)
        frames: bytes = sound.readframes(sound.getnframes())
        return frames


def picture_size(content: bytes) -> tuple[int, int]:
    with av.open(io.BytesIO(content), "r") as film:
        stream = film.streams.video[0]
        return stream.width, stream.height


# ---- the document's own client


def test_the_python_example(studio: Served, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(PYTHON.replace("http://localhost:5000", studio.url), "snippet", "exec"), {})
    said = capsys.readouterr().out
    assert said.startswith("[tts] TTS 음성 생성 중...\n[tts_done] TTS 완료 (")
    assert "\n[lipsync] 립싱크 비디오 생성 중...\n" in said
    assert re.search(r"\n\[완료\] 비디오: /video/\w+\.mp4\n       소요시간: [\d.]+초\n$", said)


@pytest.mark.slow
def test_the_python_example_with_an_avatar_that_ships(
    serve: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve()
    hire(server, source=builtin_avatars() / "anna")
    exec(compile(PYTHON.replace("http://localhost:5000", server.url), "snippet", "exec"), {})
    found = re.search(r"비디오: (\S+)", capsys.readouterr().out)
    assert found
    film = requests.get(server.url + found[1], timeout=30)
    assert picture_size(film.content)[1] == 720


CURL = """
curl -X POST http://localhost:5000/api/v2/lipsync \\
  -H "Content-Type: application/json" \\
  -d '{
    "text": "안녕하세요, 면접에 오신 것을 환영합니다.",
    "avatar": "talk_long",
    "resolution": "720p"
  }'
"""


@pytest.mark.skipif(not shutil.which("curl"), reason="the example calls curl")
def test_the_curl_example(studio: Served) -> None:
    code = CURL.replace("http://localhost:5000", studio.url)
    done = subprocess.run(["bash", "-c", code], capture_output=True, check=True, text=True)
    body = json.loads(done.stdout)
    assert body["success"] is True
    assert body["video_path"].startswith("results/realtime/")
    assert picture_size(requests.get(studio.url + body["video_url"], timeout=10).content)[1] == 720


# ---- the events


def test_events_in_their_order_and_shape(studio: Served) -> None:
    answer = opened(studio, GOOD)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert "content-encoding" not in answer.headers
    writes = list(answer.raw.read_chunked())
    assert all(re.fullmatch(rb"data: \{[ -~]*\}\n\n", write) for write in writes)
    events = [json.loads(write[6:]) for write in writes]
    assert [e.get("stage") for e in events[:3]] == ["tts", "tts_done", "lipsync"]
    assert {e["stage"] for e in events[3:-1]} <= {"lipsync"}
    assert len({e["task_id"] for e in events}) == 1
    done = events[1]
    assert set(done) == {*("type", "stage", "message", "audio_url", "video_url", "duration", "elapsed", "task_id")}
    assert done["message"] == f"TTS 완료 ({done['duration']:.1f}초)"
    progress = [e["progress"] for e in events[2:-1]]
    assert progress == sorted(progress)
    assert all(0 <= p <= 1 for p in progress)
    last = events[-1]
    assert last["type"] == "done"
    assert last["text"] == HANGUL
    assert re.fullmatch(r"/video/\w+\.mp4", last["video_url"])
    assert last["audio_url"] == done["audio_url"]
    assert last["audio_duration"] == done["duration"]
    assert set(last["elapsed"]) == {"tts", "lipsync", "total"}
    assert last["elapsed"]["total"] == pytest.approx(last["elapsed"]["tts"] + last["elapsed"]["lipsync"], abs=0.03)
    sound = requests.get(studio.url + last["audio_url"], timeout=10)
    assert sound.headers["content-type"] == "audio/wav"
    assert len(samples(sound.content)) / 32_000 == pytest.approx(last["audio_duration"], abs=0.01)
    film = requests.get(studio.url + last["video_url"], timeout=10)
    assert film.headers["content-type"] == "video/mp4"
    assert picture_size(film.content) == (360, 360)
    assert film.content.index(b"moov") < film.content.index(b"mdat")


def test_each_event_is_one_small_write_however_long_the_text(studio: Served) -> None:
    text = HANGUL * 14
    events = list(told(opened(studio, GOOD | {"text": text})))
    assert max(len(json.dumps(e)) for e in events) <= 1200
    echo = events[-1]["text"]
    assert echo.endswith("...")
    assert len(echo) > 50
    assert text.startswith(echo[:-3])


def test_events_come_as_they_happen_and_the_film_plays_meanwhile(studio: Served) -> None:
    answer = opened(studio, SLOW)
    events = told(answer)
    first = next(events)
    came = monotonic()
    said = next(e for e in events if e.get("stage") == "tts_done")
    film = requests.get(studio.url + said["video_url"], stream=True, timeout=30)
    blocks = film.iter_content(64)
    block = next(blocks)
    assert block[4:8] == b"ftyp"
    watched = monotonic()
    rest = list(events)
    ended = monotonic()
    assert rest[-1]["type"] == "done"
    assert ended - watched > (ended - came) / 4, "the film could be seen only when it was finished"
    assert first["task_id"] == rest[-1]["task_id"]
    told_at = sum(e.get("stage") == "lipsync" for e in rest)
    assert 3 <= told_at <= 4 * (ended - came) + 2
    whole = block + b"".join(blocks)
    with av.open(io.BytesIO(whole), "r") as read:
        assert sum(1 for _ in read.decode(video=0)) == pytest.approx(said["duration"] * 25, abs=1)
    # Afterwards it is a plain file.
    part = requests.get(studio.url + said["video_url"], headers={"Range": "bytes=4-7"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"ftyp")
    head = requests.head(studio.url + said["video_url"], timeout=10)
    assert head.status_code == 200
    assert head.headers["etag"]
    assert int(head.headers["content-length"]) > 1000


def test_the_call_that_waits(studio: Served) -> None:
    body = post(studio, SYNC, GOOD).json()
    assert body["success"] is True
    name = body["video_url"].removeprefix("/video/")
    assert body["video_path"] == f"results/realtime/{name}"
    assert body["elapsed"] > 0
    assert requests.get(studio.url + body["video_url"], timeout=10).status_code == 200
    assert post(studio, f"/api/cancel/{body['task_id']}", {}).status_code == 409


# ---- what there is


def test_lists_and_status(studio: Served) -> None:
    rows = requests.get(f"{studio.url}/api/avatars", timeout=10).json()["avatars"]
    assert rows[0].keys() == {"id", "name", "path"}
    by_id = {row["id"]: row for row in rows}
    assert by_id["talk_long_720p"]["path"] == "precomputed/720p/talk_long_720p_precomputed.npz"
    assert {"anna_720p", "anna_480p", "anna_360p", "talk_long_360p"} <= set(by_id)
    status = requests.get(f"{studio.url}/api/v2/status", timeout=10).json()
    assert status["status"] == "ok"
    assert status["models_loaded"] is True
    assert status["available_avatars"] == [row["id"] for row in rows]
    assert "espeak" in status["tts_engines"]
    assert requests.head(f"{studio.url}/api/v2/status", timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("asked", "height"),
    [
        ({"avatar": "talk_long_480p"}, 480),
        ({"avatar": "TALK_LONG"}, 720),
        ({"avatar": "talk_long_720p", "resolution": "360p"}, 360),
        ({"avatar_path": "precomputed/360p/talk_long_360p_precomputed.npz"}, 360),
        ({"avatar_path": "precomputed/360p/talk_long_360p_precomputed.pkl"}, 360),
        ({"avatar": "", "avatar_path": "precomputed/480p/talk_long_480p_precomputed.npz", "frame_skip": None}, 480),
    ],
)
def test_an_avatar_by_any_of_its_names(studio: Served, asked: dict[str, Any], height: int) -> None:
    body = post(studio, SYNC, {"text": "네.", **asked}).json()
    film = requests.get(studio.url + body["video_url"], timeout=10)
    assert picture_size(film.content) == (height, height)


def test_an_avatar_that_is_named_with_its_resolution(studio: Served) -> None:
    hire(studio, "talk_short_480p")
    ids = [row["id"] for row in requests.get(f"{studio.url}/api/avatars", timeout=10).json()["avatars"]]
    assert "talk_short_480p" in ids
    assert "talk_short_720p" not in ids
    assert post(studio, SYNC, {"text": "네.", "avatar": "talk_short", "resolution": "480p"}).status_code == 200
    assert post(studio, SYNC, {"text": "네.", "avatar": "talk_short_480p"}).status_code == 200
    assert post(studio, SYNC, {"text": "네.", "avatar": "talk_short", "resolution": "720p"}).status_code == 404


@pytest.mark.parametrize("skip", [2, 4])
def test_frames_that_are_skipped_are_there_all_the_same(studio: Served, skip: int) -> None:
    body = post(studio, SYNC, {"text": "네.", "avatar": "anna", "resolution": "360p", "frame_skip": skip}).json()
    film = requests.get(studio.url + body["video_url"], timeout=10)
    with av.open(io.BytesIO(film.content), "r") as read:
        assert sum(1 for _ in read.decode(read.streams.video[0])) == round(body["audio_duration"] * 25)
    job = requests.get(f"{studio.url}/v1/jobs/{body['task_id']}", timeout=10).json()
    assert job["params"]["frame_skip"] == skip


@pytest.mark.parametrize("voice", ["Custom", "m1", "M1"])
def test_a_voice_by_name(studio: Served, voice: str) -> None:
    asked = GOOD | {"text": "네.", "tts_engine": "espeak", "tts_voice": voice}
    assert post(studio, SYNC, asked).status_code == 200


# ---- refusals

PATHS = (
    "../../../etc/passwd",
    "/etc/passwd",
    "precomputed/720p/../720p/talk_long_720p_precomputed.npz",
    "precomputed/720p/nobody_720p_precomputed.pkl",
    "precomputed/360p/talk_long_720p_precomputed.npz",
    "precomputed/720p/talk_long_720p_precomputed.pkl\n",
    "avatars/talk_long/avatar.npz",
    "precomputed/720p/linked_720p_precomputed.npz",
)
REFUSED: list[tuple[Any, int, str]] = [
    ({"avatar": "talk_long"}, 400, "text는 필수"),
    (GOOD | {"text": " \n"}, 400, "text는 필수"),
    (GOOD | {"text": None}, 400, "text는 필수"),
    (GOOD | {"text": 7}, 400, "text는 필수"),
    (GOOD | {"text": "..."}, 400, "단어나 숫자"),
    (GOOD | {"text": "가" * 5001}, 413, "최대 5000자"),
    ({"text": HANGUL}, 400, "anna"),
    ({"text": HANGUL, "avatar": " "}, 404, "anna"),
    (GOOD | {"avatar": "nobody"}, 404, "talk_long"),
    (GOOD | {"avatar": "../toy"}, 404, "talk_long"),
    (GOOD | {"avatar": ["talk_long"]}, 400, "문자열"),
    (GOOD | {"avatar_path": "precomputed/720p/anna_720p_precomputed.npz"}, 400, "하나만"),
    (GOOD | {"resolution": "1080p"}, 400, "720p, 480p, 360p"),
    (GOOD | {"resolution": 720}, 400, "720p, 480p, 360p"),
    (GOOD | {"frame_skip": 0}, 400, "1에서 4"),
    (GOOD | {"frame_skip": 5}, 400, "1에서 4"),
    (GOOD | {"frame_skip": "2"}, 400, "1에서 4"),
    (GOOD | {"frame_skip": 1.5}, 400, "1에서 4"),
    (GOOD | {"frame_skip": True}, 400, "1에서 4"),
    (GOOD | {"tts_engine": "festival"}, 400, "espeak"),
    (GOOD | {"tts_engine": 1}, 400, "tts_engine"),
    (GOOD | {"tts_engine": "elevenlabs"}, 503, "ELEVENLABS_API_KEY"),
    (GOOD | {"tts_voice": "../f3"}, 400, "Custom"),
    (GOOD | {"tts_voice": {}}, 400, "tts_voice"),
    (GOOD | {"language": "tlh"}, 400, "tlh"),
    (GOOD | {"language": 5}, 400, "language"),
    (GOOD | {"language": "ru"}, 400, "ru"),
    (GOOD | {"text": "a\0b"}, 400, ""),
    (GOOD | {"text": "half \ud83d"}, 400, "text"),
    (GOOD | {"avatar": "talk_long\0"}, 404, "talk_long"),
    ([], 400, "JSON"),
    ("text", 400, "JSON"),
    *(({"text": HANGUL, "avatar_path": path}, 404, "/api/avatars") for path in PATHS),
]


@pytest.mark.parametrize("path", [STREAM, SYNC])
def test_bad_requests_are_refused_in_one_sentence(studio: Served, tmp_path: Path, path: str) -> None:
    link = studio.data / "avatars" / "linked"
    with suppress(FileExistsError):
        shutil.copytree(studio.data / "avatars" / "toy", tmp_path / "linked")
        link.symlink_to(tmp_path / "linked")
    try:
        for body, status, words in REFUSED:
            answer = post(studio, path, body)
            assert answer.status_code == status, (body, answer.text)
            assert set(answer.json()) == {"success", "error"}
            assert answer.json()["success"] is False
            assert words in answer.json()["error"], (body, answer.text)
            assert "\n" not in answer.json()["error"]
            assert str(studio.data) not in answer.text
    finally:
        link.unlink()


def test_a_body_that_is_no_json(studio: Served) -> None:
    answer = requests.post(
        studio.url + STREAM, data=b'{"text": ', headers={"Content-Type": "application/json"}, timeout=9
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "본문이 올바른 JSON이 아닙니다.")
    answer = requests.post(studio.url + STREAM, data={"text": "x"}, timeout=9)
    assert answer.status_code == 400
    assert "application/json" in answer.json()["error"]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("en-US,en;q=0.9", "There is no avatar"),
        ("ru", "Аватара"),
        ("kk-KZ, ru;q=0.8", "аватары жоқ"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "没有数字人"),
        ("ko", "아바타"),
        ("fr, de;q=0.5", "There is no avatar"),
        ("fr, ru;q=0.5", "Аватара"),
    ],
)
def test_words_in_the_language_of_the_client(studio: Served, header: str, words: str) -> None:
    answer = post(studio, STREAM, GOOD | {"avatar": "nobody"}, **{"Accept-Language": header})
    assert words in answer.json()["error"]
    assert "talk_long" in answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["/video/nothing.mp4", "/video/nothing", "/assets/audio/nothing.wav", "/video/..%2fx.mp4"]
)
def test_no_such_result(studio: Served, path: str) -> None:
    answer = requests.get(studio.url + path, timeout=10)
    assert answer.status_code == 404
    assert answer.json()["success"] is False


# ---- failing on the way


@pytest.mark.slow
def test_a_failure_on_the_way_is_the_last_event(serve: Callable[..., Served]) -> None:
    server = serve(limits__tts_seconds="0.5")
    asked = {"text": "Hello there.", "avatar": "toy", "tts_engine": "mute"}
    for language, words in (("ko", "너무 오래 걸려"), ("en", "seconds"), ("zh", "时间过长")):
        events = list(told(opened(server, asked, **{"Accept-Language": language})))
        assert [e["type"] for e in events] == ["status", "error"]
        assert words in events[-1]["message"]
        assert events[-1]["task_id"] == events[0]["task_id"]
    answer = post(server, SYNC, asked)
    assert (answer.status_code, answer.json()["success"]) == (504, False)
    assert not films(server)


def test_too_many_requests(serve: Callable[..., Served]) -> None:
    server = serve(limits__waiting="1", work__processes="1")
    hire(server)
    with opened(server, ENDLESS) as busy:
        events = told(busy)
        filming(events)
        for path in (STREAM, SYNC):
            answer = post(server, path, GOOD)
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1
            assert "너무 많습니다" in answer.json()["error"]


# ---- cancelling and leaving


def queue(server: Served) -> dict[str, Any]:
    answer: dict[str, Any] = requests.get(f"{server.url}/api/queue_status", timeout=10).json()
    return answer


def test_the_queue_in_numbers(single: Served) -> None:
    idle = queue(single)
    assert idle.keys() == {"queue_size", "is_processing", "gpu_memory"}
    assert (idle["queue_size"], idle["is_processing"]) == (0, False)
    memory = idle["gpu_memory"]
    assert memory.keys() == {"total", "used", "free"}
    assert all(isinstance(mib, int) and mib >= 0 for mib in memory.values())
    with opened(single, ENDLESS) as busy:
        events = told(busy)
        first = filming(events)
        with opened(single, GOOD) as waiting:
            others = told(waiting)
            second = next(others)["task_id"]
            crowded = queue(single)
            assert (crowded["queue_size"], crowded["is_processing"]) == (1, True)
            for task in (second, first):
                assert post(single, f"/api/cancel/{task}", None).status_code == 200
    after = queue(single)
    assert (after["queue_size"], after["is_processing"]) == (0, False)


def test_cancelling_in_the_midst_of_a_film(single: Served) -> None:
    before = films(single)
    with opened(single, ENDLESS) as answer:
        events = told(answer)
        task = filming(events)
        began = monotonic()
        cancelled = post(single, f"/api/cancel/{task}", None)
        took = monotonic() - began
        assert (cancelled.status_code, cancelled.json()) == (200, {"success": True, "task_id": task})
        assert took < 1
        assert films(single) == before
        rest = list(events)
    assert (rest[-1]["type"], rest[-1]["message"]) == ("error", "작업이 취소되었습니다.")
    again = post(single, f"/api/cancel/{task}", None, **{"Accept-Language": "en"})
    assert (again.status_code, again.json()["success"]) == (409, False)
    assert "ended" in again.json()["error"]
    assert post(single, SYNC, GOOD).status_code == 200


def test_cancelling_a_call_that_waits(single: Served) -> None:
    with ThreadPoolExecutor(1) as clients:
        call = clients.submit(post, single, SYNC, ENDLESS)
        while not (running := requests.get(f"{single.url}/v1/jobs?state=running", timeout=10).json()["jobs"]):
            assert not call.done()
        assert running[0]["kind"] == "lipsync"
        assert post(single, f"/api/cancel/{running[0]['id']}", None).status_code == 200
        answer = call.result(10)
    assert (answer.status_code, answer.json()) == (409, {"success": False, "error": "작업이 취소되었습니다."})


def test_cancelling_while_the_voice_says_nothing(single: Served) -> None:
    asked = {"text": "Hello there.", "avatar": "toy", "tts_engine": "mute"}
    with opened(single, asked) as answer:
        events = told(answer)
        task = next(events)["task_id"]
        began = monotonic()
        assert post(single, f"/api/cancel/{task}", None).status_code == 200
        assert monotonic() - began < 2
        assert [e["type"] for e in events] == ["error"]
    assert post(single, SYNC, GOOD | {"text": "네."}).status_code == 200


@pytest.mark.parametrize("task", ["0" * 32, "nothing", "a b", "%00", "..%2f..", "x" * 300])
def test_cancelling_what_is_not_there(single: Served, task: str) -> None:
    answer = post(single, f"/api/cancel/{task}", None)
    assert answer.status_code == 404
    assert answer.json()["success"] is False


def test_a_client_that_leaves_frees_the_worker(single: Served) -> None:
    before = films(single)
    with opened(single, ENDLESS) as answer:
        events = told(answer)
        task = filming(events)
    left = monotonic()
    assert post(single, SYNC, GOOD | {"text": "네."}).status_code == 200
    assert monotonic() - left < 10
    assert requests.get(f"{single.url}/v1/jobs/{task}", timeout=10).json()["state"] == "cancelled"
    assert len(films(single) - before) == 2  # of the second call alone


def test_clients_that_leave_at_any_moment_leave_no_work(single: Served) -> None:
    before = films(single)
    body = json.dumps(ENDLESS).encode()
    address = urlsplit(single.url)
    head = (
        f"POST {STREAM} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for n in range(24):
        with socket.create_connection((address.hostname, address.port), 10) as connection:
            connection.sendall(head.encode() + body)
            connection.settimeout(0.004 * n + 0.001)
            with suppress(TimeoutError):
                connection.recv(100 if n % 2 else 10_000)
    assert post(single, SYNC, GOOD | {"text": "네."}).status_code == 200
    end = monotonic() + 5  # the lease of work that was forgotten runs longer
    while requests.get(f"{single.url}/v1/jobs?state=running", timeout=10).json()["jobs"]:
        assert monotonic() < end
    assert queue(single)["queue_size"] == 0
    assert len(films(single) - before) == 2


def test_the_keys_of_others(serve: Callable[..., Served]) -> None:
    server = serve(server__api_keys='["one", "two"]', work__processes="1")
    hire(server)
    assert post(server, STREAM, GOOD).status_code == 401
    assert requests.get(f"{server.url}/api/avatars", timeout=10).status_code == 401
    with opened(server, ENDLESS, **{"X-API-Key": "one"}) as answer:
        events = told(answer)
        said = next(e for e in events if e.get("stage") == "tts_done")
        assert post(server, f"/api/cancel/{said['task_id']}", None, **{"X-API-Key": "two"}).status_code == 404
        # <video> and <audio> cannot send a key.
        assert requests.get(server.url + said["audio_url"], timeout=10).status_code == 200
        film = requests.get(server.url + said["video_url"], stream=True, timeout=10)
        assert film.status_code == 200
        film.close()
        assert post(server, f"/api/cancel/{said['task_id']}", None, **{"X-API-Key": "one"}).status_code == 200


# ---- many at a time

CROWD = [
    ("안녕하세요, 저는 하나입니다.", "f3"),
    ("Hello, I am number two.", "m3"),
    ("Здравствуйте, я третья.", "f1"),
    ("你好，我是四号。", "m1"),
    ("Сәлем, мен бесіншімін, қалайсың?", "f4"),
    ("Hello, I am number six.", "m8"),
]


def heard(server: Served, asked: tuple[str, str]) -> tuple[bytes, bytes]:
    """The samples of a stream's sound, and the sound of its film as it was sent while it was being made."""
    text, voice = asked
    film: list[bytes] = []

    def watch(url: str, begun: Event) -> None:
        with requests.get(server.url + url, stream=True, timeout=60) as answer:
            begun.set()
            film.extend(answer.iter_content(50_000))

    body = GOOD | {"text": text, "tts_engine": "espeak", "tts_voice": voice}
    with opened(server, body) as answer:
        last: dict[str, Any] = {}
        watcher = None
        for last in told(answer):
            if last.get("stage") == "tts_done":
                begun = Event()
                watcher = Thread(target=watch, args=(last["video_url"], begun))
                watcher.start()
    assert last["type"] == "done", last
    assert last["text"] == text
    assert watcher
    watcher.join(30)
    with av.open(io.BytesIO(b"".join(film)), "r") as read:
        packets = b"".join(bytes(p) for p in read.demux(audio=0))
    return samples(requests.get(server.url + last["audio_url"], timeout=10).content), packets


def test_streams_side_by_side_never_exchange_a_sample(studio: Served) -> None:
    alone = [heard(studio, asked) for asked in CROWD]
    assert len({wav for wav, _ in alone}) == len(CROWD)
    with ThreadPoolExecutor(len(CROWD)) as clients:
        together = list(clients.map(lambda asked: heard(studio, asked), CROWD))
    assert together == alone


# ---- voices over the network


def test_elevenlabs_speaks_where_its_key_is_set(serve: Callable[..., Served], voice: EspeakVoice) -> None:
    with vendor(voice) as service:
        server = serve(
            voices__elevenlabs__api_key=KEY,
            voices__elevenlabs__voice_id="OurVoice1",
            voices__elevenlabs__base_url=service.url,
        )
        assert "elevenlabs" in requests.get(f"{server.url}/api/v2/status", timeout=10).json()["tts_engines"]
        service.asked.clear()
        body = {"text": HANGUL, "avatar": "toy", "resolution": "360p"}
        for more in ({}, {"tts_engine": "elevenlabs", "tts_voice": "Custom"}):
            events = list(told(opened(server, body | more)))
            assert events[-1]["type"] == "done", events[-1]
        assert ["OurVoice1" in asked.path for asked in service.asked] == [True, True]
        service.moods[:] = ["401"]
        events = list(told(opened(server, body)))
        assert events[-1]["type"] == "error"
        assert KEY not in json.dumps(events)


def test_the_description_has_every_call_with_an_example(studio: Served) -> None:
    schema = requests.get(f"{studio.url}/openapi.json", timeout=10).json()
    described = {
        path: next(iter(operations.values()))
        for path, operations in schema["paths"].items()
        if any(o.get("tags") == ["Lip-sync v2"] for o in operations.values())
    }
    api = ("v2/lipsync/stream", "v2/lipsync", "v2/status", "avatars", "queue_status", "cancel/{task_id}")
    assert set(described) == {*(f"/api/{name}" for name in api), "/video/{file}", "/assets/audio/{file}"}
    for operation in described.values():
        assert operation["summary"]
        assert operation["description"]
        assert "422" not in operation["responses"]
    example = schema["components"]["schemas"]["LipsyncAsk"]["examples"][0]
    assert post(studio, "/api/v2/lipsync", example | {"resolution": "360p"}).status_code == 200
    events = described["/api/v2/lipsync/stream"]["responses"]["200"]["content"]["text/event-stream"]["example"]
    assert [json.loads(e[6:])["type"] for e in events.split("\n\n") if e] == ["status", "status", "status", "done"]


def test_another_voice_stands_in_only_where_the_operator_allows_it(serve: Callable[..., Served]) -> None:
    server = serve(voices__fallback="true")
    asked = {"text": "네.", "avatar": "toy", "resolution": "360p", "tts_engine": "elevenlabs"}
    events = list(told(opened(server, asked)))
    assert events[-1]["type"] == "done"
    assert "ELEVENLABS_API_KEY" in events[-1]["voice_fallback"]
    assert "ELEVENLABS_API_KEY" in post(server, SYNC, asked).json()["voice_fallback"]
