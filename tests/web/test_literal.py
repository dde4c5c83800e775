"""The examples of the chunk API's document, letter for letter but for host and port."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from serving import Served

# The document ends blank lines with spaces; so does this copy.
# ruff: noqa: W293
PYTHON = """
import requests

# 1. Генерация чанков
def generate_chunks(text, language='ru', chunk_size=15):
    url = 'http://localhost:3000/api/stream_chunks'
    payload = {
        'text': text,
        'language': language,
        'chunk_size': chunk_size
    }
    
    response = requests.post(url, json=payload)
    data = response.json()
    return data['chunks']

# 2. Скачивание чанков
def download_chunk(chunk, output_dir='./chunks'):
    import os
    os.makedirs(output_dir, exist_ok=True)
    
    # Скачать видео
    video_url = f"http://localhost:3000{chunk['video_url']}"
    video_response = requests.get(video_url)
    
    video_path = f"{output_dir}/video_{chunk['index']}.mp4"
    with open(video_path, 'wb') as f:
        f.write(video_response.content)
    
    # Скачать аудио
    audio_url = f"http://localhost:3000{chunk['audio_url']}"
    audio_response = requests.get(audio_url)
    
    audio_path = f"{output_dir}/audio_{chunk['index']}.wav"
    with open(audio_path, 'wb') as f:
        f.write(audio_response.content)
    
    print(f"Чанк {chunk['index']} скачан: {video_path}, {audio_path}")
"""
USE = """
# Использование
text = "Длинный текст для озвучки и генерации видео."
chunks = generate_chunks(text, language='ru')

for chunk in chunks:
    download_chunk(chunk)
"""
LONG = """
# Генерация и сохранение всех чанков
def process_long_text(text, language='ru'):
    chunks = generate_chunks(text, language)
    
    results = []
    for chunk in chunks:
        download_chunk(chunk, output_dir='./generated_chunks')
        results.append({
            'index': chunk['index'],
            'text': chunk['text'],
            'duration': chunk['duration']
        })
    
    return results

# Объединение чанков в один файл
def merge_chunks(chunk_count, output_file='final_video.mp4'):
    import subprocess
    
    # Создаем список файлов для ffmpeg
    with open('chunks_list.txt', 'w') as f:
        for i in range(chunk_count):
            f.write(f"file './generated_chunks/video_{i}.mp4'\\n")
    
    # Объединяем с помощью ffmpeg
    subprocess.run([
        'ffmpeg', '-f', 'concat', '-safe', '0',
        '-i', 'chunks_list.txt',
        '-c', 'copy', output_file
    ])
    
    print(f"Видео объединено: {output_file}")
"""
CURL = """
curl -X POST http://localhost:3000/api/stream_chunks \\
  -H "Content-Type: application/json" \\
  -d '{
    "text": "Привет! Это тестовый текст для генерации видео с аватаром.",
    "language": "ru",
    "chunk_size": 10
  }' | jq .
"""
FETCH = """
// 1. Запрос генерации чанков
async function generateChunks(text, language = 'ru') {
  const response = await fetch('http://localhost:3000/api/stream_chunks', {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
    },
    body: JSON.stringify({
      text: text,
      language: language,
      chunk_size: 15
    })
  });
  
  const data = await response.json();
  return data.chunks;
}

// 2. Воспроизведение чанков последовательно
async function playChunks(chunks) {
  for (const chunk of chunks) {
    const videoUrl = `http://localhost:3000${chunk.video_url}`;
    const audioUrl = `http://localhost:3000${chunk.audio_url}`;
    
    console.log(`Играю чанк ${chunk.index}: ${chunk.text}`);
    
    // Воспроизведение видео
    const videoElement = document.getElementById('video');
    videoElement.src = videoUrl;
    await videoElement.play();
    
    // Ждем окончания
    await new Promise(resolve => {
      videoElement.onended = resolve;
    });
  }
}

// Использование
const text = "Длинный текст для озвучки и генерации видео с аватаром.";
const chunks = await generateChunks(text, 'ru');
await playChunks(chunks);
"""
PAGE = """<!DOCTYPE html>
<html>
<head>
    <title>Avatar Streaming</title>
