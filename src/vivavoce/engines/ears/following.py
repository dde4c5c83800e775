"""Free speech that grows while it is heard: PocketSphinx goes on from where it was.

Live recognition asks again and again for a window that has grown a little. To search all of it each time costs a third
to a half of its length; to go on costs that of what is new. So a piece that begins with the very sound of one that was
heard a moment ago is taken for the same piece, grown longer, and has a decoder of its own from then on. One that begins
later in it is the same too: its window was cut.

Where the speaker pauses, the search is brought to its end, with all of its passes: that text is as good as that of a
search of the whole, and it is there as soon as live recognition wants to know. Until then its words have probability 0:
the passes that come will change many. What is said after the pause is another chapter, unless so little was said before
it that it is better heard again.
"""

import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vivavoce.engines.ears.search import HOP as FRAME
from vivavoce.engines.ears.search import RATE, found, free_speech, pcm
from vivavoce.hear.vad import HOP, is_speech
from vivavoce.nouns import Audio, Word

__all__ = ["Following"]

Samples = npt.NDArray[np.float32]

_MOST = 2
"""Decoders: who speaks at the same time as two others has each window searched whole."""
_REMEMBERED = 8
"""Pieces that may grow."""
_IDLE = 2.0
"""Seconds after which a piece that has not grown gives its decoder to another."""
_SHARED = 0.25
"""Seconds that a piece has in common with the one it goes on from, at least."""
_SHORT = 1.5
"""Seconds; a piece as short as that which ends in the middle of speech is going to grow: no recording is cut so."""
_HUSH, _QUIET = 4, 0.5
"""Hops at the end of a piece that are a pause when speech is less likely than this in all of them."""
_OVERLAP = 3
"""Hops of a pause that the next chapter begins with: consonants begin softer than is noticed."""
_CHAPTER = 1.0
"""Seconds; a shorter one is heard again with what follows, whose words are told apart by it."""
_LONGEST = 15.0
"""Seconds after which a chapter ends without a pause: the search's memory grows with it."""


