import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from vivavoce.work import graphics
from vivavoce.work.graphics import CardMemory, card_memory


class NoAnswer(Exception):
    pass


@pytest.fixture(autouse=True)
def unopened() -> Iterator[None]:
    graphics._cards.cache_clear()
    yield
    graphics._cards.cache_clear()


def driver(*cards: tuple[int, int] | None) -> SimpleNamespace:
    """What NVIDIA's library looks like where it finds these cards: total and used MiB, or None for one that is ill."""

    def held(card: tuple[int, int] | None) -> SimpleNamespace:
        if card is None:
            raise NoAnswer
        total, used = card
        return SimpleNamespace(total=total << 20, used=used << 20, free=(total - used) << 20)

    return SimpleNamespace(
        NVMLError=NoAnswer,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(cards),
        nvmlDeviceGetHandleByIndex=lambda n: cards[n],
        nvmlDeviceGetMemoryInfo=held,
    )


def test_memory_of_all_cards_that_answer_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver((24576, 8192), None, (1000, 1)))
    assert card_memory() == CardMemory(25576, 8193, 17383)


def test_without_the_library_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert card_memory() == CardMemory()


def test_this_machine_is_asked_without_a_fault() -> None:
    memory = card_memory()
    assert 0 <= memory.used <= memory.total
    assert 0 <= memory.free <= memory.total
