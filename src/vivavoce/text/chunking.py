"""Cuts a text into chunks that can be spoken and filmed in parallel, and finds its words and sentences.

Chunks have no space at their ends. Where spaces part the words, ``" ".join(chunks) == " ".join(text.split())``; in
Chinese, Japanese, Thai and Burmese a chunk may end between two characters, and the chunks joined with nothing give
the text without its white space back, when theirs is left out too.
"""

import re
import unicodedata
import warnings
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

from vivavoce.text.languages import Language

__all__ = ["chunks", "sentences", "words"]

_CLAUSE_MARKS = frozenset(",;:،؛、，；：…—–")
_SENTENCE_MARKS = frozenset(".!?。！？…।॥؟۔։።፧")
_CLOSERS = "\"'»”’)]}）」』》〉】"

# Chinese words have one or two characters, as a rule. These stand alone often enough to part what is around them;
# a run between them is read in twos. Against a dictionary this cuts a word too many rather than one too few.
_ALONE = (
    "的了是在不也都就和与或把被给让从对向到很太更最还再又才只有没会能要想说看听去来做吗呢吧啊呀这那每个位件次年月日号点"
)
_HAN = "\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = "\u0e00-\u0e7f\u1000-\u109f\u2e80-\u9fff\uf900-\ufaff\uff00-\uff0f\uff1a-\uff20\U00020000-\U0003ffff"
_PIECE = re.compile(
    rf"你好|[我你您他她它咱]们?|没有|还是|只有|这个|那个|每个|[{_ALONE}]|[{_HAN}](?:(?![{_ALONE}])[{_HAN}])?"
    r"|[\u30a0-\u30ff]{1,8}"  # katakana: a borrowed word is one run
    r"|[\u3040-\u309f]{1,3}"  # hiragana: endings and particles
    r"|[\u0e00-\u0e7f\u1000-\u109f]{1,5}"  # Thai, Burmese: about five characters make a word
    rf"|[^\s{_UNSPACED}]+"  # a word, number or address of a script with spaces
)


def words(text: str, language: Language) -> list[tuple[int, int]]:
    """Where the words are, as ``(start, end)`` indices in order: without the punctuation around them.

    "15%", "don't" and "3.14" are one word. In a language without spaces a word is one or two Chinese characters, or
    about as much of another script as a word has; no dictionary is asked.
    """
    found = []
    for start, end in _tokens(text):
        inner = _without_punctuation(text, start, end)
        if inner is None:
            continue
        if language.spaced:
            found.append(inner)
        else:
            found += _segment(text, *inner)
    return found


def sentences(text: str, language: Language) -> list[str]:
    """The sentences with the white space after them: joined with nothing they give the text back."""
    units = _units(text, language)
    ends = _sentence_ends(text, language)
    cuts = [b[0] for a, b in pairwise(units) if a[1] in ends]
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def chunks(text: str, size: int, language: Language) -> list[str]:
    """Cut a text into chunks of at most ``size`` words.

    A chunk ends at the last end of a sentence within ``size`` words if that leaves it a third of ``size`` or more, else
    at the last end of a clause under the same condition, else at the word limit. The first chunk may be any short
    sentence. Whatever holds together (numbers, addresses, "1 000", "Dr. Smith") stays in one chunk where it fits.
    """
    units = _units(text, language)
    levels = _levels(text, units, _sentence_ends(text, language))
    made, first = [], 0
    while first < len(units):
        last = _cut(units, levels, first, size)
        # Dashes are no words, and alone no voice could say them: they go with the words beside them.
        while last < len(units) and not (
            any(c.isalnum() for c in text[units[first][0] : units[last - 1][1]])
            and any(c.isalnum() for c in text[units[last][0] :])
        ):
            last += 1
        made.append(" ".join(text[units[first][0] : units[last - 1][1]].split()))
        first = last
    return made


