"""``vivavoce worker``: this machine does the jobs of a server elsewhere."""

import asyncio
import signal
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.console import out, settings
from vivavoce.errors import InvalidInput

if TYPE_CHECKING:
    from vivavoce.settings import Settings

__all__ = ["worker"]

_BEAT_SECONDS = 0.25
"""A cancelled job has to end within a second."""


def worker(
    server: Annotated[str, typer.Option(help="Address of the server, such as https://avatars.example:3000.")],
    token: Annotated[
        str, typer.Option(envvar="VIVAVOCE_WORK__TOKEN", help="The server's VIVAVOCE_WORK__TOKEN.", show_envvar=True)
    ] = "",
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, help="Worker processes; one a core if unset.")
    ] = None,
) -> None:
    """Take jobs of a server elsewhere: claim, render, send the results back."""
    if not server.startswith(("http://", "https://")):
        raise InvalidInput("--server must be an address such as http://host:3000.")
    if not token:
        raise InvalidInput("A token is needed: --token, or VIVAVOCE_WORK__TOKEN as on the server.")
    held = settings()
    asyncio.run(_serve(held, server, token, processes or held.work.workers))


async def _serve(held: "Settings", server: str, token: str, processes: int) -> None:
    from vivavoce import logs
    from vivavoce.store.artifacts import ArtifactStore
    from vivavoce.store.remains import process_name
    from vivavoce.store.remote import Link, RemoteAvatars, RemoteJobs, RemotePlace
    from vivavoce.studio.crew import performer
    from vivavoce.studio.dispatch import Dispatcher
    from vivavoce.studio.films import Films
    from vivavoce.studio.ledger import Entry, Ledger
    from vivavoce.studio.service import REMOTE, Studio
    from vivavoce.work.local import LocalExecutor

    logs.configure()
    config = held.studio()
    ended = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    async with AsyncExitStack() as stack:
        link = Link(server, token)
        stack.push_async_callback(link.close)
        jobs, avatars = RemoteJobs(link), RemoteAvatars(link, config.avatars)
        artifacts = ArtifactStore(config.artifacts, RemotePlace(link))
        await asyncio.to_thread(artifacts.clear_parts)
        executor = LocalExecutor(partial(performer, config), processes, Studio.most_tasks(config, processes))
        stack.push_async_callback(executor.close)
        await executor.start()
        ledger = Ledger(
            jobs, process_name(), remove=partial(artifacts.remove, even_if_read=True), beat_seconds=_BEAT_SECONDS
        )
        studio = Studio(config, executor, artifacts, Films(), ledger)

        async def run(entry: Entry) -> None:
            await avatars.fetch(entry.job.params["avatar"])
            await studio.run(entry)

        dispatcher = Dispatcher(jobs, ledger, run, kinds=REMOTE, slots=processes)
        ledger.start()
        dispatcher.start()
        out.print(f"This machine works for {server}, {processes} jobs at a time; Ctrl-C ends it.", highlight=False)
        await ended.wait()
        await dispatcher.rest()
        await ledger.close()
        await dispatcher.close()