</head>
<body>
    <video id="avatar-video" width="640" height="480" autoplay></video>
    <audio id="avatar-audio" autoplay></audio>
    
    <script>
        async function streamAvatar(text) {
            const response = await fetch('http://localhost:3000/api/stream_chunks', {
                method: 'POST',
                headers: { 'Content-Type': 'application/json' },
                body: JSON.stringify({ text, language: 'ru' })
            });
            
            const { chunks } = await response.json();
            const video = document.getElementById('avatar-video');
            
            for (const chunk of chunks) {
                video.src = `http://localhost:3000${chunk.video_url}`;
                await new Promise(resolve => video.onended = resolve);
            }
        }
        
        streamAvatar("Ваш текст для озвучки");
    </script>
</body>
</html>
"""


def here(snippet: str, server: Served) -> str:
    return snippet.replace("http://localhost:3000", server.url)


def run_python(code: str, folder: Path) -> dict[str, Any]:
    names: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(code, "snippet", "exec"), names)  # the document's own lines
    finally:
        os.chdir(before)
    return names


def test_python_example(server: Served, tmp_path: Path) -> None:
    names = run_python(here(PYTHON + USE, server), tmp_path)
    for chunk in names["chunks"]:
        assert (tmp_path / f"chunks/video_{chunk['index']}.mp4").read_bytes()[4:8] == b"ftyp"
        assert (tmp_path / f"chunks/audio_{chunk['index']}.wav").read_bytes()[:4] == b"RIFF"


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the example calls ffmpeg, which is not installed")
def test_merged_chunks_are_one_film(server: Served, tmp_path: Path) -> None:
    text = "Первое предложение здесь. Второе предложение следует за ним сразу. И третье заканчивает этот рассказ. " * 3
    code = here(PYTHON + LONG, server) + f"\nresults = process_long_text({text!r})\nmerge_chunks(len(results))\n"
    results = run_python(code, tmp_path)["results"]
    assert len(results) > 2
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type,duration,nb_frames", "-of", "json"]
    read = subprocess.run([*probe, str(tmp_path / "final_video.mp4")], capture_output=True, check=True, text=True)
    streams = {s["codec_type"]: s for s in json.loads(read.stdout)["streams"]}
    seconds = sum(r["duration"] for r in results)
    assert int(streams["video"]["nb_frames"]) == round(seconds * 25)
    assert float(streams["video"]["duration"]) == pytest.approx(seconds, abs=0.041)
    assert float(streams["audio"]["duration"]) == pytest.approx(seconds, abs=0.041)
    decode = ["ffmpeg", "-v", "warning", "-i", str(tmp_path / "final_video.mp4"), "-f", "null", "-"]
    assert subprocess.run(decode, capture_output=True, check=True, text=True).stderr == ""


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the example calls curl and jq")
def test_curl_example(server: Served, tmp_path: Path) -> None:
    done = subprocess.run(["bash", "-c", here(CURL, server)], capture_output=True, check=True, text=True)
    body = json.loads(done.stdout)
    assert body["success"] is True
    for kind, suffix in (("video", "mp4"), ("audio", "wav")):
        url = server.url + body["chunks"][0][f"{kind}_url"]
        subprocess.run(["curl", "-s", "-o", str(tmp_path / f"chunk.{suffix}"), url], check=True)
        assert (tmp_path / f"chunk.{suffix}").stat().st_size > 1000


@pytest.fixture
def blank() -> Any:
    """A page of somebody else's, in Chromium."""
    chromium = Path("/usr/bin/chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the dependency group browser is not installed")
    if not chromium.exists():
        pytest.skip("Debian's chromium is not installed")
    options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=options)
        yield browser.new_page()
        browser.close()


@pytest.mark.browser
def test_fetch_example(server: Served, blank: Any) -> None:
    logged: list[str] = []
    blank.on("console", lambda message: logged.append(message.text))
    blank.set_content('<video id="video"></video>')
    blank.evaluate(f"async () => {{ {here(FETCH, server)} }}")
    assert logged == ["Играю чанк 0: Длинный текст для озвучки и генерации видео с аватаром."]
    assert blank.evaluate("document.getElementById('video').ended")


@pytest.mark.browser
def test_page_example(server: Served, blank: Any) -> None:
    blank.set_content(here(PAGE, server))
    blank.wait_for_function("document.getElementById('avatar-video').ended", timeout=20_000)
    assert re.search(r"/api/chunk/video/\w+$", blank.evaluate("document.getElementById('avatar-video').src"))
