"""The chunk API as its documents' readers use it."""

import io
import json
import re
import wave
from typing import Any

import av
import pytest
import requests

from serving import Served

TEXT = (
    "Привет! Это тестовый текст для генерации видео с аватаром. Он достаточно длинный, чтобы стать несколькими частями."
)


def ask(server: Served, path: str, **body: Any) -> requests.Response:
    return requests.post(f"{server.url}/api/{path}", json=body, timeout=60)


def get(server: Served, path: str, **headers: str) -> requests.Response:
    return requests.get(server.url + path, headers=headers, timeout=30)


def film(content: bytes) -> av.container.InputContainer:
    return av.open(io.BytesIO(content), "r")


@pytest.fixture(scope="module")
def chunks(server: Served) -> list[dict[str, Any]]:
    answer = ask(server, "stream_chunks", text=TEXT, language="ru", chunk_size=5)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert {k: v for k, v in body.items() if k != "chunks"} == {
        "success": True,
        "total_chunks": len(body["chunks"]),
        "language": "ru",
    }
    found: list[dict[str, Any]] = body["chunks"]
    return found


def test_chunks_have_the_documented_form(chunks: list[dict[str, Any]]) -> None:
    assert len(chunks) >= 3
    assert [c["index"] for c in chunks] == list(range(len(chunks)))
    assert " ".join(c["text"] for c in chunks) == TEXT
    for chunk in chunks:
        assert list(chunk) == ["index", "text", "video_url", "audio_url", "duration"]
        name = chunk["video_url"].removeprefix("/api/chunk/video/")
        assert re.fullmatch(rf"\d{{8}}_\d{{6}}_\d{{6}}_{chunk['index']}_[0-9a-f]{{16}}", name)
        assert chunk["audio_url"] == f"/api/chunk/audio/{name}"


def test_film_and_sound_of_a_chunk_last_as_long_as_said(server: Served, chunks: list[dict[str, Any]]) -> None:
    for chunk in chunks:
        video_file, sound = get(server, chunk["video_url"]), get(server, chunk["audio_url"])
        assert (video_file.headers["content-type"], sound.headers["content-type"]) == ("video/mp4", "audio/wav")
        with wave.open(io.BytesIO(sound.content)) as read:
            assert (read.getframerate(), read.getnchannels(), read.getsampwidth()) == (16000, 1, 2)
            assert read.getnframes() / 16000 == pytest.approx(chunk["duration"], abs=0.001)
        with film(video_file.content) as read:
            video, audio = read.streams.video[0], read.streams.audio[0]
            assert (video.codec_context.name, video.codec_context.pix_fmt, audio.codec_context.name) == (
                "h264",
                "yuv420p",
                "aac",
            )
            assert video.frames / 25 == pytest.approx(chunk["duration"], abs=0.001)
        assert video_file.content.index(b"moov") < video_file.content.index(b"mdat")


def test_frames_are_numbered_on_from_chunk_to_chunk(server: Served, chunks: list[dict[str, Any]]) -> None:
    count = 0
    for chunk in chunks:
        with film(get(server, chunk["video_url"]).content) as read:
            levels = [float(f.to_ndarray(format="gray").mean()) for f in read.decode(video=0)]
        assert levels == pytest.approx([40 + 4 * ((count + n) % 40) for n in range(len(levels))], abs=3)
        count += len(levels)


