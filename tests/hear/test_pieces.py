"""Speech is found in a long recording, and nothing else."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.hear.pieces import Piece, pieces
from vivavoce.hear.vad import HOP, RATE, Vad, speaks
from vivavoce.media.audio import decode, resample
from vivavoce.nouns import Audio
from vivavoce.studio.speech import joined

Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def sentence(voice: EspeakVoice) -> Samples:
    """About three seconds of speech without a pause."""
    said = joined(voice.synthesize("My father has a big car and seven small boats.", language="en", voice="f3"))
    return resample(said.audio, RATE).samples


def noise(seconds: float, level: float = 0.001, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE)).astype(np.float32)


def blocks(samples: Samples, size: int = 4000) -> Iterator[Audio]:
    for i in range(0, len(samples), size):
        yield Audio(samples[i : i + size], RATE)


def cut(*parts: Samples, longest: float = 30.0, size: int = 4000) -> list[Piece]:
    return list(pieces(blocks(np.concatenate(parts), size), longest=longest))


def ends(found: Sequence[Piece]) -> list[tuple[float, float]]:
    return [(p.start, p.start + p.audio.seconds) for p in found]


def test_silence_and_noise_are_dropped(sentence: Samples) -> None:
    t = np.arange(10 * RATE) / RATE
    hum = (0.2 * np.sin(2 * np.pi * 50 * t)).astype(np.float32)
    clicks = np.where(np.random.default_rng(1).random(10 * RATE) < 1e-4, 0.8, 0.0).astype(np.float32)
    for nothing in (np.zeros(10 * RATE, np.float32), noise(10, 0.1), hum + noise(10), clicks):
        assert cut(nothing) == []
    assert len(cut(noise(5), sentence, noise(5))) == 1


def test_a_piece_is_the_sound_itself_with_an_edge(sentence: Samples) -> None:
    whole = np.concatenate([noise(3), sentence, noise(4)])
    (piece,) = pieces(blocks(whole), longest=30)
    first = round(piece.start * RATE)
    assert np.array_equal(piece.audio.samples, whole[first : first + len(piece.audio.samples)])
    assert 3 - 0.35 < piece.start < 3.1
    assert 3 + len(sentence) / RATE - 0.3 < piece.start + piece.audio.seconds < 3 + len(sentence) / RATE + 0.35


def test_short_pauses_stay_and_long_ones_part(sentence: Samples) -> None:
    assert len(cut(sentence, noise(0.8), sentence)) == 1
    apart = cut(sentence, noise(4), sentence)
    assert len(apart) == 2
    assert apart[1].start > len(sentence) / RATE + 3.5


def test_no_piece_is_too_long_and_none_is_cut_within_a_word(sentence: Samples) -> None:
    pause = noise(0.5)
    parts = [p for _ in range(8) for p in (sentence, pause)]
    for longest in (5.0, 8.0, 12.0):
        found = cut(*parts, longest=longest)
        assert all(p.audio.seconds <= longest for p in found)
        assert all(a[1] <= b[0] + 1e-6 for a, b in zip(ends(found), ends(found)[1:], strict=False))
        step = (len(sentence) + len(pause)) / RATE
        for _, end in ends(found):
            within = end % step  # where in a round of sentence and pause it ends
            assert within > len(sentence) / RATE - 0.35 or within < 0.2


def test_a_voice_that_never_pauses_is_cut_all_the_same(sentence: Samples) -> None:
    never = sentence[RATE // 4 : -RATE // 4]
    found = cut(*[never] * 8, longest=6.0)
    assert all(3.0 <= p.audio.seconds <= 6.0 for p in found[:-1])
    assert sum(p.audio.seconds for p in found) > 0.9 * 8 * len(never) / RATE


def test_blocks_of_any_length_give_the_same(sentence: Samples) -> None:
    parts = noise(1), sentence, noise(3), sentence
    told = [ends(cut(*parts, size=size)) for size in (160, 4000, 10**6)]
    assert told[0] == told[1] == told[2]


def test_pieces_come_as_soon_as_they_are_whole(sentence: Samples) -> None:
    read = 0

    def stream() -> Iterator[Audio]:
        nonlocal read
        for block in blocks(np.concatenate([sentence, noise(60)])):
            read += len(block.samples)
            yield block

    next(pieces(stream(), longest=30))
    assert read < len(sentence) + 5 * RATE


def test_another_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="16000"):
        list(pieces([Audio(np.zeros(100, np.float32), 8000)], longest=30))


def test_quiet_recordings_are_heard(sentence: Samples) -> None:
    assert len(cut(noise(2, 1e-5), sentence * np.float32(0.02), noise(2, 1e-5))) == 1


def test_people_are_found_from_end_to_end(shared: Path) -> None:
    """Between the utterances of five people there are pauses of 4 s; each utterance is one piece."""
    files = [sorted(folder.glob("*.flac"))[1] for folder in sorted((shared / "media/speech/speakers").iterdir())]
    spoken = [decode(file, max_seconds=60, rate=RATE).samples for file in files]
    found = ends(cut(*[part for s in spoken for part in (s, noise(4))]))
    assert len(found) == 5
    at = 0.0
    for (start, end), samples in zip(found, spoken, strict=True):
        seconds = len(samples) / RATE
        assert at - 0.1 < start < at + 0.8
        assert at + seconds - 0.9 < end < at + seconds + 0.4
        at += seconds + 4


def test_the_detector_judges_hops_together_as_one_by_one(sentence: Samples) -> None:
    hops = sentence[: len(sentence) // HOP * HOP].reshape(-1, HOP)
    one_by_one, together, halves = Vad(), Vad(), Vad()
    single = [one_by_one(hop) for hop in hops]
    assert np.allclose(single, together.judge(hops), atol=1e-4)
    assert np.allclose(single, np.concatenate([halves.judge(hops[:7]), halves.judge(hops[7:])]), atol=1e-4)
    together.reset()
    assert np.allclose(single, together.judge(hops), atol=1e-4)
    assert len(Vad().judge(hops[:0])) == 0


def test_speaks(sentence: Samples) -> None:
    assert speaks(sentence)
    assert not speaks(noise(3, 0.1))
    assert not speaks(np.zeros(0, np.float32))


@pytest.mark.slow
def test_hours_need_no_more_memory_than_minutes() -> None:
    """An hour of sound is 230 MB."""
    program = textwrap.dedent("""
        import resource
        import numpy as np
        from vivavoce.hear.pieces import pieces
        from vivavoce.nouns import Audio
        block = Audio(np.random.default_rng(0).normal(0, 0.05, 16000 * 10).astype(np.float32), 16000)
        for seconds in (600, 3600):
            for _ in pieces((block for _ in range(seconds // 10)), longest=30): pass
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    short, long = (int(line) for line in run.stdout.split())
    assert long - short < 30_000, "kilobytes"
