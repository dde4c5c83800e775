"""Recognition while somebody speaks, on real sound, by a recogniser that makes no mistakes but those at the edge."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from itertools import pairwise
from math import inf

import numpy as np
import pytest

from ears import RATE, KnownEar, Recording
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable, InvalidInput, Overloaded, TimedOut, WorkerDied
from vivavoce.nouns import Audio, Segment, Transcript
from vivavoce.studio.listeners import Listeners
from vivavoce.studio.listening import Listening
from vivavoce.studio.pace import Pace
from vivavoce.studio.spoken import Event, Final, Manner, Partial, SpeechStarted, SpeechStopped

SENTENCES = ["good morning to everybody", "please open the second window", "the train to the river leaves at noon"]
LONG = (
    "the old captain walked along the river and counted all the boats which the storm of the night had thrown upon "
    "the sand and among the stones and then he wrote every name into a small black book that he carried in his coat"
)


@pytest.fixture(scope="module")
def recording(voice: EspeakVoice) -> Recording:
    return Recording(voice, SENTENCES)


def run(scenario: Callable[[], Awaitable[None]], limit: float = 20.0) -> None:
    """Run a scenario; no task is left when it is over."""

    async def main() -> None:
        async with asyncio.timeout(limit):
            await scenario()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


async def listened(
    recording: Recording, ear: KnownEar, *, step: int = 3200, manner: Manner | None = None
) -> list[Event]:
    """All events of a recording that is fed in pieces of ``step`` bytes."""
    async with Listening(ear, language="en", rate=recording.rate, manner=manner) as listening:

        async def speak() -> None:
            pcm = recording.pcm
            for at in range(0, len(pcm), step):
                await listening.feed(pcm[at : at + step])
                await listening.caught_up()  # as if a tenth of a second were plenty to recognise it
            await listening.finish()

        speaking = asyncio.create_task(speak())
        events = [event async for event in listening]
        await speaking
    return events


def finals(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Final) and event.text]


def test_every_sentence_becomes_final_and_what_was_stable_stayed(recording: Recording) -> None:
    async def scenario() -> None:
        ear = KnownEar(recording)
        events = await listened(recording, ear)
        assert finals(events) == SENTENCES
        for number in (1, 2, 3):
            (final,) = [e for e in events if isinstance(e, Final) and e.utterance == number]
            stable = [e.stable for e in events if isinstance(e, Partial) and e.utterance == number]
            assert all(later.startswith(earlier) for earlier, later in pairwise(stable))
            assert final.text.startswith(stable[-1])
            assert len(stable) >= 2
            assert stable[-1].count(" ") >= 2, "most of a sentence is agreed on before it ends"
        assert ear.most == 1

    run(scenario)


def test_the_events_come_in_order_and_in_time_with_the_sound(recording: Recording) -> None:
    async def scenario() -> None:
        events = await listened(recording, KnownEar(recording))
        kinds = [type(e) for e in events if not isinstance(e, Partial)]
        assert kinds == [SpeechStarted, SpeechStopped, Final] * 3 + [SpeechStopped, Final]
        closing = events[-1]
        assert isinstance(closing, Final)
        assert closing.asked
        assert closing.text == ""
        words = [word for e in events if isinstance(e, Final) for word in e.words]
        assert [w.text for w in words] == [w.text for w in recording.words]
        for heard, true in zip(words, recording.words, strict=True):
            assert heard.start == pytest.approx(true.start, abs=0.02)
        for event in events:
            if isinstance(event, Final) and event.text:
                assert event.start <= event.words[0].start
                assert event.end == pytest.approx(event.words[-1].end, abs=0.3)

    run(scenario)


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 48000])
def test_any_rate_is_taken(voice: EspeakVoice, rate: int) -> None:
    async def scenario() -> None:
        recording = Recording(voice, SENTENCES[:2], rate=rate)
        events = await listened(recording, KnownEar(recording))
        assert finals(events) == SENTENCES[:2]
        started = [e.at for e in events if isinstance(e, SpeechStarted)]
        assert started[1] == pytest.approx(next(w.start for w in recording.words if w.text == "please"), abs=0.4)

    run(scenario)


@pytest.mark.parametrize("step", [1, 333, 1_000_000])
def test_sound_may_be_cut_anywhere(voice: EspeakVoice, step: int) -> None:
    """Also in the middle of a sample, and all of it may come at once."""

    async def scenario() -> None:
        recording = Recording(voice, ["good morning"], pause=0.4)
        pcm = recording.pcm
        async with Listening(KnownEar(recording), language="en", rate=recording.rate) as listening:
            for at in range(0, len(pcm), step):
                await listening.feed(pcm[at : at + step])
            await listening.finish()
            assert finals([event async for event in listening]) == ["good morning"]

    run(scenario)


# ---- what a client may ask for


def test_flush_is_answered_at_once_though_nobody_spoke_and_the_recogniser_is_still_loading(
    recording: Recording,
) -> None:
    async def scenario() -> None:
        ear = KnownEar(recording)
        ear.hold()
        async with Listening(ear, language="en", rate=16000) as listening:
            await listening.flush()
            assert await anext(listening) == Partial(0, "", asked=True)
            await listening.feed(bytes(32000))
            await listening.flush()
            assert await anext(listening) == Partial(0, "", asked=True)

    run(scenario)


def test_flush_says_all_that_was_said_so_far(recording: Recording) -> None:
    """More often than partial texts would come by themselves."""

    async def scenario() -> None:
        async with Listening(
            KnownEar(recording), language="en", rate=16000, manner=Manner(emit_seconds=60)
        ) as listening:
            until = next(w.end for w in recording.words if w.text == "to") + 0.06
            await listening.feed(recording.pcm[: int(until * RATE) * 2])
            await listening.flush()
            texts = [e async for e in _until_asked(listening)]
            assert isinstance(texts[-1], Partial)
            assert texts[-1].text.startswith("good morning to")
            assert sum(isinstance(e, Partial) for e in texts) <= 2

    run(scenario)


async def _until_asked(listening: Listening) -> AsyncGenerator[Event]:
    async for event in listening:
        yield event
        if isinstance(event, Partial) and event.asked:
            return


def test_finish_makes_the_rest_final_in_the_middle_of_a_sentence(recording: Recording) -> None:
    async def scenario() -> None:
        until = next(w.end for w in recording.words if w.text == "morning") + 0.05
        async with Listening(KnownEar(recording), language="en", rate=16000) as listening:
            await listening.feed(recording.pcm[: int(until * RATE) * 2])
            await listening.finish()
            events = [event async for event in listening]
        assert isinstance(events[-1], Final)
        assert events[-1].asked
        assert events[-1].text.startswith("good morning")

    run(scenario)


@pytest.mark.parametrize("level", [0.0, 1e-3, 0.05])
def test_silence_and_noise_are_not_recognised_at_all(recording: Recording, level: float) -> None:
    async def scenario() -> None:
        ear = KnownEar(recording)
        noise = np.random.default_rng(3).standard_normal(8 * RATE) * level
        async with Listening(ear, language="en", rate=16000) as listening:
            await listening.feed((noise * 32767).astype("<i2").tobytes())
            await listening.finish()
            events = [event async for event in listening]
        assert [type(e) for e in events] == [SpeechStopped, Final]
        assert isinstance(events[-1], Final)
        assert events[-1].text == ""
        assert ear.heard == []

    run(scenario)


def test_commit_ends_utterances_where_silence_does_not(recording: Recording) -> None:
    async def scenario() -> None:
        ear = KnownEar(recording)
        pcm, rate = recording.pcm, RATE * 2
        cut = next(w.start for w in recording.words if w.text == "please") - 0.3
        async with Listening(ear, language="en", rate=16000, manner=Manner(endpoint_seconds=inf)) as listening:
            await listening.feed(pcm[: int(cut * rate)])
            await listening.commit()
            await listening.feed(pcm[int(cut * rate) // 2 * 2 :])
            await listening.finish()
            events = [event async for event in listening]
        assert finals(events) == [SENTENCES[0], f"{SENTENCES[1]} {SENTENCES[2]}"]
        assert all(e.asked for e in events if isinstance(e, Final | SpeechStopped))

    run(scenario)


def test_what_was_cleared_is_never_heard_of_again(recording: Recording) -> None:
    async def scenario() -> None:
        cut = int((next(w.end for w in recording.words if w.text == "morning")) * RATE) * 2
        after = int((next(w.start for w in recording.words if w.text == "please") - 0.5) * RATE) * 2
        async with Listening(KnownEar(recording), language="en", rate=16000) as listening:
            await listening.feed(recording.pcm[:cut])
            await listening.clear()
            await listening.feed(recording.pcm[after:])
            await listening.finish()
            assert finals([event async for event in listening]) == SENTENCES[1:]

    run(scenario)


def test_language_rate_and_manner_can_change_on_the_way(voice: EspeakVoice) -> None:
    async def scenario() -> None:
        recording = Recording(voice, SENTENCES[:2], rate=24000)
        ear = KnownEar(recording)
        async with Listening(ear, language="en", rate=16000) as listening:
            await listening.adjust(language="ru", rate=24000, manner=Manner(endpoint_seconds=0.3))
            with pytest.raises(InvalidInput, match="8000 to 48000"):
                await listening.adjust(rate=96000)
            await listening.feed(recording.pcm)
            await listening.finish()
            events = [event async for event in listening]
        assert finals(events) == SENTENCES[:2]
        assert ear.languages[-1] == "ru"

    run(scenario)


# ---- under load, and when things go wrong


def test_late_partial_texts_are_skipped_not_queued(recording: Recording) -> None:
    """While one recognition hangs, a whole sentence goes by: afterwards there is one more, not one for each step."""

    async def scenario() -> None:
        ear = KnownEar(recording)
        until = int((next(w.end for w in recording.words if w.text == "everybody") + 0.1) * RATE) * 2
        manner = Manner(emit_seconds=0.05)
        async with Listening(ear, language="en", rate=16000, manner=manner) as listening:
            await listening.caught_up()
            calls = ear.calls
            ear.hold()
            await listening.feed(recording.pcm[:until])
            await listening.flush()
            await ear.begun.wait()
            ear.gate.set()
            async for event in _until_asked(listening):
                last = event
            assert isinstance(last, Partial)
            assert last.text == SENTENCES[0]
            assert ear.calls - calls <= 4
            assert ear.most == 1

    run(scenario)


def test_a_pause_begins_the_final_recognition_so_that_the_endpoint_finds_it_done(recording: Recording) -> None:
    async def scenario() -> None:
        ear = KnownEar(recording)
        await listened(recording, ear, step=1024)
        for sentence in SENTENCES:
            last = next(w for w in recording.words if w.text == sentence.split()[-1])
            reached = [until for _, until in ear.heard if 0 < until - last.end < 1.0]
            assert len(reached) >= 1
            assert max(reached) < last.end + 0.45, "nothing was begun at the endpoint itself, half a second later"

    run(scenario)


def test_a_recogniser_that_fails_once_is_asked_again(recording: Recording) -> None:
    async def scenario() -> None:
        ear = KnownEar(recording)
        ear.errors = [Overloaded("busy"), WorkerDied("gone"), TimedOut("late")]
        assert finals(await listened(recording, ear)) == SENTENCES

    run(scenario)


def test_where_it_goes_on_failing_the_final_text_says_so(voice: EspeakVoice) -> None:
    async def scenario() -> None:
        recording = Recording(voice, SENTENCES[:1])
        ear = KnownEar(recording)
        ear.errors = [Overloaded("busy") for _ in range(100)]
        events = await listened(recording, ear)
        (final,) = [e for e in events if isinstance(e, Final) and not e.asked]
        assert isinstance(final.error, Overloaded)
        assert len(ear.errors) >= 90, "it is not asked over and over"

    run(scenario)


@pytest.mark.parametrize(
    "error", [EngineUnavailable("Run pip."), InvalidInput("Not that language."), ZeroDivisionError()]
)
def test_where_trying_again_is_of_no_use_the_events_end_with_the_error(error: Exception, recording: Recording) -> None:
    async def scenario() -> None:
        async def broken(audio: Audio, language: str) -> Transcript:
            raise error

        async with Listening(broken, language="en", rate=16000) as listening:
            with pytest.raises(type(error)):
                async for _ in listening:
                    pass
            await listening.feed(recording.pcm)  # nobody listens, and nobody waits
            await listening.flush()
            await listening.caught_up()
            await listening.finish()

    run(scenario)


def test_a_client_that_sends_too_fast_is_made_to_wait(voice: EspeakVoice) -> None:
    async def scenario() -> None:
        recording = Recording(voice, SENTENCES * 3)
        ear = KnownEar(recording)
        async with Listening(ear, language="en", rate=16000) as listening:
            await listening.caught_up()
            ear.hold()
            speaking = asyncio.create_task(listening.feed(recording.pcm))
            events = [await anext(listening) for _ in range(4)]
            assert [type(e) for e in events] == [SpeechStarted, SpeechStopped, SpeechStarted, SpeechStopped]
            await asyncio.wait([speaking], timeout=0.5)
            assert not speaking.done(), "a second utterance waits for the first one's text: nothing is taken any more"
            ear.gate.set()
            await speaking
            await listening.finish()
            assert finals([e async for e in listening]) == SENTENCES * 3

    run(scenario)


def test_who_leaves_takes_the_work_along(recording: Recording) -> None:
    async def scenario() -> None:
        ear = KnownEar(recording)
        async with Listening(ear, language="en", rate=16000) as listening:
            await listening.caught_up()
            ear.hold()
            speaking = asyncio.create_task(listening.feed(recording.pcm))
            await ear.begun.wait()
        assert ear.cancelled == 1
        assert ear.running == 0
        await speaking  # the rest is dropped

    run(scenario)


@pytest.mark.parametrize("window", [12.0, 4.0])
def test_a_monologue_is_heard_in_windows_that_stay_short_and_no_word_is_lost_or_doubled(
    voice: EspeakVoice, window: float
) -> None:
    async def scenario() -> None:
        recording = Recording(voice, [LONG])
        ear = KnownEar(recording)
        events = await listened(recording, ear, manner=Manner(window_seconds=window, endpoint_seconds=0.8))
        assert " ".join(finals(events)) == LONG
        assert max(until - since for since, until in ear.heard) <= window + 0.1

    run(scenario)


def test_a_slow_recogniser_gets_shorter_windows(voice: EspeakVoice) -> None:
    """Half of real time: what takes two seconds to recognise cannot be final in one."""

    async def scenario() -> None:
        recording = Recording(voice, [LONG])
        ear = KnownEar(recording)
        quick = KnownEar(recording)

        async def slow(audio: Audio, language: str) -> Transcript:
            heard = await ear(audio, language)
            await asyncio.sleep(audio.seconds * 0.02)  # fifty times faster than it says to be, and so is the budget
            return heard

        manner = Manner(final_seconds=0.07)
        async with Listening(slow, language="en", rate=16000, manner=manner) as listening:
            events, pcm = [], recording.pcm
            for at in range(0, len(pcm), 3200):
                await listening.feed(pcm[at : at + 3200])
                await listening.caught_up()
            await listening.finish()
            events = [event async for event in listening]
        await listened(recording, quick)
        assert " ".join(finals(events)) == LONG
        assert _mean(ear) < 0.75 * _mean(quick)

    run(scenario)


def _mean(ear: KnownEar) -> float:
    return float(np.mean([until - since for since, until in ear.heard[-20:]]))


def test_a_text_without_word_times_is_told_too(recording: Recording) -> None:
    """As of a service that gives none."""

    async def scenario() -> None:
        ear = KnownEar(recording)

        async def timeless(audio: Audio, language: str) -> Transcript:
            heard = await ear(audio, language)
            return Transcript("en", heard.seconds, tuple(Segment(s.text, s.start, s.end) for s in heard.segments))

        async with Listening(timeless, language="en", rate=16000) as listening:
            await listening.feed(recording.pcm)
            await listening.finish()
            assert finals([e async for e in listening]) == SENTENCES

    run(scenario)


def test_only_so_many_are_listened_to_at_a_time(recording: Recording) -> None:
    async def scenario() -> None:
        listeners = Listeners(KnownEar(recording), language="en", most=1)
        async with listeners.listening(language=None, rate=16000):
            with pytest.raises(Overloaded, match="1 clients"):
                async with listeners.listening(language=None, rate=16000):
                    pass
        with pytest.raises(InvalidInput, match="not known"):
            async with listeners.listening(language="xx", rate=16000):
                pass
        with pytest.raises(InvalidInput, match="8000 to 48000"):
            async with listeners.listening(language="ru", rate=7999):
                pass
        async with listeners.listening(language="auto", rate=16000):
            assert listeners.busy == 1
        assert listeners.busy == 0

    run(scenario)


# ---- how long a window may be


def test_the_pace_finds_the_fixed_and_the_growing_part() -> None:
    pace = Pace()
    assert pace.affordable(0.8, most=12) == 12
    for seconds in (1.0, 2.0, 4.0, 6.0):
        pace.add(seconds, 0.2 + 0.1 * seconds)
    assert pace.affordable(0.8, most=12) == pytest.approx(6.0)
    assert pace.affordable(5.0, most=12) == 12


def test_a_recogniser_that_pads_everything_to_one_length_keeps_its_windows() -> None:
    pace = Pace()
    for seconds in (1.0, 2.0, 4.0, 6.0):
        pace.add(seconds, 1.5)
    assert pace.affordable(0.8, most=12) == 12
