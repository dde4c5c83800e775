"""Whole files become text: with real sound, a real decoder and a real recogniser."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from parrots import parrot
from vivavoce.engines.ears.sphinx import SphinxEar
from vivavoce.engines.ears.whisper import WhisperEar
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import Cancelled, InvalidInput, TooLarge, UnsupportedMedia
from vivavoce.media.audio import decode, resample, write_wav
from vivavoce.nouns import Audio, EarTraits, Segment, Speech, Transcript, Word
from vivavoce.ports import Recognizer
from vivavoce.studio.speech import joined
from vivavoce.studio.transcribing import marked, transcribe
from vivavoce.text.alignment import align, anchor
from vivavoce.text.articulation import PARAMETERS, articulate, sample

RATE = 16_000
SENTENCES = ("Please open the window.", "Turn off the light!", "We are going to the market.")


def quiet(*_: object) -> None:
    """Nobody wants to know."""


@pytest.fixture(scope="module")
def sphinx() -> Iterator[SphinxEar]:
    pytest.importorskip("pocketsphinx")
    ear = SphinxEar()
    yield ear
    ear.close()


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> WhisperEar:
    return WhisperEar(str(parrot(tmp_path_factory.mktemp("models") / "parrot")), device="cpu", threads=1)


def say(voice: EspeakVoice, text: str) -> Audio:
    return resample(joined(voice.synthesize(text, language="en", voice="f3")).audio, RATE)


def recording(target: Path, parts: Sequence[Audio], pause: float = 3.0, rate: int = 22_050) -> list[float]:
    """Write the parts with pauses before, between and after; gives where each begins."""
    rest = np.random.default_rng(0).normal(0, 5e-4, round(pause * RATE)).astype(np.float32)
    starts, sound, at = [], [rest], pause
    for part in parts:
        starts.append(at)
        sound += [part.samples, rest]
        at += part.seconds + pause
    write_wav(target, Audio(np.concatenate(sound), RATE), rate)
    return starts


def test_a_file_is_written_down_with_times_in_the_file(tmp_path: Path, voice: EspeakVoice, sphinx: SphinxEar) -> None:
    parts = [say(voice, text) for text in SENTENCES]
    starts = recording(tmp_path / "sound.wav", parts)
    told: list[tuple[float, str]] = []
    heard = transcribe(
        tmp_path / "sound.wav",
        sphinx,
        language="en",
        phrases=SENTENCES,
        max_seconds=60,
        report=lambda fraction, stage: told.append((fraction, stage)),
    )
    assert heard.text == " ".join(SENTENCES)
    assert heard.language == "en"
    for segment, start, part in zip(heard.segments, starts, parts, strict=True):
        assert start - 0.1 < segment.start < start + 0.3
        assert start + part.seconds - 0.5 < segment.end < start + part.seconds + 0.1
    fractions = [fraction for fraction, _ in told]
    assert {stage for _, stage in told} == {"transcribe"}
    assert fractions == sorted(fractions)
    assert fractions[0] > 0
    assert fractions[-1] == 1


def test_silence_and_noise_are_an_empty_text(tmp_path: Path, whisper: WhisperEar, sphinx: SphinxEar) -> None:
    rng = np.random.default_rng(1)
    for level in (0.0, 0.1):
        write_wav(tmp_path / "sound.wav", Audio(rng.normal(0, level, 6 * RATE).astype(np.float32), RATE))
        for ear, language in ((whisper, ""), (whisper, "ru"), (sphinx, "en")):
            heard = transcribe(tmp_path / "sound.wav", ear, language=language, max_seconds=60, report=quiet)
            assert (heard.text, heard.segments, heard.language) == ("", (), language)
            assert heard.seconds == pytest.approx(6.0, abs=1e-3)


class Listening:
    """A recogniser that is known: it says how long each piece is, and remembers how it was asked."""

    def __init__(self, traits: EarTraits, languages: Sequence[str] = ("en",)) -> None:
        self.traits = traits
        self.languages = languages
        self.asked: list[tuple[list[float], str]] = []
        self.closed = 0

    def recognize(
        self, pieces: Sequence[Audio], *, language: str = "", phrases: Sequence[str] = ()
    ) -> Iterator[Transcript]:
        assert not phrases
        self.asked.append(([p.seconds for p in pieces], language))
        assert all(p.rate == self.traits.rate for p in pieces)
        try:
            for number, piece in enumerate(pieces):
                found = language or self.languages[min(number, len(self.languages) - 1)]
                word = Word(f"{piece.seconds:.1f}", 0.1, piece.seconds)
                yield Transcript(found, piece.seconds, (Segment(word.text, 0.1, piece.seconds, (word,)),))
        finally:
            self.closed += 1


def test_the_language_is_found_in_the_longest_piece_and_kept(tmp_path: Path, voice: EspeakVoice) -> None:
    short, long = say(voice, "Thank you very much."), say(voice, "The quick brown fox jumps over the lazy dog.")
    recording(tmp_path / "sound.wav", [short, long, short])
    ear = Listening(EarTraits(detects=True), ["kk"])
    heard = transcribe(tmp_path / "sound.wav", ear, language="", max_seconds=60, report=quiet)
    assert heard.language == "kk"
    assert [language for _, language in ear.asked] == ["", "kk"]
    assert ear.asked[0][0] == [max(s for sizes, _ in ear.asked for s in sizes)]
    assert [s.start for s in heard.segments] == sorted(s.start for s in heard.segments)
    assert len(heard.segments) == 3


def test_pieces_come_in_batches_at_the_rate_and_length_that_the_engine_wants(
    tmp_path: Path, voice: EspeakVoice
) -> None:
    part = say(voice, "Thank you very much.")
    starts = recording(tmp_path / "sound.wav", [part] * 10)
    ear = Listening(EarTraits(rate=8000, longest=1.5))
    heard = transcribe(tmp_path / "sound.wav", ear, language="en", max_seconds=120, report=quiet)
    assert [len(sizes) for sizes, _ in ear.asked] == [8, len(heard.segments) - 8]
    assert all(size <= 1.5 + 1e-3 for sizes, _ in ear.asked for size in sizes)
    assert len(heard.segments) >= len(starts)


def test_a_cancel_ends_the_engines_work(tmp_path: Path, voice: EspeakVoice) -> None:
    recording(tmp_path / "sound.wav", [say(voice, "Thank you very much.")] * 4)
    ear = Listening(EarTraits())

    def cancelled(fraction: float, stage: str) -> None:
        raise Cancelled("The work was cancelled.")

    with pytest.raises(Cancelled):
        transcribe(tmp_path / "sound.wav", ear, language="en", max_seconds=60, report=cancelled)
    assert ear.closed == len(ear.asked)


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    ear: Recognizer = Listening(EarTraits())
    for name, data, error in (
        ("empty.wav", b"", InvalidInput),
        ("text.mp3", b"not at all sound" * 50, UnsupportedMedia),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", UnsupportedMedia),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(error):
            transcribe(tmp_path / name, ear, language="en", max_seconds=60, report=quiet)
    write_wav(tmp_path / "long.wav", Audio(np.zeros(20 * RATE, np.float32), RATE))
    with pytest.raises(TooLarge, match="10 seconds"):
        transcribe(tmp_path / "long.wav", ear, language="en", max_seconds=10, report=quiet)


def test_whisper_hears_a_file_from_end_to_end(tmp_path: Path, voice: EspeakVoice, whisper: WhisperEar) -> None:
    parts = [say(voice, text) for text in SENTENCES]
    starts = recording(tmp_path / "sound.wav", parts, rate=48_000)
    heard = transcribe(tmp_path / "sound.wav", whisper, language="", max_seconds=60, report=quiet)
    assert heard.text == " ".join(["Hello there, my friends. How are you today?"] * 3)
    firsts = [w.start for w in heard.words if w.text == "Hello"]
    assert firsts == pytest.approx(starts, abs=0.3)


# ---- words for a face


def test_a_recording_is_given_its_words(voice: EspeakVoice, whisper: WhisperEar) -> None:
    heard = marked(say(voice, SENTENCES[2]), whisper, "en")
    assert heard is not None
    assert heard.text == "Hello there, my friends. How are you today?"
    marks = heard.of("word")
    assert [m.text for m in marks] == ["Hello", "there", "my", "friends", "How", "are", "you", "today"]
    assert all(heard.text[m.offset : m.offset + len(m.text)] == m.text for m in marks)
    assert all(a.end <= b.start for a, b in pairwise(marks))
    reference = joined(voice.synthesize(heard.text, language="en", voice=""))
    spoken = anchor(reference, heard)
    assert spoken.of("phoneme"), "the words are where the embedded voice has them"


def test_a_recording_in_which_nobody_speaks_has_none(whisper: WhisperEar) -> None:
    assert marked(Audio(np.zeros(2 * RATE, np.float32), RATE), whisper, "en") is None


def test_words_without_times_leave_the_text(voice: EspeakVoice) -> None:
    class Plain(Listening):
        def recognize(
            self, pieces: Sequence[Audio], *, language: str = "", phrases: Sequence[str] = ()
        ) -> Iterator[Transcript]:
            assert not phrases
            for piece in pieces:
                yield Transcript(language, piece.seconds, (Segment(SENTENCES[0], 0.0, piece.seconds),))

    heard = marked(say(voice, SENTENCES[0]), Plain(EarTraits(word_times=False)), "en")
    assert heard is not None
    assert (heard.text, heard.marks) == (SENTENCES[0], ())


JFK = "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country."


def opening(speech: Speech) -> np.ndarray:
    """How far the phonemes open the jaw, a hundred times a second."""
    seconds = speech.audio.seconds
    curves = sample(articulate(speech.of("phoneme"), seconds), 100, int(seconds * 100), 100, lead=0.0)
    return np.asarray(curves[:, PARAMETERS.index("jaw")], np.float64)


@pytest.mark.slow
def test_a_face_that_reads_the_recognisers_words_moves_as_with_the_true_text(
    shared: Path, voice: EspeakVoice, sphinx: SphinxEar
) -> None:
    """Even the words of a recogniser that gets a fifth of them wrong open the mouth as the known text does."""
    sound = decode(shared / "media" / "speech" / "jfk_m_en.wav", max_seconds=60)
    true = align(joined(voice.synthesize(JFK, language="en", voice="")), sound)
    heard = marked(sound, sphinx, "en")
    assert heard is not None
    read = anchor(joined(voice.synthesize(heard.text, language="en", voice="")), heard)
    likeness = float(np.corrcoef(opening(true), opening(read))[0, 1])
    assert likeness > 0.6
