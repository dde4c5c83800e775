"""What two hypotheses agree on is shown for good: whatever is heard later, it stays."""

from hypothesis import given
from hypothesis import strategies as st

from vivavoce.hear.agreement import Agreement, joined, words_of
from vivavoce.nouns import Segment, Transcript, Word


def said(text: str, *, start: float = 0.0, each: float = 0.4) -> list[Word]:
    """Words one after another, ``each`` seconds long."""
    return [Word(word, start + i * each, start + (i + 1) * each) for i, word in enumerate(text.split())]


def texts(words: tuple[Word, ...]) -> str:
    return joined(words, "en")


def test_the_common_beginning_of_two_hypotheses_is_committed() -> None:
    agreement = Agreement()
    assert agreement.hear(said("and so my")) == ()
    assert texts(agreement.tail) == "and so my"
    assert texts(agreement.hear(said("And so, my fellow"))) == "And so, my"
    assert texts(agreement.committed) == "And so, my"
    assert texts(agreement.tail) == "fellow"


def test_what_is_not_agreed_on_may_change() -> None:
    agreement = Agreement()
    agreement.hear(said("an hour"))
    agreement.hear(said("and how my fellow"))
    agreement.hear(said("and how many fellows"))
    assert texts(agreement.committed) == "and how"
    assert texts(agreement.tail) == "many fellows"


def test_a_later_hypothesis_does_not_take_back_what_was_committed() -> None:
    agreement = Agreement()
    for hypothesis in (
        "ask not what",
        "ask not what your",
        "mask knot what your country",
        "mask knot what your country can",
    ):
        agreement.hear(said(hypothesis))
    assert texts(agreement.committed) == "ask not what your country"
    assert texts(agreement.tail) == "can"


def test_a_hypothesis_that_begins_later_goes_on_where_it_should() -> None:
    """The window was cut: the recogniser hears only the end, once with a word that was committed already."""
    agreement = Agreement()
    agreement.hear(said("one two three four"))
    agreement.hear(said("one two three four"))
    agreement.hear(said("four five six", start=1.15))
    agreement.hear(said("five six seven", start=1.6))
    assert texts(agreement.committed) == "one two three four five six"


def test_a_word_said_twice_is_kept_twice() -> None:
    agreement = Agreement()
    agreement.hear(said("very"))
    agreement.hear(said("very very"))
    agreement.hear(said("very very good"))
    agreement.hear(said("very very good"))
    assert texts(agreement.committed) == "very very good"


def test_the_same_word_much_later_is_no_agreement() -> None:
    agreement = Agreement()
    agreement.hear(said("no"))
    assert agreement.hear(said("no", start=3.0)) == ()


def test_a_word_at_the_edge_is_not_agreed_on_yet() -> None:
    agreement = Agreement()
    agreement.hear(said("hear the boat"), edge=1.0)
    assert texts(agreement.hear(said("hear the boat"), edge=1.0)) == "hear the"
    assert texts(agreement.hear(said("hear the boats"), edge=2.0)) == ""
    assert texts(agreement.hear(said("hear the boats"), edge=2.0)) == "boats"


def test_settling_commits_what_was_heard_before_a_time() -> None:
    agreement = Agreement()
    agreement.hear(said("one two three"))
    agreement.settle(0.7)
    assert texts(agreement.committed) == "one two"
    assert texts(agreement.tail) == "three"


hypotheses = st.lists(
    st.lists(st.tuples(st.sampled_from(["a", "A.", "b", "c", "й"]), st.floats(0, 8), st.floats(0, 1)), max_size=6).map(
        lambda rows: [Word(text, start, start + length) for text, start, length in sorted(rows, key=lambda r: r[1])]
    ),
    max_size=12,
)


@given(hypotheses, st.lists(st.floats(0, 9), max_size=3))
def test_committed_words_never_change(heard: list[list[Word]], settled: list[float]) -> None:
    """Whatever comes, what is committed is only added to, and nothing is committed that was not heard just then."""
    agreement = Agreement()
    before: tuple[Word, ...] = ()
    for i, words in enumerate(heard):
        agreed = agreement.hear(words)
        assert agreement.committed == before + agreed
        assert all(word in words for word in agreed + agreement.tail)
        before = agreement.committed
        if i < len(settled):
            tail = agreement.tail
            agreement.settle(settled[i])
            assert agreement.committed[: len(before)] == before
            assert agreement.committed[len(before) :] + agreement.tail == tail
            before = agreement.committed


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=20), st.lists(st.integers(0, 20), max_size=25))
def test_a_true_recogniser_loses_and_doubles_nothing(letters: list[str], lengths: list[int]) -> None:
    """Hypotheses that are beginnings of one text end as that text."""
    words = [Word(letter, i * 0.3, i * 0.3 + 0.25) for i, letter in enumerate(letters)]
    agreement = Agreement()
    for length in [*sorted(min(n, len(words)) for n in lengths), len(words), len(words)]:
        agreement.hear(words[:length])
    assert list(agreement.committed) == words


def test_chinese_has_no_spaces() -> None:
    words = [Word("你好", 0, 1), Word("世界", 1, 2)]
    assert joined(words, "zh") == "你好世界"
    assert joined(words, "en") == joined(words, "") == "你好 世界"


def test_a_segment_without_word_times_has_its_words_spread_over_it() -> None:
    transcript = Transcript(
        "en", 4.0, (Segment("so it goes on", 1.0, 3.0), Segment("x", 3.0, 4.0, (Word("x", 3.5, 4.0),)))
    )
    words = words_of(transcript, after=10.0)
    assert [word.text for word in words] == ["so", "it", "goes", "on", "x"]
    assert [(w.start, w.end) for w in words[:2]] == [(11.0, 11.4), (11.4, 11.8)]
    assert words[3].end == 13.0
    assert words[4].start == 13.5
