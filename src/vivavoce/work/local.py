"""Work on this machine: a few processes that load their engines once and take tasks in turn.

The event loop only ever waits on sockets. A worker that dies closes its socket, so its death is seen at once; a worker
that does not let go of cancelled work in time is killed and replaced.
"""

import asyncio
import itertools
from bisect import insort
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from vivavoce.errors import Cancelled, Overloaded, VivavoceError, WorkerDied
from vivavoce.work.events import Done, Performer, Task
from vivavoce.work.job import Events, Job
from vivavoce.work.process import Gone, WorkerProcess
from vivavoce.work.wire import Cancel, Failed, Happened, Perform

__all__ = ["LocalExecutor"]

_GRACE = 0.8  # seconds that a worker has to let go of cancelled work
_PAUSES = (0.0, 0.5, 2.0, 10.0)  # seconds before a worker is replaced, by how often in a row that failed
_BIRTHS = 3  # workers that may die in a row while the very first one starts

log = structlog.get_logger(__name__)


class LocalExecutor:
    """Performs tasks in ``workers`` processes: the most urgent first, then first come first served.

    ``factory`` is called once in each worker and makes its performer; it is pickled, so it is a function of a module or
    a ``functools.partial`` of one. At most ``max_queue`` tasks wait for a free worker. To be made and used in one event
    loop.
    """

    def __init__(self, factory: Callable[[], Performer], workers: int, max_queue: int = 64) -> None:
        self._factory = factory
        self._lanes = [_Lane() for _ in range(workers)]
        self._max_queue = max_queue
        self._queue: list[Job] = []
        self._arrival = asyncio.Event()
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        self._served = False
        """Whether any worker was ever ready: then the engines can be loaded, and a death is an accident."""

    @property
    def capacity(self) -> int:
        """How many tasks run at the same time."""
        return len(self._lanes)

    @property
    def busy(self) -> int:
        """How many tasks run."""
        return sum(lane.job is not None and not lane.job.finished.is_set() for lane in self._lanes)

    @property
    def waiting(self) -> int:
        """How many tasks wait for a worker."""
        return len(self._queue)

    @property
    def ready(self) -> bool:
        """Whether every worker has loaded its engines."""
        return not self._closed and all(lane.ready.is_set() for lane in self._lanes)

    @property
    def processes(self) -> list[int]:
        """Process ids of the workers."""
        return [lane.pid for lane in self._lanes if lane.pid]

    async def start(self) -> None:
        """Start the workers; returns when all are ready. Tasks may be submitted meanwhile.

        The first loads its engines alone, so that there is somebody to serve as early as can be; then all the others.
        When the first cannot load its engines, or dies of it three times, the executor closes, and what the loading
        raised is raised here. Once there is one that serves, the others are tried until they can.
        """
        for lanes in (self._lanes[:1], self._lanes[1:]):
            self._tasks += [asyncio.create_task(self._serve(lane), name="worker lane") for lane in lanes]
            await self._loaded(lanes)

    async def _loaded(self, lanes: "Sequence[_Lane]") -> None:
        ready = asyncio.create_task(_all_ready(lanes))
        try:
            await asyncio.wait([ready, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                return
            failed = next(task for task in self._tasks if task.done())
            await self.close()
            if failed.cancelled():
                raise Cancelled("The server is shutting down.")
            failed.result()
        finally:
            ready.cancel()

    def submit(self, task: Task) -> Events:
        """Queue a task and return its events, which end with ``Done`` or raise what the task raised.

        Raises ``Overloaded`` when too many tasks wait. The work is cancelled when the events are closed or dropped, or
        when the asyncio task that waits for one is cancelled; once closed (``contextlib.aclosing``) it has ended.
        """
        if self._closed:
            raise Cancelled("The server is shutting down.")
        if len(self._queue) - (self.capacity - self.busy) >= self._max_queue:
            raise Overloaded(f"{len(self._queue)} tasks are waiting already; try again in a moment.")
        job = Job(next(self._numbers), task)
        self._enqueue(job)
        return Events(job, self._stop)

    def cancel(self, id: str) -> bool:  # noqa: A002  the task's own word
        """Cancel the tasks of that id; their events raise ``Cancelled``. False when none waits or runs."""
        jobs = [job for job in self._jobs() if job.task.id == id]
        for job in jobs:
            self._stop(job)
        return bool(jobs)

    async def close(self) -> None:
        """Cancel everything and end the workers; returns when no process is left."""
        self._closed = True
        jobs = self._jobs()
        for job in jobs:
            self._stop(job)
        if any(not task.done() for task in self._tasks):
            await asyncio.gather(*(job.finished.wait() for job in jobs))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _jobs(self) -> list[Job]:
        return [*self._queue, *(lane.job for lane in self._lanes if lane.job)]

    def _stop(self, job: Job) -> None:
        job.stop()
        if job in self._queue:
            self._queue.remove(job)
            job.end()

    async def _serve(self, lane: "_Lane") -> None:
        """Keep a worker alive and at work. Raises only when no worker has ever loaded its engines."""
        while True:
            try:
                await self._live(lane)
            except Gone as gone:
                if not self._served and lane.failures + 1 >= _BIRTHS:
                    raise WorkerDied("A worker died while it started; the server's log says why.") from gone
            except (VivavoceError, OSError) as error:
                if not self._served:
                    raise
                log.warning("a worker cannot start", error=str(error))
            log.warning("a worker is replaced", failures=lane.failures)
            await asyncio.sleep(_PAUSES[min(lane.failures, len(_PAUSES) - 1)])
            lane.failures += 1

    async def _live(self, lane: "_Lane") -> None:
        """The life of one worker, which ends with ``Gone`` or an error while it starts."""
        worker = await WorkerProcess.start(self._factory)
        try:
            lane.pid = worker.pid
            await worker.loaded()
            lane.failures, self._served = 0, True
            lane.ready.set()
            while True:
                lane.job = await self._next(worker)
                await self._perform(worker, lane.job)
                lane.job = None
        finally:
            lane.ready.clear()
            lane.job = None
            try:
                await _to_the_end(worker.end())
            finally:
                lane.pid = None

    async def _next(self, worker: WorkerProcess) -> Job:
        """The first job of the queue, when there is one. Raises ``Gone`` when the worker dies before."""
        while not self._queue or worker.incoming().done():
            self._arrival.clear()
            arrival = asyncio.create_task(self._arrival.wait())
            try:
                await asyncio.wait({arrival, worker.incoming()}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                arrival.cancel()
            if worker.incoming().done():
                await worker.read()
        return self._queue.pop(0)

    async def _perform(self, worker: WorkerProcess, job: Job) -> None:
        """Do one job to its end, whatever that is. Raises ``Gone`` when the worker is of no use any more."""
        worker.send(Perform(job.number, job.task))
        feed = asyncio.create_task(_feed(worker, job))
        stopped = asyncio.create_task(job.stopped.wait())
        try:
            await asyncio.wait({feed, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not feed.done():
                worker.send(Cancel(job.number))
                await asyncio.wait({feed}, timeout=_GRACE)
            if not feed.done():
                log.warning("a worker did not let go of cancelled work", pid=worker.pid, kind=job.task.kind)
                worker.kill()
            await feed
        except Gone:
            self._lost(job)
            raise
        finally:
            stopped.cancel()
            feed.cancel()

    def _lost(self, job: Job) -> None:
        """The worker died on the job: it is done once more, unless part of its answer is out already."""
        if job.restarted or job.answered or job.stopped.is_set():
            job.end(WorkerDied("The process that did the work died; try again."))
            return
        log.warning("a task is done again", kind=job.task.kind, task=job.task.id)
        job.restarted = True
        self._enqueue(job)

    def _enqueue(self, job: Job) -> None:
        """Behind all that go first: higher priority, or the same and an earlier number."""
        insort(self._queue, job, key=lambda queued: (-queued.task.priority, queued.number))
        self._arrival.set()


async def _all_ready(lanes: "Sequence[_Lane]") -> None:
    for lane in lanes:
        await lane.ready.wait()


class _Lane:
    """The place of one worker: processes in it come and go."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.job: Job | None = None
        self.ready = asyncio.Event()
        self.failures = 0
        """How many workers in a row died before they were ready."""


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await ``work`` even when the waiting task is cancelled meanwhile; the cancel then counts afterwards."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def _feed(worker: WorkerProcess, job: Job) -> None:
    """Pass a job's events on until its end."""
    while True:
        message = await worker.read()
        if isinstance(message, Failed):
            return job.end(message.error())
        if isinstance(message, Happened):
            await job.deliver(message.event)
            if isinstance(message.event, Done):
                return job.end()
