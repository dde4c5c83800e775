"""What an engine promises, as structural protocols: an engine imports nothing of ours to keep them.

Engines are synchronous and know nothing of HTTP, jobs or asyncio. State of a stream lives in the iterator that a
method returns, never in the engine: two streams may be read in turn. Closing an iterator cancels its work.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from vivavoce.nouns import (
    Audio,
    Avatar,
    Canvas,
    ChatTraits,
    CleanTraits,
    CloneTraits,
    EarTraits,
    FaceTraits,
    Frame,
    Lesson,
    SpeakerTraits,
    Speech,
    Transcript,
    Turn,
    VoiceTraits,
)

__all__ = [
    "Animator",
    "Chat",
    "Cloner",
    "Enhancer",
    "Idler",
    "Recognizer",
    "Report",
    "SpeakerEncoder",
    "Synthesizer",
    "Tell",
    "Trainer",
]

Report = Callable[[float, str], None]
"""Called with progress 0–1 and the name of the stage; raises ``Cancelled`` when the work was cancelled."""

Tell = Callable[[Lesson], None]
"""Called often while something is learnt; raises ``Cancelled`` when the work was cancelled."""


class Synthesizer(Protocol):
    """Text to speech: an entry point ``voice.NAME``."""

    @property
    def traits(self) -> VoiceTraits:
        """Languages, voices and timings; cheap to read."""

    def synthesize(self, text: str, *, language: str, voice: str) -> Iterator[Speech]:
        """Speak ``text``, sentence by sentence or whole; the parts' texts joined give ``text`` back.

        ``voice`` is an id from ``traits.voices``, or "" for the language's default.
        A generator is closed between two parts. An iterator of another class that has ``close`` is closed from another
        thread, at once, also while it is being read: so a voice that waits for a service can be cancelled.
        Raises ``InvalidInput`` for a text that cannot be spoken, ``TimedOut``, ``EngineUnavailable``.
        """


class Animator(Protocol):
    """A face: an entry point ``face.NAME``."""

    @property
    def traits(self) -> FaceTraits:
        """Sources, sizes, device; cheap to read."""

    def prepare(self, source: Path, into: Path) -> Avatar:
        """Make an avatar of a picture or a video (``traits.sources``), in the existing, empty folder ``into``.

        Raises ``FaceRejected`` or another ``InvalidInput`` with a sentence for the user.
        """

    def animate(
        self, avatar: Avatar, speech: Speech, *, canvas: Canvas, start_frame: int = 0, frame_skip: int = 1
    ) -> Iterator[Frame]:
        """Frames that cover the speech: ``canvas.frames(speech.audio.seconds)`` of them.

        ``start_frame`` is the number of the first frame in the whole film, so that idle motion goes on from chunk to
        chunk; the mouth starts and ends at rest. The same input gives the same frames. With ``frame_skip`` 2–4 an
        engine may make only so many frames in full and the others from their neighbours, as long as lips still close
        where they should; one that does not want to ignores it.
        """


@runtime_checkable
class Idler(Protocol):
    """What a face may offer besides: a film of itself listening."""

    def idle(self, avatar: Avatar, *, canvas: Canvas, seconds: float) -> Iterator[Frame]:
        """``canvas.frames(seconds)`` frames whose last leads to the first, to be played in a loop."""


@runtime_checkable
class Trainer(Protocol):
    """What a face may be besides: one that learns a person from a film of them, over minutes or hours."""

    def train(
        self, source: Path, into: Path, *, work: Path, epochs: int, options: Mapping[str, float | str], tell: Tell
    ) -> Avatar:
        """Learn the person in the video ``source`` and make an avatar in the existing, empty folder ``into``.

        What was learnt so far is kept in the folder ``work``, which outlives the process: called again with the same
        source and options it goes on there, and comes to the same end. ``epochs`` is how often a network sees the
        film; an engine without one ignores it. One may take ``enough`` besides: the epoch in which its time was over,
        to make the avatar of what ``work`` holds, as it stands. Cancelled, it raises, and what ``work`` holds is still
        good. Raises ``InvalidInput`` for options that it does not have, ``FaceRejected`` with advice for a film that
        cannot be used.
        """


class Recognizer(Protocol):
    """Speech to text: an entry point ``ear.NAME``."""

    @property
    def traits(self) -> EarTraits:
        """Languages, the rate it wants, how long a piece may be; cheap to read."""

    def recognize(
        self, pieces: Sequence[Audio], *, language: str = "", phrases: Sequence[str] = ()
    ) -> Iterator[Transcript]:
        """What is said in each piece, in order: one transcript a piece, its times counted from the piece's start.

        A piece is mono at ``traits.rate`` and lasts up to ``traits.longest`` seconds; an engine may take several at
        once. ``language`` "" lets it find out, where it ``detects``. With ``phrases``, where it is ``closed``, only
        these can be heard, or nothing. A piece without speech has a transcript without segments. Closing the iterator
        ends the work. Raises ``InvalidInput`` for a language that it lacks, ``EngineUnavailable``, ``TimedOut``.
        """


class Enhancer(Protocol):
    """Noise suppression: an entry point ``clean.NAME``."""

    @property
    def traits(self) -> CleanTraits:
        """The rates at which it works; cheap to read."""

    def enhance(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        """The same sound with less noise: mono blocks of any length at one rate in, blocks of that rate out.

        Altogether exactly as many samples come out as went in, in time with them (delays are made up for), and
        never more than ``traits.lookahead`` seconds late, so that it works live. One block comes out for each that goes
        in, empty while the engine waits for more, and the rest at the end; so a stream can be driven by pushing.
        Memory does not grow with length.
        """


class SpeakerEncoder(Protocol):
    """Who speaks: an entry point ``speaker.NAME``."""

    @property
    def traits(self) -> SpeakerTraits:
        """The size of an embedding and the usual threshold; cheap to read."""

    def embed(self, audio: Audio) -> npt.NDArray[np.float32]:
        """The speaker's embedding, shape ``(traits.size,)``, of length 1; ``audio`` is mono at ``traits.rate``.

        Raises ``InvalidInput`` when there is less speech than ``traits.least`` seconds.
        """


class Cloner(Protocol):
    """Speech in the voice of somebody who was recorded: an entry point ``clone.NAME``."""

    @property
    def traits(self) -> CloneTraits:
        """Languages, how much speech it wants; cheap to read."""

    def enrol(self, recordings: Sequence[Audio], into: Path) -> tuple[str, ...]:
        """Learn a voice of recordings of one speaker and keep what was learnt in the existing, empty folder ``into``.

        Returns warnings for the user: too little, too noisy. Raises ``InvalidInput`` when they cannot be used.
        """

    def synthesize(self, text: str, *, language: str, voice: Path) -> Iterator[Speech]:
        """Speak ``text`` in the voice that lies in the folder ``voice``; the parts' texts joined give ``text`` back.

        Closed as ``Synthesizer.synthesize`` is. Raises ``InvalidInput``, ``TimedOut``, ``EngineUnavailable``.
        """


class Chat(Protocol):
    """A partner in conversation: an entry point ``chat.NAME``."""

    @property
    def traits(self) -> ChatTraits:
        """The models that can be asked for; cheap to read."""

    def reply(self, turns: Sequence[Turn], *, model: str = "", language: str = "") -> Iterator[str]:
        """The answer to the last of ``turns``, in pieces as they are written; joined they are the answer.

        ``model`` "" is the default; ``language`` is the code of the language that the answer should be in, "" leaves it
        open. Closed as ``Synthesizer.synthesize`` is. Raises ``InvalidInput``, ``TimedOut``, ``Overloaded``,
        ``EngineUnavailable``.
        """
