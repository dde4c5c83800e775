"""Speech in the formats that clients want: the same speech, marked where the format can, and as fast as they want."""

from pathlib import Path

import av
import numpy as np
import pytest

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import decode, resample, write_wav
from vivavoce.media.formats import FORMATS, PCM_RATE, write
from vivavoce.media.remux import remux
from vivavoce.media.synthetic import MARK, is_marked
from vivavoce.media.tempo import at_speed
from vivavoce.media.video import encode
from vivavoce.nouns import Audio, Canvas, Frame
from vivavoce.studio.speech import joined


@pytest.fixture(scope="module")
def speech(voice: EspeakVoice) -> Audio:
    return joined(voice.synthesize("Nobody had told the children that it was closed.", language="en")).audio


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_holds_the_speech(speech: Audio, tmp_path: Path, form: str) -> None:
    path = tmp_path / "said"
    write(path, speech, form)
    if form == "pcm":
        heard = Audio(np.frombuffer(path.read_bytes(), "<i2").astype(np.float32) / np.float32(32767), PCM_RATE)
    else:
        heard = decode(path, max_seconds=60)
        with av.open(str(path)) as container:
            told = container.metadata | container.streams.audio[0].metadata
        assert told.get("comment") == (None if form == "aac" else MARK["comment"])
    assert heard.seconds == pytest.approx(speech.seconds, abs=0.1)
    one, other = (resample(audio, 16_000).samples for audio in (heard, speech))
    size = 1 << (len(one) + len(other)).bit_length()
    match = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)))
    assert np.abs(match).max() / np.linalg.norm(one) / np.linalg.norm(other) > 0.95
    before = path.read_bytes()
    write(path, speech, form)
    if form != "opus":  # an Ogg stream has a number by chance
        assert path.read_bytes() == before, "the same speech makes the same bytes"


@pytest.mark.parametrize("form", FORMATS)
def test_the_shortest_sound(tmp_path: Path, form: str) -> None:
    write(tmp_path / "said", Audio(np.full(50, 2.0, np.float32), 22_050), form)
    assert (tmp_path / "said").stat().st_size > 0


@pytest.mark.parametrize("speed", [0.25, 0.4, 0.8, 1.0, 1.3, 2.0, 4.0])
def test_speed_changes_the_length_and_not_the_pitch(speed: float) -> None:
    wave = 0.5 * np.sin(np.arange(3 * 22_050) * 2 * np.pi * 220 / 22_050)
    tone = Audio(wave.astype(np.float32), 22_050)
    made = at_speed(tone, speed)
    assert made.rate == tone.rate
    assert made.seconds == pytest.approx(tone.seconds / speed, rel=0.03)
    middle = made.samples[len(made.samples) // 4 : -len(made.samples) // 4]
    heard = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(heard) * made.rate / len(middle) == pytest.approx(220, abs=4)


def test_a_film_is_marked_while_it_grows_and_afterwards(speech: Audio, tmp_path: Path) -> None:
    canvas = Canvas(128, 128, 25)
    grey = np.full((128, 128, 3), 128, np.uint8)
    frames = (Frame(grey, n / 25) for n in range(canvas.frames(speech.seconds)))
    encode(tmp_path / "a.mp4", frames, speech, canvas, growing=tmp_path / "a.frag")
    assert is_marked(tmp_path / "a.mp4")
    assert is_marked(tmp_path / "a.frag")
    remux(tmp_path / "a.frag", tmp_path / "b.mp4")
    assert is_marked(tmp_path / "b.mp4")
    write_wav(tmp_path / "a.wav", speech)
    assert not is_marked(tmp_path / "a.wav"), "whoever makes sound says whose it is"
