"""Strangers' sound in pieces: channels kept, memory bounded, traps refused; and WAV written in pieces."""

import io
import itertools
import struct
import subprocess
import sys
import wave
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.errors import InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.media import sound as sound_module
from vivavoce.media.audio import decode
from vivavoce.media.limiter import Limiter
from vivavoce.media.sound import Resampler, WavWriter, sound

Samples = npt.NDArray[np.float32]


def tones(rate: int, *hertz: float, seconds: float = 1.0) -> Samples:
    """A tone in each channel."""
    time = np.arange(round(seconds * rate)) / rate
    return np.array([0.4 * np.sin(2 * np.pi * f * time) for f in hertz], np.float32)


def wav(samples: Samples, rate: int) -> bytes:
    """Floating-point WAV of shape ``(channels, n)``."""
    data = np.ascontiguousarray(samples.T).astype("<f4").tobytes()
    channels = len(samples)
    form = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 4, channels * 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def packed(container: str, codec: str, blocks: Iterator[Samples], rate: int, layout: str) -> bytes:
    """Blocks of floats as a file of some format."""
    target = io.BytesIO()
    at = 0
    with av.open(target, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate, layout=layout)
        fitting = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        for samples in blocks:
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
            block.sample_rate, block.pts = rate, at
            at += samples.shape[1]
            for frame in fitting.resample(block):
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target.getvalue()


def read(source: Path | bytes, **limits: Any) -> tuple[Samples, int]:
    with sound(source, **({"max_seconds": 60} | limits)) as opened:
        blocks = list(opened.blocks)
        assert {len(block) for block in blocks} == {opened.channels}
        return np.concatenate(blocks, axis=1), opened.rate


