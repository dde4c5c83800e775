"""A model server on this machine: speaks the wire format of real ones, and misbehaves on demand.

It says what ``answers`` hold, one after another, then what ``otherwise`` does. Each request takes the next of
``moods``; when none is left it is answered well:

==============  =======================================================================================
status          "401", "404", "429", "500", …: refused so; "429:0" also says Retry-After: 0
"whole"         not streamed, whatever was asked for
"split"         every byte of the stream comes alone, lines end in CR LF, with comments and names in between
"bare"          no empty lines between the events, no [DONE]
"late"          the first token comes after ``patience`` seconds, comments before it
"slow"          ``patience`` seconds between any two tokens
"hang"          no answer at all
"silent"        headers, then nothing but comments
"stall"         some tokens, then nothing but comments
"dropped"       headers, then the connection is closed
"truncated"     some tokens, then the connection is closed
"cut"           some tokens, then the end, as if that were all
"endless"       tokens without an end
"thinking"      thoughts in a field of their own come first
"error"         some tokens, then an error that shows the key
"filtered"      some tokens, then it does not want to say more
"garbage"       the right type, and data that is no JSON
"html"          a page
"plain"         the answer as plain text
"empty"         a good answer without a text
"redirect"      somewhere else
"closed"        the connection is closed before any answer
==============  =======================================================================================
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-partner-very-secret-9876543210"


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def messages(self) -> list[tuple[str, str]]:
        return [(m["role"], m["content"]) for m in self.json["messages"]]


class Partner(ThreadingHTTPServer):
    """The server, on a free port."""

    daemon_threads = True
    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[str | Callable[[list[tuple[str, str]]], str]] = []
        self.otherwise = "Hello there. How are you?"
        self.moods: list[str] = []
        self.patience = 0.3
        self.models = ["tiny-model", "other-model"]
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self.busy = threading.Event()
        """Set when a request has arrived."""
        self.left = threading.Event()
        """Set when a client has gone before its answer was out."""
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has left is no news."""


@contextmanager
def partner() -> Iterator[Partner]:
    """A model server for as long as a ``with`` block lasts."""
    server = Partner()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def tokens(text: str) -> list[str]:
    """A text in pieces of three characters, as models write them: without regard to words."""
    return [text[i : i + 3] for i in range(0, len(text), 3)]


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Partner

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        partner = self.server
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        partner.asked.append(asked)
        partner.busy.set()
        try:
            if asked.path.endswith("/models"):
                data = [{"id": name, "object": "model"} for name in partner.models]
                self._send(200, "application/json", json.dumps({"object": "list", "data": data}).encode())
            elif asked.path.endswith("/chat/completions"):
                self._answer(partner.moods.pop(0) if partner.moods else "ok", asked)
            else:
                self._send(404, "application/json", b'{"detail": "Not Found"}')
        except (BrokenPipeError, ConnectionResetError):
            partner.left.set()
            self.close_connection = True

    def _answer(self, mood: str, asked: Asked) -> None:
        status, _, after = mood.partition(":")
        if status.isdigit():
            told = {"error": {"message": f"no, and the key was {KEY}", "type": "refused", "code": "1234"}}
            return self._send(
                int(status), "application/json", json.dumps(told).encode(), {"Retry-After": after} if after else {}
            )
        if mood == "redirect":
            return self._send(307, "text/plain", b"", {"Location": "http://127.0.0.1:9/elsewhere"})
        if mood == "html":
            return self._send(200, "text/html", b"<!doctype html><html><body>Welcome</body></html>")
        if mood in ("hang", "closed"):
            if mood == "hang":
                self._wait_for_leaving()
            self.close_connection = True
            return None
        answer = self.server.answers.pop(0) if self.server.answers else self.server.otherwise
        text = answer(asked.messages) if callable(answer) else answer
        if mood == "plain":
            return self._send(200, "text/plain", text.encode())
        if mood == "whole" or not asked.json.get("stream"):
            message = {"role": "assistant", "content": "" if mood == "empty" else text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": {"total_tokens": 9}}
            return self._send(200, "application/json; charset=utf-8", json.dumps(whole).encode())
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if mood in ("cut", "bare"):
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._stream(mood, text, chunked=mood not in ("cut", "bare"))
        return None

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, mood: str, text: str, *, chunked: bool) -> None:
        for data in self._events(mood, text):
            if data is None:
                self.close_connection = True
                return
            for piece in [data[i : i + 1] for i in range(len(data))] if mood == "split" else [data]:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                self.wfile.flush()
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _events(self, mood: str, text: str) -> Iterator[bytes | None]:
        """What is written, one after another; None closes the connection."""
        end = {"split": "\r\n\r\n", "bare": "\n"}.get(mood, "\n\n")

        def event(document: Any) -> bytes:
            return f"data: {json.dumps(document, ensure_ascii=False)}{end}".encode()

        if mood == "dropped":
            yield None
        if mood == "garbage":
            yield b"data: {not at all\n\n"
        if mood in ("late", "silent", "split"):
            yield from self._comments(None if mood == "silent" else self.server.patience if mood == "late" else 0.0)
        yield event(chunk({"role": "assistant", "content": ""}))
        if mood == "thinking":
            yield from (event(chunk({"content": None, "reasoning_content": t})) for t in tokens("They say hello."))
        parts = [] if mood == "empty" else tokens(text)
        while mood == "endless" and not self.server.closing.is_set():
            yield event(chunk({"content": text + " "}))
        for i, part in enumerate(parts):
            if i >= len(parts) // 2 and mood in ("stall", "truncated", "cut", "error", "filtered"):
                yield from self._broken(mood, event)
                return
            if mood == "slow" and i and self.server.closing.wait(self.server.patience):
                return
            yield event(chunk({"content": part}))
        yield event(chunk({}, "stop"))
        yield event({"id": "chatcmpl-1", "choices": [], "usage": {"total_tokens": 9}})
        if mood != "bare":
            yield f"data: [DONE]{end}".encode()

    def _broken(self, mood: str, event: Callable[[Any], bytes]) -> Iterator[bytes | None]:
        if mood == "stall":
            yield from self._comments(None)
        if mood == "truncated":
            yield None
        if mood == "error":
            yield event({"error": {"message": f"overloaded, and the key was {KEY}", "code": 500}})
        if mood == "filtered":
            yield event(chunk({}, "content_filter"))

    def _comments(self, seconds: float | None) -> Iterator[bytes]:
        """Signs of life for so long; None: until the client has gone."""
        yield b": keep-alive\r\n\r\n"
        for _ in range(10_000_000 if seconds is None else 5):
            if self.server.closing.wait(0.02 if seconds is None else seconds / 5):
                return
            yield b": OPENROUTER PROCESSING\n\n"
        yield b"event: message\nid: 1\n"

    def _wait_for_leaving(self) -> None:
        """Until the client has gone, or the server closes."""
        self.connection.settimeout(0.05)
        while not self.server.closing.is_set():
            with suppress(TimeoutError):
                if not self.connection.recv(1):
                    self.server.left.set()
                    return
