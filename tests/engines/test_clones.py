"""The cloner world: alike to the speaker, in time with the base voice, and harmless with whatever it is given."""

import itertools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from vivavoce.engines.clones import matching, portrait, sounds, vocoder
from vivavoce.engines.clones.world import WorldCloner
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.engines.speakers.ge2e import Ge2eEncoder
from vivavoce.errors import EngineUnavailable, InvalidInput, TimedOut
from vivavoce.media.audio import decode, resample
from vivavoce.nouns import Audio, Speech, VoiceTraits
from vivavoce.studio.speech import joined

pytestmark = pytest.mark.skipif(find_spec("pyworld") is None, reason="the dependency group measuring is not installed")
TEXT = "Please keep to the left on the stairs."
RATE = vocoder.RATE


@pytest.fixture(scope="module")
def cloner(voice: EspeakVoice) -> WorldCloner:
    return WorldCloner(voice)


@pytest.fixture(scope="module")
def recording(voice: EspeakVoice) -> Audio:
    """Five seconds of a low voice."""
    return joined(
        voice.synthesize(
            "The old man opened his umbrella and walked to the harbour with us.", language="en", voice="m1"
        )
    ).audio


@pytest.fixture(scope="module")
def low(cloner: WorldCloner, recording: Audio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is learnt of it."""
    folder = tmp_path_factory.mktemp("low")
    (warning,) = cloner.enrol([recording], folder)
    assert "Little speech" in warning
    return folder


def pitch(audio: Audio) -> float:
    found = vocoder.analyse(resample(audio, RATE).samples).pitch
    return float(np.median(found[found > 0]))


# ---- the whole


def test_the_clone_is_in_time_with_the_base_voice(cloner: WorldCloner, voice: EspeakVoice, low: Path) -> None:
    base = joined(voice.synthesize(TEXT, language="en", voice="f2"))
    clone = joined(cloner.synthesize(TEXT, language="en", voice=low))
    assert clone.text == TEXT
    assert clone.audio.rate == RATE
    assert clone.audio.seconds == pytest.approx(base.audio.seconds, abs=1e-3)
    assert [(m.kind, m.text, m.offset) for m in clone.marks] == [(m.kind, m.text, m.offset) for m in base.marks]
    moved = [abs(a.start - b.start) for a, b in zip(clone.marks, base.marks, strict=True)]
    assert max(moved) < 1e-3
    heard, said = (_loudness(resample(audio, RATE)) for audio in (clone.audio, base.audio))
    assert np.corrcoef(heard, said)[0, 1] > 0.8, "it is loud and soft when the base voice is"


def _loudness(audio: Audio) -> np.ndarray:
    """dB of steps of 20 ms, from silence on."""
    steps = audio.samples[: len(audio.samples) // 320 * 320].reshape(-1, 320)
    return np.asarray(10 * np.log10((steps.astype(np.float64) ** 2).mean(axis=1) + 1e-5))


def test_the_clone_has_the_pitch_of_the_speaker(
    cloner: WorldCloner, voice: EspeakVoice, recording: Audio, low: Path
) -> None:
    base = joined(voice.synthesize(TEXT, language="en", voice="f2"))
    clone = joined(cloner.synthesize(TEXT, language="en", voice=low))
    assert pitch(base.audio) > 1.5 * pitch(recording)
    assert pitch(clone.audio) == pytest.approx(pitch(recording), rel=0.08)


def test_the_clone_is_as_loud_as_the_base_voice(cloner: WorldCloner, voice: EspeakVoice, low: Path) -> None:
    base = joined(voice.synthesize(TEXT, language="en", voice="f2")).audio.samples
    clone = joined(cloner.synthesize(TEXT, language="en", voice=low)).audio.samples
    assert np.abs(clone).max() <= 0.96
    assert np.sqrt(np.mean(clone**2)) == pytest.approx(np.sqrt(np.mean(base**2)), rel=0.35)


def test_the_same_text_sounds_the_same(cloner: WorldCloner, low: Path) -> None:
    one, two = (joined(cloner.synthesize("Hello.", language="en", voice=low)).audio.samples for _ in range(2))
    assert np.array_equal(one, two)


def test_pauses_stay_silent(voice: EspeakVoice, low: Path) -> None:
    class Pausing(EspeakVoice):
        """Says nothing for a second before and after."""

        def synthesize(self, text: str, *, language: str, voice: str = "") -> Iterator[Speech]:
            for part in super().synthesize(text, language=language, voice=voice):
                quiet = np.zeros(part.audio.rate, np.float32)
                samples = np.concatenate([quiet, part.audio.samples, quiet])
                yield Speech(part.text, part.language, Audio(samples, part.audio.rate))

    base = Pausing()
    try:
        clone = joined(WorldCloner(base).synthesize("Hello.", language="en", voice=low))
    finally:
        base.close()
    second = round(0.9 * RATE)
    assert np.abs(clone.audio.samples[:second]).max() < 1e-3
    assert np.abs(clone.audio.samples[-second:]).max() < 1e-3
    assert np.abs(clone.audio.samples).max() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("language", ["ru", "kk", "ko", "zh"])
def test_other_languages_are_spoken_in_the_same_voice(
    cloner: WorldCloner, voice: EspeakVoice, shared: Path, tmp_path: Path, language: str
) -> None:
    """Of two men, each enrolled in English: far nearer to himself than the base voice is, and than to the other."""
    texts = {
        "ru": "Сегодня мы покажем вам старый город и большую реку.",
        "kk": "Бүгін біз сізге ескі қаланы және үлкен өзенді көрсетеміз.",
        "ko": "오늘은 오래된 도시와 큰 강을 보여 드리겠습니다.",
        "zh": "今天我们给你们看老城和大河。",
    }
    encoder = Ge2eEncoder()
    base = joined(voice.synthesize(texts[language], language=language, voice="f2")).audio
    plain = encoder.embed(resample(base, RATE))
    held, clones = {}, {}
    for name in ("2414", "3005"):
        files = sorted((shared / "media/speech/speakers" / name).iterdir())
        heard = [decode(path, max_seconds=60, rate=RATE) for path in files]
        held[name] = encoder.embed(heard[1])
        (tmp_path / name).mkdir()
        cloner.enrol([heard[0], heard[2], heard[3]], tmp_path / name)
        clone = joined(cloner.synthesize(texts[language], language=language, voice=tmp_path / name)).audio
        clones[name] = encoder.embed(clone)
    for name, other in (("2414", "3005"), ("3005", "2414")):
        assert clones[name] @ held[name] > plain @ held[name] + 0.08
        assert clones[name] @ held[name] > clones[name] @ held[other]


# ---- what is given


@pytest.mark.parametrize("seconds", [0.0, 1.0, 5.0])
def test_sound_without_speech_is_refused(cloner: WorldCloner, tmp_path: Path, seconds: float) -> None:
    noise = np.random.default_rng(3).normal(0, 0.05, round(seconds * RATE)).astype(np.float32)
    with pytest.raises(InvalidInput, match="at least 2 s"):
        cloner.enrol([Audio(noise, RATE)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_recording_is_refused(cloner: WorldCloner, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least 2 s"):
        cloner.enrol([], tmp_path)


def test_a_whisper_is_refused(
    cloner: WorldCloner, recording: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = vocoder.analyse(resample(recording, RATE).samples)
    whispered = vocoder.Parts(np.zeros_like(parts.pitch), parts.envelope, parts.breath)
    sound = vocoder.sound(whispered)
    # a detector of voices need not take whispering for speech: here it does
    monkeypatch.setattr("vivavoce.engines.clones.world.activity", lambda audio: _All(audio, ((0, len(audio.samples)),)))
    with pytest.raises(InvalidInput, match="whispered"):
        cloner.enrol([Audio(sound, RATE)], tmp_path)


class _All:
    def __init__(self, audio: Audio, stretches: tuple[tuple[int, int], ...]) -> None:
        self.audio, self.stretches = audio, stretches


def test_noise_is_warned_of(cloner: WorldCloner, recording: Audio, tmp_path: Path) -> None:
    level = float(np.sqrt(np.mean(recording.samples**2)))
    noise = np.random.default_rng(3).normal(0, 0.4 * level, len(recording.samples)).astype(np.float32)
    warnings = cloner.enrol([Audio(recording.samples + noise, recording.rate)], tmp_path)
    assert any("Noisy" in warning for warning in warnings)


def test_what_is_kept_is_bounded(
    cloner: WorldCloner, recording: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vivavoce.engines.clones.world._MOST", 3.0)
    cloner.enrol([recording, recording], tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"bank.npz", "clone.json"}
    with np.load(tmp_path / "bank.npz", allow_pickle=False) as bank:
        assert len(bank["pitch"]) * vocoder.HOP / RATE < 3.5
        assert bank["envelope"].dtype == np.float16
    assert (tmp_path / "bank.npz").stat().st_size < 3.5 * 260_000


@pytest.mark.parametrize("damage", ["no folder", "no facts", "other engine", "no bank", "cut bank", "pickle"])
def test_a_damaged_voice_is_refused_at_once(cloner: WorldCloner, low: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "voice"
    if damage != "no folder":
        folder.mkdir()
        for path in low.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    if damage == "no facts":
        (folder / "clone.json").unlink()
    elif damage == "other engine":
        (folder / "clone.json").write_text('{"version": 1, "engine": "http"}')
    elif damage == "no bank":
        (folder / "bank.npz").unlink()
    elif damage == "cut bank":
        (folder / "bank.npz").write_bytes((low / "bank.npz").read_bytes()[:5000])
    elif damage == "pickle":
        np.savez(folder / "bank.npz", pitch=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InvalidInput, match="enrol it again"):
        cloner.synthesize(TEXT, language="en", voice=folder)


def test_a_text_that_cannot_be_spoken_is_refused_at_once(cloner: WorldCloner, low: Path) -> None:
    with pytest.raises(InvalidInput):
        cloner.synthesize(" ", language="en", voice=low)
    with pytest.raises(InvalidInput):
        cloner.synthesize("Hello.", language="xx", voice=low)


def test_closing_closes_the_base_voice(low: Path) -> None:
    closed: list[bool] = []

    class Base(EspeakVoice):
        def synthesize(self, text: str, *, language: str, voice: str = "") -> Iterator[Speech]:
            def parts() -> Iterator[Speech]:
                try:
                    yield from super(Base, self).synthesize(text, language=language, voice=voice)
                finally:
                    closed.append(True)

            return parts()

    base = Base()
    try:
        stream = WorldCloner(base).synthesize("Hello there. " * 25, language="en", voice=low)
        next(stream)
        assert closed == [True], "the base voice was asked for its numbers, to the end"
        stream.close()  # type: ignore[attr-defined]
        assert closed == [True, True]
    finally:
        base.close()


def test_an_error_of_the_base_voice_comes_through(low: Path) -> None:
    class Late:
        traits = VoiceTraits(("en",))

        def synthesize(self, text: str, *, language: str, voice: str) -> Iterator[Speech]:
            raise TimedOut(f"The voice {voice} did not say {text} in {language}.")

    with pytest.raises(TimedOut):
        WorldCloner(Late()).synthesize(TEXT, language="en", voice=low)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, voice: EspeakVoice) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'vivavoce\[clone\]'"):
        WorldCloner(voice)


# ---- the parts


def test_a_sound_is_the_same_whoever_says_it(voice: EspeakVoice) -> None:
    """The same text by two voices, in time with each other: their frames are nearest to their own counterparts."""
    said = [
        joined(voice.synthesize("We wish you all a wonderful day.", language="en", voice=f"{name};rate=140"))
        for name in ("f3", "m1")
    ]
    middles = []
    for speech in said:
        heard = portrait.frames([resample(speech.audio, RATE).samples], clean=True)
        features = portrait.Portrait.of(heard).features(heard)
        marks = [m for m in speech.of("phoneme") if m.text and m.end - m.start > 0.05]
        middles.append(features[[round((m.start + m.end) / 2 * RATE / sounds.HOP) for m in marks]])
    high, low = middles
    n = min(len(high), len(low))
    apart = np.linalg.norm(high[:n, None] - low[None, :n], axis=2)
    own, others = np.diag(apart), apart[~np.eye(n, dtype=bool)]
    assert np.median(own) < np.quantile(others, 0.1)


def test_posteriors_are_probabilities_and_name_the_sound(voice: EspeakVoice) -> None:
    speech = joined(voice.synthesize("Please keep to the left, and see me on the stairs.", language="en", voice="f3"))
    samples = resample(speech.audio, RATE).samples
    cepstra = sounds.cepstra(samples)
    assert cepstra.shape == (len(samples) // sounds.HOP + 1, sounds.CEPSTRA)
    found = sounds.posteriors(cepstra, cepstra.mean(axis=0))
    assert found.shape == (len(cepstra), sounds.SIZE)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-4
    phones = found.reshape(len(found), -1, 3).sum(axis=2)
    names = {"iː": 19, "ɛ": 12, "z": 40, "l": 22, "m": 23}  # of the model's phonemes, in alphabetic order
    heard = [
        (names[bare], int(phones[round(m.start * 200) + 2 : round(m.end * 200) - 1].mean(axis=0).argmax()))
        for m in speech.of("phoneme")
        if (bare := m.text.lstrip("ˈˌ")) in names and m.end - m.start > 0.04
    ]
    assert len(heard) > 6
    assert sum(wanted == most for wanted, most in heard) >= 0.4 * len(heard), "of 42 to choose from"


def test_the_cheapest_path_is_found() -> None:
    """Against all paths, where there are few."""
    draw = np.random.default_rng(5)
    known = draw.normal(0, 2, (7, 3)).astype(np.float32)
    wanted = draw.normal(0, 2, (5, 3)).astype(np.float32)
    voiced, known_voiced = draw.random(5) < 0.5, draw.random(7) < 0.5
    ends = np.array([0, 0, 1, 0, 0, 0, 1], bool)

    def cost(path: tuple[int, ...]) -> float:
        total: float = sum(
            float(np.linalg.norm(wanted[t] - known[j])) + matching._VOICING * float(voiced[t] != known_voiced[j])
            for t, j in enumerate(path)
        )
        for a, b in itertools.pairwise(path):
            if b != a + 1 or ends[a]:
                next_ = min(a + 1, 6)
                total += matching._JUMP + matching._ROUGH * float(np.linalg.norm(known[next_] - known[b]))
        return total

    best = min(itertools.product(range(7), repeat=5), key=cost)
    found = matching.path(wanted, voiced, known, known_voiced, ends)
    assert cost(tuple(found.tolist())) == pytest.approx(cost(best), rel=1e-5)


def test_speech_can_be_taken_apart_and_put_together(voice: EspeakVoice) -> None:
    speech = joined(voice.synthesize(TEXT, language="en", voice="f2"))
    samples = resample(speech.audio, RATE).samples
    parts = vocoder.analyse(samples, clean=True)
    again = vocoder.sound(parts)
    assert len(parts) == len(samples) // vocoder.HOP + 1
    one, two = (portrait.level(vocoder.analyse(s, clean=True).envelope) for s in (samples, again[: len(samples)]))
    loud = one > np.percentile(one, 95) - 5
    assert np.abs(one - two)[loud].mean() < 0.35, "nepers of power"