def loudest(samples: Samples, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.parametrize(
    ("container", "codec"), [("wav", "pcm_s16le"), ("flac", "flac"), ("ogg", "libopus"), ("mp4", "aac")]
)
def test_channels_are_kept(container: str, codec: str) -> None:
    data = packed(container, codec, iter([tones(48_000, 440, 1000)]), 48_000, "stereo")
    samples, rate = read(data)
    assert rate == 48_000
    assert [loudest(channel, rate) for channel in samples] == pytest.approx([440, 1000], abs=3)
    assert len(read(data, most_channels=1)[0]) == 1


def test_many_channels_become_one_and_high_rates_48_khz() -> None:
    samples, rate = read(wav(tones(96_000, *range(400, 1000, 100)), 96_000))
    assert samples.shape == (1, 48_000)
    assert rate == 48_000
    assert np.abs(samples).max() < 0.4


def test_the_rate_asked_for_comes_out_and_the_length_is_told() -> None:
    data = wav(tones(44_100, 440, seconds=2), 44_100)
    with sound(data, max_seconds=10, rate=16_000) as opened:
        assert opened.seconds == pytest.approx(2)
        assert sum(block.shape[1] for block in opened.blocks) == pytest.approx(32_000, abs=1)


def test_a_file_that_says_it_is_too_long_is_refused_at_once() -> None:
    data = bytearray(packed("flac", "flac", iter([tones(16_000, 440)]), 16_000, "mono"))
    data[21] |= 0x0F  # four of the 36 bits of the number of samples
    with pytest.raises(TooLarge, match="60 seconds"), sound(bytes(data), max_seconds=60):
        pass


def test_a_file_that_is_too_long_without_saying_so_is_read_up_to_there() -> None:
    silence = (np.zeros((1, 48_000), np.float32) for _ in range(100))
    data = bytearray(packed("flac", "flac", silence, 48_000, "mono"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    got: list[int] = []
    with sound(bytes(data), max_seconds=60) as opened:
        assert opened.seconds is None
        with pytest.raises(TooLarge):
            got.extend(block.shape[1] for block in opened.blocks)
    assert 59 * 48_000 < sum(got) <= 60 * 48_000


def test_no_numbers_are_refused_where_they_come() -> None:
    samples = tones(16_000, 440, seconds=3)
    samples[0, 40_000] = np.nan
    got: list[int] = []
    with sound(wav(samples, 16_000), max_seconds=10) as opened, pytest.raises(InvalidInput, match="no numbers"):
        got.extend(block.shape[1] for block in opened.blocks)
    assert 30_000 < sum(got) <= 40_000


@pytest.mark.parametrize("rate", [3999, 96_001, 192_000, 2_000_000])
def test_rates_that_no_speech_needs(rate: int) -> None:
    with pytest.raises(InvalidInput, match=f"has {rate} samples a second; 4000 to 96000 can be read"):
        read(wav(tones(16_000, 440), rate), max_seconds=1e9)


@pytest.mark.parametrize("channels", [7, 8, 64])
def test_more_channels_than_a_film_has(channels: int) -> None:
    with pytest.raises(InvalidInput, match=f"has {channels} channels; up to 6 can be read"):
        read(wav(np.zeros((channels, 4800), np.float32), 48_000))


TRAPS = {
    "concat": "ffconcat version 1.0\nfile '{path}'\n",
    "m3u8": "#EXTM3U\n#EXTINF:10,\n{path}\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{path}"/></svg>',
    "rtsp": "rtsptext\nrtsp://127.0.0.1/x\n",
    "ogg in name only": "OggS",
}


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("name", ["a.wav", "a.m3u8", "concat:secret.wav", "a.flac"])
def test_files_that_name_others_are_no_sound(trap: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(wav(tones(16_000, 440), 16_000))
    path = tmp_path / name
    path.write_text(TRAPS[trap].format(path=tmp_path / "secret.wav"))
    with pytest.raises(InvalidInput), sound(path, max_seconds=10):
        pass


def png(side: int) -> bytes:
    """A black picture of any size, in very few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + 3 * side)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def with_cover(side: int) -> bytes:
    """An MP3 whose cover has ``side`` squared pixels."""
    song = packed("mp3", "libmp3lame", iter([tones(16_000, 440, seconds=2)]), 16_000, "mono")
    body = b"\0image/png\0\x03\0" + png(side)
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    size = bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame + song[song.index(b"\xff\xf3") :]


def packed_index(size: int) -> bytes:
    """A QuickTime file whose index unpacks to ``size`` bytes."""

    def atom(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", 8 + len(data)) + kind + data

    inside = atom(b"dcom", b"zlib") + atom(b"cmvd", struct.pack(">I", size) + zlib.compress(bytes(size), 9))
    return atom(b"ftyp", b"qt  \0\0\0\0qt  ") + atom(b"moov", atom(b"cmov", inside))


def bare_silence(hours: float) -> bytes:
    """A FLAC of stereo silence that does not say how long it is: of 384 kB a second, 700 bytes."""
    second = np.zeros((2, 48_000), np.float32)
    data = bytearray(packed("flac", "flac", itertools.repeat(second, 20), 48_000, "stereo"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    start = data.index(b"\xff\xf8")
    frames = bytes(data[start:])
    return bytes(data[:start]) + frames * round(hours * 180)


def growth(path: Path) -> tuple[str, float]:
    """What decoding a file ends in, in a process of its own, and the MB by which that process grows."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from vivavoce.media.audio import decode\n"
        "from vivavoce.media.sound import sound\n"
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "decode(Path(sys.argv[1]), max_seconds=60)\n"
        "before = most()\n"
        "try:\n"
        "    with sound(Path(sys.argv[2]), max_seconds=3600) as opened:\n"
        "        print(sum(block.shape[1] for block in opened.blocks) / opened.rate, end=' ')\n"
        "except Exception as e:\n"
        "    print(type(e).__name__, end=' ')\n"
        "print(most() - before)\n"
    )
    small = path.with_name("small.wav")
    small.write_bytes(wav(tones(48_000, 440, 500), 48_000))
    run = subprocess.run(
        [sys.executable, "-c", program, str(small), str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    ended, grown = run.stdout.split()
    return ended, float(grown)


def test_a_cover_of_gigapixels_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(with_cover(8000))  # 190 MB as a picture
    ended, grown = growth(tmp_path / "a.mp3")
    assert float(ended) == pytest.approx(2, abs=0.1)
    assert grown < 30


def test_an_index_that_unpacks_to_hundreds_of_megabytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mov").write_bytes(packed_index(1 << 28))
    ended, grown = growth(tmp_path / "a.mov")
    assert ended == "UnsupportedMedia"
    assert grown < 30


def test_eight_hours_of_silence_end_at_the_limit_and_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(bare_silence(8))
    ended, grown = growth(tmp_path / "a.flac")
    assert ended == "TooLarge"
    assert grown < 100


@pytest.mark.parametrize(
    ("channels", "rate", "ends"), [(8, 192_000, "InvalidInput"), (8, 48_000, "InvalidInput"), (6, 96_000, "40.0")]
)
def test_many_channels_and_high_rates_need_little_memory(channels: int, rate: int, ends: str, tmp_path: Path) -> None:
    empty = wav(np.zeros((channels, 0), np.float32), rate)
    size = 40 * rate * channels * 4
    with (tmp_path / "a.wav").open("wb") as file:
        file.write(empty[:-4] + struct.pack("<I", size))
        file.truncate(len(empty) + size)
    ended, grown = growth(tmp_path / "a.wav")
    assert ended == ends
    assert grown < 60  # the largest has 245 MB


@pytest.mark.parametrize("size", [0, 1, 40, 4000, 30_000])
@pytest.mark.parametrize(
    ("container", "codec"), [("wav", "pcm_s16le"), ("flac", "flac"), ("mp4", "aac"), ("ogg", "libopus")]
)
def test_a_file_cut_anywhere_is_read_or_refused(container: str, codec: str, size: int) -> None:
    whole = packed(container, codec, iter([tones(48_000, 440, 500, seconds=2)]), 48_000, "stereo")
    try:
        samples, rate = read(whole[:size])
    except InvalidInput:
        return
    assert 0 < samples.shape[1] <= 2.1 * rate


def test_a_resampler_keeps_time_and_channels() -> None:
    source = tones(44_100, 440, 1000, seconds=2)
    resampler = Resampler(44_100, 48_000, 2)
    made = [resampler.feed(source[:, at : at + 1000]) for at in range(0, source.shape[1], 1000)]
    out = np.concatenate([*made, resampler.finish()], axis=1)
    assert out.shape == (2, 96_000)
    assert np.allclose(out[:, 4800:-4800], tones(48_000, 440, 1000, seconds=2)[:, 4800:-4800], atol=1e-3)


def test_wav_written_in_pieces_is_read_by_anybody(tmp_path: Path) -> None:
    samples = tones(44_100, 440, 1000)
    with WavWriter(tmp_path / "a.wav", 44_100, 2) as writer:
        for at in range(0, 44_100, 999):
            writer.write(samples[:, at : at + 999])
    assert writer.frames == 44_100
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getparams()[:4] == (2, 2, 44_100, 44_100)
    assert np.allclose(read(tmp_path / "a.wav")[0], samples, atol=1e-4)


def test_wav_beyond_four_gigabytes_is_an_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_module, "_WAV_LIMIT", 50_000)
    with WavWriter(tmp_path / "a.wav", 16_000, 2) as writer:
        writer.write(tones(16_000, 440, 1000))
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RF64"
    samples, rate = read(tmp_path / "a.wav")
    assert rate == 16_000
    assert np.allclose(samples, tones(16_000, 440, 1000), atol=1e-4)


def limited(samples: Samples, size: int, rate: int = 16_000, **kinds: float) -> Samples:
    limiter = Limiter(rate, len(samples), **kinds)
    made = [limiter.feed(samples[:, at : at + size]) for at in range(0, samples.shape[1], size)]
    return np.concatenate([*made, limiter.finish()], axis=1)


@pytest.mark.parametrize("size", [1, 100, 16_000])
def test_peaks_are_turned_down_and_nothing_else(size: int) -> None:
    samples = tones(16_000, 440, 700)
    samples[0, 6000:6400] *= 4
    out = limited(samples, size)
    assert out.shape == samples.shape
    assert np.abs(out).max() <= 0.99 + 1e-6
    assert np.array_equal(out[:, :5800], samples[:, :5800])
    ratio = out[1, 6100:6300:3] / samples[1, 6100:6300:3]
    assert np.nanmax(ratio) < 0.65  # both channels by the same gain
    assert np.allclose(out[:, -160:], samples[:, -160:], rtol=0.05, atol=1e-3)


def test_a_peak_in_the_first_and_the_last_sample() -> None:
    samples = np.zeros((1, 1001), np.float32)
    samples[0, [0, -1]] = 3, -3
    assert np.abs(limited(samples, 77)).max() <= 0.99 + 1e-6
    assert limited(samples[:, :0], 10).shape == (1, 0)


def test_sound_at_full_scale_passes_a_ceiling_of_one() -> None:
    samples = tones(16_000, 440) * np.float32(2.5)
    assert np.array_equal(limited(samples, 160, ceiling=1.0), samples)


def test_the_whole_is_what_the_pieces_are() -> None:
    data = packed("mp3", "libmp3lame", iter([tones(44_100, 440, 440, seconds=2)]), 44_100, "stereo")
    assert np.array_equal(decode(data, max_seconds=60).samples, read(data, most_channels=1)[0][0])


def test_no_sound_at_all() -> None:
    with pytest.raises(UnsupportedMedia, match="send WAV"), sound(b"words " * 1000, max_seconds=1):
        pass
