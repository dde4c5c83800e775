"""Reads a stream of server-sent events, as model servers write it."""

import codecs
import json
from contextlib import suppress
from typing import Any

__all__ = ["DONE", "Events"]

DONE = "[DONE]"
"""What comes in place of a document when there are no more."""
_FIELDS = frozenset({"", "data", "event", "id", "retry"})
_LONGEST = 1_000_000
"""Characters of an event."""


class Events:
    """Takes bytes, cut anywhere, and gives the JSON documents in them; after ``[DONE]`` nothing counts.

    Lines may end as the standard allows (WHATWG HTML, section 9.2.6); comments, and fields other than ``data``, are
    passed over. A document is given with its last line: not every server sends the empty line that should end it.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line = ""
        self._skip_feed = False
        """Whether a line ended in a carriage return, to which a line feed may belong."""
        self._data: list[str] = []
        self.done = False
        self.known = False
        """Whether anything of the format has been seen."""

    def feed(self, data: bytes) -> list[Any]:
        """The documents that are whole with these bytes. Raises ``ValueError`` for data that is no JSON, or endless."""
        found: list[Any] = []
        for part in self._decoder.decode(data).splitlines(keepends=True):
            belongs, self._skip_feed = self._skip_feed and part == "\n", part.endswith("\r")
            if belongs:
                continue
            self._line += part.rstrip("\r\n")
            if len(self._line) + sum(map(len, self._data)) > _LONGEST:
                raise ValueError("an event without an end")
            if part[-1] in "\r\n":  # Python ends lines at other characters too, this format does not
                line, self._line = self._line, ""
                self._take(line, found)
        return found

    def _take(self, line: str, found: list[Any]) -> None:
        self.known = self.known or line.partition(":")[0] in _FIELDS
        if self.done or line.startswith(":"):
            return
        if not line:
            if any(part.strip() for part in self._data):
                raise ValueError("an event that is no JSON")
            self._data.clear()
            return
        name, _, value = line.partition(":")
        if name != "data":
            return
        value = value.removeprefix(" ")
        if value.strip() == DONE:
            self.done = True
            return
        self._data.append(value)
        with suppress(ValueError):
            found.append(json.loads("\n".join(self._data)))
            self._data.clear()
