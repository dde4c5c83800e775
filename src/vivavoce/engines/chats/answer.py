"""An answer in OpenAI's wire format, streamed or whole: what of it is to be heard, and whether it is complete."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vivavoce.engines.chats.events import Events
from vivavoce.engines.chats.thoughts import Thoughts

__all__ = ["Answer", "NoAnswer", "ServiceError"]

_MOST = 60_000
"""Characters of an answer, an hour of speech."""
_WHOLE_BYTES = 4_000_000
_THOUGHTS = ("reasoning_content", "reasoning")
"""Fields in which servers put what a model thinks."""
_REFUSED = frozenset({"content_filter", "sensitive"})
_BROKEN = frozenset({"network_error", "error"})


class NoAnswer(ValueError):
    """The bytes are no answer; the argument says what they are."""


class ServiceError(Exception):
    """In place of an answer, or in its midst, the service tells of an error; its words are the first argument."""


class Answer:
    """Takes the bytes of an answer, cut anywhere, and puts out its text as it comes."""

    def __init__(self, put: Callable[[str], None], *, thinking: bool) -> None:
        """``put`` takes pieces of text; ``thinking``: the text begins with thoughts, see ``Thoughts``."""
        self._put = put
        self._thoughts = Thoughts(thinking=thinking)
        self._head = b""
        self._events: Events | None = None
        self._whole: bytearray | None = None
        self.tokens = 0
        """Documents in which the model wrote something, aloud or not."""
        self.ended = False
        """Whether the model has come to its end, however much the connection still has to say."""
        self.reason = ""
        """Why it ended, in the service's word."""
        self.characters = 0
        """Of the text that was put out."""

    @property
    def done(self) -> bool:
        """Whether the service has said that nothing more comes."""
        return self._events is not None and self._events.done

    @property
    def refused(self) -> bool:
        """Whether the service does not want to answer this."""
        return self.reason in _REFUSED

    @property
    def complete(self) -> bool:
        """Whether the answer is whole: half an answer may look like one."""
        return (self.ended or self.done) and self.reason not in _BROKEN

    def feed(self, data: bytes) -> None:
        """Take more bytes. Raises ``NoAnswer`` and ``ServiceError``."""
        if self._events is None and self._whole is None:
            self._head = (self._head + data).lstrip()
            if not self._head:
                return
            data, self._head = self._head, b""
            if data[:1] == b"{":  # a server that does not stream, whatever it calls it
                self._whole = bytearray()
            elif data[:1] in b"<[":
                raise NoAnswer("a page")
            else:
                self._events = Events()
        if self._events is not None:
            try:
                documents = self._events.feed(data)
            except ValueError as e:
                raise NoAnswer(str(e)) from None
            for document in documents:
                self._take(document, "delta")
        elif self._whole is not None:
            self._whole += data
            if len(self._whole) > _WHOLE_BYTES:
                raise NoAnswer("a document without an end")

    def finish(self) -> None:
        """The bytes are at their end. Raises ``NoAnswer`` and ``ServiceError``."""
        if self._whole is not None:
            try:
                document = json.loads(self._whole)
            except ValueError:
                raise NoAnswer("half a document") from None
            if not self._take(document, "message"):
                raise NoAnswer("a document of another kind")
            self.ended = True
        elif self._events is not None and not self._events.known:
            raise NoAnswer("plain text")
        self._say(self._thoughts.finish())

    def _take(self, document: Any, field: str) -> bool:
        """One document of the service's; false when there is nothing of an answer in it."""
        if not isinstance(document, Mapping):
            raise NoAnswer("a value that is no object")
        if document.get("error"):
            raise ServiceError(_words(document["error"]))
        choices = document.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
            return False  # counts of tokens, signs of life
        choice = choices[0]
        part = choice.get(field) or choice.get("message") or {}
        if not isinstance(part, Mapping):
            raise NoAnswer("a choice that is no object")
        text = _text(part.get("content")) or _text(part.get("refusal"))
        self.tokens += bool(text) or any(part.get(name) for name in _THOUGHTS)
        self._say(self._thoughts.feed(text))
        if choice.get("finish_reason"):
            self.ended, self.reason = True, str(choice["finish_reason"])[:40]
        return True

    def _say(self, text: str) -> None:
        if not self.characters:
            text = text.lstrip()
        self.characters += len(text)
        if self.characters > _MOST:
            raise NoAnswer("a text without an end")
        if text:
            self._put(text)


def _text(content: Any) -> str:
    """The text of a field that is a text, or a list of parts of which some are."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = [p for p in content if isinstance(p, Mapping) and p.get("type", "text") == "text"]
        return "".join(p["text"] for p in parts if isinstance(p.get("text"), str))
    if content is None:
        return ""
    raise NoAnswer("a text of another kind")


def _words(error: Any) -> str:
    """What a service says of its error."""
    told = error.get("message") or error.get("code") or "" if isinstance(error, Mapping) else error
    return str(told)
