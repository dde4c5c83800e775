"""How soon an answer is heard: from the end of a chat model's first sentence to the first pictures of the avatar.

The model is a server of this process that speaks the wire format of real ones, at the pace of real ones.
"""

import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from vivavoce.bench.suite import Measured, playable

__all__ = ["MODEL", "Pace", "latencies", "rows", "writing"]

MODEL = "bench"
_TOKEN_SECONDS = 0.02
"""Between two tokens: 50 a second, as a small model on a good card writes."""
_ANSWER = (
    "The first hall shows how people built boats a thousand years ago.",
    " Please take the stairs down, and mind your step.",
    " At noon a fisherman tells stories by the big window.",
)


class Pace(ThreadingHTTPServer):
    """The model server; ``sentence_ends`` are the times at which first sentences were written, by ``perf_counter``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Writer)
        self.sentence_ends: list[float] = []

    @property
    def url(self) -> str:
        """Its address, as the setting of a model wants it."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Writer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Pace

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        """Stream the answer, token by token."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pause = threading.Event()
        for number, sentence in enumerate(_ANSWER):
            for at in range(0, len(sentence), 4):
                self._write(f"data: {json.dumps({'choices': [{'delta': {'content': sentence[at : at + 4]}}]})}\n\n")
                if not number and at + 4 >= len(sentence):
                    self.server.sentence_ends.append(time.perf_counter())
                pause.wait(_TOKEN_SECONDS)
        self._write(f"data: {json.dumps({'choices': [{'delta': {}, 'finish_reason': 'stop'}]})}\n\ndata: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _write(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


@contextmanager
def writing() -> Iterator[Pace]:
    """The model server for as long as the block lasts."""
    server = Pace()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def latencies(url: str, model: Pace, *, voice: str, times: int) -> list[float]:
    """Seconds from the end of the model's first sentence until its film can play, in ``times`` turns when warm."""
    waits = []
    for _ in range(times + 1):
        model.sentence_ends.clear()
        waits.append(_turn(url, voice) - model.sentence_ends[0])
    return waits[1:]


def _turn(url: str, voice: str) -> float:
    """When the first sentence's film could play; returns when the whole turn is over."""
    body = {"text": "What can I see here?", "language": "en", "voice": voice, "model": MODEL}
    shown = 0.0
    headers = {"Accept": "text/event-stream"}
    with (
        httpx.Client(timeout=120) as client,
        client.stream("POST", f"{url}/v1/chat", json=body, headers=headers) as turn,
    ):
        turn.raise_for_status()
        for line in turn.iter_lines():
            if line.startswith("data: ") and not shown and "video_url" in (told := json.loads(line[6:])):
                with client.stream("GET", url + told["video_url"]) as film:
                    held = b""
                    for piece in film.iter_raw():
                        held += piece
                        if playable(held):
                            shown = time.perf_counter()
                            break
    return shown


def rows(waits: list[float], voice: str) -> list[Measured]:
    """The promise as a line of the bench's table."""
    detail = f"{voice}; 50 tokens a second, 512x512, median of {len(waits)}, slowest {max(waits):.2f}"
    what = "chat: first sentence playable after the model has written it"
    return [Measured(f"{what}, {voice}", statistics.median(waits), "s", 1.0, "less", detail)]
