"""Who waits for a job in this process hears of its changes at once, without asking the database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["News"]


class News:
    """Topics (a job's id, or a word of one's own) and who listens to them."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[asyncio.Event]] = {}

    def tell(self, topic: str) -> None:
        """Wake all that listen to ``topic``."""
        for heard in self._listeners.get(topic, ()):
            heard.set()

    @contextmanager
    def listening(self, topic: str) -> Iterator["Listener"]:
        """Listen from now on: look after this, then wait, and nothing is missed."""
        heard = asyncio.Event()
        self._listeners.setdefault(topic, set()).add(heard)
        try:
            yield Listener(heard)
        finally:
            others = self._listeners[topic]
            others.discard(heard)
            if not others:
                del self._listeners[topic]


class Listener:
    """One who listens."""

    def __init__(self, heard: asyncio.Event) -> None:
        self._heard = heard

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109  a look at the table follows either way
        """Until something is told, or ``timeout`` seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._heard.wait()
        self._heard.clear()
