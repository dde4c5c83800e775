"""The one way out to a service: with limits, with retries where they help, and with keys that never show.

An engine's own thread runs an event loop, because only there can a call be ended at any point: while the name is
looked up, while the service thinks, in the midst of a body. The engine itself stays synchronous.
"""

import asyncio
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Container, Coroutine, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import httpx

from vivavoce.errors import Cancelled, EngineUnavailable, InvalidInput, Overloaded, TimedOut, VivavoceError

__all__ = ["Call", "Client", "Limits", "Recital", "collected"]

T = TypeVar("T")
Part = TypeVar("Part")
Made = TypeVar("Made")
Upload = tuple[str, bytes, str]
"""Name, bytes and content type of a file."""

_PAUSES = (0.25, 1.0)
"""Seconds before the second and the third attempt, where the service does not say how long to wait."""
_PASSING = frozenset({500, 502, 503, 504})
_BUSY = frozenset({503})
_MOST_BYTES = 96_000_000
"""Ten minutes of sound at 48 kHz, in base64."""
_ERROR_BYTES = 4_000
_CLOSING = 2.0
"""Seconds that a cancelled call gets to close its connection."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a service may take, in seconds."""

    connect: float = 5.0
    read: float = 15.0
    """Of silence: until the first byte, and between two pieces."""
    total: float = 30.0
    """For one text, retries included; the time in which the listener holds a part is not counted."""
    audio: float = 600.0
    """Of sound that one answer may hold."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a service."""

    url: str = field(repr=False)
    """It, and what goes with it, may hold a key of the operator's: none of it is shown."""
    method: str = "POST"
    json: Any = field(default=None, repr=False)
    form: dict[str, Any] | None = field(default=None, repr=False)
    """Fields; one that is a list is sent several times."""
    files: dict[str, Upload] | None = field(default=None, repr=False)
    """Files that go with the fields, as ``multipart/form-data``."""
    query: dict[str, str] | None = field(default=None, repr=False)


class _Keyed(httpx.Auth):
    """Puts secret headers on a request; nothing that is logged or shown holds them."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the headers."""
        request.headers.update(self._headers)
        yield request


class Client:
    """Calls one service. Any number of threads may use it at once."""

    def __init__(
        self,
        service: str,
        limits: Limits,
        *,
        headers: dict[str, str] | None = None,
        secrets: Sequence[str] = (),
        key_advice: str = "check its key",
        offers: str = "voice",
    ) -> None:
        """``service`` is its name in sentences; no message shows one of ``secrets``; ``key_advice`` ends a sentence.

        ``offers`` is what it does not know when it answers 404.
        """
        logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines show addresses, which may hold texts and keys
        self.limits = limits
        self._service = service
        self._auth = _Keyed(dict(headers or {}))
        self._secrets = tuple(s for s in secrets if s)
        self._key_advice = key_advice
        self._offers = offers
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._http: httpx.AsyncClient | None = None

    # ---- the synchronous side

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Begin ``work`` on the engine's own loop; cancelling the future ends it there."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="voice network", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Close the connections and end the thread; the next use starts another."""
        with self._lock:
            loop, thread, http = self._loop, self._thread, self._http
            self._loop = self._thread = self._http = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_ended(http), loop).result(_CLOSING)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_CLOSING)
        loop.close()

    # ---- the asynchronous side

    async def ask(
        self,
        call: Call,
        read: Callable[[httpx.Response], Awaitable[T]],
        deadline: float,
        *,
        good: Container[int] = (httpx.codes.OK,),
        once: bool = False,
    ) -> T:
        """Send ``call`` and have ``read`` make something of a good answer; ``deadline`` is the loop's clock.

        Answers of a status that is in ``good`` are read.

        Tried up to three times, but only while no answer has begun: when there is no connection, and when the service
        says that it is busy or broken for the moment. With ``once`` not where it may have done it all the same: only
        without a connection, or when it is busy. Raises ``Overloaded``, ``TimedOut``, ``EngineUnavailable``, and
        ``InvalidInput`` for a voice that the service does not know.
        """
        for pause in (*_PAUSES, None):
            wait, answered = pause, False
            try:
                async with self._stream(call) as response:
                    if response.status_code in good:
                        answered = True
                        return await read(response)
                    wait = await self._refused(response, pause, _BUSY if once else _PASSING)
            except httpx.TimeoutException as e:
                if pause is None or not isinstance(e, httpx.ConnectTimeout):
                    raise TimedOut(f"{self._service} did not answer in time; try again.") from None
            except httpx.TransportError as e:
                self._broken(e, answered=answered, last=pause is None, once=once)
            except (httpx.InvalidURL, httpx.StreamError, httpx.DecodingError):
                raise EngineUnavailable(f"{self._service} cannot be used as it is set up: check its address.") from None
            await self._pause(wait or 0.0, deadline)
        raise AssertionError("the last attempt returns or raises")

    def _stream(self, call: Call) -> Any:
        if self._http is None:
            limits = self.limits
            timeout = httpx.Timeout(limits.read, connect=limits.connect, pool=limits.total)
            self._http = httpx.AsyncClient(timeout=timeout, follow_redirects=False)  # a key goes to no other place
        return self._http.stream(
            call.method,
            call.url,
            json=call.json,
            data=call.form,
            files=call.files,
            params=call.query,
            auth=self._auth,
        )

    async def _pause(self, seconds: float, deadline: float) -> None:
        if asyncio.get_running_loop().time() + seconds >= deadline:
            raise Overloaded(f"{self._service} is busy and asks to wait longer than its limit; try again later.")
        await asyncio.sleep(seconds)

    def _broken(self, error: httpx.TransportError, *, answered: bool, last: bool, once: bool) -> None:
        """A connection that fails: returns when another attempt may help."""
        if once and not isinstance(error, httpx.ConnectError):
            raise EngineUnavailable(
                f"The answer of {self._service} broke off; it may have done what it was asked: look there before you "
                "try again."
            ) from None
        if answered:
            raise EngineUnavailable(f"The answer of {self._service} broke off; try again.") from None
        helps = isinstance(error, httpx.ConnectError | httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError)
        if last or not helps:
            raise EngineUnavailable(
                f"{self._service} cannot be reached; check its address and this machine's network."
            ) from None

    async def _refused(self, response: httpx.Response, pause: float | None, passing: Container[int]) -> float:
        """An answer that is no success: the seconds to wait before another attempt, or the error."""
        status = response.status_code
        if status == 429:
            if pause is None:
                raise Overloaded(f"{self._service} is busy (429); try again later.")
            return _retry_after(response.headers.get("retry-after"), pause)
        if status in passing and pause is not None:
            return _retry_after(response.headers.get("retry-after"), pause)
        raise self._final(status, await self._said(response))

    def _final(self, status: int, said: str) -> VivavoceError:
        if status in (401, 403):
            return EngineUnavailable(f"{self._service} refuses the key ({status}); {self._key_advice}.")
        if status == 402:
            return EngineUnavailable(f"The account at {self._service} is used up (402); look at its plan.")
        if status == 404:
            return InvalidInput(f"{self._service} does not know this {self._offers} (404){said}; choose another.")
        if 300 <= status < 400:
            return EngineUnavailable(f"{self._service} has moved ({status}); set the address that it answers at.")
        if status in _PASSING:
            return EngineUnavailable(f"{self._service} is broken at the moment ({status}); try again later.")
        return EngineUnavailable(f"{self._service} refuses the request ({status}){said}.")

    async def _said(self, response: httpx.Response) -> str:
        """What the service says of its refusal, safe to show: short, printable, without secrets."""
        body = bytearray()
        try:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _ERROR_BYTES:
                    break
        except httpx.HTTPError:
            return ""
        said = re.search(
            r'"(?:message|msg|error|detail)"\s*:\s*"((?:[^"\\]|\\.){1,300})"', bytes(body).decode("utf-8", "replace")
        )
        text = said[1].replace('\\"', "'") if said else ""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:160].rstrip(". ")
        return f": {text}" if text else ""


