"""Recognising speech while it is spoken: sound comes in pieces, texts go out as events. It knows no web.

One task judges the sound in order (who speaks, when) and has one recognition under way; a pause may overtake one.
Every recognition is of the whole window of an utterance, whatever it is wanted for, so hardly one is in vain: its words
go through the agreement (``hear.agreement``) into the partial text, and when it turns out to have reached the end of
the speech, it is the final one. A pause therefore begins one at once; when the silence lasts, the final text is there
as the endpoint is reached.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf, isfinite
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import structlog

from vivavoce.errors import VivavoceError
from vivavoce.hear.endpoint import Endpointer
from vivavoce.hear.pcm import PcmStream
from vivavoce.hear.utterance import Utterance
from vivavoce.hear.vad import HOP, RATE, Vad
from vivavoce.nouns import Audio, Transcript
from vivavoce.studio.boxes import Inbox, Outbox
from vivavoce.studio.pace import Pace
from vivavoce.studio.spoken import Event, Final, Manner, Partial, SpeechStarted, SpeechStopped

__all__ = ["Listening", "Recognise"]

_log = structlog.get_logger(__name__)
Recognise = Callable[[Audio, str], Awaitable[Transcript]]
"""What is said in a piece of sound at ``vad.RATE``, and in which language ("" to find out)."""
_BATCH = 16
"""Hops judged at a time; what they change is told before the next are."""
_PREROLL = 10
"""Hops ahead of a beginning that belong to the utterance: 320 ms, so that no soft consonant is lost."""
_SHORTEST = 2.0
"""Seconds that the window keeps at least: below, words lack the context that tells them apart."""
_TRIES = 2
"""How often the end of an utterance is recognised before it is given up."""
_MENDING = 1.0
"""Seconds of sound after a failure before a partial text is tried again."""
_WINDOW = "recognition of a window"
Command = Callable[[], Awaitable[None]]


class Listening:
    """One listener: ``feed`` it, and read its events meanwhile. To be used as an asynchronous context manager.

    ``rate`` is that of the sound, Hz. Raises ``InvalidInput`` for a rate that is not taken. Reading the events raises
    what the recogniser raised, where trying again is of no use. Leaving the context ends all of its work.
    """

    def __init__(self, recognise: Recognise, *, language: str, rate: int, manner: Manner | None = None) -> None:
        self._recognise, self._language = recognise, language
        self._manner = manner or Manner()
        self._pcm = PcmStream(rate)
        self._inbox: Inbox[Command] = Inbox(int(self._manner.ahead_seconds * RATE))
        self._outbox: Outbox[Event] = Outbox()
        self._vad: Vad | None = None
        self._rest = np.zeros(0, np.float32)
        self._at = self._origin = 0
        self._endpointer = self._tuned()
        self._before: deque[tuple[npt.NDArray[np.float32], float]] = deque(maxlen=_PREROLL)
        self._numbers = 0
        self._open: Utterance | None = None
        self._ended: Utterance | None = None
        self._asked = False
        self._flushes: list[int] = []
        self._pace = Pace()
        self._told = ""
        self._failures = 0
        self._trouble: VivavoceError | None = None
        self._mended, self._took = 0, 0.0
        self._decoding: asyncio.Task[None] | None = None
        self._overtaken: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to listen, and have the recogniser loaded meanwhile."""
        self._decoding = asyncio.create_task(self._warm(), name="recognition")
        self._listener = asyncio.create_task(self._listen(), name="listening")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        works = self._listener, self._decoding, self._overtaken
        while tasks := [task for task in works if task is not None and not task.done()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self._outbox.take()

    # ---- what a client says

    async def feed(self, pcm: bytes) -> None:
        """The next sound: 16-bit samples, little-endian, cut anywhere. Waits while there is much to listen to."""
        for piece in self._pcm.samples(pcm):
            await self._inbox.put(piece)

    async def flush(self) -> None:
        """Ask for a ``Partial`` of everything up to here; it comes in any case."""
        await self._inbox.put(self._flush)

    async def commit(self) -> None:
        """End the utterance here; its ``Final`` comes in any case."""
        await self._inbox.put(self._commit)

    async def clear(self) -> None:
        """Forget the utterance; no ``Final`` of it comes."""
        await self._inbox.put(self._clear)

    async def adjust(
        self, *, language: str | None = None, rate: int | None = None, manner: Manner | None = None
    ) -> None:
        """Listen otherwise; an utterance that is under way ends as it began.

        Raises ``InvalidInput`` for a rate that is not taken; then nothing has changed.
        """
        if rate is not None and rate != self._pcm.rate:
            before, self._pcm = self._pcm, PcmStream(rate)
            await self._inbox.put(before.end())
        await self._inbox.put(partial(self._adjust, language, manner))

    async def finish(self) -> None:
        """No more sound comes. The ``Final`` of what is left comes in any case, then the events end."""
        await self._inbox.put(self._pcm.end())
        await self._inbox.put(self._finish)

    async def caught_up(self) -> None:
        """Wait until all of the sound is judged and nothing is being recognised: for who sends faster than live."""
        reached = asyncio.Event()
        await self._inbox.put(partial(self._reach, reached))
        waiting = asyncio.create_task(reached.wait())
        try:
            await asyncio.wait([waiting, *filter(None, [self._listener])], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])

    # ---- in order, one at a time

    async def _listen(self) -> None:
        try:
            while (item := await self._inbox.take()) is not None:
                await self._outbox.drained()
                if isinstance(item, np.ndarray):
                    await self._take(item)
                else:
                    await item()
                self._schedule()
        except Exception as e:  # noqa: BLE001 - whoever reads the events hears of it
            self._close(e)

    async def _take(self, piece: npt.NDArray[np.float32]) -> None:
        sound = np.concatenate([self._rest, piece])
        hops = sound[: len(sound) // HOP * HOP].reshape(-1, HOP)
        self._rest = sound[hops.size :]
        for i in range(0, len(hops), _BATCH):
            batch = hops[i : i + _BATCH]
            for hop, probability in zip(batch, await asyncio.to_thread(self._judge, batch), strict=True):
                await self._hop(hop, float(probability))
            self._schedule()

    def _judge(self, hops: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._vad is None:
            self._vad = Vad()
        return self._vad.judge(hops)

    async def _hop(self, hop: npt.NDArray[np.float32], probability: float) -> None:
        self._at += HOP
        turn = self._endpointer.push(probability)
        if self._open is None:
            self._before.append((hop, probability))
        else:
            self._open.add(hop, probability)
        if turn == "started":
            self._begin()
        if self._open is not None:
            self._open.spoken = self._origin + self._endpointer.last * HOP
            self._open.paused = self._endpointer.paused
            if turn == "paused":
                self._overtake(self._open)
            if turn == "ended":
                await self._end(asked=False)
            elif self._open.seconds >= self._manner.window_seconds:
                await self._shorten(self._open)

    def _begin(self) -> None:
        self._numbers += 1
        start = self._at - len(self._before) * HOP
        self._open = Utterance(self._numbers, start)
        for hop, probability in self._before:
            self._open.add(hop, probability)
        self._outbox.put(SpeechStarted(self._numbers, start / RATE))

    async def _end(self, *, asked: bool) -> None:
        """Close the utterance that is open, if one is, and have its text made final."""
        utterance, self._open = self._open, None
        self._endpointer.close()
        self._before.clear()
        if utterance is None:
            self._numbers += 1
            utterance = Utterance(self._numbers, self._at)
        self._outbox.put(SpeechStopped(utterance.number, utterance.end / RATE, asked))
        await self._settled()  # the one before: a client that sends faster than is recognised waits here
        self._ended, self._asked, self._failures, self._told = utterance, asked, 0, ""
        self._tune()
        self._schedule()

    async def _shorten(self, utterance: Utterance) -> None:
        """Make room in a window that is full: after words that are agreed on, else at its quietest place."""
        await self._recognised()
        if utterance.seconds >= self._manner.window_seconds and not utterance.covered:
            self._recognise_window(utterance)
            await self._recognised()
        if utterance.seconds >= self._manner.window_seconds:
            utterance.cut()

    async def _flush(self) -> None:
        self._flushes.append(min(self._at, self._open.spoken) if self._open else self._at)

    async def _commit(self) -> None:
        await self._end(asked=True)

    async def _finish(self) -> None:
        if len(self._rest):
            await self._take(np.zeros(HOP - len(self._rest), np.float32))
        await self._end(asked=True)
        await self._settled()
        self._close()

    async def _clear(self) -> None:
        self._open = None
        self._endpointer.close()
        self._before.clear()
        if self._vad is not None:
            self._vad.reset()
        self._rest = self._rest[:0]

    async def _adjust(self, language: str | None, manner: Manner | None) -> None:
        if language is not None:
            self._language = language
        if manner is not None:
            self._manner = manner
            if self._open is None:
                self._tune()

    async def _reach(self, reached: asyncio.Event) -> None:
        await self._settled()
        await self._recognised()
        reached.set()

    def _tune(self) -> None:
        self._origin, self._endpointer = self._at, self._tuned()

    def _tuned(self) -> Endpointer:
        manner = self._manner
        longest = manner.window_seconds if isfinite(manner.endpoint_seconds) else inf
        return Endpointer(silence=manner.endpoint_seconds, threshold=manner.threshold, longest=longest)

    # ---- recognition, one at a time

    def _schedule(self) -> None:
        """Begin the recognition that is due, unless one runs; tell what can be told."""
        if self._outbox.closed:
            return
        if self._decoding is None:
            self._start()
        if self._ended is None and (self._open is None or self._open.covered or not self._unheard(self._open)):
            self._answer()

    def _start(self) -> None:
        if self._ended is not None:
            if not self._ended.covered and self._failures < _TRIES:
                self._recognise_window(self._ended)
                return
            self._finalise(self._ended)
        if self._open is not None and self._due(self._open):
            self._recognise_window(self._open)

    def _overtake(self, utterance: Utterance) -> None:
        """At a pause do not wait for the text of its beginning: what is begun now may be the final one.

        One recognition at a time may be left behind so; what comes of it is not wanted any more.
        """
        left = self._overtaken is not None and not self._overtaken.done()
        if self._decoding is None or self._decoding.get_name() != _WINDOW or left or utterance.covered:
            return
        self._overtaken = self._decoding
        self._recognise_window(utterance)

    def _unheard(self, utterance: Utterance) -> bool:
        """Whether somebody asked for more than was heard."""
        return any(at > utterance.heard for at in self._flushes)

    def _due(self, utterance: Utterance) -> bool:
        if utterance.covered or self._at < self._mended:
            return False
        if utterance.paused or self._unheard(utterance):
            return True
        return utterance.end - utterance.heard >= max(self._manner.emit_seconds, 2 * self._took) * RATE

    def _recognise_window(self, utterance: Utterance) -> None:
        self._decoding = asyncio.create_task(self._hear(utterance), name=_WINDOW)

    async def _hear(self, utterance: Utterance) -> None:
        loop = asyncio.get_running_loop()
        audio, since, until = utterance.window()
        began = loop.time()
        try:
            transcript = await self._recognise(audio, self._language)
        except VivavoceError as e:
            if asyncio.current_task() is self._decoding:
                self._failed(e)
        except Exception as e:  # noqa: BLE001 - whoever reads the events hears of it
            self._close(e)
        else:
            if asyncio.current_task() is not self._decoding:  # overtaken
                return
            self._took, self._failures = loop.time() - began, 0
            self._pace.add(audio.seconds, self._took)
            utterance.hear(transcript, since, until)
            if utterance is self._open:
                self._tell(utterance)
                longest = self._manner.window_seconds
                budget = self._pace.affordable(self._manner.final_seconds, most=longest)
                utterance.trim(max(budget, min(_SHORTEST, longest)))
        if asyncio.current_task() is self._decoding:
            self._next()

    async def _warm(self) -> None:
        """Have the recogniser loaded before the first word, and hear early of one that is missing."""
        try:
            await self._recognise(Audio(np.zeros(RATE // 2, np.float32), RATE), self._language)
        except VivavoceError as e:
            if not e.retryable:
                self._close(e)
        except Exception as e:  # noqa: BLE001 - whoever reads the events hears of it
            self._close(e)
        self._next()

    def _next(self) -> None:
        self._decoding = None
        self._idle.set()
        self._schedule()

    def _failed(self, error: VivavoceError) -> None:
        _log.info("a recognition failed", code=error.code)
        if not error.retryable:
            self._close(error)
            return
        self._failures += 1
        self._trouble = error
        self._mended = self._at + int(_MENDING * RATE)
        self._answer()  # with what there is

    def _close(self, error: BaseException | None = None) -> None:
        self._outbox.close(error)
        self._inbox.close()
        self._idle.set()

    async def _recognised(self) -> None:
        """Wait until no recognition runs."""
        while self._decoding is not None and not self._outbox.closed:
            self._idle.clear()
            await self._idle.wait()

    async def _settled(self) -> None:
        """Wait until no utterance waits for its final text."""
        while self._ended is not None and not self._outbox.closed:
            self._schedule()
            await self._recognised()

    def _finalise(self, utterance: Utterance) -> None:
        self._ended = None
        text, words = utterance.final()
        error = None if utterance.covered else self._trouble
        self._failures = 0
        ends = utterance.start / RATE, max(utterance.start, utterance.spoken) / RATE
        language = utterance.language or self._language
        self._outbox.put(Final(utterance.number, text, words, *ends, self._asked, language, error))

    def _tell(self, utterance: Utterance) -> None:
        if utterance.text != self._told:
            self._told = utterance.text
            # a client that reads slowly gets the newest
            self._outbox.put(_partial(utterance, asked=False), instead=lambda last: _is_old(last, utterance))

    def _answer(self) -> None:
        """Answer every ``flush`` that was waiting for this."""
        for _ in self._flushes:
            self._outbox.put(_partial(self._open, asked=True))
        self._flushes.clear()


def _partial(utterance: Utterance | None, *, asked: bool) -> Partial:
    if utterance is None:
        return Partial(0, "", asked=asked)
    return Partial(utterance.number, utterance.text, utterance.stable, utterance.unstable, asked)


def _is_old(event: Event, utterance: Utterance) -> bool:
    return isinstance(event, Partial) and event.utterance == utterance.number and not event.asked
