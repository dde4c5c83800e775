"""When somebody begins and stops to speak, from probabilities alone."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.hear.endpoint import Endpointer
from vivavoce.hear.vad import HOP, RATE


def turns(endpointer: Endpointer, probabilities: list[float]) -> list[tuple[int, str]]:
    """At which hop what changed."""
    return [(endpointer.hops, turn) for p in probabilities if (turn := endpointer.push(p))]


def test_speech_begins_with_the_second_hop_and_reaches_back_to_the_first() -> None:
    endpointer = Endpointer()
    assert turns(endpointer, [0.1, 0.2, 0.9, 0.8]) == [(4, "started")]
    assert endpointer.began == 2


def test_a_click_is_no_beginning() -> None:
    assert turns(Endpointer(), [0.1, 0.9, 0.1, 0.9, 0.1] * 20) == []


@pytest.mark.parametrize("silence", [0.3, 0.5, 0.8])
def test_so_much_silence_ends_an_utterance(silence: float) -> None:
    endpointer = Endpointer(silence=silence)
    happened = turns(endpointer, [0.9] * 10 + [0.1] * 60)
    assert [turn for _, turn in happened] == ["started", "paused", "ended"]
    paused, ended = happened[1][0], happened[2][0]
    assert (ended - 10) * HOP / RATE == pytest.approx(silence, abs=HOP / RATE)
    assert paused < ended
    assert endpointer.last == 10


def test_a_shorter_silence_is_a_pause() -> None:
    endpointer = Endpointer(silence=0.5)
    happened = turns(endpointer, [0.9] * 10 + [0.1] * 12 + [0.9] * 3)
    assert [turn for _, turn in happened] == ["started", "paused", "resumed"]
    assert not endpointer.paused


def test_a_soft_sound_keeps_speech_going_but_does_not_begin_it() -> None:
    assert turns(Endpointer(), [0.4] * 50) == []
    assert turns(Endpointer(), [0.9] * 3 + [0.4] * 50) == [(2, "started")]


def test_a_long_utterance_is_ended_by_its_next_pause() -> None:
    endpointer = Endpointer(silence=0.5, longest=1.0)
    happened = turns(endpointer, [0.9] * 40 + [0.1] * 5)
    assert happened == [(2, "started"), (45, "ended")]


def test_an_endless_one_is_ended_and_the_next_begins_at_once() -> None:
    happened = turns(Endpointer(longest=1.0), [0.9] * 200)
    assert happened == [(2, "started"), (155, "ended"), (157, "started")]


def test_without_end_only_closing_ends_it() -> None:
    endpointer = Endpointer(silence=inf)
    assert turns(endpointer, [0.9] * 3 + [0.0] * 5000) == [(2, "started"), (8, "paused")]
    endpointer.close()
    assert turns(endpointer, [0.9] * 2) == [(5005, "started")]


@given(st.lists(st.floats(0, 1), max_size=300), st.sampled_from([0.1, 0.3, 0.5, 0.8, inf]), st.sampled_from([1.0, inf]))
def test_what_happens_makes_sense_whatever_is_heard(heard: list[float], silence: float, longest: float) -> None:
    """Utterances begin and end in turn; a pause is inside one; positions never run backwards."""
    endpointer, state, ended = Endpointer(silence=silence, longest=longest), "quiet", 0
    for probability in heard:
        turn = endpointer.push(probability)
        if turn is not None:
            assert turn in {"quiet": ["started"], "speech": ["paused", "ended"], "pause": ["resumed", "ended"]}[state]
            state = {"started": "speech", "resumed": "speech", "paused": "pause", "ended": "quiet"}[turn]
        if turn == "started":
            assert endpointer.began >= ended
        if turn == "ended":
            ended = endpointer.hops
        assert endpointer.speaking == (state != "quiet")
        assert endpointer.paused == (state == "pause")
        assert 0 <= endpointer.began <= max(endpointer.last, endpointer.began) <= endpointer.hops
