"""How alike two short texts of any language are, by their letters: for questions that are heard, not typed.

Each text becomes a bag of features: of every word its pieces of three letters and itself, of Chinese characters each
one and each two, of Korean syllables their letters. A feature weighs as much as it tells questions apart (inverse
document frequency; Spärck Jones, 1972), and of two bags the cosine is taken, with the share of a question that was
said, since people say more than is written ("Hello, could you tell me where the lift is, please?").
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Likeness", "features"]

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUN = re.compile(rf"[{_IDEOGRAPHS}]+|[^\W_{_IDEOGRAPHS}]+")
_NGRAM = 3
_SHARE = 0.5
"""How much of the score is the share of the question that was said; the rest is the cosine."""


def features(text: str) -> Counter[str]:
    """The bag of a text; empty for a text without a letter or a digit."""
    bag: Counter[str] = Counter()
    for run in _RUN.findall(_normal(text)):
        if re.match(f"[{_IDEOGRAPHS}]", run):
            bag.update(run)
            bag.update(run[i : i + 2] for i in range(len(run) - 1))
        else:
            letters = f"<{unicodedata.normalize('NFD', run)}>"
            bag.update(letters[i : i + _NGRAM] for i in range(max(1, len(letters) - _NGRAM + 1)))
            bag[letters] += 1
    return bag


def _normal(text: str) -> str:
    """Without capitals, accents of Latin and Greek letters, and what is written in two ways."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("ё", "е").replace("’", "").replace("'", "")
    return "".join(_bare(c) for c in folded)


def _bare(character: str) -> str:
    if not unicodedata.name(character, "").startswith(("LATIN", "GREEK")):
        return character
    return "".join(c for c in unicodedata.normalize("NFD", character) if not unicodedata.combining(c))


class Likeness:
    """Compares what is said with a list of texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        bags = [features(text) for text in texts]
        seen = Counter(feature for bag in bags for feature in bag)
        self._weights = {feature: math.log(1 + len(bags) / n) for feature, n in seen.items()}
        self._strange = math.log(1 + len(bags))
        """Weight of what is in none of the texts."""
        self._having: Mapping[str, list[tuple[int, float]]] = defaultdict(list)
        self._lengths: list[float] = []
        self._sums: list[float] = []
        for i, bag in enumerate(bags):
            weighed = self._weighed(bag)
            for feature, weight in weighed.items():
                self._having[feature].append((i, weight))
            self._lengths.append(_length(weighed.values()))
            self._sums.append(sum(weighed.values()))

    def scores(self, said: str) -> dict[int, float]:
        """By its index how alike each text is that has anything in common with what is said, 0 to 1."""
        weighed = self._weighed(features(said))
        length = _length(weighed.values())
        products: dict[int, float] = defaultdict(float)
        shared: dict[int, float] = defaultdict(float)
        for feature, weight in weighed.items():
            for i, other in self._having.get(feature, ()):
                products[i] += weight * other
                shared[i] += other
        return {
            i: (1 - _SHARE) * product / (length * self._lengths[i]) + _SHARE * shared[i] / self._sums[i]
            for i, product in products.items()
        }

    def _weighed(self, bag: Mapping[str, int]) -> dict[str, float]:
        return {f: self._weights.get(f, self._strange) * (1 + math.log(n)) for f, n in bag.items()}


def _length(weights: Iterable[float]) -> float:
    return math.sqrt(sum(w * w for w in weights))
