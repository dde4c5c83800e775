"""Any chat model behind OpenAI's wire format: vendors' services, and the servers that people run themselves."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from vivavoce.engines.chats.answer import Answer, NoAnswer, ServiceError
from vivavoce.engines.chats.dictation import Dictation
from vivavoce.engines.chats.presets import PRESETS, Preset
from vivavoce.engines.network.client import Call, Client, Limits, collected
from vivavoce.errors import EngineUnavailable, InvalidInput, TimedOut
from vivavoce.nouns import ChatTraits, Turn
from vivavoce.text.english import english_name
from vivavoce.text.languages import resolve

__all__ = ["OpenAIChat"]

_SETTING = "VIVAVOCE_CHATS__MODELS"
_GRACE = 0.5
"""Seconds for what a service still sends after an answer's end, so that its connection can be used again."""
_SHOWN = 160
"""Characters of a service's own words in a sentence of ours."""


@dataclass(frozen=True, slots=True)
class _Server:
    """A model as it is set up, and the way to it."""

    name: str
    title: str
    base_url: str = field(repr=False)
    model: str
    api_key: str = field(repr=False)
    stream: bool
    thinking: bool
    extra: Mapping[str, Any] = field(repr=False)
    client: Client = field(repr=False)


class OpenAIChat:
    """``POST {base_url}/chat/completions``, streamed; a server that does not stream is understood too."""

    def __init__(
        self,
        models: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        default: str = "",
        connect_seconds: float = 5.0,
        first_seconds: float = 30.0,
        token_seconds: float = 15.0,
        seconds_limit: float = 120.0,
    ) -> None:
        """``models`` maps the names that clients use to servers; ``default`` is one of them, "" the first.

        Of a server there may be ``preset`` (see ``presets``; a model's name may be one), ``base_url``, ``model`` (""
        asks the server what it has), ``api_key``, ``stream``, ``thinks`` (answers begin with thoughts of which only
        the end is marked) and ``extra`` (more fields of the request). Seconds are limits: until a connection; until
        the model's first token, retries included; between two tokens; for the whole answer.

        Raises ``EngineUnavailable`` when no model can be used as it is set up.
        """
        self._first, self._between, self._total = first_seconds, token_seconds, seconds_limit
        self._connect = connect_seconds
        self._lacking: dict[str, EngineUnavailable] = {}
        """Why models that are known cannot be asked."""
        self._servers: dict[str, _Server] = {}
        self._found: dict[str, str] = {}
        """What servers have whose model is not named."""
        for name, told in (models or {}).items():
            try:
                self._servers[name] = self._server(name, told)
            except EngineUnavailable as e:
                self._lacking[name] = e
        for name, preset in PRESETS.items():
            if name not in self._servers and preset.key_variable:
                self._lacking.setdefault(name, _no_key(name, preset))
        if not models:
            raise EngineUnavailable(
                f"No chat model is set up; set ZHIPUAI_API_KEY for glm-4-plus, or name a server in {_SETTING}."
            )
        if not self._servers:
            raise next(iter(self._lacking.values()))
        if default and default not in self._servers:
            raise self._lacking.get(default) or EngineUnavailable(
                f"The default chat model {default[:40]!r} is not among those of {_SETTING}; name it there."
            )
        names = sorted(self._servers, key=lambda name: name != default)
        self._traits = ChatTraits(
            models=tuple(names),
            network=any(not _is_here(server.base_url) for server in self._servers.values()),
            licence="a service or a model of the operator's: its terms hold",
        )

    @property
    def traits(self) -> ChatTraits:
        """The models that are set up, the default first."""
        return self._traits

    def reply(self, turns: Sequence[Turn], *, model: str = "", language: str = "") -> Iterator[str]:
        """The answer to the last of ``turns``, as the model writes it; without what it only thinks.

        Closing the iterator, from any thread, ends the request at once. Raises at once ``InvalidInput`` for a model
        or a language that is not known and for turns that end in no question, ``EngineUnavailable`` for a model that
        is not set up; while writing ``TimedOut``, ``Overloaded``, ``EngineUnavailable``, and ``InvalidInput`` when the
        service does not want to answer this.
        """
        server = self._named(model)
        messages = _messages(turns, language)

        async def write(put: Callable[[str], None]) -> None:
            await self._write(server, messages, put)

        return Dictation(server.client, write)

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers.values():
            server.client.close()

    # ---- set up

    def _server(self, name: str, told: Mapping[str, Any]) -> _Server:
        preset = PRESETS.get(str(told.get("preset") or name))
        if told.get("preset") and preset is None:
            raise EngineUnavailable(
                f"The preset of the chat model {name} is not known; use one of {', '.join(PRESETS)} in {_SETTING}."
            )
        own = str(told.get("base_url") or "").strip().rstrip("/").removesuffix("/chat/completions")
        base = own or (preset.base_url if preset else "")
        host = _host(base)
        if not host:
            raise EngineUnavailable(f"The chat model {name} has no address; set its base_url in {_SETTING}.")
        vendor = preset is not None and base == preset.base_url
        key = str(told.get("api_key") or "").strip()
        if not key.isascii() or not key.isprintable():
            raise EngineUnavailable(f"The key of the chat model {name} has characters that no key has; check it.")
        if preset and vendor and preset.key_variable and not key:
            raise _no_key(name, preset)
        title = preset.title if preset and vendor else f"The model server {host}"
        variable = preset.key_variable if preset and vendor else ""
        stream = bool(told.get("stream", True))
        # how long a silence may last is told by this engine's own clocks: signs of life are no tokens
        client = Client(
            title,
            Limits(self._connect, self._total, self._total),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            secrets=(key,),
            key_advice=f"check {variable + ' or ' if variable else ''}the api_key of {name} in {_SETTING}",
            offers="model or address",
        )
        meant = str(told.get("model") or (preset.model if preset else ""))
        extra = dict(told.get("extra") or {})
        return _Server(name, title, base, meant, key, stream, bool(told.get("thinks")), extra, client)

    def _named(self, model: str) -> _Server:
        name = model or self._traits.models[0]
        if name in self._servers:
            return self._servers[name]
        if name in self._lacking:
            raise EngineUnavailable(str(self._lacking[name]))
        raise InvalidInput(f"There is no chat model {name[:40]!r} here; use one of {', '.join(self._servers)}.")

    # ---- one answer

    async def _write(self, server: _Server, messages: list[dict[str, str]], put: Callable[[str], None]) -> None:
        """Have an answer written; asked again once where the first breaks off before anything of it has come."""
        now = asyncio.get_running_loop().time()
        first = self._first if server.stream else self._total
        clock = _Clock(now + min(first, self._total), now + self._total, self._between)
        try:
            async with asyncio.timeout_at(clock.until) as clock.watch:
                model = server.model or await self._model_of(server, clock.until)
                body = {"model": model, "messages": messages, "stream": server.stream, **server.extra}
                call = Call(f"{server.base_url}/chat/completions", json=body)
                for last in (False, True):
                    answer = Answer(put, thinking=server.thinking)
                    await self._asked(server, call, answer, clock)
                    if answer.complete:
                        break
                    if answer.tokens or last:
                        raise EngineUnavailable(f"The answer of {server.title} broke off; try again.")
        except TimeoutError:
            raise TimedOut(f"{server.title} {clock.late}; try again.") from None
        if answer.refused:
            raise InvalidInput(f"{server.title} does not want to answer this ({answer.reason}); say it differently.")
        if not answer.characters:
            raise EngineUnavailable(f"{server.title} answered with nothing; try again.")

    async def _asked(self, server: _Server, call: Call, answer: Answer, clock: "_Clock") -> None:
        """Have the service fill the answer, which may yet break off; raises what else is wrong with it."""

        async def read(response: httpx.Response) -> None:
            await _read(response, answer, clock)

        try:
            await server.client.ask(call, read, clock.until)
        except InvalidInput as e:  # the name is the client's, what lies behind it the operator's
            self._found.pop(server.name, None)
            told = str(e).removesuffix("; choose another.")
            raise EngineUnavailable(f"{told}; check the chat model {server.name} in {_SETTING}.") from None
        except NoAnswer as e:
            raise EngineUnavailable(
                f"{server.title} sent {e} instead of an answer; check the base_url of {server.name} in {_SETTING}."
            ) from None
        except ServiceError as e:
            raise EngineUnavailable(f"{server.title} could not answer{_shown(str(e), server.api_key)}.") from None

    async def _model_of(self, server: _Server, deadline: float) -> str:
        """The first model that the server says it has."""
        if server.name not in self._found:

            async def read(response: httpx.Response) -> Any:
                return await collected(response, server.title)

            try:
                told = json.loads(await server.client.ask(Call(f"{server.base_url}/models", "GET"), read, deadline))
                self._found[server.name] = str(told["data"][0]["id"])
            except (InvalidInput, ValueError, TypeError, LookupError):
                raise EngineUnavailable(
                    f"{server.title} names no model; set the model of {server.name} in {_SETTING}."
                ) from None
        return self._found[server.name]


