"""Telling what a dead process left behind from what a living one is writing."""

import os
import socket

import psutil

__all__ = ["is_dead", "is_left_behind", "process_name"]

_SAME_SECONDS = 2.0
"""Two births nearer to each other are one: a clock that is set moves them."""


def process_name() -> str:
    """This process among all of all machines: ``HOST:PID:SECONDS`` with its time of birth."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def is_dead(name: str) -> bool:
    """Whether a process of that name (``process_name``) ran on this machine and is gone; false for other machines."""
    host, pid, born = [*name.rsplit(":", 2), "", ""][:3]
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    try:
        process = psutil.Process(int(pid))
        return _is_unburied(process) or bool(abs(process.create_time() - float(born)) > _SAME_SECONDS)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def is_left_behind(pid: int, modified: float) -> bool:
    """Whether process ``pid`` cannot be writing a file any more that was last modified at ``modified`` (Unix seconds).

    A process that began after the last change is another one with the same number.
    """
    try:
        process = psutil.Process(pid)
        return _is_unburied(process) or float(process.create_time()) > modified
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _is_unburied(process: psutil.Process) -> bool:
    """Whether it has ended and only its parent has not heard of it yet; some never do."""
    return bool(process.status() == psutil.STATUS_ZOMBIE)
