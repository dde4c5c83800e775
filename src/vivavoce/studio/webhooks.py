"""Telling clients that their jobs have ended: signed, tried again where that helps, never a way into our own network.

What is owed stands in the job table, so a message survives a restart; it may then arrive twice, with the same
``Vivavoce-Delivery``.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import httpx
import structlog

from vivavoce import __version__
from vivavoce.errors import InvalidInput
from vivavoce.nouns import Job
from vivavoce.studio.addresses import Gate, Target

__all__ = ["BACKOFF", "Debts", "Owed", "Webhooks", "signature"]

_log = structlog.get_logger(__name__)
BACKOFF = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds before the second and each further attempt; after the last one it is given up."""
_LIMIT = 10.0
"""Seconds that one attempt may take."""
_LOOK = 10.0
"""Seconds after which the table is looked at unasked: for what servers owed that are gone."""
_SLACK = 0.05
"""Seconds by which the two clocks of a loop and of the table may differ."""
_AT_ONCE = 20
"""Attempts under way."""
_LONGEST_WISH = 900.0
"""Seconds of a Retry-After that are honoured."""


class Owed(Protocol):
    """A message that is owed."""

    @property
    def id(self) -> str:
        """Of the delivery; the same at each attempt."""

    @property
    def job(self) -> Job:
        """The job that has ended."""

    @property
    def url(self) -> str:
        """Where the client wants to be told."""

    @property
    def attempt(self) -> int:
        """Which one this is, from 1."""


class Debts(Protocol):
    """What the job table tells of messages that are owed (``store.jobs.JobTable``)."""

    async def due(self, worker: str, limit: int = 20) -> Sequence[Owed]:
        """Take some that are due; nobody else gets them for a while."""

    async def delivered(self, id: str) -> None:  # noqa: A002  the field's own word
        """It has arrived."""

    async def postponed(self, id: str, until: float) -> None:  # noqa: A002
        """Try again at ``until``, Unix seconds."""

    async def given_up(self, id: str, reason: str) -> None:  # noqa: A002
        """It will not be tried again."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt that came to nothing."""

    reason: str
    again: bool = True
    wait: float = 0.0
    """Seconds that the receiver asked for."""


def signature(secret: str, moment: int, body: bytes) -> str:
    """``t=…,v1=…``: HMAC-SHA256, in hex, of ``t``, a dot and the body; receivers should refuse an old ``t``."""
    signed = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={signed}"


