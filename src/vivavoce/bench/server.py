"""A server of its own for the measurements: a separate process, on a port that the system chose."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from vivavoce.errors import TimedOut, VivavoceError

__all__ = ["BenchServer", "running"]

_PATIENCE = 60.0
"""Seconds that a server may need to be ready."""


@dataclass(frozen=True, slots=True)
class BenchServer:
    """A running server."""

    url: str
    pid: int
    seconds_to_ready: float

    def worker_peak(self) -> int:
        """The largest peak of memory, in bytes, of a worker together with the processes that it started."""
        workers = psutil.Process(self.pid).children()
        return max(sum(_peak(p) for p in (worker, *worker.children(recursive=True))) for worker in workers)


def _peak(process: psutil.Process) -> int:
    """Peak resident set of a process in bytes; where the system does not say, the present one."""
    status = Path(f"/proc/{process.pid}/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(process.memory_info().rss)


@contextmanager
def running(data: Path, avatar: str, more: Mapping[str, str] | None = None) -> Iterator[BenchServer]:
    """Start a server with its data in ``data``, wait until it is ready, end it afterwards.

    ``more`` are settings as variables of the environment.
    """
    # With its protocol named, asyncio switches Nagle's delay off for the connections.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "vivavoce.bench.server", str(listener.fileno())]
        settings = {"VIVAVOCE_DATA_DIR": str(data), "VIVAVOCE_DEFAULTS__AVATAR": avatar, **(more or {})}
        began = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603  our own server, fixed arguments
            command,
            env=os.environ | settings,
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        _wait(url, process)
        yield BenchServer(url, process.pid, time.perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    pause = threading.Event()
    until = time.monotonic() + _PATIENCE
    try:
        with httpx.Client(timeout=_PATIENCE) as client:
            while client.get(f"{url}/api/health").json()["status"] != "ready":
                if time.monotonic() > until or process.poll() is not None:
                    raise TimedOut(f"The server was not ready within {_PATIENCE:.0f} seconds.")
                pause.wait(0.02)
    except httpx.TransportError as e:
        raise VivavoceError("The server for the measurements did not start; `vivavoce doctor` may say why.") from e


def _serve(fd: int) -> None:
    import uvicorn

    from vivavoce.web.app import create_app

    config = uvicorn.Config(create_app(), log_level="critical", access_log=False)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd)])


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
