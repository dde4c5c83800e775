"""Programs that other processes run on a job table: some share the work, one writes until it is killed."""

import asyncio
import os
import sys

from databases import opened


def say(*words: object) -> None:
    """A line for the test that started us, in one write: it is there even if we are killed next."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def claim_all(url: str, name: str) -> None:
    """Ten tasks take jobs of 200 and finish them until none is left; prints the ids.

    Each holds one before any is finished, here and in the other process: a busy machine could let one take all.
    """
    async with opened(url) as table:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)

        async def work(worker: str) -> None:
            job = await table.claim(worker, ["video"])
            while (await table.counts())["queued"] > 200 - 2 * 10:  # noqa: ASYNC110  another process changes it
                await asyncio.sleep(0.01)
            while job:
                await table.finish(job.id, job.lease, "succeeded", result={"by": worker})
                say(job.id)
                job = await table.claim(worker, ["video"])

        await asyncio.gather(*(work(f"{name}{n}") for n in range(10)))


async def add_all(url: str, name: str) -> None:
    """Five tasks make thirty calls that everybody makes, and thirty of their own; prints the ids of what they made."""
    async with opened(url) as table:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)

        async def work(worker: str) -> None:
            for n in range(60):
                key = f"call-{n}" if n % 2 else f"{worker}-{n}"
                job, new = await table.add("video", {"n": n}, key=key, max_waiting=330)
                if new:
                    say(job.id)

        await asyncio.gather(*(work(f"{name}{n}") for n in range(5)))


async def write_until_killed(url: str, name: str) -> None:
    """Ten tasks add, claim, report and finish without end; prints what is durable."""
    async with opened(url) as table:

        async def work(worker: str) -> None:
            while True:
                job, _ = await table.add("video", {"text": "a long enough text " * 50}, webhook="http://x.invalid/")
                say("added", job.id)
                if taken := await table.claim(worker, ["video"]):
                    await table.report(taken.id, taken.lease, "progress", {"n": 1}, progress=0.5)
                    await table.finish(taken.id, taken.lease, "succeeded", result={})
                    say("finished", taken.id)

        await asyncio.gather(*(work(f"{name}{n}") for n in range(10)))


async def start_only(url: str, _name: str) -> None:
    """Start on a database, as a server does."""
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    async with opened(url) as table:
        await table.add("video", {})
        say(await table.counts())


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](sys.argv[2], sys.argv[3]))
