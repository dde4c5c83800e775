"""The recogniser whisper, on a model of the right format that the tests make: see ``parrots``."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from parrots import SENTENCE, TOKEN, parrot
from vivavoce.engines.ears.drafts import Draft, segments
from vivavoce.engines.ears.whisper import WhisperEar
from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.nouns import Audio
from vivavoce.testing import check_recognizer

RATE = 16_000
STEP = TOKEN * 0.02
TEXT = SENTENCE.strip()


def hiss(seconds: float, *, high: bool = False) -> Audio:
    """Sound of one half of the spectrum: what the parrot takes for speech, low for English, high for Russian."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(3).standard_normal(count))
    low = np.fft.rfftfreq(count, 1 / RATE) < 1500
    spectrum[low if high else ~low] *= 0.003
    return Audio((0.1 * np.fft.irfft(spectrum, count)).astype(np.float32), RATE)


def silence(seconds: float) -> Audio:
    return Audio(np.zeros(round(seconds * RATE), np.float32), RATE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parrot(tmp_path_factory.mktemp("models") / "parrot")


@pytest.fixture(scope="module")
def ear(model: Path) -> WhisperEar:
    return WhisperEar(str(model), device="cpu", threads=1)


def test_it_keeps_the_contract_of_a_recogniser(ear: WhisperEar) -> None:
    check_recognizer(ear, {"en": hiss(2.0), "ru": hiss(2.0, high=True)})


def test_it_writes_sentences_with_the_times_of_their_words(ear: WhisperEar) -> None:
    (heard,) = ear.recognize([hiss(3.0)], language="en")
    assert heard.text == TEXT
    assert [s.text for s in heard.segments] == ["Hello there, my friends.", "How are you today?"]
    assert [w.text for w in heard.words] == TEXT.split()
    starts = [w.start for w in heard.words]
    tokens = [0, 1, 3, 4, 6, 7, 8, 9]  # the parrot says a token every 140 ms; signs are tokens too
    assert starts == pytest.approx([max(0.0, n * STEP - STEP / 2) for n in tokens], abs=STEP / 2)
    assert all(w.probability > 0.8 for w in heard.words)


def test_it_finds_the_language_of_each_piece(ear: WhisperEar) -> None:
    heard = list(ear.recognize([hiss(2.0), hiss(2.0, high=True), hiss(1.5)], language=""))
    assert [t.language for t in heard] == ["en", "ru", "en"]
    assert [t.text for t in heard] == [TEXT] * 3
    assert ear.traits.detects
    assert set(ear.traits.languages) == {"en", "ru", "nb"}, "Whisper's no is nb here"
    (norsk,) = ear.recognize([hiss(1.0)], language="no")
    assert norsk.language == "nb"


def test_a_batch_hears_what_each_piece_alone_says(ear: WhisperEar) -> None:
    pieces = [hiss(1.2), silence(1.0), hiss(4.0), hiss(29.9), silence(0.02)]
    together = list(ear.recognize(pieces, language="en"))
    alone = [next(ear.recognize([piece], language="en")) for piece in pieces]
    assert [t.text for t in together] == [TEXT, "", TEXT, TEXT, ""]
    for one, other in zip(together, alone, strict=True):
        assert [(w.text, w.start, w.end) for w in one.words] == [(w.text, w.start, w.end) for w in other.words]
        assert one.seconds == other.seconds


def test_a_language_that_the_model_lacks_is_refused_at_once(ear: WhisperEar) -> None:
    with pytest.raises(InvalidInput, match="lacks the language kk; it has"):
        ear.recognize([hiss(1.0)], language="kk")


def test_a_model_of_one_language(tmp_path: Path) -> None:
    ear = WhisperEar(str(parrot(tmp_path / "english", multilingual=False)), device="cpu", threads=1)
    assert ear.traits.languages == ("en",)
    assert not ear.traits.detects
    (heard,) = ear.recognize([hiss(2.0, high=True)])
    assert (heard.language, heard.text) == ("en", TEXT)


def test_a_closed_engine_works_no_more(model: Path) -> None:
    ear = WhisperEar(str(model), device="cpu", threads=1)
    ear.close()
    with pytest.raises(EngineUnavailable, match="whisper"):
        list(ear.recognize([hiss(1.0)], language="en"))


# ---- what an operator may get wrong


def test_a_missing_model_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="`vivavoce models pull whisper-small`"):
        WhisperEar(models_dir=tmp_path / "own", models_cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists(), "nothing is fetched, and nothing is made"


def test_an_unknown_size_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="large-v3-turbo or a folder"):
        WhisperEar("huge", models_cache=tmp_path)


