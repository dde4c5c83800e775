"""Sentences of a text that is still being written, each as soon as it is whole, and as they can be spoken.

A chat model writes in pieces of a few characters, for the eye: with headings, stars, addresses and small pictures.
Here its words become what a voice can say, one sentence after another, while it still writes.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from vivavoce.text.chunking import sentences
from vivavoce.text.guess import guess_language
from vivavoce.text.languages import Language, resolve
from vivavoce.text.plain import Plain

__all__ = ["MOST", "Sentences", "spoken_sentences"]

MOST = 300
"""Characters of a sentence; a longer one is cut."""
_LEAST = 20
_AT_ONCE = 200
"""Characters that are looked at together: the rules of ``text.chunking`` take more time than a text has length."""
_LINE = re.compile(r"\s*\S[^\n]*\n")
_CLOSERS = "\"'»”’)\\]}）」』》〉】*_"
# What a sentence may end with, and enough after it to judge: "." may belong to an abbreviation, so after it the next
# word is waited for; after the others one character says whether the signs go on.
_MAY_END = re.compile(
    rf"[!?…।॥؟۔።፧]+[{_CLOSERS}]*\s+\S|\.+[{_CLOSERS}]*\s+\S+\s|[。！？…]+[{_CLOSERS}]*[^\s。！？…{_CLOSERS}]"
)
_LOOKS_WHOLE = re.compile(rf"(?:[!?…।॥؟۔።፧。！？]|(?<!\d)\.)[{_CLOSERS}]*\s*$")
_NEXT = " Next next "
"""A word that might come: before it an abbreviation is no end."""
_CLAUSE = re.compile(r"[,;:—–](?=\s)\s*|[，、；：،؛]")


class Sentences:
    """Takes a text in pieces, cut anywhere; gives it back in sentences, which joined are the text.

    A sentence ends where ``text.chunking`` says so, and at every line break. It keeps the white space after it as far
    as that had been written when it was given out.
    """

    def __init__(self, language: Language, *, most: int = MOST) -> None:
        """``most`` characters a sentence has at most, at least 20. A text in another script keeps its own rules."""
        if most < _LEAST:
            raise ValueError(f"A sentence has room for at least {_LEAST} characters, not {most}.")
        self._language = language
        self._most = most
        self._held = ""
        self._looked = 0
        """How much of what is held had no end in it."""

    def feed(self, piece: str) -> list[str]:
        """The sentences that are whole with this piece.

        An empty one says that nothing has come for a moment: then a sentence that looks whole is not held back for the
        word after it. Only a number may go on after its full stop.
        """
        if not piece and _LOOKS_WHOLE.search(self._held) and len(self._split(self._held + _NEXT)) > 1:
            return self.finish()
        made = []
        for at in range(0, len(piece), _AT_ONCE):
            self._held += piece[at : at + _AT_ONCE]
            made += self._whole()
        return made

    def finish(self) -> list[str]:
        """What is left, when nothing more comes."""
        left, self._held, self._looked = self._held, "", 0
        return self._fitting(self._split(left))

    def _whole(self) -> list[str]:
        made: list[str] = []
        while line := _LINE.match(self._held):
            made += self._fitting(self._split(line[0]))
            self._keep(self._held[line.end() :])
        ends = [m.end() for m in _MAY_END.finditer(self._held)]
        if ends and ends[-1] > self._looked:
            *done, rest = self._split(self._held)
            made += self._fitting(done)
            self._keep(rest, looked=len(rest))
        if len(self._held) > self._most:
            *done, rest = self._fitting([self._held])
            made += done
            self._keep(rest)
        return made

    def _keep(self, rest: str, looked: int = 0) -> None:
        self._held, self._looked = rest, looked

    def _split(self, text: str) -> list[str]:
        if not text:
            return []
        return sentences(text, resolve(guess_language(text, self._language.code)))

    def _fitting(self, whole: Iterable[str]) -> list[str]:
        """Sentences that are too long, cut after a clause, else after a word, else anywhere between two characters."""
        made = []
        for sentence in whole:
            left = sentence
            while len(left) > self._most:
                cut = _cut(left, self._most)
                made.append(left[:cut])
                left = left[cut:]
            made.append(left)
        return made


def _cut(text: str, most: int) -> int:
    clauses = [m.end() for m in _CLAUSE.finditer(text, 0, most) if most // 3 < m.end() < most]
    if clauses:
        return clauses[-1]
    gaps = [m.end() for m in re.finditer(r"\s+", text[:most]) if m.start()]
    if gaps:
        return gaps[-1]
    cut = most
    while cut > most // 2 and _leans(text, cut):
        cut -= 1
    return cut


def _leans(text: str, at: int) -> bool:
    """Whether the character there belongs to the one before it."""
    return unicodedata.category(text[at])[0] == "M" or "\u200d" in text[at - 1 : at + 1]


def spoken_sentences(pieces: Iterable[str], language: Language, *, most: int = MOST) -> Iterator[str]:
    """What there is to say in a text that comes in pieces, sentence by sentence; joined it is everything that is said.

    Sentences have no white space before them, but what parts them from the next; none is without a letter or a digit.
    An empty piece is understood as ``Sentences.feed`` does.
    """
    splitter, maker = Sentences(language, most=most), Plain()
    for piece in pieces:
        whole = splitter.feed(piece)
        yield from _said(whole if piece else map(_parted, whole), maker, most)
    yield from _said(splitter.finish(), maker, most)


def _parted(sentence: str) -> str:
    """A sentence that was given out before the space after it was written, with it where its script has spaces."""
    return sentence if re.search(rf"(?:\s|[。！？][{_CLOSERS}]*)$", sentence) else f"{sentence} "


def _said(written: Iterable[str], maker: Plain, most: int) -> Iterator[str]:
    for sentence in written:
        left, parts = maker.said(sentence), []
        while len(left.rstrip()) > most:  # signs can become words
            cut = _cut(left, most)
            cut += left[cut].isspace()
            parts.append(left[:cut])
            left = left[cut:]
        yield from (part for part in (*parts, left) if any(c.isalnum() for c in part))
