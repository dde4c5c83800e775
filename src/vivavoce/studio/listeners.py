"""The listeners of a server: so many at a time, all with the operator's manner."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from vivavoce.errors import Overloaded
from vivavoce.studio.listening import Listening, Recognise
from vivavoce.studio.spoken import Manner
from vivavoce.text.languages import resolve

__all__ = ["Listeners", "Patience"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may keep a listener."""

    idle_seconds: float = 60.0
    """Without sending anything."""
    connected_seconds: float = 7200.0
    """At all."""
    unread_seconds: float = 20.0
    """While it does not read what it is sent."""


@dataclass(slots=True)
class Listeners:
    """Makes listeners. ``recognise`` is what hears for all of them."""

    recognise: Recognise
    language: str = "ru"
    """Where a client names none."""
    most: int = 8
    """At a time."""
    manner: Manner = field(default_factory=Manner)
    patience: Patience = field(default_factory=Patience)
    busy: int = 0
    """How many there are now."""

    def code(self, asked: str | None) -> str:
        """The code of a language; None is the default, ``auto`` is "": the recogniser finds out, where it can.

        Raises ``InvalidInput`` for one that is not known.
        """
        wanted = self.language if asked is None else asked.strip()
        return "" if wanted.lower() in ("", "auto") else resolve(wanted).code

    @asynccontextmanager
    async def listening(
        self, *, language: str | None, rate: int, manner: Manner | None = None, phrases: Sequence[str] = ()
    ) -> AsyncGenerator[Listening]:
        """A listener for as long as the block lasts; with ``phrases`` only these can be heard.

        Raises ``Overloaded`` when there are ``most`` already, ``InvalidInput`` for a language or a rate that is not
        known.
        """
        code = self.code(language)
        if self.busy >= self.most:
            raise Overloaded(f"{self.most} clients are being listened to already; try again in a moment.")
        self.busy += 1
        try:
            recognise: Recognise = self.recognise
            if phrases:
                recognise = partial(cast("Any", recognise), phrases=tuple(phrases))
            async with Listening(recognise, language=code, rate=rate, manner=manner or self.manner) as listening:
                yield listening
        finally:
            self.busy -= 1