class Webhooks:
    """Delivers what is owed, between ``start`` and ``close``.

    ``view`` gives what a client may know of a job, as JSON.
    """

    def __init__(
        self,
        debts: Debts,
        view: Callable[[Job], Mapping[str, Any]],
        *,
        secret: str,
        worker: str,
        gate: Gate | None = None,
        backoff: Sequence[float] = BACKOFF,
        limit: float = _LIMIT,
    ) -> None:
        self._debts = debts
        self._view = view
        self._secret = secret
        self._worker = worker
        self._gate = gate or Gate()
        self._backoff = backoff
        self._limit = limit
        self._look = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._attempts: set[asyncio.Task[None]] = set()

    async def check_url(self, url: str) -> None:
        """Raise ``InvalidInput`` when a job may not name this address: to be asked before the job is taken."""
        if not self._secret:
            raise InvalidInput("This server sends no webhooks: its operator has set no secret to sign them with.")
        try:
            async with asyncio.timeout(self._limit):
                await self._gate.check(url)
        except TimeoutError:
            raise InvalidInput("The webhook's host could not be found in time; try again.") from None

    def start(self) -> None:
        """Begin to deliver; without a secret nothing is sent, and what is owed waits."""
        if self._secret:
            logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines show addresses, which may hold keys
            self._running = asyncio.create_task(self._run(), name="webhooks")

    def wake(self) -> None:
        """Something may be owed since now: look at once."""
        self._look.set()

    async def close(self) -> None:
        """End; attempts under way are broken off and made again by whoever looks next."""
        tasks = [*self._attempts, *([self._running] if self._running else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve the name again
            verify=await asyncio.to_thread(_trusted),
            timeout=self._limit,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        async with client:
            while True:
                self._look.clear()
                try:
                    taken = await self._take(client)
                except Exception as e:  # noqa: BLE001 - a table out of reach for a while must not end the deliveries
                    _log.warning("no look for webhooks", error=type(e).__name__)
                    taken = 0
                if not taken:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK):  # Python 3.11's wait_for can swallow a cancel
                            await self._look.wait()

    async def _take(self, client: httpx.AsyncClient) -> int:
        free = _AT_ONCE - len(self._attempts)
        owed = await self._debts.due(self._worker, free) if free else []
        for delivery in owed:
            attempt = asyncio.create_task(self._settle(client, delivery))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._done)
        return len(owed)

    def _done(self, attempt: "asyncio.Task[None]") -> None:
        self._attempts.discard(attempt)
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            _log.warning("a webhook's end was not recorded", error=type(error).__name__)
        self._look.set()

    async def _settle(self, client: httpx.AsyncClient, owed: Owed) -> None:
        """One attempt, and what comes of it."""
        failure = await self._attempt(client, owed)
        if failure is None:
            _log.info("webhook delivered", delivery=owed.id, attempt=owed.attempt)
            await self._debts.delivered(owed.id)
        elif failure.again and owed.attempt <= len(self._backoff):
            wait = self._backoff[owed.attempt - 1] * random.uniform(0.8, 1.2)  # noqa: S311 - nothing secret in it
            wait = max(wait, min(failure.wait, _LONGEST_WISH))
            _log.info("webhook postponed", delivery=owed.id, attempt=owed.attempt, reason=failure.reason)
            await self._debts.postponed(owed.id, time.time() + wait)
            asyncio.get_running_loop().call_later(wait + _SLACK, self.wake)
        else:
            _log.warning("webhook given up", delivery=owed.id, attempt=owed.attempt, reason=failure.reason)
            await self._debts.given_up(owed.id, failure.reason)

    async def _attempt(self, client: httpx.AsyncClient, owed: Owed) -> _Failure | None:
        try:
            body = json.dumps({"type": f"job.{owed.job.state}", "job": self._view(owed.job)}).encode()
            async with asyncio.timeout(self._limit):
                return await self._post(client, await self._gate.check(owed.url), owed.id, body)
        except (
            InvalidInput
        ):  # a name may have come to mean another host since the job was taken, or be gone for a while
            return _Failure("its host is unknown or not public")
        except TimeoutError:
            return _Failure("it took too long")
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            return _Failure(f"it could not be reached ({type(e).__name__})")
        except Exception as e:  # noqa: BLE001 - whatever it is, the message is still owed
            return _Failure(f"it could not be sent ({type(e).__name__})")

    async def _post(self, client: httpx.AsyncClient, target: Target, id: str, body: bytes) -> _Failure | None:  # noqa: A002
        moment = int(time.time())
        headers = {
            "Host": target.url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": f"vivavoce/{__version__}",
            "Vivavoce-Delivery": id,
            "Vivavoce-Signature": signature(self._secret, moment, body),
        }
        unreached: httpx.HTTPError | None = None
        for address in target.addresses:
            request = client.build_request(
                "POST",
                target.url.copy_with(host=address),
                content=body,
                headers=headers,
                extensions={"sni_hostname": target.host},
            )
            try:
                answer = await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as e:
                unreached = e
                continue
            await answer.aclose()  # its body is nothing to us
            return _judged(answer)
        raise unreached or httpx.ConnectError("no address")


def _trusted() -> ssl.SSLContext:
    """The usual authorities, and those of the system or SSL_CERT_FILE: an operator's own hosts may have their own."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _judged(answer: httpx.Response) -> _Failure | None:
    if answer.is_success:
        return None
    again = answer.status_code in (408, 429) or answer.status_code >= 500
    return _Failure(f"it answered {answer.status_code}", again, _wish(answer.headers.get("Retry-After", "")))


def _wish(retry_after: str) -> float:
    """Seconds that a receiver wants us to wait (RFC 9110, 10.2.3); 0 when it does not say."""
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after[:9])
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
