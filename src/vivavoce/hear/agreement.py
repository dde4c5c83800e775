"""Which words of a growing utterance may be shown for good: those that two hypotheses in a row agree on.

LocalAgreement-2 (Liu, Spanakis, Niehues 2020, "Low-Latency Sequence-to-Sequence Speech Recognition and Translation
by Partial Hypothesis Selection"), held to the time axis: a recogniser that hears the same sound again may start
elsewhere, so words are put in place by their times before they are compared.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import inf

from vivavoce.nouns import Segment, Transcript, Word
from vivavoce.text.languages import LANGUAGES

__all__ = ["Agreement", "beyond", "joined", "middle", "same", "words_of"]

_APART = 0.5
"""Seconds between the starts of two words that can still be one: recognisers move words when they hear more."""
_EDGES = re.compile(r"^\W+|\W+$")


class Agreement:
    """The words of one utterance. What is in ``committed`` stays, whatever is heard later."""

    def __init__(self) -> None:
        self._committed: list[Word] = []
        self._tail: tuple[Word, ...] = ()

    @property
    def committed(self) -> tuple[Word, ...]:
        """Words that will not change any more, in order."""
        return tuple(self._committed)

    @property
    def tail(self) -> tuple[Word, ...]:
        """What was heard last after the committed words; the next hypothesis may say otherwise."""
        return self._tail

    def hear(self, words: Sequence[Word], *, edge: float = inf) -> tuple[Word, ...]:
        """Take the next hypothesis, its times those of the utterance (seconds); returns what was committed by it.

        A word that ends after ``edge`` is not committed: its end may not have been heard.
        """
        fresh = beyond(words, self._committed)
        agreed = 0
        for now, before in zip(fresh, self._tail, strict=False):
            if now.end > edge or not _agree(now, before):
                break
            agreed += 1
        self._committed += fresh[:agreed]
        self._tail = fresh[agreed:]
        return fresh[:agreed]

    def settle(self, until: float) -> None:
        """Commit what was heard last before ``until`` (seconds) without a second opinion: its sound is given up."""
        count = sum(middle(word) <= until for word in self._tail)
        self._committed += self._tail[:count]
        self._tail = self._tail[count:]


def beyond(words: Sequence[Word], known: Sequence[Word]) -> tuple[Word, ...]:
    """The words of a hypothesis that come after those that are known.

    That is after the last known word where it was heard again, and else after the time at which it ended.
    """
    if not known:
        return tuple(words)
    last = known[-1]
    again = [i for i, word in enumerate(words) if _agree(word, last)]
    if again:
        return tuple(words[min(again, key=lambda i: abs(words[i].start - last.start)) + 1 :])
    until = max(word.end for word in known)
    return tuple(words[next((i for i, word in enumerate(words) if middle(word) > until), len(words)) :])


def _agree(one: Word, other: Word) -> bool:
    return same(one, other) and abs(one.start - other.start) <= _APART


def same(one: Word, other: Word) -> bool:
    """Whether two words are one but for case and the punctuation around them."""
    return _bare(one.text) == _bare(other.text)


def _bare(text: str) -> str:
    return _EDGES.sub("", text).casefold() or text


def middle(word: Word) -> float:
    """The time at which half of a word is said, seconds."""
    return (word.start + word.end) / 2


def joined(words: Sequence[Word], language: str) -> str:
    """Words as a text; without spaces in a language that writes none."""
    known = LANGUAGES.get(language)
    return ("" if known is not None and not known.spaced else " ").join(word.text for word in words)


def words_of(transcript: Transcript, *, after: float = 0.0) -> tuple[Word, ...]:
    """The words of a transcript, ``after`` seconds later. A segment without word times has its words spread evenly."""
    return tuple(
        replace(word, start=word.start + after, end=word.end + after)
        for segment in transcript.segments
        for word in segment.words or _spread(segment)
    )


def _spread(segment: Segment) -> tuple[Word, ...]:
    texts = segment.text.split()
    letters = sum(map(len, texts))
    words, at = [], segment.start
    for text in texts:
        end = at + (segment.end - segment.start) * len(text) / letters
        words.append(Word(text, at, end))
        at = end
    return tuple(words)