class _Clock:
    """Until when the next token must have come; ``watch`` ends the work then."""

    def __init__(self, until: float, last: float, between: float) -> None:
        self.until = until
        self.late = "did not begin to answer in time"
        """What is wrong when the time is over."""
        self.watch: asyncio.Timeout | None = None
        self._last, self._between = last, between

    def tick(self) -> None:
        """A token has come."""
        after = asyncio.get_running_loop().time() + self._between
        self.late = "stopped in the midst of its answer" if after < self._last else "did not end its answer in time"
        self._set(min(after, self._last))

    def stop(self) -> None:
        """The answer is there; nothing is late any more."""
        self._set(None)

    def _set(self, until: float | None) -> None:
        self.until = until or self.until
        if self.watch is not None:
            self.watch.reschedule(until)


async def _read(response: httpx.Response, answer: Answer, clock: _Clock) -> None:
    """Read an answer to its end, wherever that is; a connection that breaks leaves it incomplete."""
    pieces, tokens = response.aiter_bytes(), 0
    try:
        async for data in pieces:
            answer.feed(data)
            if answer.complete:
                break
            if answer.tokens > tokens:
                tokens = answer.tokens
                clock.tick()
    except httpx.TransportError:
        return
    answer.finish()
    if not answer.complete:
        return
    clock.stop()
    with suppress(httpx.TransportError, TimeoutError):  # only a connection that is read to its end is used again
        async with asyncio.timeout(_GRACE):
            async for _ in pieces:
                pass