class Recital(Iterator[Made], Generic[Part, Made]):
    """Parts of a text, spoken one after another; a part is asked for when it is read. Or pieces of sound, recognised.

    ``close`` may be called from any thread and at any moment, also while another thread waits for the next part, which
    then raises ``Cancelled``.
    """

    def __init__(
        self,
        client: Client,
        parts: Sequence[Part],
        say: Callable[[Part, float], Coroutine[Any, Any, Made]],
        *,
        each: bool = False,
        late: str = "Speaking the text took longer than its limit of {0:g} s; try again, or send a shorter text.",
    ) -> None:
        """``say(part, deadline)`` makes the call; the deadline is the loop's clock.

        The client's limit is for all parts together, or for ``each``; ``late`` says that it has passed.
        """
        self._client = client
        self._say = say
        self._parts = iter(parts)
        self._left = client.limits.total
        self._each, self._late = each, late
        self._lock = threading.Lock()
        self._closed = False
        self._running: Future[Made] | None = None

    def __next__(self) -> Made:
        with self._lock:
            if self._closed:
                raise StopIteration
            part = next(self._parts)
            running = self._running = self._client.start(self._timed(part))
        try:
            return running.result()
        except CancelledError:
            raise Cancelled("The work was cancelled.") from None
        except VivavoceError:
            self.close()
            raise

    async def _timed(self, part: Part) -> Made:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(self._left):
                return await self._say(part, begun + self._left)
        except TimeoutError:
            raise TimedOut(self._late.format(self._client.limits.total)) from None
        finally:
            if not self._each:
                self._left -= loop.time() - begun

    def close(self) -> None:
        """End whatever runs; nothing comes after."""
        with self._lock:
            self._closed = True
            running = self._running
        if running is not None:
            running.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()


async def collected(response: httpx.Response, service: str) -> bytes:
    """The whole body; raises ``EngineUnavailable`` when there is none or more than any sound needs."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _MOST_BYTES:
            raise EngineUnavailable(f"The answer of {service} has no end; check its address.")
    if not body:
        raise EngineUnavailable(f"{service} answered with nothing; try again.")
    return bytes(body)


async def _ended(http: httpx.AsyncClient | None) -> None:
    """Cancel what runs and close the connections."""
    tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if http is not None:
        await http.aclose()
    await asyncio.get_running_loop().shutdown_default_executor()


def _retry_after(value: str | None, otherwise: float) -> float:
    """Seconds of a ``Retry-After`` header: a number or a date."""
    if not value:
        return otherwise
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return otherwise
