"""Another site: pages of another origin that use the player, and films and jobs that behave as they are told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Elsewhere</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/look.css"></head><body>
<script type="module" src="{server}/vivavoce-avatar.js"></script>{body}</body></html>"""
LOOK = "vivavoce-avatar { width: 320px; margin: 1rem } body { margin: 0 }"


@dataclass
class Site:
    """What the site answers; tests fill it in."""

    url: str = ""
    policy: str = ""
    body: str = ""
    server: str = ""
    film: tuple[bytes, ...] = ()
    """Pieces of a film: each but the first is sent when the test lets it go."""
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    streams: list[list[tuple[str, dict[str, Any]]]] = field(default_factory=list)
    """Event streams of the job, one for each time that it is asked for."""
    asked_after: list[str | None] = field(default_factory=list)


@contextmanager
def elsewhere() -> Iterator[Site]:
    site = Site()

    class Answer(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base gives
            pass

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/":
                self.send("text/html", PAGE.format(server=site.server, body=site.body).encode())
            elif path == "/look.css":
                self.send("text/css", LOOK.encode())
            elif path == "/grows.mp4":
                self.grow()
            elif path.startswith("/v1/jobs/"):
                self.events()
            else:
                self.send_error(404)

        def head(self, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Access-Control-Allow-Origin", "*")
            if site.policy and kind == "text/html":
                self.send_header("Content-Security-Policy", site.policy)
            self.end_headers()

        def send(self, kind: str, content: bytes) -> None:
            self.head(kind)
            self.wfile.write(content)

        def grow(self) -> None:
            self.head("video/mp4")
            for number, piece in enumerate(site.film):
                if number:
                    site.go.acquire()
                self.wfile.write(piece)
                self.wfile.flush()

        def events(self) -> None:
            site.asked_after.append(self.headers["Last-Event-ID"])
            self.head("text/event-stream")
            events = site.streams.pop(0) if site.streams else []
            for name, data in events:
                number = data.pop("seq")
                self.wfile.write(f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode())
            self.wfile.flush()

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as http:
        http.daemon_threads = True
        site.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            http.shutdown()
            thread.join()
