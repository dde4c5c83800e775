"""Sound as clients stream it: cut anywhere, at any rate, also as telephones send it."""

from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import InvalidInput
from vivavoce.hear.g711 import Law, expanded
from vivavoce.hear.pcm import PcmStream


def streamed(rate: int, pieces: list[bytes]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    stream = PcmStream(rate)
    made = [samples for piece in pieces for samples in stream.samples(piece)]
    return np.concatenate([*made, stream.end()])


@given(st.lists(st.integers(0, 5000), max_size=8), st.sampled_from([8000, 16000, 44100]))
def test_where_it_is_cut_makes_no_difference(cuts: list[int], rate: int) -> None:
    data = np.random.default_rng(1).integers(-20000, 20000, 2400, dtype=np.int16).tobytes()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    assert np.allclose(streamed(rate, pieces), streamed(rate, [data]), atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 44100, 48000])
def test_a_tone_keeps_its_pitch_its_level_and_its_length(rate: int) -> None:
    seconds = np.arange(rate * 2) / rate
    tone = (np.sin(2 * np.pi * 440 * seconds) * 16384).astype("<i2").tobytes()
    heard = streamed(rate, [tone])
    assert abs(len(heard) - 32000) <= 1
    spectrum = np.abs(np.fft.rfft(heard[:32000] * np.hanning(len(heard[:32000]))))
    assert abs(int(np.argmax(spectrum)) / 2 - 440) <= 0.5
    assert np.max(np.abs(heard[4000:-4000])) == pytest.approx(0.5, abs=0.01)


def test_half_a_sample_at_the_end_is_dropped() -> None:
    assert len(streamed(16000, [b"\0\0\1"])) == 1


@pytest.mark.parametrize("rate", [0, -16000, 7999, 48001])
def test_other_rates_are_refused(rate: int) -> None:
    with pytest.raises(InvalidInput, match="8000 to 48000"):
        PcmStream(rate)


@pytest.mark.parametrize(("law", "codec"), [("mu", "pcm_mulaw"), ("a", "pcm_alaw")])
def test_telephone_sound_is_expanded_as_ffmpeg_does(law: Law, codec: str) -> None:
    every = bytes(range(256))
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 8000, "mono"
    (frame,) = decoder.decode(av.Packet(every))
    assert np.array_equal(np.frombuffer(expanded(every, law), "<i2"), frame.to_ndarray()[0])
