"""Files that say they hold more than they do are refused; those that leave it open are as long as they are."""

import io
import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from test_audio import packed, pitch, tone

from vivavoce.errors import InvalidInput
from vivavoce.media.audio import decode
from vivavoce.media.truncation import truncation
from vivavoce.nouns import Audio

RATE = 48_000
SECONDS = 6.0

TOLD = {
    "wav": ("wav", "pcm_s16le"),
    "w64": ("w64", "pcm_s16le"),
    "aiff": ("aiff", "pcm_s16be"),
    "au": ("au", "pcm_s16be"),
    "caf": ("caf", "pcm_s16be"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "wavpack": ("wv", "wavpack"),
    "tta": ("tta", "tta"),
    "webm": ("webm", "libopus"),
    "matroska": ("matroska", "flac"),
}
"""Kinds that say how long they are."""
UNTOLD = {"ogg": ("ogg", "libopus"), "avi": ("avi", "libmp3lame"), "mp4": ("mp4", "aac"), "mov": ("mov", "aac")}
"""Kinds of which only this can be seen: that something is missing."""


@pytest.fixture(scope="module")
def speech() -> Audio:
    """A tone with some noise, so that no packer makes nothing of it."""
    noise = np.random.default_rng(2).normal(0, 0.02, round(SECONDS * RATE)).astype(np.float32)
    return Audio(tone(SECONDS).samples + noise, RATE)


@pytest.fixture(scope="module")
def made(speech: Audio) -> Callable[[str], bytes]:
    """A whole file of a kind, made once."""
    held: dict[str, bytes] = {}

    def make(kind: str) -> bytes:
        if kind not in held:
            held[kind] = packed(*(TOLD | UNTOLD)[kind], speech)
        return held[kind]

    return make


def refusal(data: bytes) -> str:
    with pytest.raises(InvalidInput) as refused:
        decode(data, max_seconds=60)
    assert refused.value.status == 400
    return str(refused.value)


@pytest.mark.parametrize("kind", [*TOLD, *UNTOLD])
def test_a_whole_file_is_read(kind: str, made: Callable[[str], bytes]) -> None:
    assert truncation(made(kind)) is None
    audio = decode(made(kind), max_seconds=60)
    assert audio.seconds == pytest.approx(SECONDS, abs=0.1)
    assert pitch(audio) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("kind", TOLD)
@pytest.mark.parametrize("share", [0.3, 2 / 3, 0.95])
def test_a_file_that_is_cut_off_says_how_much_is_there(kind: str, share: float, made: Callable[[str], bytes]) -> None:
    data = made(kind)
    told = refusal(data[: round(len(data) * share)])
    assert told.startswith("The file is cut off: it says that it lasts 6.0 s and holds ")
    assert told.endswith(" s; upload it again.")
    # Packers with large blocks have nothing of the one that is cut.
    assert float(told.split(" holds ")[1].split()[0]) == pytest.approx(SECONDS * share, abs=1.1)


@pytest.mark.parametrize("kind", UNTOLD)
@pytest.mark.parametrize("share", [0.3, 2 / 3, 0.95])
def test_a_file_that_does_not_say_how_long_it_is_is_cut_off_too(
    kind: str, share: float, made: Callable[[str], bytes]
) -> None:
    data = made(kind)
    told = refusal(data[: round(len(data) * share)])
    assert told.startswith("The file is cut off")
    assert told.endswith("; upload it again.")


def test_a_film_whose_index_stands_first_is_cut_off_too(speech: Audio, tmp_path: Path) -> None:
    path = tmp_path / "fast.mp4"
    remuxed(packed("mp4", "aac", speech), "mp4", {"movflags": "+faststart"}, path)  # it reads what it has written
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert decode(data, max_seconds=60).seconds == pytest.approx(SECONDS, abs=0.1)
    assert "lasts 6.0 s and holds 4." in refusal(data[: len(data) * 2 // 3])


def remuxed(data: bytes, container: str, options: dict[str, str], path: Path | None = None) -> bytes:
    """The same packets in a container of another manner: in a file, or written into a pipe."""
    pipe = Pipe()
    target: Any = path or pipe
    with av.open(io.BytesIO(data), "r") as source:
        out: Any = av.open(target, "w", format=container, container_options=options)
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
        out.close()
    return pipe.written()


class Pipe:
    """Takes what is written and goes back nowhere."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def written(self) -> bytes:
        return bytes(self._held)


def test_an_index_that_never_came_is_told(made: Callable[[str], bytes]) -> None:
    """The sound is whole, but a recorder that was switched off wrote no index."""
    data = made("mp4")
    at = data.index(b"moov") - 4
    assert refusal(data[:at]) == "The file is cut off at its end; upload it again."


# ---- what leaves its length open is no less whole


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF - 36])
def test_wav_from_a_pipe_is_as_long_as_it_is(size: int, made: Callable[[str], bytes]) -> None:
    data = bytearray(made("wav"))
    at = data.index(b"data")
    data[4:8] = data[at + 4 : at + 8] = struct.pack("<I", size)
    assert truncation(bytes(data)) is None
    if size:  # libav takes 0 at its word
        assert decode(bytes(data), max_seconds=60).seconds == pytest.approx(SECONDS, abs=0.01)


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("wav", "pcm_s16le", {}),
        ("au", "pcm_s16be", {}),
        ("webm", "libopus", {"live": "1"}),
        ("matroska", "flac", {"live": "1"}),
        ("flac", "flac", {}),
        ("ogg", "libopus", {}),
        ("mp3", "libmp3lame", {}),
        ("adts", "aac", {}),
        ("mp4", "aac", {"movflags": "+empty_moov+default_base_moof", "frag_duration": "500000"}),
    ],
)
def test_what_was_streamed_is_read(container: str, codec: str, options: dict[str, str], speech: Audio) -> None:
    data = remuxed(packed(container, codec, speech), container, options)
    assert truncation(data) is None
    assert decode(data, max_seconds=60).seconds == pytest.approx(SECONDS, abs=0.1)


def test_a_recording_in_a_browser_that_broke_off_is_read(made: Callable[[str], bytes]) -> None:
    """WebM of unknown length, its last cluster in pieces: nothing says that there was more."""
    data = remuxed(made("webm"), "webm", {"live": "1"})
    assert decode(data[: len(data) // 2], max_seconds=60).seconds == pytest.approx(SECONDS / 2, abs=0.3)


def test_a_recording_that_broke_off_between_two_pages_is_read(made: Callable[[str], bytes]) -> None:
    data = made("ogg")
    pages = [i for i in range(len(data)) if data.startswith(b"OggS\0", i)]
    assert truncation(data[: pages[-2]]) is None
    assert decode(data[: pages[-2]], max_seconds=60).seconds < SECONDS
    assert truncation(data[: pages[-2] + 10]) is not None, "the head of the next is there"


def test_a_fragment_that_is_cut_is_told(speech: Audio) -> None:
    options = {"movflags": "+empty_moov+default_base_moof", "frag_duration": "500000"}
    data = remuxed(packed("mp4", "aac", speech), "mp4", options)
    assert refusal(data[: len(data) * 2 // 3]).startswith("The file is cut off")
    whole = data.index(b"moof", len(data) // 2) - 4
    assert decode(data[:whole], max_seconds=60).seconds == pytest.approx(SECONDS / 2, abs=0.6)


@pytest.mark.parametrize("kind", ["adts", "mp3"])
def test_frames_without_a_head_are_as_many_as_they_are(kind: str, speech: Audio) -> None:
    codec = {"adts": "aac", "mp3": "libmp3lame"}[kind]
    data = (
        packed(kind, codec, speech)
        if kind == "adts"
        else remuxed(packed(kind, codec, speech), kind, {"write_xing": "0"})
    )
    assert decode(data[: len(data) // 2], max_seconds=60).seconds == pytest.approx(SECONDS / 2, abs=0.3)


def test_a_few_lost_bytes_are_no_matter(made: Callable[[str], bytes]) -> None:
    for kind in ("wav", "aiff", "flac", "mp3"):
        assert decode(made(kind)[:-200], max_seconds=60).seconds == pytest.approx(SECONDS, abs=0.1)


def test_what_follows_the_sound_is_not_missed(made: Callable[[str], bytes]) -> None:
    """Tags of MP3 players at the end of all kinds of files."""
    tag = b"TAG" + bytes(125)
    for kind in ("wav", "flac", "mp3", "ogg", "mp4"):
        assert truncation(made(kind) + tag) is None


def test_tags_ahead_of_the_sound_are_skipped(made: Callable[[str], bytes]) -> None:
    body = b"TIT2" + struct.pack(">I", 300_001) + b"\0\0\0" + b"x" * 300_000
    size = bytes((len(body) >> shift) & 127 for shift in (21, 14, 7, 0))
    song = made("mp3")
    song = song[song.index(b"\xff\xfb") :]
    data = b"ID3\x03\0\0" + size + body + song
    assert decode(data, max_seconds=60).seconds == pytest.approx(SECONDS, abs=0.1)
    assert "lasts 6.0 s" in refusal(data[: len(data) - len(song) // 2])


@pytest.mark.parametrize("bits", ["s16", "s32"])
@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
def test_flac_of_any_rate_and_depth(bits: str, rate: int) -> None:
    data = packed("flac", "flac", tone(4, rate, level=0.4), "stereo")
    assert truncation(data) is None
    cut = truncation(data[: len(data) * 3 // 4])
    assert cut is not None
    assert cut.seconds == pytest.approx(4, abs=0.001)
    assert cut.share == pytest.approx(0.75, abs=0.1)


def test_wav_beyond_four_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    data = 5_000_000_000
    form = struct.pack("<HHIIHH", 1, 2, RATE, RATE * 4, 4, 16)
    head = b"RF64\xff\xff\xff\xffWAVE" + b"ds64" + struct.pack("<IQQQI", 28, data + 72, data, data // 4, 0)
    head += b"fmt " + struct.pack("<I", 16) + form + b"data\xff\xff\xff\xff"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + data)
    assert truncation(path) is None
    with path.open("r+b") as file:
        file.truncate(len(head) + data // 2)
    cut = truncation(path)
    assert cut is not None
    assert (cut.share, cut.seconds) == (0.5, data / RATE / 4)


def test_files_made_to_be_slow_are_not(made: Callable[[str], bytes]) -> None:
    chunks = b"RIFF\x00\x00\x00\x10WAVE" + b"JUNK\0\0\0\0" * 200_000
    assert truncation(chunks) is None
    boxes = (b"\0\0\0\x08free") * 200_000
    assert truncation(boxes) is None
    assert truncation(b"OggS\0" * 50_000) is None


def test_damage_is_no_crash(made: Callable[[str], bytes]) -> None:
    rng = np.random.default_rng(4)
    for kind, _ in itertools.product((*TOLD, *UNTOLD), range(20)):
        data = bytearray(made(kind)[:3000])
        for at in rng.integers(0, 200, 8):
            data[at] = rng.integers(256)
        truncation(bytes(data))
        truncation(bytes(data[: rng.integers(1, 200)]))
