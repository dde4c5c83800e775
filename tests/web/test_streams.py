"""Answers in pieces: what a client does not take does not hold a worker, and what it gets cannot be forged."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from vivavoce.web.streams import Flow, event


def flow(blocks: int, closed: list[bool], patience: float) -> Flow:
    async def content() -> AsyncGenerator[bytes]:
        try:
            for _ in range(blocks):
                yield b"x"
        finally:
            closed.append(True)

    return Flow(content(), patience=patience)


def answered(reply: Flow, takes: int) -> list[dict[str, Any]]:
    """What a client gets that takes so many messages and then leaves its connection open, unread."""
    taken: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        if len(taken) == takes:
            await asyncio.Event().wait()
        taken.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def serve() -> None:
        async with asyncio.timeout(10):
            await reply({"type": "http", "method": "GET", "headers": [], "asgi": {"version": "3.0"}}, receive, send)

    asyncio.run(serve())
    return taken


@pytest.mark.parametrize("takes", [1, 3])
def test_a_client_that_stops_reading_ends_the_work(takes: int) -> None:
    closed: list[bool] = []
    taken = answered(flow(1000, closed, patience=0.05), takes)
    assert len(taken) == takes
    assert taken[-1].get("more_body", True), "the answer is not called complete"
    assert closed == [True]


def test_a_client_that_reads_gets_everything() -> None:
    closed: list[bool] = []
    taken = answered(flow(20, closed, patience=5), 1000)
    assert b"".join(m.get("body", b"") for m in taken) == b"x" * 20
    assert taken[-1]["more_body"] is False
    assert closed == [True]


@pytest.mark.parametrize("words", ["a\nevent: done\ndata: {}\n\n", "\r\n\r\n", "\u2028\u2029\x85\x00", "Сәлем 👋"])
def test_no_text_can_end_its_event(words: str) -> None:
    sent = event("chunk", {"text": words})
    head, data = sent.decode("ascii").removesuffix("\n\n").split("\n")
    assert head == "event: chunk"
    assert json.loads(data.removeprefix("data: ")) == {"text": words}
