"""How processes that serve write their logs: one line an event, and tracebacks that show code, never values.

What a function holds when it fails are the words, the files and the keys of a client.
"""

import os
import sys

import structlog
from structlog.typing import Processor

__all__ = ["configure"]


def configure() -> None:
    """Set structlog up, once in each process; as it is by itself, but for the tracebacks."""
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    lines: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.dev.set_exc_info,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback),
    ]
    structlog.configure(processors=lines)
