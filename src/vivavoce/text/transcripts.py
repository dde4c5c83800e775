"""What a recogniser heard in every form that it leaves in: subtitles, JSON of ours, and JSON as OpenAI writes it."""

import math
import zlib
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Segment, Transcript, Word
from vivavoce.text import subtitles
from vivavoce.text.english import english_name
from vivavoce.text.languages import resolve

__all__ = ["from_plain", "joined", "raw", "srt", "to_plain", "verbose", "vtt"]


def raw(transcript: Transcript) -> dict[str, Any]:
    """Everything: ``language``, ``duration``, ``segments`` with their ``words``; times in seconds."""
    segments = [
        {
            "id": number,
            "start": _time(segment.start),
            "end": _time(segment.end),
            "text": segment.text,
            "words": [
                {
                    "word": w.text,
                    "start": _time(w.start),
                    "end": _time(w.end),
                    "probability": round(w.probability, 4),
                }
                for w in segment.words
            ],
        }
        for number, segment in enumerate(transcript.segments)
    ]
    return {"language": transcript.language, "duration": _time(transcript.seconds), "segments": segments}


def verbose(transcript: Transcript, granularities: Collection[str] = ("segment",)) -> dict[str, Any]:
    """OpenAI's ``verbose_json``, with ``words`` and ``segments`` as ``granularities`` ask (``word``, ``segment``).

    What only Whisper knows of a segment is told as far as its words tell it: ``avg_logprob`` is the mean over them.
    """
    made: dict[str, Any] = {
        "task": "transcribe",
        "language": english_name(transcript.language),
        "duration": _time(transcript.seconds),
        "text": transcript.text,
    }
    if "segment" in granularities:
        made["segments"] = [_whispers(number, segment) for number, segment in enumerate(transcript.segments)]
    if "word" in granularities:
        made["words"] = [{"word": w.text, "start": _time(w.start), "end": _time(w.end)} for w in transcript.words]
    return made


def _whispers(number: int, segment: Segment) -> dict[str, Any]:
    logs = [math.log(max(w.probability, 1e-6)) for w in segment.words]
    text = segment.text.encode()
    return {
        "id": number,
        "seek": round(segment.start * 100),
        "start": _time(segment.start),
        "end": _time(segment.end),
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(sum(logs) / len(logs), 4) if logs else 0.0,
        "compression_ratio": round(len(text) / len(zlib.compress(text)), 4) if text else 0.0,
        "no_speech_prob": 0.0,
    }


def vtt(transcript: Transcript) -> str:
    """WebVTT subtitles."""
    return subtitles.vtt(_cues(transcript))


def srt(transcript: Transcript) -> str:
    """SubRip subtitles."""
    return subtitles.srt(_cues(transcript))


def _cues(transcript: Transcript) -> list[subtitles.Cue]:
    """Cues of the words; a segment without word times is shared out among its words by their length."""
    spaced = _is_spaced(transcript.language)
    timed = [w for s in transcript.segments for w in (s.words or _shared_out(s, spaced=spaced))]
    return subtitles.cues(((w.text, w.start, w.end) for w in timed), spaced=spaced)


def _is_spaced(code: str) -> bool:
    try:
        return resolve(code).spaced
    except InvalidInput:
        return True


def _shared_out(segment: Segment, *, spaced: bool) -> list[Word]:
    words = segment.text.split() if spaced else list(segment.text.strip())
    step = (segment.end - segment.start) / max(1, sum(map(len, words)))
    made, now = [], segment.start
    for word in words:
        made.append(Word(word, now, now + step * len(word)))
        now += step * len(word)
    return made


def joined(parts: Iterable[tuple[float, Transcript]], language: str, seconds: float) -> Transcript:
    """One transcript of those of pieces, each with its start in seconds; nothing reaches beyond ``seconds``."""
    segments = [_moved(segment, start, seconds) for start, part in parts for segment in part.segments]
    return Transcript(language, seconds, tuple(segments))


def _moved(segment: Segment, by: float, limit: float) -> Segment:
    words = tuple(replace(w, start=min(w.start + by, limit), end=min(w.end + by, limit)) for w in segment.words)
    return Segment(segment.text, min(segment.start + by, limit), min(segment.end + by, limit), words)


def to_plain(transcript: Transcript) -> dict[str, Any]:
    """The transcript as built-in types, which cross a process border."""
    return {
        "language": transcript.language,
        "seconds": transcript.seconds,
        "segments": [
            (s.text, s.start, s.end, [(w.text, w.start, w.end, w.probability) for w in s.words])
            for s in transcript.segments
        ],
    }


def from_plain(plain: dict[str, Any]) -> Transcript:
    """What ``to_plain`` was given, also after a journey through JSON."""
    segments = tuple(
        Segment(text, start, end, tuple(Word(*word) for word in words)) for text, start, end, words in plain["segments"]
    )
    return Transcript(plain["language"], plain["seconds"], segments)


def _time(seconds: float) -> float:
    return round(seconds, 3)
