"""The executor with real processes: order, cancel, death, and nothing left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import performers
import psutil
import pytest

from vivavoce.errors import Cancelled, FaceRejected, Overloaded, TooLarge, VivavoceError, WorkerDied
from vivavoce.work.events import Data, Done, Event, Progress, Task
from vivavoce.work.local import LocalExecutor

Body = Callable[[LocalExecutor], Awaitable[None]]


def with_executor(body: Body, workers: int = 1, **options: Any) -> None:
    async def main() -> None:
        executor = LocalExecutor(performers.toy, workers, **options)
        try:
            async with asyncio.timeout(30):
                await executor.start()
                await body(executor)
        finally:
            await executor.close()
        assert not executor.processes

    asyncio.run(main())


async def all_events(executor: LocalExecutor, kind: str, **params: Any) -> list[Event]:
    async with aclosing(executor.submit(Task(kind, kind, params))) as events:
        return [event async for event in events]


async def result(executor: LocalExecutor, kind: str, **params: Any) -> dict[str, Any]:
    last = (await all_events(executor, kind, **params))[-1]
    assert isinstance(last, Done)
    return dict(last.result)


def test_events_arrive_whole_and_in_order() -> None:
    async def body(executor: LocalExecutor) -> None:
        events = await all_events(executor, "echo", picture=b"\0\1", place=Path("x"))
        assert events == [
            Progress(0.5, "half"),
            Data(b"abc"),
            Data(b"def"),
            Done({"picture": b"\0\1", "place": Path("x")}),
        ]

    with_executor(body)


def test_tasks_run_in_parallel_and_one_after_another_on_one_worker(tmp_path: Path) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b")

    async def body(executor: LocalExecutor) -> None:
        one, two = await asyncio.gather(
            result(executor, "meet", mine=a, other=b), result(executor, "meet", mine=b, other=a)
        )
        assert one["pid"] != two["pid"]
        assert executor.ready
        assert (executor.capacity, executor.busy, executor.waiting) == (2, 0, 0)

    with_executor(body, workers=2)


def test_first_come_first_served() -> None:
    async def body(executor: LocalExecutor) -> None:
        order: list[int] = []

        async def one(number: int) -> None:
            await result(executor, "echo")
            order.append(number)

        await asyncio.gather(*(one(n) for n in range(6)))
        assert order == list(range(6))

    with_executor(body)


def test_workers_are_polite_and_single_threaded() -> None:
    async def body(executor: LocalExecutor) -> None:
        assert await result(executor, "environment") == {"nice": min(19, os.nice(0) + 5), "threads": 1}

    with_executor(body)


def test_closing_the_events_frees_the_worker_within_a_second(tmp_path: Path) -> None:
    async def body(executor: LocalExecutor) -> None:
        pids = executor.processes
        events = executor.submit(Task("1", "forever", {"cleaned": tmp_path / "cleaned"}))
        await anext(events)
        async with asyncio.timeout(1):
            await events.aclose()
        assert (tmp_path / "cleaned").exists()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        assert (await result(executor, "echo")) == {}
        assert executor.processes == pids

    with_executor(body)


def test_cancelling_the_asyncio_task_cancels_the_work(tmp_path: Path) -> None:
    async def body(executor: LocalExecutor) -> None:
        started = asyncio.Event()

        async def read() -> None:
            async with aclosing(executor.submit(Task("1", "forever", {"cleaned": tmp_path / "cleaned"}))) as events:
                async for _ in events:
                    started.set()

        reading = asyncio.create_task(read())
        await started.wait()
        reading.cancel()
        async with asyncio.timeout(1):
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert (tmp_path / "cleaned").exists()
        assert executor.busy == 0

    with_executor(body)


def test_dropped_events_cancel_the_work(tmp_path: Path) -> None:
    async def body(executor: LocalExecutor) -> None:
        executor.submit(Task("1", "forever", {"cleaned": tmp_path / "cleaned"}))
        async with asyncio.timeout(2):
            assert await result(executor, "echo") == {}  # the only worker is free again, or never was taken
        assert executor.busy == 0

    with_executor(body)


def test_a_worker_that_does_not_listen_is_killed_and_replaced() -> None:
    async def body(executor: LocalExecutor) -> None:
        before = executor.processes
        events = executor.submit(Task("1", "deaf"))
        await anext(events)
        assert executor.cancel("1")
        async with asyncio.timeout(1.5):
            with pytest.raises(Cancelled):
                await anext(events)
        assert await result(executor, "echo") == {}
        assert executor.processes != before

    with_executor(body)


def test_cancel_while_waiting(tmp_path: Path) -> None:
    async def body(executor: LocalExecutor) -> None:
        running = executor.submit(Task("1", "forever", {"cleaned": tmp_path / "cleaned"}))
        await anext(running)
        waiting = executor.submit(Task("2", "echo"))
        assert (executor.busy, executor.waiting) == (1, 1)
        assert executor.cancel("2")
        with pytest.raises(Cancelled):
            await anext(waiting)
        assert executor.waiting == 0
        assert not executor.cancel("2")
        assert not executor.cancel("never there")
        await running.aclose()

    with_executor(body)


def test_too_many_waiting_tasks_are_refused(tmp_path: Path) -> None:
    async def body(executor: LocalExecutor) -> None:
        first = executor.submit(Task("1", "forever", {"cleaned": tmp_path / "cleaned"}))
        await anext(first)
        second = executor.submit(Task("2", "echo"))
        with pytest.raises(Overloaded, match="try again"):
            executor.submit(Task("3", "echo"))
        await first.aclose()
        assert [type(event) async for event in second] == [Progress, Data, Data, Done]

    with_executor(body, max_queue=1)


def test_a_killed_worker_is_replaced_and_its_task_done_again(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    lives.write_text("1")

    async def body(executor: LocalExecutor) -> None:
        assert await result(executor, "die", lives=lives) == {"lives": 0}

    with_executor(body)


def test_a_task_that_kills_twice_fails(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    lives.write_text("5")

    async def body(executor: LocalExecutor) -> None:
        with pytest.raises(WorkerDied):
            await result(executor, "die", lives=lives)
        assert lives.read_text() == "3"
        assert await result(executor, "echo") == {}

    with_executor(body)


def test_data_is_never_sent_twice(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    lives.write_text("1")

    async def body(executor: LocalExecutor) -> None:
        events = executor.submit(Task("1", "die", {"lives": lives, "say": True}))
        assert await anext(events) == Data(b"first")
        with pytest.raises(WorkerDied):
            await anext(events)
        assert lives.read_text() == "0"

    with_executor(body)


def test_a_worker_killed_while_idle_is_replaced() -> None:
    async def body(executor: LocalExecutor) -> None:
        (pid,) = executor.processes
        os.kill(pid, signal.SIGKILL)
        assert await result(executor, "echo") == {}
        assert pid not in executor.processes
        assert not psutil.pid_exists(pid)

    with_executor(body)


def test_signals_to_the_whole_group_do_not_end_a_worker() -> None:
    async def body(executor: LocalExecutor) -> None:
        (pid,) = executor.processes
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        assert await result(executor, "echo") == {}
        assert executor.processes == [pid]

    with_executor(body)


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("reject", FaceRejected, "No face was found"),
        ("crash", VivavoceError, "log"),
        ("silent", VivavoceError, "log"),
    ],
)
def test_errors_travel(kind: str, error: type[VivavoceError], words: str) -> None:
    async def body(executor: LocalExecutor) -> None:
        with pytest.raises(VivavoceError, match=words) as raised:
            await result(executor, kind)
        assert type(raised.value) is error
        assert "secret" not in str(raised.value)
        assert await result(executor, "echo") == {}

    with_executor(body)


@pytest.mark.parametrize(("factory", "error"), [(performers.broken, TooLarge), (performers.fatal, WorkerDied)])
def test_engines_that_cannot_load_stop_the_start(factory: Any, error: type[Exception]) -> None:
    async def main() -> None:
        executor = LocalExecutor(factory, 2)
        with pytest.raises(error):
            await executor.start()
        assert not executor.ready
        assert not executor.processes

    asyncio.run(main())


def test_workers_that_die_while_they_start_are_replaced(tmp_path: Path) -> None:
    births = tmp_path / "births"
    births.write_text("dies dies lives dies fails lives")

    async def main() -> None:
        executor = LocalExecutor(partial(performers.fated, births), 2)
        async with asyncio.timeout(30):
            await executor.start()
        assert executor.ready
        assert births.read_text() == ""
        assert await result(executor, "echo") == {}
        await executor.close()

    asyncio.run(main())


def test_a_slow_reader_holds_the_worker_back_and_not_the_loop(tmp_path: Path) -> None:
    count = tmp_path / "count"

    async def body(executor: LocalExecutor) -> None:
        slow = executor.submit(Task("1", "flood", {"pieces": 1000, "count": count}))
        assert isinstance(await anext(slow), Data)
        # While another client reads all of its 1000 pieces, the slow one's worker waits for its reader.
        assert len(await all_events(executor, "flood", pieces=1000, count=tmp_path / "other")) == 1001
        assert int(count.read_text()) < 100
        async with asyncio.timeout(1):
            await slow.aclose()

    with_executor(body, workers=2)


def test_thirty_cancelled_tasks_leave_nothing_behind(tmp_path: Path) -> None:
    me = psutil.Process()

    async def body(executor: LocalExecutor) -> None:
        await result(executor, "echo")
        before = (executor.processes, threading.active_count(), me.num_fds(), len(asyncio.all_tasks()))
        for number in range(30):
            events = executor.submit(Task(str(number), "forever", {"cleaned": tmp_path / "c"}))
            if number % 3:
                await anext(events)
            await events.aclose()
        assert await result(executor, "echo") == {}
        assert (executor.processes, threading.active_count(), me.num_fds(), len(asyncio.all_tasks())) == before

    children, threads, handles = me.children(recursive=True), threading.active_count(), me.num_fds()
    with_executor(body, workers=2)
    assert me.children(recursive=True) == children
    assert (threading.active_count(), me.num_fds()) == (threads, handles)


def test_closing_ends_running_and_waiting_work(tmp_path: Path) -> None:
    children = psutil.Process().children(recursive=True)

    async def main() -> None:
        executor = LocalExecutor(performers.toy, 1)
        await executor.start()
        running = executor.submit(Task("1", "forever", {"cleaned": tmp_path / "c"}))
        await anext(running)
        waiting = executor.submit(Task("2", "echo"))
        async with asyncio.timeout(3):
            await executor.close()
        for events in (running, waiting):
            with pytest.raises(Cancelled):
                await anext(events)
        with pytest.raises(Cancelled):
            executor.submit(Task("3", "echo"))

    asyncio.run(main())
    assert psutil.Process().children(recursive=True) == children


PARENT = """
import asyncio
import performers
from vivavoce.work.events import Task
from vivavoce.work.local import LocalExecutor

async def main():
    executor = LocalExecutor(performers.toy, 2)
    await executor.start()
    events = executor.submit(Task("1", "deaf"))
    await anext(events)
    print(*executor.processes, flush=True)
    await anext(events)

asyncio.run(main())
"""


def test_workers_end_when_the_server_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    ) as parent:
        assert parent.stdout
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=3)
    assert not alive