def test_a_folder_that_is_no_model_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineUnavailable, match=r"model\.bin, tokenizer\.json is missing"):
        WhisperEar(str(tmp_path))


@pytest.mark.parametrize("spoil", ["model.bin", "tokenizer.json"])
def test_a_damaged_model_is_one_clear_error(tmp_path: Path, spoil: str) -> None:
    folder = parrot(tmp_path / "parrot")
    (folder / spoil).write_bytes((folder / spoil).read_bytes()[:1000])
    with pytest.raises(EngineUnavailable, match="whisper"):
        WhisperEar(str(folder), device="cpu")


def test_an_impossible_kind_of_number_is_one_clear_error(model: Path) -> None:
    with pytest.raises(EngineUnavailable, match="does not run on this machine's cpu"):
        WhisperEar(str(model), device="cpu", compute="int3")


# ---- what is worth keeping

LIMITS = (0.6, -1.0, 2.4)
Make = Callable[..., Draft]


def draft(text: str = "some words", likely: float = -0.3, silent: float = 0.0) -> Draft:
    tokens = list(range(len(text)))
    return Draft.of(tokens, likely * (len(tokens) + 1) / max(1, len(tokens)), silent, text)


@pytest.mark.parametrize(
    ("made", "good", "kept"),
    [
        (draft(), True, True),
        (draft(likely=-1.2), False, True),
        (draft(likely=-2.0), False, False),
        (draft(likely=-1.2, silent=0.9), True, False),
        (draft(silent=0.9), True, True),
        (draft("so it goes and " * 20), False, False),
        (draft(""), True, True),
    ],
    ids=["sure", "unsure", "guess", "silence", "sure of speech", "in circles", "nothing"],
)
def test_drafts_are_judged_by_their_scores(made: Draft, good: bool, kept: bool) -> None:
    assert made.is_good(*LIMITS) is good
    assert made.is_kept(*LIMITS) is kept


def timed(*words: tuple[str, float, float]) -> list[dict[str, object]]:
    return [{"word": w, "start": a, "end": b, "probability": 0.5} for w, a, b in words]


def test_signs_join_their_words_and_pauses_part_segments() -> None:
    told = timed(
        (" «", 0, 0.1), ("Да", 0.1, 0.4), ("»", 0.4, 0.5), (",", 0.5, 0.5), (" он", 0.6, 0.8), (" там", 2.2, 2.4)
    )
    first, second = segments(told, 3.0)
    assert (first.text, second.text) == ("«Да», он", "там")
    assert [w.text for w in first.words] == ["«Да»,", "он"]
    assert (first.start, first.end, second.start) == (0.1, 0.8, 2.2)


def test_languages_without_spaces_keep_their_text() -> None:
    (one, two) = segments(timed(("你", 0, 0.2), ("好", 0.2, 0.4), ("。", 0.4, 0.4), ("我", 0.5, 0.7)), 1.0)
    assert (one.text, two.text) == ("你好。", "我")


def test_times_are_put_in_order_and_within_the_piece() -> None:
    (heard,) = segments(timed((" one", 0.5, 0.9), (" two", 0.7, 0.6), (" three", 0.9, 9.0)), 2.0)
    times = [(w.start, w.end) for w in heard.words]
    assert times == [(0.5, 0.9), (0.9, 0.9), (0.9, 2.0)]
    assert all(a[1] <= b[0] for a, b in pairwise(times))


def test_the_parrot_is_of_whispers_format(model: Path) -> None:
    assert set(json.loads((model / "config.json").read_text())) == {
        "alignment_heads",
        "lang_ids",
        "suppress_ids",
        "suppress_ids_begin",
    }
