"""What was made says so, and still plays."""

import struct
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from vivavoce.errors import UnsupportedMedia
from vivavoce.media.audio import decode, write_wav
from vivavoce.media.sound import WavWriter
from vivavoce.media.synthetic import MARK, is_marked, mark_wav
from vivavoce.nouns import Audio


@pytest.mark.parametrize("samples", [0, 1, 1001, 16_000])
def test_a_marked_file_says_so_and_sounds_the_same(tmp_path: Path, samples: int) -> None:
    path = tmp_path / "a.wav"
    sound = Audio((np.sin(np.arange(samples) / 9) / 2).astype(np.float32), 16_000)
    write_wav(path, sound)
    before = path.read_bytes()
    assert not is_marked(path)
    mark_wav(path)
    after = path.read_bytes()
    assert struct.unpack("<I", after[4:8])[0] == len(after) - 8, "readers trust the size in the header"
    assert after[8 : len(before)] == before[8:]
    with wave.open(str(path)) as file:
        assert file.getnframes() == samples
    if samples > 1:
        assert is_marked(path)
        assert np.abs(decode(path, max_seconds=9).samples - sound.samples).max() < 1e-4
        with av.open(str(path)) as container:
            assert container.metadata["comment"] == MARK["comment"]
        mark_wav(path)
        assert path.read_bytes() == after


def test_files_of_the_other_writer_too(tmp_path: Path) -> None:
    path = tmp_path / "b.wav"
    with WavWriter(path, 16_000) as file:
        file.write(np.full((1, 999), 0.25, np.float32))
    mark_wav(path)
    assert is_marked(path)
    assert len(decode(path, max_seconds=9).samples) == 999


@pytest.mark.parametrize("content", [b"", b"RIFF", b"fLaC" + bytes(40), b"RIFF\0\0\0\0AVI " + bytes(40)])
def test_only_wav_is_marked(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.wav"
    path.write_bytes(content)
    assert not is_marked(path)
    with pytest.raises(UnsupportedMedia, match="WAV"):
        mark_wav(path)
    assert path.read_bytes() == content


def test_what_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mark_wav(tmp_path / "none.wav")
