"""What every contract is checked with."""

import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from vivavoce.errors import VivavoceError

__all__ = ["ContractBroken", "check_closing", "close", "refused", "require"]


class ContractBroken(AssertionError):
    """An engine does not keep a promise of its port."""


def require(kept: object, sentence: str) -> None:
    """Raise ``ContractBroken`` with the sentence unless the promise is kept."""
    if not kept:
        raise ContractBroken(sentence)


def refused(call: Callable[[], object], what: str) -> None:
    """The call is refused as the caller's fault."""
    try:
        call()
    except VivavoceError as e:
        require(e.status < 500, f"Refusing {what} is the caller's fault (a 4xx error), not {e.status}.")
        return
    require(False, f"An engine refuses {what}.")


def check_closing(start: Callable[[], Iterator[object]], what: str) -> None:
    """Closing an iterator early leaves no thread and no file handle, however often."""
    counts = []
    for _ in range(4):
        stream = start()
        next(stream)
        close(stream)
        counts.append((threading.active_count(), _open_files()))
    grown = counts[-1][0] > counts[0][0] or counts[-1][1] > counts[0][1]
    require(not grown, f"Closing the iterator of {what} frees its threads and files (threads, files: {counts}).")


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def close(stream: Iterator[object]) -> None:
    """End a stream early."""
    if isinstance(stream, Generator):  # an iterator over a finished list has nothing left to cancel
        stream.close()
