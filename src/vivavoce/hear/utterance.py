"""One utterance while it is being heard: its sound, what is agreed of its words, and how much of it is heard again."""

import numpy as np
import numpy.typing as npt

from vivavoce.hear.agreement import Agreement, beyond, joined, middle, words_of
from vivavoce.hear.vad import HOP, RATE
from vivavoce.nouns import Audio, Transcript, Word

__all__ = ["Utterance"]

_DIP = 0.5
"""Probability of speech below which a gap between two words is a place to cut."""
_MARGIN = 1
"""Hops on each side of a gap that are looked at too: word times are not exact."""
_KEPT = 1.0
"""Seconds at the end of the window that are never cut off: less can hardly be recognised."""
_EDGE = 0.1
"""Seconds at the end of the window in which a word may still be going on: it is not agreed on yet."""


class Utterance:
    """A window of sound that begins with the utterance and, when it grows too long, after words that are agreed on.

    Positions are samples at ``vad.RATE`` from the start of the stream, times seconds from there.
    """

    def __init__(self, number: int, start: int) -> None:
        self.number = number
        self.start = start
        """Where the utterance begins."""
        self.spoken = start
        """Where its speech ends, as far as is known."""
        self.paused = False
        self.language = ""
        """What the recogniser took it for."""
        self._since = start
        self._pieces: list[npt.NDArray[np.float32]] = []
        self._end = start
        self._speech: list[float] = []
        self._agreement = Agreement()
        self._sealed: tuple[Word, ...] = ()
        self._latest: tuple[Transcript, int, int] | None = None

    @property
    def end(self) -> int:
        """Where its sound ends."""
        return self._end

    @property
    def heard(self) -> int:
        """How far the last hypothesis reached."""
        return self._latest[2] if self._latest else self.start

    @property
    def covered(self) -> bool:
        """Whether nothing is left to be heard: the last hypothesis reached the end of the speech."""
        return self.spoken <= max(self._since, self.heard)

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return (self._end - self._since) / RATE

    def add(self, hop: npt.NDArray[np.float32], probability: float) -> None:
        """The next ``HOP`` samples and how likely somebody speaks in them."""
        self._pieces.append(hop)
        self._speech.append(probability)
        self._end += len(hop)

    def window(self) -> tuple[Audio, int, int]:
        """The sound that is to be heard, and from where to where it reaches."""
        self._pieces = [np.concatenate(self._pieces)]
        return Audio(self._pieces[0], RATE), self._since, self._end

    def hear(self, transcript: Transcript, since: int, until: int) -> None:
        """Take a hypothesis of the window from ``since`` to ``until``."""
        self._latest = transcript, since, until
        self.language = transcript.language
        self._agreement.hear(words_of(transcript, after=since / RATE), edge=until / RATE - _EDGE)

    def trim(self, seconds: float) -> bool:
        """Cut the window to about ``seconds`` where it is longer; to be called with a fresh hypothesis.

        Best in a gap after words that are agreed on; the longer the window has become, the less good a place will do.
        """
        over = self.seconds / seconds
        if over <= 1:
            return False
        gaps = self._gaps()
        quiet = [at for at in gaps if self._quietest(at) < _DIP]
        if quiet:
            self._cut(quiet[-1])
        elif over >= 1.25 and (breath := self._breath()) is not None:
            self._cut(breath)
        elif over >= 1.5 and gaps:
            self._cut(gaps[-1])
        elif over >= 2:
            self.cut()
        else:
            return False
        return True

    def cut(self) -> None:
        """Give up the first part of the window, agreed on or not, up to its quietest place of the second half."""
        first, last = len(self._speech) // 2, len(self._speech) - round(_KEPT * RATE / HOP)
        self._cut(self._since + (first + int(np.argmin(self._speech[first : max(last, first + 1)]))) * HOP)

    @property
    def stable(self) -> str:
        """The text that will not change."""
        return joined(self._agreement.committed, self.language)

    @property
    def text(self) -> str:
        """All of it, as it is known now."""
        return joined((*self._agreement.committed, *self._agreement.tail), self.language)

    @property
    def unstable(self) -> str:
        """What follows it, as it was heard last."""
        return joined(self._agreement.tail, self.language)

    def final(self) -> tuple[str, tuple[Word, ...]]:
        """Text and words: what was sealed by a cut, and the last hypothesis of the rest.

        Where the rest was never heard whole, what is agreed on and what follows it.
        """
        if not self.covered or self._latest is None:
            words = (*self._agreement.committed, *self._agreement.tail)
            return joined(words, self.language), words
        transcript, since, _ = self._latest
        heard = words_of(transcript, after=since / RATE)
        if not self._sealed:
            return transcript.text, heard
        words = (*self._sealed, *beyond(heard, self._sealed))
        return joined(words, self.language), words

    def _gaps(self) -> list[int]:
        """Where a committed word ends, in the window and not too near its end."""
        words = (*self._agreement.committed, *self._agreement.tail)
        firm = len(self._agreement.committed)
        latest = self._end - int(_KEPT * RATE)
        cuts = []
        for i, word in enumerate(words[:firm]):
            following = words[i + 1].start if i + 1 < len(words) else word.end
            at = int((word.end + max(following, word.end)) / 2 * RATE)
            at = self._since + (at - self._since) // HOP * HOP
            if self._since < at <= latest:
                cuts.append(at)
        return cuts

    def _breath(self) -> int | None:
        """The last place in the window at which the speaker paused, and neither near its beginning nor its end."""
        kept = round(_KEPT * RATE / HOP)
        calm = [
            i for i in range(kept, len(self._speech) - kept) if max(self._speech[i - _MARGIN : i + _MARGIN + 1]) < _DIP
        ]
        return self._since + calm[-1] * HOP if calm else None

    def _quietest(self, at: int) -> float:
        hop = (at - self._since) // HOP
        return min(self._speech[max(0, hop - _MARGIN) : hop + _MARGIN + 1], default=1.0)

    def _cut(self, at: int) -> None:
        self._agreement.settle(at / RATE)
        sound, _, _ = self.window()
        self._pieces = [sound.samples[at - self._since :]]
        self._speech = self._speech[(at - self._since) // HOP :]
        self._since = at
        self._sealed = tuple(word for word in self._agreement.committed if middle(word) <= at / RATE)
