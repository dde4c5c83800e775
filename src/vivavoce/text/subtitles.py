"""Subtitles out of word times: cues that a viewer can read, as WebVTT (W3C) and as SubRip."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Cue", "cues", "srt", "vtt"]

_CHARACTERS = 42
"""In a cue: what subtitlers put on a line."""
_SECONDS = 6.0
_WIDE = 2
"""A letter of these scripts is read, and is as wide, as two others."""
_ENDS = ".!?…。！？"
_CLAUSES = ",;:—，、；："
_LINGER = 0.3
"""Seconds that a cue stays when nothing follows."""


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that are shown together."""

    start: float
    """Seconds."""
    end: float
    text: str


def cues(words: Iterable[tuple[str, float, float]], *, spaced: bool = True) -> list[Cue]:
    """Group ``(word, start, end)``, in seconds, into cues of at most 42 characters and 6 seconds.

    A cue ends with a sentence, with a clause when it is half full, else where it is full. ``spaced`` is false for
    languages that are written without spaces.
    """
    made: list[Cue] = []
    held: list[tuple[str, float, float]] = []
    glue = " " if spaced else ""

    def close() -> None:
        if held:
            made.append(Cue(held[0][1], held[-1][2], glue.join(word for word, _, _ in held)))
            held.clear()

    for word, start, end in words:
        if held and (_width(glue.join([*(w for w, _, _ in held), word])) > _CHARACTERS or end - held[0][1] > _SECONDS):
            close()
        held.append((word, start, end))
        last = word.rstrip("\"'»”’)]}」』）】")[-1:]
        if last in _ENDS or (last in _CLAUSES and _width(glue.join(w for w, _, _ in held)) > _CHARACTERS // 2):
            close()
    close()
    return _lingering(made)


def _lingering(made: Sequence[Cue]) -> list[Cue]:
    """Each cue stays until the next, or for a moment: subtitles that vanish between words flicker."""
    ends = [cue.start for cue in made[1:]] + [float("inf")] * bool(made)
    return [Cue(c.start, max(c.end, min(c.end + _LINGER, until)), c.text) for c, until in zip(made, ends, strict=True)]


def _width(text: str) -> int:
    return sum(_WIDE if ord(letter) >= 0x1100 else 1 for letter in text)


def vtt(made: Sequence[Cue]) -> str:
    """A WebVTT file."""
    blocks = [f"{_time(c.start, '.')} --> {_time(c.end, '.')}\n{_escaped(c.text)}\n" for c in made]
    return "\n".join(["WEBVTT\n", *blocks])


def srt(made: Sequence[Cue]) -> str:
    """A SubRip file."""
    blocks = [f"{n}\n{_time(c.start, ',')} --> {_time(c.end, ',')}\n{c.text}\n" for n, c in enumerate(made, 1)]
    return "\n".join(blocks)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    rest, milliseconds = divmod(milliseconds, 1000)
    minutes, rest = divmod(rest, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}{point}{milliseconds:03d}"