def _messages(turns: Sequence[Turn], language: str) -> list[dict[str, str]]:
    """The turns as the format has them: what the system says first and in one, then the two sides in turn."""
    if not turns or turns[-1].role != "user" or not turns[-1].text.strip():
        raise InvalidInput("There is nothing to answer; the last turn must be the user's, and not empty.")
    system = [turn.text.strip() for turn in turns if turn.role == "system" and turn.text.strip()]
    if language:
        known = resolve(language)
        name = english_name(known.code).title()
        system.append(f"Answer only in {name} ({known.name}), whatever language you are spoken to in.")
    messages: list[dict[str, str]] = []
    for turn in turns:
        if turn.role == "system" or not turn.text.strip():
            continue
        text = turn.text.encode("utf-8", "replace").decode()  # half a character would fail on its way
        if messages and messages[-1]["role"] == turn.role:  # the templates of some models want strict turns
            messages[-1]["content"] += "\n\n" + text
        else:
            messages.append({"role": turn.role, "content": text})
    return [{"role": "system", "content": "\n\n".join(system)}, *messages] if system else messages


def _host(address: str) -> str:
    """The host of an HTTP address; "" where it is none."""
    try:
        parts = urlsplit(address)
        return (parts.scheme in ("http", "https") and parts.hostname) or ""
    except ValueError:
        return ""


def _is_here(address: str) -> bool:
    """Whether an address is of this machine itself."""
    host = _host(address)
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _no_key(name: str, preset: Preset) -> EngineUnavailable:
    return EngineUnavailable(
        f"The chat model {name} needs a key; set {preset.key_variable}, or its api_key in {_SETTING}."
    )


def _shown(said: str, secret: str) -> str:
    """A service's words, safe to show: short, printable, without the key."""
    text = said.replace(secret, "…") if secret else said
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_SHOWN].rstrip(". ")
    return f": {text}" if text else ""
