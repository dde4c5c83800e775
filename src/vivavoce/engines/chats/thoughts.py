"""Leaves out what a reasoning model thinks before it answers: ``<think> … </think>``, cut anywhere."""

import re

__all__ = ["Thoughts"]

_TAG = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_TAGS = tuple(f"<{slash}{name}>" for slash in ("", "/") for name in ("think", "thinking", "thought", "reasoning"))


class Thoughts:
    """Takes an answer in pieces and gives back what is meant to be heard."""

    def __init__(self, *, thinking: bool = False) -> None:
        """``thinking``: the answer begins with thoughts, and only their end is marked."""
        self._thinking = thinking
        self._held = ""
        self._fresh = True
        """Whether the line so far is blank: elsewhere somebody writes about such a tag."""

    def feed(self, piece: str) -> str:
        """What of the answer so far is to be heard and was not given yet."""
        self._held += piece
        heard = ""
        while tag := _TAG.search(self._held):
            heard += self._given(self._held[: tag.start()])
            if tag[1]:
                self._thinking, self._fresh = False, True
            elif self._fresh:
                self._thinking = True
            else:
                heard += self._given(tag[0])
            self._held = self._held[tag.end() :]
        keep = _begun(self._held)
        heard += self._given(self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]
        return heard

    def finish(self) -> str:
        """What is left, when nothing more comes."""
        left, self._held = self._held, ""
        return self._given(left)

    def _given(self, text: str) -> str:
        if self._thinking or not text:
            return ""
        line = text.rpartition("\n")
        self._fresh = not line[2].strip() and (self._fresh or bool(line[1]))
        return text


def _begun(text: str) -> int:
    """How many characters at the end may become a tag."""
    at = text.rfind("<")
    end = text[at:].lower() if at >= 0 else ""
    return len(end) if end and any(tag.startswith(end) for tag in _TAGS) else 0