def _cut(units: list[tuple[int, int]], levels: list[int], first: int, size: int) -> int:
    """The index after the last unit of the chunk that begins at ``first``."""
    limit = min(first + size, len(units))
    if limit == len(units):
        return limit
    enough = first + max(1, -(-size // 3))
    for level in (_SENTENCE, _CLAUSE):
        least = first + 1 if level == _SENTENCE and first == 0 else enough
        for last in range(limit, least - 1, -1):
            if levels[last - 1] >= level:
                return last
    for last in range(limit, first, -1):
        if levels[last - 1] > _BOUND:
            return last
    return limit


_BOUND, _FREE, _CLAUSE, _SENTENCE = range(4)


def _levels(text: str, units: list[tuple[int, int]], ends: frozenset[int]) -> list[int]:
    """How good a place the end of each unit is to cut."""
    levels = []
    for i, (start, end) in enumerate(units):
        token = text[start:end].rstrip(_CLOSERS)
        following = text[units[i + 1][0] : units[i + 1][1]] if i + 1 < len(units) else ""
        if end in ends or not following:
            levels.append(_SENTENCE)
        elif token[-1:] in _CLAUSE_MARKS:
            levels.append(_CLAUSE)
        elif _belongs(token, following, text[end : units[i + 1][0]]):
            levels.append(_BOUND)
        else:
            levels.append(_FREE)
    return levels


def _belongs(token: str, following: str, between: str) -> bool:
    """Whether two neighbours are one thing: a number in groups, an abbreviation and its name."""
    if between and token[-1:].isdigit() and re.match(r"\d{3}(?!\d)", following):
        return True
    if between:
        return token.endswith(".") and len(token) <= 5
    return token[-1:].isascii() and token[-1:].isalnum() and following[:1].isascii() and following[:1].isalnum()


def _units(text: str, language: Language) -> list[tuple[int, int]]:
    """What is counted: tokens between white space, or in a language without spaces its words with their punctuation."""
    if language.spaced:
        return _tokens(text)
    units: list[tuple[int, int]] = []
    for start, end in _tokens(text):
        inner = _without_punctuation(text, start, end)
        parts = _segment(text, *inner) if inner else []
        if not parts:
            units.append((start, end))
            continue
        # Opening quotes go with the word after them, all other punctuation with the word before.
        starts = [start, *(_open(text, a[1], b[0]) for a, b in pairwise(parts))]
        units += zip(starts, [*starts[1:], end], strict=True)
    return units


def _open(text: str, start: int, end: int) -> int:
    for i in range(start, end):
        if unicodedata.category(text[i]) in ("Ps", "Pi"):
            return i
    return end


def _segment(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Words of a token that may hold a script without spaces; what has none (``3.14``, ``v2.0``) stays whole."""
    found: list[tuple[int, int]] = []
    for piece in _PIECE.finditer(text, start, end):
        if found and found[-1][1] == piece.start() and _leans(text[piece.start()]):
            found[-1] = (found[-1][0], piece.end())
        elif (inner := _without_punctuation(text, *piece.span())) is not None:
            found.append(inner)
    return found


def _leans(character: str) -> bool:
    """Whether a character cannot begin a word: vowel signs, and the marks that lengthen or repeat."""
    return unicodedata.category(character) in ("Mn", "Mc", "Me", "Lm") or character in "ะาำๅๆฯーゝゞ々っゃゅょッャュョ"


def _tokens(text: str) -> list[tuple[int, int]]:
    return [m.span() for m in re.finditer(r"\S+", text)]


def _without_punctuation(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span without punctuation at its ends; None when there is nothing else. "%", "$", "°" stay."""
    while start < end and unicodedata.category(text[start])[0] in "PZC" and text[start] not in "%‰#@&":
        start += 1
    while end > start and unicodedata.category(text[end - 1])[0] in "PZC" and text[end - 1] not in "%‰#@&":
        end -= 1
    return (start, end) if any(c.isalnum() for c in text[start:end]) else None


@lru_cache(maxsize=8)
def _segmenter(code: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pysbd's source has escapes that Python warns of when it compiles them
        import pysbd
        from pysbd.languages import LANGUAGE_CODES

    return pysbd.Segmenter(language=code if code in LANGUAGE_CODES else "en", clean=False)


def _sentence_ends(text: str, language: Language) -> frozenset[int]:
    """Indices just after the last character of each sentence, found by pysbd's rules and corrected by ours."""
    return frozenset(_find_ends(text, language))


def _find_ends(text: str, language: Language) -> Iterator[int]:
    line_start = 0
    for line in text.splitlines(keepends=True):
        position = line_start  # pysbd takes time quadratic in the lines of a text, so it sees one at a time
        line_start += len(line)
        for sentence in _segmenter(language.code).segment(line):
            found = text.find(sentence.strip(), position, line_start)
            if found < 0:  # a rule of pysbd changed the text; the words still find their limits
                break
            position = end = found + len(sentence.strip())
            while end < line_start and text[end] in _CLOSERS:
                end += 1
            if _is_end(text, end, language):
                yield end


_INITIALS = re.compile(r"(?:^|[\s(«\"])(?:[^\W\d_]\.)+$")


def _is_end(text: str, end: int, language: Language) -> bool:
    """Whether a sentence ends before ``end``: pysbd also cuts at line breaks, in addresses and after initials."""
    said = text[:end].rstrip(_CLOSERS)
    following = text[end:].lstrip()
    if not following or re.match(r"[^\S\n]*\n\s*\n", text[end:]):
        return True
    if said[-1:] not in _SENTENCE_MARKS:
        return False
    touching = not text[end].isspace()
    if touching and (language.spaced or said[-1].isascii()):
        return False
    return said[-1] != "." or not (following[0].islower() or _INITIALS.search(said[-12:]))
