"""The job table as its callers see it, the same on SQLite and PostgreSQL: one winner, nothing lost, nothing doubled."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from databases import Clock, opened
from vivavoce.errors import Conflict, InvalidInput, LeaseLost, NotFound, Overloaded
from vivavoce.nouns import Job
from vivavoce.store.jobs import Beat, JobTable

Play = Callable[[Callable[[JobTable], Awaitable[None]]], None]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def play(database_url: str, clock: Clock) -> Play:
    """Run a story on an empty table, in half a minute at most."""

    def play(story: Callable[[JobTable], Awaitable[None]]) -> None:
        async def run() -> None:
            async with opened(database_url, clock=clock) as table, asyncio.timeout(30):
                await story(table)

        asyncio.run(run())

    return play


async def claimed(table: JobTable, worker: str = "w") -> Job:
    job = await table.claim(worker, ["video", "prepare"])
    assert job is not None
    return job


async def told(table: JobTable, job: str) -> list[str]:
    """What the events say of a job, in words; their numbers have no gap."""
    events = await table.events(job)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [event.data["state"] if event.type == "state" else event.type for event in events]


def test_a_job_from_its_request_to_its_result(play: Play, clock: Clock) -> None:
    async def story(table: JobTable) -> None:
        job, new = await table.add(
            "video",
            {"text": "Қазақша, 한국어", "fps": 25},
            owner="anna",
            priority=3,
            retention=60,
            webhook="https://a.test/",
        )
        assert new
        assert (job.state, job.created, job.attempt, job.lease, job.attached) == ("queued", clock.now, 0, "", False)
        assert job.params == {"text": "Қазақша, 한국어", "fps": 25}

        clock.now += 5
        running = await claimed(table, "w1")
        assert (running.id, running.state, running.worker, running.attempt) == (job.id, "running", "w1", 1)
        assert (running.started, running.lease_until) == (clock.now, clock.now + 15)
        assert len(running.lease) == 32

        event = await table.report(job.id, running.lease, "chunk", {"url": "/a.mp4"}, progress=0.25, stage="render")
        assert (event.seq, event.type, event.data, event.time) == (3, "chunk", {"url": "/a.mp4"}, clock.now)
        seen = await table.get(job.id, owner="anna")
        assert (seen.progress, seen.stage) == (0.25, "render")

        clock.now += 5
        ended = await table.finish(
            job.id, running.lease, "succeeded", result={"url": "/b.mp4"}, timings={"say": 0.5, "render": 4.0}
        )
        assert ended == await table.get(job.id)
        assert ended.ended
        assert (ended.state, ended.progress, ended.lease) == ("succeeded", 1.0, "")
        assert (ended.finished, ended.expires) == (clock.now, clock.now + 60)
        assert ended.timings == {"say": 0.5, "render": 4.0}
        last = (await table.events(job.id, after=3))[0]
        assert last.data == {
            "state": "succeeded",
            "result": {"url": "/b.mp4"},
            "error": None,
            "timings": {"say": 0.5, "render": 4.0},
        }
        assert await told(table, job.id) == ["queued", "running", "chunk", "succeeded"]
        assert [e.seq for e in await table.events(job.id, after=1, limit=2)] == [2, 3]

    play(story)


def test_an_attached_job_runs_at_once(play: Play) -> None:
    async def story(table: JobTable) -> None:
        job = await table.begin("chunks", {"text": "hi"}, worker="server", owner="anna")
        assert (job.state, job.attached, job.attempt, job.worker) == ("running", True, 1, "server")
        assert await table.claim("w", ["chunks"]) is None
        assert not (await table.beat("server", {job.id: job.lease})).lost
        await table.finish(job.id, job.lease, "failed", error={"code": "timed-out", "message": "Too slow."})
        assert (await table.get(job.id)).error == {"code": "timed-out", "message": "Too slow."}
        assert await told(table, job.id) == ["running", "failed"]

    play(story)


def test_what_needs_a_voice_of_somebody_is_not_claimed_elsewhere(play: Play) -> None:
    async def story(table: JobTable) -> None:
        for name, kind, params in (
            ("clone", "video", {"voice_engine": "clone", "voice": "anna"}),
            ("none", "prepare", {}),
            ("voice", "video", {"voice_engine": "espeak"}),
        ):
            await table.add(kind, {"name": name, **params})
        kinds = ["video", "prepare"]
        taken = await table.claim("w", kinds, "away")
        assert taken is not None
        assert taken.params["name"] == "voice"
        assert await table.claim("w", kinds, "away") is None
        assert not await table.waiting(kinds, 0, "away")
        assert await table.waiting(kinds, 0, "home")
        await table.release(taken.id, taken.lease)
        here = [await table.claim("w", kinds, "home") for _ in range(3)]
        assert [job and job.params["name"] for job in here] == ["clone", "none", None]
        assert await table.waiting(kinds, 0, "away")

    play(story)


def test_priority_then_age_and_only_the_kinds_asked_for(play: Play, clock: Clock) -> None:
    async def story(table: JobTable) -> None:
        for name, kind, priority in (("a", "video", 0), ("b", "prepare", 5), ("c", "video", 5), ("d", "video", 5)):
            await table.add(kind, {"name": name}, priority=priority)
        clock.now -= 100  # a clock that is set back does not change who came first
        await table.add("video", {"name": "e"}, priority=0)
        by_name = {job.params["name"]: job.id for job in (await table.list())[0]}
        assert [await table.position(by_name[name]) for name in "bcdae"] == [0, 1, 2, 3, 4]
        assert await table.claim("w", ["stream"]) is None
        assert await table.claim("w", []) is None
        order = [await table.claim("w", ["video"]) for _ in range(4)]
        assert [job.params["name"] for job in order if job] == ["c", "d", "a", "e"]
        assert await table.claim("w", ["video"]) is None
        assert await table.position(by_name["b"]) == 0
        assert await table.position(by_name["c"]) is None
        assert await table.position("no-such") is None

    play(story)


def test_twenty_take_two_hundred_each_once(play: Play) -> None:
    async def story(table: JobTable) -> None:
        await asyncio.gather(*(table.add("video", {"n": n}) for n in range(200)))
        taken: list[str] = []

        async def work(worker: str) -> None:
            while job := await table.claim(worker, ["video"]):
                taken.append(job.id)
                await table.finish(job.id, job.lease, "succeeded", result={})

        await asyncio.gather(*(work(f"w{n}") for n in range(20)))
        assert len(taken) == len(set(taken)) == 200
        assert await table.counts() == {"queued": 0, "running": 0, "succeeded": 200, "failed": 0, "cancelled": 0}

    play(story)


def test_an_old_lease_changes_nothing(play: Play, clock: Clock) -> None:
    async def story(table: JobTable) -> None:
        job, _ = await table.add("video", {})
        old = await claimed(table, "w1")
        clock.now += 16
        assert [j.state for j in await table.recover()] == ["queued"]
        new = await claimed(table, "w2")
        assert (new.id, new.attempt) == (job.id, 2)
        before = await table.get(job.id), await table.events(job.id)
        for lease in (old.lease, "", "guess"):
            with pytest.raises(LeaseLost):
                await table.finish(job.id, lease, "succeeded", result={"of": "the old one"})
            with pytest.raises(LeaseLost):
                await table.report(job.id, lease, "progress", {}, progress=0.9)
            with pytest.raises(LeaseLost):
                await table.release(job.id, lease)
        assert (await table.beat("w1", {job.id: old.lease})).lost == {job.id}
        assert (await table.beat("w1", {job.id: new.lease})).lost == {job.id}  # not this worker's
        assert before == (await table.get(job.id), await table.events(job.id))
        await table.finish(job.id, new.lease, "succeeded", result={"of": "the new one"})
        with pytest.raises(LeaseLost):
            await table.finish(job.id, new.lease, "failed", error={"code": "x", "message": "x"})
        assert (await table.get(job.id)).result == {"of": "the new one"}

    play(story)


def test_of_many_that_finish_at_once_one_wins(play: Play) -> None:
    async def story(table: JobTable) -> None:
        await table.add("video", {})
        job = await claimed(table)
        ends = [table.finish(job.id, job.lease, "succeeded", result={"n": n}) for n in range(10)]
        results = await asyncio.gather(*ends, return_exceptions=True)
        won = [r for r in results if isinstance(r, Job)]
        assert len(won) == 1
        assert sum(isinstance(r, LeaseLost) for r in results) == 9
        assert (await table.get(job.id)).result == won[0].result
        assert await told(table, job.id) == ["queued", "running", "succeeded"]

    play(story)


def test_an_idempotency_key_makes_one_job(play: Play) -> None:
    async def story(table: JobTable) -> None:
        calls = [table.add("video", {"a": 1, "b": [2]}, owner="anna", key="k-1") for _ in range(20)]
        made = await asyncio.gather(*calls)
        assert len({job.id for job, _ in made}) == 1
        assert sum(new for _, new in made) == 1
        same, new = await table.add("video", {"b": [2], "a": 1}, owner="anna", key="k-1", max_waiting=0)
        assert (same.id, new) == (made[0][0].id, False)  # a repeated call is answered even when the queue is full
        for kind, params in (("video", {"a": 2}), ("prepare", {"a": 1, "b": [2]})):
            with pytest.raises(Conflict, match="was used for another call"):
                await table.add(kind, params, owner="anna", key="k-1")
        _, new = await table.add("video", {"a": 2}, owner="boris", key="k-1")
        assert new
        assert (await table.list())[1] == 2
        assert await told(table, made[0][0].id) == ["queued"]
        for bad in ("", "two words", "ключ", "x" * 256, "line\n"):
            with pytest.raises(InvalidInput, match="idempotency key is 1 to 255"):
                await table.add("video", {}, key=bad)

    play(story)


def test_no_more_wait_than_may(play: Play) -> None:
    async def story(table: JobTable) -> None:
        results = await asyncio.gather(
            *(table.add("video", {"n": n}, max_waiting=5) for n in range(20)), return_exceptions=True
        )
        assert sum(isinstance(r, Overloaded) for r in results) == 15
        assert (await table.counts())["queued"] == 5
        await claimed(table)
        _, new = await table.add("video", {}, max_waiting=5)  # one that runs does not wait
        assert new

    play(story)


@pytest.mark.parametrize("bad", [{"x": float("nan")}, {"x": "a\0b"}, {"x": "\ud800"}, {"\0": 1}, {"x": b"bytes"}])
def test_what_cannot_be_kept_is_refused_at_the_door(play: Play, bad: dict[str, object]) -> None:
    async def story(table: JobTable) -> None:
        with pytest.raises(InvalidInput):
            await table.add("video", bad)
        with pytest.raises(InvalidInput):
            await table.begin("chunks", bad, worker="w")

    play(story)


def test_a_result_is_kept_whatever_is_in_it(play: Play) -> None:
    async def story(table: JobTable) -> None:
        await table.add("video", {"path": "back\\u0000slash"})
        job = await claimed(table)
        await table.report(job.id, job.lease, "progress", {"eta": float("inf")}, progress=float("1e9"), stage="x" * 99)
        await table.finish(job.id, job.lease, "failed", error={"code": "x", "message": "half \udcff \0 text"})
        seen = await table.get(job.id)
        assert seen.params == {"path": "back\\u0000slash"}
        assert seen.error == {"code": "x", "message": "half \ufffd \ufffd text"}
        assert seen.progress == 1.0
        assert (await table.events(job.id))[2].data == {"eta": None}

    play(story)


def test_cancel_at_each_state(play: Play) -> None:
    async def story(table: JobTable) -> None:
        queued, _ = await table.add("video", {}, owner="anna")
        for owner in ("boris", ""):
            with pytest.raises(NotFound):
                await table.cancel(queued.id, owner=owner)
        ended = await table.cancel(queued.id, owner="anna")
        assert (ended.state, ended.error) == ("cancelled", {"code": "cancelled", "message": "It was cancelled."})
        assert ended.expires is not None
        assert await table.claim("w", ["video"]) is None
        with pytest.raises(Conflict, match="has ended already"):
            await table.cancel(queued.id)

        await table.add("video", {})
        running = await claimed(table)
        for _ in range(2):
            asked = await table.cancel(running.id)
            assert (asked.state, asked.cancel_requested) == ("running", True)
        assert await table.beat("w", {running.id: running.lease}) == Beat(frozenset(), frozenset({running.id}))
        won = await table.finish(running.id, running.lease, "succeeded", result={"url": "/x.mp4"}, timings={"say": 1.0})
        assert (won.state, won.result, won.timings) == ("cancelled", None, {"say": 1.0})
        assert await told(table, running.id) == ["queued", "running", "cancel", "cancelled"]

        await table.add("video", {})
        done = await claimed(table)
        await table.finish(done.id, done.lease, "succeeded", result={"url": "/y.mp4"})
        with pytest.raises(Conflict):
            await table.cancel(done.id)
        assert (await table.get(done.id)).result == {"url": "/y.mp4"}
        with pytest.raises(NotFound):
            await table.cancel("no-such")

    play(story)


def test_a_cancel_and_a_finish_at_once_agree(play: Play) -> None:
    async def story(table: JobTable) -> None:
        for _ in range(15):
            await table.add("video", {})
            job = await claimed(table)
            cancel, finish = await asyncio.gather(
                table.cancel(job.id),
                table.finish(job.id, job.lease, "succeeded", result={}),
                return_exceptions=True,
            )
            assert isinstance(finish, Job)
            assert finish.state == ("succeeded" if isinstance(cancel, Conflict) else "cancelled")

    play(story)


def test_a_cancel_is_heard_at_once_in_the_same_process(play: Play) -> None:
    async def story(table: JobTable) -> None:
        await table.add("video", {})
        job = await claimed(table)
        heard = asyncio.create_task(table.cancelled(job.id))
        await table.report(job.id, job.lease, "progress", {})
        assert not heard.done()
        start = time.perf_counter()
        await table.cancel(job.id)
        assert await heard
        assert time.perf_counter() - start < 0.5
        assert await table.cancelled(job.id)

        await table.add("video", {})
        other = await claimed(table)
        heard = asyncio.create_task(table.cancelled(other.id))
        await table.finish(other.id, other.lease, "succeeded", result={})
        assert not await heard
        with pytest.raises(NotFound):
            await table.cancelled("no-such")

    play(story)


def test_recover_frees_what_nobody_holds(play: Play, clock: Clock) -> None:
    async def story(table: JobTable) -> None:
        attached = await table.begin("chunks", {}, worker="server")
        await table.add("video", {})
        dying = await claimed(table)
        await table.add("video", {})
        living = await claimed(table, "w2")
        await table.add("video", {})
        unwanted = await claimed(table)
        await table.cancel(unwanted.id)
        clock.now += 10
        await table.beat("w2", {living.id: living.lease})
        await table.report(dying.id, dying.lease, "progress", {}, progress=0.7, stage="render")
        assert await table.recover() == []
        clock.now += 6
        freed = {job.id: job for job in await table.recover()}
        assert {name: job.state for name, job in freed.items()} == {
            attached.id: "failed",
            dying.id: "queued",
            unwanted.id: "cancelled",
        }
        assert freed[attached.id].error == {
            "code": "interrupted",
            "message": "The server stopped while it worked on this; ask for it again.",
        }
        again = freed[dying.id]
        assert (again.attempt, again.progress, again.stage, again.worker, again.started) == (1, 0.0, "", "", None)
        assert await table.recover() == []
        assert (await table.get(living.id)).state == "running"

        for attempt in (2, 3):
            job = await claimed(table)
            assert (job.id, job.attempt) == (dying.id, attempt)
            clock.now += 16
            states = {job.id: job for job in await table.recover()}
        assert states[dying.id].state == "failed"
        assert (states[dying.id].error or {})["code"] == "worker-died"
        assert await told(table, dying.id) == [
            *("queued", "running", "progress", "queued", "running", "queued", "running", "failed")
        ]

    play(story)


def test_two_that_recover_free_each_job_once(play: Play, clock: Clock) -> None:
    async def story(table: JobTable) -> None:
        for _ in range(10):
            await table.add("video", {})
            await claimed(table)
        clock.now += 16
        freed = await asyncio.gather(*(table.recover() for _ in range(5)))
        assert sorted(job.id for jobs in freed for job in jobs) == sorted(job.id for job in (await table.list())[0])

    play(story)


def test_release_does_not_count_the_attempt(play: Play) -> None:
    async def story(table: JobTable) -> None:
        await table.add("video", {})
        for _ in range(5):
            job = await claimed(table)
            assert job.attempt == 1
            await table.release(job.id, job.lease)
        assert (await table.get(job.id)).state == "queued"
        job = await claimed(table)
        await table.cancel(job.id)
        await table.release(job.id, job.lease)
        assert (await table.get(job.id)).state == "cancelled"
        attached = await table.begin("chunks", {}, worker="server")
        await table.release(attached.id, attached.lease)
        assert ((await table.get(attached.id)).error or {})["code"] == "interrupted"

    play(story)


def test_lists_are_paged_newest_first_and_show_ones_own(play: Play) -> None:
    async def story(table: JobTable) -> None:
        for n in range(12):
            await table.add("video" if n % 2 else "prepare", {"n": n}, owner="anna" if n < 9 else "boris")
        first, total = await table.list(owner="anna", limit=5)
        second, _ = await table.list(owner="anna", limit=5, offset=5)
        assert total == 9
        assert [job.params["n"] for job in first + second] == [8, 7, 6, 5, 4, 3, 2, 1, 0]
        videos, total = await table.list(owner="anna", kind="video", state="queued")
        assert ([job.params["n"] for job in videos], total) == ([7, 5, 3, 1], 4)
        assert (await table.list(state="running")) == ([], 0)
        assert (await table.list())[1] == 12
        with pytest.raises(NotFound):
            await table.get(first[0].id, owner="boris")
        with pytest.raises(NotFound):
            await table.get("no-such")
        assert (await table.get(first[0].id)).owner == "anna"

    play(story)


def test_several_kinds_are_listed_together(play: Play) -> None:
    async def story(table: JobTable) -> None:
        for n, kind in enumerate(("video", "prepare", "chat", "video", "chunks")):
            await table.add(kind, {"n": n})
        films, total = await table.list(kind=["video", "chunks"], limit=2)
        assert ([job.params["n"] for job in films], total) == ([4, 3], 3)
        assert (await table.list(kind=["video", "chat"], state="running")) == ([], 0)
        assert (await table.list(kind=["stream"])) == ([], 0)
        others, total = await table.list(without=["video", "chunks"])
        assert ([job.kind for job in others], total) == (["chat", "prepare"], 2)

    play(story)


def test_the_owner_removes_what_has_ended(play: Play, clock: Clock) -> None:
    async def story(table: JobTable) -> None:
        kept, _ = await table.add("video", {"n": 0}, owner="anna", key="other")
        queued, _ = await table.add("video", {"n": 1}, owner="anna", key="k", priority=1)
        with pytest.raises(Conflict, match="is queued; cancel it first"):
            await table.remove(queued.id, owner="anna")
        job = await claimed(table)
        assert job.id == queued.id
        await table.report(job.id, job.lease, "film", {"id": "x"})
        with pytest.raises(Conflict, match="is running; cancel it first"):
            await table.remove(job.id, owner="anna")
        await table.finish(job.id, job.lease, "failed", error={"code": "internal", "message": "No."})
        for stranger in ("boris", ""):
            with pytest.raises(NotFound):
                await table.remove(job.id, owner=stranger)
        gone, happened = await table.remove(job.id, owner="anna")
        assert (gone.id, gone.state) == (job.id, "failed")
        assert [(e.seq, e.type) for e in happened] == [(1, "state"), (2, "state"), (3, "film"), (4, "state")]
        for _ in range(2):
            with pytest.raises(NotFound):
                await table.remove(job.id, owner="anna")
        assert await table.events(job.id) == []
        assert [one.id for one in (await table.list())[0]] == [kept.id]
        with pytest.raises(LeaseLost):
            await table.report(job.id, job.lease, "progress", {})
        _, new = await table.add("video", {"n": 2}, owner="anna", key="k")
        assert new

    play(story)


def test_what_is_owed_a_webhook_is_not_removed(play: Play) -> None:
    async def story(table: JobTable) -> None:
        await table.add("video", {}, webhook="https://client.test/hook")
        job = await claimed(table)
        await table.finish(job.id, job.lease, "succeeded", result={})
        with pytest.raises(Conflict, match="still being sent"):
            await table.remove(job.id)
        (owed,) = await table.due("w")
        await table.delivered(owed.id)
        assert (await table.remove(job.id))[0].id == job.id
        assert await table.due("w") == []

    play(story)


def test_events_have_no_gaps_however_many_report_at_once(play: Play) -> None:
    async def story(table: JobTable) -> None:
        await table.add("video", {})
        job = await claimed(table)
        events = await asyncio.gather(*(table.report(job.id, job.lease, "chunk", {"n": n}) for n in range(60)))
        assert sorted(event.seq for event in events) == list(range(3, 63))
        kept = await table.events(job.id, after=2)
        assert [event.seq for event in kept] == list(range(3, 63))
        assert kept == sorted(events, key=lambda event: event.seq)

    play(story)


def test_a_reader_waits_without_missing_anything(play: Play) -> None:
    """A stream of events as the web gives it: read, wait for more, read; the end is among them."""

    async def story(table: JobTable) -> None:
        await table.add("video", {})
        job = await claimed(table)

        async def follow() -> list[int]:
            seen = [0]
            while True:
                for event in await table.events(job.id, after=seen[-1]):
                    seen.append(event.seq)
                    if event.data.get("state") == "succeeded":
                        return seen
                assert await table.changed(job.id, seen[-1], 10)

        readers = [asyncio.create_task(follow()) for _ in range(5)]
        start = time.perf_counter()
        for n in range(30):
            await table.report(job.id, job.lease, "chunk", {"n": n})
        await table.finish(job.id, job.lease, "succeeded", result={})
        for reader in readers:
            assert await reader == list(range(34))
        assert time.perf_counter() - start < 10
        assert not await table.changed(job.id, 33, 0.05)
        with pytest.raises(NotFound):
            await table.changed("no-such", 0, 1)
        assert not table._news._listeners

    play(story)


def test_writes_of_another_process_are_seen_within_a_second_or_so(database_url: str) -> None:
    async def story() -> None:
        async with opened(database_url) as here, opened(database_url) as there, asyncio.timeout(20):
            waiting = asyncio.create_task(here.waiting(["video"], 10))
            job, _ = await there.add("video", {})
            assert await waiting
            running = await there.claim("w", ["video"])
            assert running
            assert not await here.waiting(["video"], 0)
            changed = asyncio.create_task(here.changed(job.id, 2, 10))
            cancelled = asyncio.create_task(here.cancelled(job.id))
            assert await here.get(job.id)
            await there.cancel(job.id)
            assert await changed
            assert await cancelled

    asyncio.run(story())


def test_whoever_waits_for_work_hears_of_it_at_once(play: Play) -> None:
    async def story(table: JobTable) -> None:
        waits = [asyncio.create_task(table.waiting([kind], 10)) for kind in ("video", "video", "prepare")]
        await table.counts()
        start = time.perf_counter()
        await table.add("video", {})
        assert await waits[0]
        assert await waits[1]
        assert time.perf_counter() - start < 0.5
        assert not waits[2].done()
        waits[2].cancel()

    play(story)


def test_what_has_ended_is_forgotten_when_its_time_has_come(play: Play, clock: Clock) -> None:
    async def story(table: JobTable) -> None:
        for n, retention in enumerate((10, 100)):
            await table.add("video", {"n": n}, retention=retention, key=f"k{n}")
            job = await claimed(table)
            await table.finish(job.id, job.lease, "succeeded", result={})
        await table.add("video", {"n": 2}, retention=0)
        assert await table.forget(clock.now + 9) == []
        gone = await table.forget(clock.now + 10)
        assert [job.params["n"] for job in gone] == [0]
        with pytest.raises(NotFound):
            await table.get(gone[0].id)
        assert await table.events(gone[0].id) == []
        assert len(await table.forget(clock.now + 1e9)) == 1
        assert (await table.counts())["queued"] == 1  # what has not ended never expires
        _, new = await table.add("video", {"other": True}, key="k0")
        assert new

    play(story)


def test_each_end_owes_its_webhook_until_it_is_settled(play: Play, clock: Clock) -> None:
    async def story(table: JobTable) -> None:
        hook = "https://client.test/hook"
        ids = [(await table.add("video", {"n": n}, webhook=hook, retention=0))[0].id for n in range(4)]
        assert await table.due("w") == []
        done = await claimed(table)
        await table.finish(done.id, done.lease, "succeeded", result={"url": "/x.mp4"})
        dead = await claimed(table)
        await table.cancel(ids[2])
        await table.cancel(ids[3])
        for _ in range(3):
            clock.now += 16
            await table.recover()
            await table.claim("w", ["video"])
        assert (await table.get(dead.id)).state == "failed"

        owed = await asyncio.gather(*(table.due(f"w{n}", limit=1) for n in range(6)))
        flat = [delivery for some in owed for delivery in some]
        assert sorted(delivery.job.id for delivery in flat) == sorted(ids)
        assert {delivery.job.state for delivery in flat} == {"succeeded", "failed", "cancelled"}
        assert all(delivery.url == hook and delivery.attempt == 1 for delivery in flat)
        by_job = {delivery.job.id: delivery for delivery in flat}
        assert by_job[done.id].job.result == {"url": "/x.mp4"}

        assert await table.forget(clock.now + 1) == []
        await table.delivered(by_job[ids[0]].id)
        await table.postponed(by_job[ids[1]].id, clock.now + 5)
        await table.given_up(by_job[ids[2]].id, "It answered 410.")
        await table.postponed(by_job[ids[0]].id, clock.now)  # too late: it was delivered
        clock.now += 5
        again = await table.due("w")
        assert [(d.job.id, d.attempt) for d in again] == [(ids[1], 2)]
        clock.now += 60  # nothing became of the fourth: its sender died
        assert {d.job.id for d in await table.due("w")} == {ids[1], ids[3]}
        assert {job.id for job in await table.forget(clock.now + 1)} == {ids[0], ids[2]}

    play(story)


def test_the_jobs_of_a_server_that_is_known_to_be_gone_are_freed_at_once(play: Play) -> None:
    async def story(table: JobTable) -> None:
        name = "20261121_124500_123456_999999_0123456789abcdef"
        gone = await table.begin("chunks", {}, worker="gone", id=name)
        assert gone.id == name
        here = await table.begin("chunks", {}, worker="here")
        assert await table.workers() == {"gone", "here"}
        await table.abandon("gone")
        assert [job.id for job in await table.recover()] == [name]
        assert (await table.get(here.id)).state == "running"
        assert await table.workers() == {"here"}

    play(story)