def test_events_bring_the_same_chunks_and_then_done(server: Served) -> None:
    body: dict[str, Any] = {"text": TEXT, "language": "ru", "chunk_size": 5}
    headers = {"Accept": "text/event-stream"}
    with requests.post(
        f"{server.url}/api/stream_chunks", json=body, headers=headers, timeout=60, stream=True
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
        total = int(answer.headers["x-total-chunks"])
        raw = b"".join(answer.iter_content(None))
    assert raw.isascii()
    events = [re.fullmatch(r"event: (\w+)\ndata: (.*)", e) for e in raw.decode().split("\n\n")[:-1]]
    kinds = [e[1] for e in events if e]
    assert sorted(kinds[:-1]) == ["chunk"] * total + ["filmed"] * total
    assert kinds[-1] == "done"
    read = [json.loads(e[2]) for e in events if e]
    filmed = [data["index"] for kind, data in zip(kinds, read, strict=True) if kind == "filmed"]
    assert filmed == list(range(total))
    told = [data for kind, data in zip(kinds, read, strict=True) if kind == "chunk"]
    assert " ".join(c["text"] for c in told) == TEXT
    assert " ".join(word for c in told for word, _, _ in c["words"]) == TEXT
    assert read[-1] == {"success": True, "total_chunks": total, "language": "ru"}
    assert get(server, told[0]["video_url"]).status_code == 200


def test_the_first_chunk_can_be_shorter(server: Served) -> None:
    body = ask(server, "stream_chunks", text=TEXT, chunk_size=30, first_chunk_size=3).json()
    texts = [c["text"] for c in body["chunks"]]
    assert " ".join(texts) == TEXT
    assert len(texts) == 2
    assert 1 <= len(texts[0].split()) <= 3
    assert ask(server, "stream_chunks", text=TEXT, first_chunk_size=0).status_code == 400


def test_generate_is_one_film_of_the_whole_text(server: Served) -> None:
    answer = ask(server, "generate", text=TEXT, language="ru")
    assert answer.headers["content-type"] == "video/mp4"
    assert re.fullmatch(r'attachment; filename="avatar_[\w]+\.mp4"', answer.headers["content-disposition"])
    with film(answer.content) as read:
        assert float(read.duration or 0) / av.time_base > 4


def test_generate_tells_its_progress_when_asked(server: Served) -> None:
    body, headers = {"text": TEXT}, {"Accept": "text/event-stream"}
    answer = requests.post(f"{server.url}/api/generate", json=body, headers=headers, timeout=60)
    events = re.findall(r"event: (\w+)\ndata: (.*)", answer.text)
    fractions = [json.loads(data)["fraction"] for kind, data in events if kind == "progress"]
    assert fractions == sorted(fractions)
    assert len(fractions) > 3
    kind, data = events[-1]
    assert kind == "done"
    assert get(server, json.loads(data)["video_url"]).status_code == 200


def test_generate_stream_sends_a_playable_beginning_before_the_end(server: Served) -> None:
    body = {"text": "slowly " * 12, "language": "en"}
    url = f"{server.url}/api/generate_stream"
    with requests.post(url, json=body, timeout=60, stream=True) as answer:
        assert answer.headers["content-type"] == "video/mp4"
        blocks = list(answer.iter_content(None))
    assert len(blocks) > 5
    with film(b"".join(blocks[:3])) as read:
        assert next(read.decode(video=0)).width == 128
    with film(b"".join(blocks)) as read:
        assert len(list(read.decode(video=0))) > 50


def test_size_of_the_film_can_be_chosen(server: Served) -> None:
    answer = ask(server, "generate", text="Hello", language="en", resolution="360p")
    with film(answer.content) as read:
        assert (read.streams.video[0].width, read.streams.video[0].height) == (640, 360)


def test_media_answers_head_ranges_and_etag(server: Served, chunks: list[dict[str, Any]]) -> None:
    url = server.url + chunks[0]["video_url"]
    whole = requests.get(url, timeout=30)
    head = requests.head(url, timeout=30)
    size = len(whole.content)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(size))
    assert head.headers["etag"] == whole.headers["etag"]
    assert head.headers["accept-ranges"] == "bytes"
    part = requests.get(url, headers={"Range": "bytes=0-1"}, timeout=30)
    assert (part.status_code, part.content) == (206, whole.content[:2])
    assert part.headers["content-range"] == f"bytes 0-1/{size}"
    tail = requests.get(url, headers={"Range": "bytes=-10"}, timeout=30)
    assert (tail.status_code, tail.content) == (206, whole.content[-10:])
    beyond = requests.get(url, headers={"Range": f"bytes={size}-"}, timeout=30)
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")


def test_what_a_client_has_is_not_sent_again(server: Served, chunks: list[dict[str, Any]]) -> None:
    for path in (chunks[0]["video_url"], "/api/avatar"):
        tag = get(server, path).headers["etag"]
        again = get(server, path, **{"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert get(server, path, **{"If-None-Match": '"other"'}).status_code == 200


def test_the_description_has_every_call_with_an_example(server: Served) -> None:
    schema = get(server, "/openapi.json").json()
    calls = {
        path for path, operations in schema["paths"].items() if ["Chunks"] in [o["tags"] for o in operations.values()]
    }
    named = ("stream_chunks", "generate", "generate_stream", "chunk/video/{id}", "chunk/audio/{id}", "health", "avatar")
    assert calls == {f"/api/{name}" for name in (*named, "cleanup")}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert operation["description"]
            assert "422" not in operation["responses"] or path.startswith(("/files/", "/audio/", "/speaker/"))
    for body in ("ChunksAsk", "FilmAsk"):
        example = schema["components"]["schemas"][body]["examples"][0]
        assert ask(server, "stream_chunks", **example).status_code == 200


def test_health_avatar_and_cleanup(server: Served) -> None:
    assert get(server, "/api/health").json() == {
        "status": "ready",
        "models_loaded": True,
        "avatar_loaded": True,
        "device": "cpu",
    }
    picture = get(server, "/api/avatar")
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8")
    assert get(server, "/api/avatar?name=toy").content == picture.content
    assert get(server, "/api/avatar?name=nobody").status_code == 404
    assert list(ask(server, "cleanup").json()) == ["message"]
    assert get(server, "/livez").status_code == get(server, "/readyz").status_code == 200


def test_unknown_fields_are_ignored(server: Served) -> None:
    assert ask(server, "generate", text="Hello", language="en", mood="good").status_code == 200


def test_any_origin_may_read_answers_and_failures(server: Served) -> None:
    origin = {"Origin": "http://elsewhere.example"}
    for answer in (
        get(server, "/api/health", **origin),
        get(server, "/api/chunk/video/none", **origin),
        requests.post(f"{server.url}/api/generate", data=b"x" * 2_000_000, headers=origin, timeout=30),
    ):
        assert answer.headers["access-control-allow-origin"] == "*"
    asked = origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    assert requests.options(f"{server.url}/api/stream_chunks", headers=asked, timeout=30).status_code == 200
