"""Decoding whatever a stranger calls sound."""

import io
import struct
import tracemalloc
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vivavoce.errors import InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.media.audio import decode, is_silent, resample, write_wav
from vivavoce.nouns import Audio

RATE = 48_000


def tone(seconds: float = 1.0, rate: int = RATE, frequency: float = 440, level: float = 0.5) -> Audio:
    t = np.arange(round(seconds * rate)) / rate
    return Audio((level * np.sin(2 * np.pi * frequency * t)).astype(np.float32), rate)


def pitch(audio: Audio) -> float:
    middle = audio.samples[len(audio.samples) // 4 : -len(audio.samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return float(np.argmax(spectrum) * audio.rate / len(middle))


def packed(container: str, codec: str, audio: Audio, layout: str = "mono", picture: bool = False) -> bytes:
    """``audio`` as a file of some format."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=audio.rate, layout=layout)
        if picture:
            film: Any = out.add_stream("libx264" if container == "mp4" else "libvpx", rate=25)
            film.width = film.height = 64
            film.pix_fmt = "yuv420p"
            for packet in film.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))):
                out.mux(packet)
            out.mux(film.encode(None))
        channels = 2 if layout == "stereo" else 1
        samples = np.repeat(audio.samples[None], channels, axis=0)
        fifo = av.AudioResampler(format=stream.format.name, layout=layout, rate=audio.rate)
        for start in range(0, samples.shape[1], 4800):
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, start : start + 4800]), format="fltp", layout=layout
            )
            block.sample_rate = audio.rate
            block.pts = start
            for frame in fifo.resample(block):
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target.getvalue()


@pytest.mark.parametrize(
    ("container", "codec", "layout", "picture"),
    [
        ("wav", "pcm_s16le", "mono", False),
        ("wav", "pcm_f32le", "stereo", False),
        ("wav", "pcm_u8", "mono", False),
        ("flac", "flac", "stereo", False),
        ("mp3", "libmp3lame", "mono", False),
        ("ogg", "libopus", "stereo", False),
        ("webm", "libopus", "mono", True),
        ("mp4", "aac", "stereo", True),
        ("mov", "aac", "mono", False),
        ("adts", "aac", "mono", False),
        ("matroska", "flac", "mono", False),
    ],
)
def test_common_formats(container: str, codec: str, layout: str, picture: bool) -> None:
    data = packed(container, codec, tone(1.5), layout, picture)
    audio = decode(data, max_seconds=10, rate=16_000)
    assert audio.rate == 16_000
    assert audio.samples.dtype == np.float32
    assert audio.seconds == pytest.approx(1.5, abs=0.06)
    assert pitch(audio) == pytest.approx(440, abs=3)
    assert np.std(audio.samples[4000:-4000]) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_without_a_rate_the_files_own_is_kept_up_to_48_khz() -> None:
    assert decode(packed("wav", "pcm_s16le", tone(rate=22_050)), max_seconds=2).rate == 22_050
    high = decode(packed("wav", "pcm_s16le", tone(rate=96_000)), max_seconds=2)
    assert high.rate == 48_000
    assert high.seconds == pytest.approx(1, abs=0.001)


def test_a_path_is_read_too_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "concat:a|b.txt"
    path.write_bytes(packed("wav", "pcm_s16le", tone()))
    assert decode(path, max_seconds=2).seconds == pytest.approx(1)


def test_human_speech_in_flac_and_wav(shared: Path) -> None:
    audio = decode(shared / "media/speech/jfk_m_en.wav", max_seconds=60, rate=16_000)
    assert 5 < audio.seconds < 30
    flac = decode(next((shared / "media/speech/speakers").rglob("*.flac")), max_seconds=60)
    assert not is_silent(flac)


def wav_bytes(samples: np.ndarray[Any, Any], rate: int = 16_000) -> bytes:
    data = samples.astype("<f4").tobytes()
    fmt = struct.pack("<HHIIHH", 3, 1, rate, rate * 4, 4, 32)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{path}\n#EXT-X-ENDLIST\n"
NO_SOUND_FILES = {
    "text": "This is no sound, only words.\n" * 50,
    "html": "<!doctype html><html><body>404</body></html>",
    "m3u8": PLAYLIST,
    "ffconcat": "ffconcat version 1.0\nfile '{path}'\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{path}"/></svg>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "subtitles": "1\n00:00:00,000 --> 00:00:02,000\nhello\n\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{path}</BaseURL></MPD>',
}


@pytest.mark.parametrize("kind", NO_SOUND_FILES)
def test_files_that_are_no_sound_are_refused_and_open_nothing(kind: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    write_wav(secret, tone())
    data = NO_SOUND_FILES[kind].format(path=secret).encode()
    for source in (data, tmp_path / f"{kind}.wav"):
        if isinstance(source, Path):
            source.write_bytes(data)
        with pytest.raises(UnsupportedMedia, match="WAV"):
            decode(source, max_seconds=10)


@pytest.mark.parametrize("image", ["png", "gif", "mjpeg"])
def test_pictures_are_refused(image: str) -> None:
    with av.open(target := io.BytesIO(), "w", format="image2pipe" if image != "gif" else "gif") as out:
        stream: Any = out.add_stream(image, rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = {"png": "rgb24", "gif": "rgb8", "mjpeg": "yuvj420p"}[image]
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        out.mux(stream.encode(None))
    with pytest.raises(InvalidInput):
        decode(target.getvalue(), max_seconds=10)


def test_empty_and_noise(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        decode(b"", max_seconds=10)
    (tmp_path / "none.wav").touch()
    with pytest.raises(InvalidInput, match="empty"):
        decode(tmp_path / "none.wav", max_seconds=10)
    with pytest.raises(InvalidInput):
        decode(wav_bytes(np.zeros(0)), max_seconds=10)
    noise = np.random.default_rng(0)
    for length in (1, 2, 100, 50_000):
        with pytest.raises(InvalidInput):
            decode(noise.bytes(length), max_seconds=10)


def test_a_film_without_sound() -> None:
    with av.open(target := io.BytesIO(), "w", format="mp4") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        out.mux(stream.encode(None))
    with pytest.raises(UnsupportedMedia, match="no sound"):
        decode(target.getvalue(), max_seconds=10)


def test_a_damaged_middle_is_survived() -> None:
    data = bytearray(packed("mp3", "libmp3lame", tone(3)))
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(1).bytes(2000)
    assert 2 < decode(bytes(data), max_seconds=10).seconds < 3.3


def test_a_file_that_is_too_long_is_refused_without_holding_it() -> None:
    data = packed("flac", "flac", Audio(np.zeros(900 * 8000, np.float32), 8000))
    tracemalloc.start()
    with pytest.raises(TooLarge, match="30 seconds"):
        decode(data, max_seconds=30, rate=16_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6  # the whole would be 58 MB
    assert decode(packed("wav", "pcm_s16le", tone(2.0)), max_seconds=2.0).seconds == pytest.approx(2)


def test_values_that_are_no_numbers() -> None:
    for value in (np.nan, np.inf, -np.inf):
        samples = tone(0.2, 16_000).samples.copy()
        samples[100] = value
        with pytest.raises(InvalidInput, match="no numbers"):
            decode(wav_bytes(samples), max_seconds=10)


def test_sound_beyond_full_scale_is_turned_down_and_not_clipped() -> None:
    audio = decode(wav_bytes(tone(0.5, 16_000).samples * 8), max_seconds=10)
    assert np.abs(audio.samples).max() == pytest.approx(1)
    assert np.allclose(audio.samples, tone(0.5, 16_000, level=1).samples, atol=1e-3)


@pytest.mark.parametrize("rate", [1, 100, 3999])
def test_a_rate_too_low_for_speech(rate: int) -> None:
    with pytest.raises(InvalidInput, match="4000"):
        decode(wav_bytes(tone(1, 8000).samples, rate), max_seconds=1e6)


def test_wav_that_we_write_is_16_bit_mono_pcm(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(1, 22_050))
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getparams()[:3] == (1, 2, 16_000)
        assert file.getnframes() == pytest.approx(16_000, abs=1)
    buffer = io.BytesIO()
    write_wav(buffer, Audio(np.array([2, -2, 0], np.float32), 8000), rate=8000)
    assert np.frombuffer(buffer.getvalue()[-6:], "<i2").tolist() == [32767, -32767, 0]


def test_resampling_keeps_pitch_and_length() -> None:
    audio = resample(tone(2, 22_050), 48_000)
    assert audio.seconds == pytest.approx(2, abs=1e-4)
    assert pitch(audio) == pytest.approx(440, abs=1)


def test_silence() -> None:
    assert is_silent(Audio(np.zeros(0, np.float32), 16_000))
    assert is_silent(tone(level=10 ** (-51 / 20)))
    assert not is_silent(tone(level=10 ** (-49 / 20)))
