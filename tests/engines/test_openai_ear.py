"""The recogniser over the network: what it sends, what it makes of the answer, and what it does when it goes wrong."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from listeners import SENTENCES, TEXT, Listener, listener
from vendors import KEY
from vivavoce.engines.ears.openai import OpenAIEar
from vivavoce.errors import Cancelled, EngineUnavailable, InvalidInput, Overloaded, TimedOut, VivavoceError
from vivavoce.nouns import Audio, Transcript
from vivavoce.testing import check_recognizer

RATE = 16_000
Make = Callable[..., OpenAIEar]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with listener() as running:
        yield running


@pytest.fixture
def make(service: Listener) -> Iterator[Make]:
    made: list[OpenAIEar] = []

    def one(**options: Any) -> OpenAIEar:
        made.append(OpenAIEar(**({"api_key": KEY, "base_url": f"{service.url}/v1/"} | options)))
        return made[-1]

    yield one
    for ear in made:
        ear.close()


def sound(seconds: float = 2.0) -> Audio:
    rng = np.random.default_rng(0)
    return Audio(np.clip(rng.normal(0, 0.1, round(seconds * RATE)), -1, 1).astype(np.float32), RATE)


def hear(ear: OpenAIEar, piece: Audio | None = None, language: str = "en") -> Transcript:
    (heard,) = ear.recognize([piece or sound()], language=language)
    return heard


# ---- what is sent and what comes back


def test_it_keeps_the_contract_of_a_recogniser(make: Make) -> None:
    ear = make()
    check_recognizer(ear, {"en": sound(1.5)})
    assert ear.traits.network


def test_the_request_is_openais(service: Listener, make: Make) -> None:
    piece = sound()
    hear(make(model="whisper-large"), piece, "nb-NO")
    (asked,), (fields,), (heard,) = service.asked, service.fields, service.heard
    assert (asked.method, asked.path) == ("POST", "/v1/audio/transcriptions")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert fields["model"] == ["whisper-large"]
    assert fields["response_format"] == ["verbose_json"]
    assert fields["timestamp_granularities[]"] == ["word", "segment"]
    assert fields["language"] == ["no"], "the format's code"
    assert heard.rate == RATE
    assert np.abs(heard.samples - piece.samples).max() < 1e-3


@pytest.mark.parametrize("nested", [False, True], ids=["vendor", "own server"])
def test_words_have_times_and_their_signs(service: Listener, make: Make, nested: bool) -> None:
    service.nested = nested
    heard = hear(make())
    assert [s.text for s in heard.segments] == list(SENTENCES)
    assert [w.text for w in heard.words] == TEXT.split()
    assert [w.start for w in heard.words] == pytest.approx([i * 2 / 7 for i in range(7)])
    assert [w.probability for w in heard.words] == [0.9 if nested else 1.0] * 7


def test_the_language_is_told_as_a_code(make: Make) -> None:
    assert hear(make(), language="").language == "en", "the server says english"
    assert hear(make(), language="ru").language == "ru"


def test_a_model_without_times_gives_its_text(service: Listener, make: Make) -> None:
    service.plain = True
    ear = make()
    heard = [*ear.recognize([sound(), sound(1.0)]), hear(ear)]
    for transcript in heard:
        assert (transcript.text, transcript.words, transcript.language) == (TEXT, (), "en")
        assert transcript.segments[0].end == transcript.seconds
    formats = [f["response_format"] for f in service.fields]
    assert formats == [["json"]] * 3
    assert len(service.asked) == 4, "the question for times is not asked again"


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"no_speech_prob": 0.9, "avg_logprob": -1.3}, ""),
        ({"no_speech_prob": 0.9, "avg_logprob": -0.2}, TEXT),
        ({"compression_ratio": 3.0}, ""),
    ],
    ids=["silence", "sure", "in circles"],
)
def test_segments_that_the_server_itself_doubts_are_left_out(
    service: Listener, make: Make, extra: dict[str, float], text: str
) -> None:
    service.extra = extra
    assert hear(make()).text == text


def test_an_unknown_language_is_refused_at_once(service: Listener, make: Make) -> None:
    with pytest.raises(InvalidInput, match="not known"):
        make().recognize([sound()], language="xx")
    assert not service.asked


# ---- when it goes wrong


@pytest.mark.parametrize(
    ("moods", "error", "said"),
    [
        (["401"], EngineUnavailable, "refuses the key"),
        (["402"], EngineUnavailable, "used up"),
        (["404"], InvalidInput, "does not know this model or address"),
        (["429:0"] * 3, Overloaded, "busy"),
        (["500:0"] * 3, EngineUnavailable, "broken at the moment"),
        (["418"], EngineUnavailable, "refuses the request"),
        (["400", "400"], EngineUnavailable, "refuses the request"),
        (["redirect"], EngineUnavailable, "has moved"),
        (["html"], EngineUnavailable, "something else than a transcript"),
        (["garbage"], EngineUnavailable, "something else than a transcript"),
        (["empty"], EngineUnavailable, "nothing"),
        (["cut"], EngineUnavailable, "something else than a transcript"),
        (["truncated"], EngineUnavailable, "broke off"),
        (["closed"] * 3, EngineUnavailable, "cannot be reached"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)
def test_each_failure_is_one_sentence_without_the_key(
    service: Listener, make: Make, moods: list[str], error: type[VivavoceError], said: str, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    service.moods = moods
    with pytest.raises(error, match=said) as failed:
        hear(make())
    shown = "".join(traceback.format_exception(failed.value)) + caplog.text
    assert KEY not in shown
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("moods", [["429:0"], ["503:0", "500:0"], ["closed"]], ids="+".join)
def test_passing_failures_are_overcome(service: Listener, make: Make, moods: list[str]) -> None:
    service.moods = moods
    assert hear(make()).text == TEXT


@pytest.mark.parametrize("mood", ["hang", "stall"])
def test_a_silent_service_is_given_up(service: Listener, make: Make, mood: str) -> None:
    service.moods = [mood]
    with pytest.raises(TimedOut, match="did not answer in time"):
        hear(make(read_seconds=0.2))


def test_each_piece_has_the_whole_limit(service: Listener, make: Make) -> None:
    service.patience = 0.2
    service.moods = ["late"] * 3
    ear = make(seconds_limit=0.5)
    assert [t.text for t in ear.recognize([sound()] * 3, language="en")] == [TEXT] * 3
    service.moods, service.patience = ["late"], 5.0
    with pytest.raises(TimedOut, match=r"longer than its limit of 0\.5 s for a piece of sound"):
        hear(ear)


def test_closing_ends_a_request_that_is_under_way(service: Listener, make: Make) -> None:
    service.moods = ["hang"]
    stream = make().recognize([sound()], language="en")
    ended: list[BaseException] = []

    def read() -> None:
        try:
            next(stream)
        except Cancelled as e:
            ended.append(e)

    thread = threading.Thread(target=read)
    thread.start()
    assert service.busy.wait(5)
    begun = time.monotonic()
    stream.close()  # type: ignore[attr-defined]
    thread.join(5)
    assert time.monotonic() - begun < 1
    assert ended
    assert service.left.wait(5), "the service sees its client leave"
    assert list(stream) == []


def test_the_vendor_needs_a_key_and_another_address_none(service: Listener) -> None:
    with pytest.raises(EngineUnavailable, match="OPENAI_API_KEY"):
        OpenAIEar()
    ear = OpenAIEar(base_url=f"{service.url}/v1")
    assert hear(ear).text == TEXT
    assert "authorization" not in service.asked[0].headers
    ear.close()


def test_numbers_that_are_none_are_not_believed(service: Listener, make: Make) -> None:
    service.extra = {"start": float("nan")}
    with pytest.raises(EngineUnavailable, match="cannot be read"):
        hear(make())