class Following:
    """Pieces that were heard a moment ago. Not to be used by two threads at once."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._spare: list[_Stream] = []
        self._made = 0

    def load(self) -> None:
        """Have a decoder ready."""
        if not self._made:
            self._spare.append(_Stream())
            self._made += 1

    def remember(self, piece: Audio, likely: Samples, words: list[Word]) -> None:
        """A piece was searched whole and has these words; it may come again, grown."""
        known = _Piece()
        known.learn(piece.samples, words, finished=_is_paused(likely))
        self._keep(known)

    def words(self, piece: Audio, likely: Samples) -> list[Word] | None:
        """The words of a piece that goes on from another or is going to grow; None when it is to be searched whole.

        ``likely`` says of each hop of it how likely somebody speaks.
        """
        for known in self._pieces:
            cut = known.cut(piece.samples)
            if cut is not None:
                break
        else:
            if piece.seconds > _SHORT or _is_paused(likely):
                return None
            known, cut = _Piece(), 0
            self._keep(known)
        if known.stream is None:
            known.stream = self._stream()
        if known.stream is None:
            self._pieces.remove(known)
            return None
        known.used = time.monotonic()
        return known.grow(piece, cut, likely)

    def _keep(self, piece: "_Piece") -> None:
        while len(self._pieces) >= _REMEMBERED:
            self._forget(min(self._pieces, key=lambda p: p.used))
        self._pieces.append(piece)

    def _stream(self) -> "_Stream | None":
        """One that is free, or that a piece has not used for a while; None when all are in use."""
        if not self._spare and self._made < _MOST:
            self._spare.append(_Stream())
            self._made += 1
        idle = [p for p in self._pieces if p.stream is not None and time.monotonic() - p.used > _IDLE]
        if not self._spare and idle:
            self._forget(min(idle, key=lambda p: p.used))
        return self._spare.pop() if self._spare else None

    def _forget(self, piece: "_Piece") -> None:
        self._pieces.remove(piece)
        if piece.stream is not None:
            piece.stream.end()
            self._spare.append(piece.stream)


class _Piece:
    """A piece that may grow: finished chapters, whose words are known, and one that is open."""

    def __init__(self) -> None:
        self.samples: Samples = np.zeros(0, np.float32)
        self.stream: _Stream | None = None
        self.used = time.monotonic()
        self._finished: list[Word] = []
        self._words: list[Word] = []
        """Of the open chapter, as it was heard last."""
        self._begin = self._fed = 0
        """Where the open chapter begins and how far it is heard, in samples from the start of the piece."""

    def learn(self, samples: Samples, words: list[Word], *, finished: bool) -> None:
        """Somebody else has heard it, up to a pause if it is ``finished``."""
        self.samples, self._words = samples, words
        if finished:
            self._close(len(samples))

    def cut(self, samples: Samples) -> int | None:
        """How many samples were cut off ahead of what ``samples`` begins with; None when they are another piece's."""
        known = self.samples
        for at in range(0, len(known) - int(_SHARED * RATE) + 1, HOP):
            shared = len(known) - at
            if known[at] == samples[0] and shared <= len(samples) and np.array_equal(known[at:], samples[:shared]):
                return at if np.ptp(known[at:]) > 0 else None
        return None

    def grow(self, piece: Audio, cut: int, likely: Samples) -> list[Word]:
        """Hear what is new in it; the words of the whole."""
        seconds = cut / RATE
        self._finished, self._words = _later(self._finished, seconds), _later(self._words, seconds)
        self._begin, self._fed = self._begin - cut, self._fed - cut
        self.samples = piece.samples
        if self.stream is not None and self._fed < len(piece.samples):
            self._hear(self.stream, piece, likely)
        return [*self._finished, *self._words]

    def _hear(self, stream: "_Stream", piece: Audio, likely: Samples) -> None:
        samples = piece.samples
        if not stream.searching and self._fed > 0 and not is_speech(likely[self._fed // HOP :]):
            return  # nothing but the pause goes on
        if not stream.searching or stream.is_unsure(len(samples)):
            self._begin = self._fed = max(0, self._begin)
            stream.begin(samples)
        stream.feed(samples[self._fed :])
        self._fed = len(samples)
        paused = _is_paused(likely)
        if paused or self._fed - self._begin >= _LONGEST * RATE:
            stream.end()
        words = found(stream.decoder, piece.seconds, self._begin / RATE)
        self._words = [replace(word, probability=0.0) for word in words] if stream.searching else words
        if not stream.searching:
            self._close(len(samples), paused=paused)

    def _close(self, at: int, *, paused: bool = True) -> None:
        """The search has come to its end at sample ``at``."""
        self._fed = at
        if at - self._begin >= _CHAPTER * RATE:
            self._finished, self._words = [*self._finished, *self._words], []
            self._begin = self._fed = at - (_OVERLAP * HOP if paused else 0)


_FRONT, _FREE = "front", "_default"
_LITTLE = "#JSGF V1.0;\ngrammar front;\npublic <front> = a;\n"
"""A search that costs next to nothing, while only the mean is wanted."""
_MEAN = 6.0
"""Seconds of sound of which a mean is taken."""
_ENOUGH = 1.0
"""Seconds of sound of which a mean is good enough to go on with; what was heard with less is heard again."""
_WEIGHT = 500
"""Frames that a mean counts for that is given to the front end (``CMN_WIN``)."""


class _Stream:
    """A decoder that is given sound bit by bit.

    Its front end takes the mean of the cepstra, which is the voice's and the room's, from all of them. It cannot know
    that beforehand, and with a wrong one twice as many words are wrong. So it is taken of what there is when the search
    begins, and again each time that there is more.
    """

    def __init__(self) -> None:
        self.decoder = free_speech()
        self.decoder.add_jsgf_string(_FRONT, _LITTLE)
        self.searching = False
        self._mean = np.zeros(0)
        self._frames = self._fed = 0
        """Frames of which the mean was taken, and that were fed since it was set."""
        self._heard = 0
        """Samples of which the first mean was taken."""

    def is_unsure(self, length: int) -> bool:
        """Whether it began with too little and now, with ``length`` samples, there is enough."""
        return self._heard < _ENOUGH * RATE <= length

    def begin(self, samples: Samples) -> None:
        """Begin a search; the mean is that of ``samples``."""
        self.end()
        self._heard = len(samples)
        known = samples[-int(_MEAN * RATE) :]
        self.decoder.activate_search(_FRONT)
        self.decoder.reinit_feat()
        self.decoder.start_utt()
        self.decoder.process_raw(pcm(known), no_search=True, full_utt=True)
        mean = self.decoder.get_cmn(False)
        self.decoder.end_utt()
        self.decoder.activate_search(_FREE)
        self.decoder.reinit_feat()
        self._set(_numbers(mean), len(known) // FRAME)
        self.decoder.start_utt()
        self.searching = True

    def feed(self, samples: Samples) -> None:
        """Search on."""
        if self._fed:
            told = _numbers(self.decoder.get_cmn(True)) * (_WEIGHT + self._fed) - self._mean * _WEIGHT
            frames = self._frames + self._fed
            self._set((self._mean * self._frames + told) / frames, frames)
        self.decoder.process_raw(pcm(samples))
        self._fed += len(samples) // FRAME

    def end(self) -> None:
        """Go through what was heard once more, with the passes that need the whole."""
        if self.searching:
            self.decoder.end_utt()
        self.searching = False

    def _set(self, mean: npt.NDArray[np.float64], frames: int) -> None:
        self._mean, self._frames, self._fed = mean, frames, 0
        self.decoder.set_cmn(",".join(f"{value:.5g}" for value in mean))


def _numbers(told: str) -> npt.NDArray[np.float64]:
    return np.array(told.split(","), np.float64)


def _is_paused(likely: Samples) -> bool:
    return bool((likely[-_HUSH:] < _QUIET).all())


def _later(words: list[Word], seconds: float) -> list[Word]:
    """Words as they are in a piece that begins ``seconds`` later."""
    kept = [word for word in words if (word.start + word.end) / 2 >= seconds]
    return [replace(word, start=max(0.0, word.start - seconds), end=word.end - seconds) for word in kept]
