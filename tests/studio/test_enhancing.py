"""A file comes back as long, as loud and in as many channels as before, with less noise."""

import json
import struct
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.cleaners.auto import AutoCleaner
from vivavoce.engines.cleaners.gtcrn import GtcrnCleaner
from vivavoce.engines.cleaners.speex import SpeexCleaner
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import Cancelled, InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.media.audio import decode, resample
from vivavoce.media.sound import WavWriter, sound
from vivavoce.nouns import Audio, CleanTraits
from vivavoce.studio.enhancing import enhance

Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def speech(voice: EspeakVoice) -> Audio:
    """A clean voice at 44.1 kHz between pauses."""
    says = next(voice.synthesize("The river runs slowly past the old stone houses.", language="en", voice="")).audio
    samples = np.pad(resample(says, 44_100).samples, 22_050)
    return Audio((0.5 * samples / np.abs(samples).max()).astype(np.float32), 44_100)


def hiss(shape: tuple[int, ...], level: float, seed: int = 1) -> Samples:
    return np.random.default_rng(seed).normal(0, level, shape).astype(np.float32)


def level(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


def stored(path: Path, samples: Samples, rate: int) -> Path:
    with WavWriter(path, rate, len(samples)) as writer:
        writer.write(samples)
    return path


def channels(path: Path) -> Samples:
    with sound(path, max_seconds=600) as read:
        return np.concatenate(list(read.blocks), axis=1)


def cleaned(source: Path, cleaner: Any, **options: Any) -> tuple[Samples, dict[str, Any], list[float]]:
    told: list[float] = []
    target = source.with_name("out.wav")
    limits = {"max_seconds": 600.0} | options
    about = enhance(source, target, cleaner, name="some", report=lambda f, _: told.append(f), **limits)
    return channels(target), about, told


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_length_rate_and_channels_stay(rate: int, speech: Audio, tmp_path: Path) -> None:
    mono = resample(speech, rate).samples
    noisy = np.stack([mono, 0.5 * mono]) + hiss((2, len(mono)), 0.01)
    out, about, told = cleaned(stored(tmp_path / "in.wav", noisy, rate), SpeexCleaner())
    assert out.shape == noisy.shape
    assert (about["rate"], about["channels"], about["engine"]) == (rate, 2, "some")
    assert about["seconds"] == pytest.approx(len(mono) / rate, abs=0.001)
    assert told[0] < 0.5
    assert told == sorted(told)
    assert np.dot(out[0], mono) / np.dot(out[1], mono) == pytest.approx(2, rel=0.1)


def test_the_noise_is_less_and_the_speech_as_loud(shared: Path, speech: Audio, tmp_path: Path) -> None:
    noisy = speech.samples + hiss(speech.samples.shape, 0.02)
    source = stored(tmp_path / "in.wav", noisy[None], 44_100)
    moments = speech.samples[: len(noisy) // 882 * 882].reshape(-1, 882).std(axis=1)
    speaks = np.flatnonzero(np.repeat(moments > 0.1 * moments.max(), 882))
    for cleaner, less in (
        (SpeexCleaner(), 6),
        (GtcrnCleaner(shared / "models"), 15),
        (AutoCleaner(shared / "models"), 12),
    ):
        out, about, _ = cleaned(source, cleaner)
        assert about["noise_after"] < about["noise_before"] - less
        assert about["snr_after"] > about["snr_before"] + less - 2
        kept = 20 * np.log10(np.dot(out[0], speech.samples) / np.dot(speech.samples, speech.samples))
        assert kept == pytest.approx(0, abs=1), type(cleaner).__name__
        assert level(out[0][speaks]) == pytest.approx(level(speech.samples[speaks]), abs=1), type(cleaner).__name__
        assert about["noise_before"] == pytest.approx(20 * np.log10(0.02), abs=0.5)


class Muffler:
    """Turns everything down by 4 dB, and noise, below a level, by 40."""

    traits = CleanTraits()

    def enhance(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        for block in blocks:
            gain = np.where(np.abs(block.samples) < 0.003, 0.01, 10 ** (-4 / 20))
            yield Audio((block.samples * gain).astype(np.float32), block.rate)


def test_what_an_engine_turns_down_is_turned_up_again(speech: Audio, tmp_path: Path) -> None:
    out, about, _ = cleaned(stored(tmp_path / "in.wav", speech.samples[None], 44_100), Muffler())
    assert about["gain"] == pytest.approx(4, abs=0.7)
    assert np.std(out[0]) == pytest.approx(np.std(speech.samples), rel=0.1)


def test_noise_alone_is_not_turned_up(tmp_path: Path) -> None:
    source = stored(tmp_path / "in.wav", hiss((2, 96_000), 0.1), 48_000)
    out, about, _ = cleaned(source, SpeexCleaner())
    assert about["gain"] == 0
    assert about["speech_level"] is about["snr_before"] is None
    assert np.std(out[:, 48_000:]) < 0.06


@pytest.mark.parametrize("size", [1, 100])
def test_a_moment_of_sound(size: int, tmp_path: Path) -> None:
    out, about, _ = cleaned(stored(tmp_path / "in.wav", hiss((2, size), 0.1), 44_100), SpeexCleaner())
    assert out.shape == (2, size)
    assert about["gain"] == 0


def test_loud_recordings_are_limited_and_not_clipped(speech: Audio, tmp_path: Path) -> None:
    loud = speech.samples / np.abs(speech.samples).max() * np.float32(0.999)
    out, _, _ = cleaned(stored(tmp_path / "in.wav", loud[None], 44_100), Muffler())
    assert 0.9 < np.abs(out).max() <= 0.991
    assert np.corrcoef(out[0], loud)[0, 1] > 0.99
    flat = np.abs(out[0]) >= np.abs(out).max() - 1e-4
    assert flat.sum() < 20


def test_floats_beyond_full_scale(speech: Audio, tmp_path: Path) -> None:
    data = (speech.samples * 5).astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, 44_100, 44_100 * 4, 4, 32)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + form
    (tmp_path / "in.wav").write_bytes(head + b"data" + struct.pack("<I", len(data)) + data)
    out, _, _ = cleaned(tmp_path / "in.wav", SpeexCleaner())
    assert np.abs(out).max() <= 0.991
    assert np.corrcoef(out[0], speech.samples)[0, 1] > 0.9


def test_a_real_recording_in_stereo_with_the_high_band(shared: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.wav"
    source.write_bytes((shared / "media/speech/russian_48k.wav").read_bytes())
    out, about, _ = cleaned(source, GtcrnCleaner(shared / "models"))
    was = channels(source)
    assert out.shape == was.shape
    assert about["rate"] == 48_000
    power = [np.abs(np.fft.rfft(samples[0])) ** 2 for samples in (was, out)]
    high = slice(round(9000 * was.shape[1] / 48_000), round(16_000 * was.shape[1] / 48_000))
    assert 10 * np.log10(power[1][high].sum() / power[0][high].sum()) == pytest.approx(0, abs=3)


def test_a_cancelled_or_failed_run_leaves_nothing(speech: Audio, tmp_path: Path) -> None:
    source = stored(tmp_path / "in.wav", speech.samples[None], 44_100)

    def stop(*_: object) -> None:
        raise Cancelled("The work was cancelled.")

    with pytest.raises(Cancelled):
        enhance(source, tmp_path / "out.wav", SpeexCleaner(), name="speex", max_seconds=60, report=stop)
    with pytest.raises(TooLarge):
        cleaned(source, SpeexCleaner(), max_seconds=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


HOSTILE: dict[str, tuple[bytes, type[InvalidInput]]] = {
    "empty": (b"", InvalidInput),
    "cut off in the header": (b"RIFF\x24\x00\x00\x00WAVEfmt ", InvalidInput),
    "cut off before the sound": (
        b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80>\0\0\0}\0\0\2\0\x10\0data\0\0\0\0",
        InvalidInput,
    ),
    "playlist": (b"#EXTM3U\n#EXTINF:10,\nin.wav\n#EXT-X-ENDLIST\n", UnsupportedMedia),
    "concat": (b"ffconcat version 1.0\nfile 'in.wav'\n", UnsupportedMedia),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="in.wav"/></svg>', UnsupportedMedia),
    "text": (b"no sound " * 1000, UnsupportedMedia),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(1000), UnsupportedMedia),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_sound_is_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    data, error = HOSTILE[kind]
    (tmp_path / "in.wav").write_bytes(data)
    with pytest.raises(error) as refused:
        cleaned(tmp_path / "in.wav", SpeexCleaner())
    assert 400 <= refused.value.status < 500
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out.wav").exists()


def test_a_wrong_extension_does_not_matter(speech: Audio, tmp_path: Path) -> None:
    source = stored(tmp_path / "in.jpg", speech.samples[None], 44_100)
    assert cleaned(source, SpeexCleaner())[1]["channels"] == 1


@pytest.mark.slow
def test_a_quarter_of_an_hour_takes_as_much_memory_as_a_minute(tmp_path: Path) -> None:
    """In processes of their own: the most that each ever held."""
    program = (
        "import json, resource, sys\n"
        "from pathlib import Path\n"
        "from vivavoce.engines.cleaners.speex import SpeexCleaner\n"
        "from vivavoce.studio.enhancing import enhance\n"
        "told = enhance(Path(sys.argv[1]), Path(sys.argv[2]), SpeexCleaner(), name='speex', max_seconds=1e5,"
        " report=lambda *_: None)\n"
        "print(json.dumps([told['seconds'], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))\n"
    )
    most = []
    for seconds in (60, 900):
        with WavWriter(tmp_path / "in.wav", 48_000, 2) as writer:
            for index in range(seconds):
                writer.write(hiss((2, 48_000), 0.05, index % 10))
        run = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "in.wav"), str(tmp_path / "out.wav")],
            capture_output=True,
            text=True,
            check=True,
            timeout=170,
        )
        length, held = json.loads(run.stdout)
        assert length == seconds
        with wave.open(str(tmp_path / "out.wav")) as file:
            assert file.getnframes() == seconds * 48_000
        most.append(held)
    assert most[1] - most[0] < 20


def test_decode_reads_what_was_written(speech: Audio, tmp_path: Path) -> None:
    source = stored(tmp_path / "in.wav", speech.samples[None], 44_100)
    cleaned(source, SpeexCleaner())
    assert decode(tmp_path / "out.wav", max_seconds=60).seconds == pytest.approx(speech.seconds, abs=1e-4)
