"""Calls with a file that are repeated: the same key and the same bytes are the same job."""

import io
import wave

import numpy as np
import requests

from serving import Served


def tone(pitch: float) -> bytes:
    """A second of sound."""
    samples = 9000 * np.sin(np.arange(16_000) * pitch * 2 * np.pi / 16_000)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def test_a_recording_is_recognised_by_its_bytes(server: Served) -> None:
    def send(sound: bytes) -> requests.Response:
        headers = {"Idempotency-Key": "recording-1", "Prefer": "wait=30"}
        files = {"audio": ("a.wav", sound)}
        return requests.post(f"{server.url}/v1/videos", files=files, headers=headers, timeout=60)

    first, again, other = send(tone(200)), send(tone(200)), send(tone(300))
    assert (first.status_code, first.json()["state"]) == (200, "succeeded"), first.text
    assert again.json()["id"] == first.json()["id"]
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert "digest" not in first.json()["params"]
    assert server.left() == []
