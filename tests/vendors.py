"""A voice service on this machine: speaks the wire formats of real ones, with espeak inside, and misbehaves on demand.

Each request takes the next of ``moods``; when none is left it is answered well:

==============  =======================================================================================
status          "401", "404", "429", "500", …: refused so; "429:0" also says Retry-After: 0
"late"          the first byte comes after ``patience`` seconds
"trickle"       the body comes in many small pieces
"endless"       the body comes in small pieces, each ``patience`` seconds after the one before
"hang"          no answer at all
"stall"         half of the body, then nothing
"truncated"     half of the body, then the connection is closed
"cut"           half of the body, as if it were all
"empty"         a good answer without a body
"html"          a page instead of sound
"garbage"       the right type, and bytes that are nothing
"redirect"      somewhere else
"closed"        the connection is closed before any answer
==============  =======================================================================================
"""

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import av
import numpy as np

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import resample, write_wav
from vivavoce.nouns import Audio, Speech
from vivavoce.studio.speech import joined

KEY = "sk-very-secret-0123456789"
SPEAKER = "m1;rate=120"
"""The voice inside is another one, and slower, than the embedded voice that finds its sounds."""


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Vendor(ThreadingHTTPServer):
    """The service, on a free port."""

    daemon_threads = True
    block_on_close = True

    def __init__(self, voice: EspeakVoice) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.voice = voice
        self.moods: list[str] = []
        self.patience = 0.3
        self.asked: list[Asked] = []
        self.said: list[Speech] = []
        self.refusal = "no, and the key was " + KEY
        self.closing = threading.Event()
        self.busy = threading.Event()
        """Set when a request has arrived."""
        self.left = threading.Event()
        """Set when a client has gone before its answer was out."""
        self.relative = False
        """Whether each piece of ElevenLabs' counts from its own start."""
        self.altered = False
        """Whether the vendor writes the text its own way."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def say(self, text: str, language: str) -> Speech:
        speech = joined(self.voice.synthesize(text, language=language, voice=SPEAKER))
        self.said.append(speech)
        return speech

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has left is no news."""


@contextmanager
def vendor(voice: EspeakVoice) -> Iterator[Vendor]:
    """A service for as long as a ``with`` block lasts."""
    server = Vendor(voice)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def language_of(text: str) -> str:
    """A vendor guesses; these five are told apart by their letters."""
    if any("\uac00" <= c <= "\ud7a3" for c in text):
        return "ko"
    if any("\u4e00" <= c <= "\u9fff" for c in text):
        return "zh"
    if any(c in "әғқңөұүһі" for c in text.lower()):
        return "kk"
    return "ru" if any("а" <= c <= "я" for c in text.lower()) else "en"


def character_times(speech: Speech) -> tuple[list[str], list[float], list[float]]:
    """As ElevenLabs tells them: every character, also spaces, in steps of a spectrum; the letters of a word alike."""
    step = 256 / 22050
    starts, ends = np.zeros(len(speech.text)), np.zeros(len(speech.text))
    at, now = 0, 0.0
    for word in [*speech.of("word"), None]:
        begin = len(speech.text) if word is None else word.offset
        start = speech.audio.seconds if word is None else word.start
        for k in range(at, begin):  # what stands between two words has the time between them
            share = (start - now) / max(1, begin - at)
            starts[k], ends[k] = now + share * (k - at), now + share * (k - at + 1)
        if word is not None:
            edges = np.linspace(word.start, word.end, len(word.text) + 1)
            starts[begin : begin + len(word.text)], ends[begin : begin + len(word.text)] = edges[:-1], edges[1:]
            at, now = begin + len(word.text), word.end
    rounded = [np.round(np.round(t / step) * step, 3).tolist() for t in (starts, ends)]
    return list(speech.text), rounded[0], rounded[1]


def wav(audio: Audio) -> bytes:
    target = io.BytesIO()
    write_wav(target, audio, audio.rate)
    return target.getvalue()


def mp3(audio: Audio) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=audio.rate)
        frame = av.AudioFrame.from_ndarray(_pcm(audio)[None, :], format="s16", layout="mono")
        frame.sample_rate = audio.rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def _pcm(audio: Audio) -> Any:
    return np.rint(np.clip(audio.samples, -1, 1) * 32767).astype("<i2")


@dataclass
class _Answer:
    kind: str
    pieces: list[bytes] = field(default_factory=list)
    chunked: bool = False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Vendor

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        vendor = self.server
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {k.lower(): v for k, v in self.headers.items()}
        asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
        vendor.asked.append(asked)
        vendor.busy.set()
        mood = vendor.moods.pop(0) if vendor.moods else "ok"
        try:
            self._answer(mood, asked)
        except (BrokenPipeError, ConnectionResetError):
            vendor.left.set()
            self.close_connection = True

    def _answer(self, mood: str, asked: Asked) -> None:
        status, _, after = mood.partition(":")
        if status.isdigit():
            refusal = json.dumps({"detail": {"status": "refused", "message": self.server.refusal}}).encode()
            return self._send(int(status), "application/json", refusal, {"Retry-After": after} if after else {})
        if mood == "redirect":
            return self._send(307, "text/plain", b"", {"Location": "http://127.0.0.1:9/elsewhere"})
        if mood == "html":
            return self._send(200, "text/html; charset=utf-8", b"<html><body>Welcome</body></html>")
        if mood in ("hang", "closed"):
            if mood == "hang":
                self._wait_for_leaving()
            self.close_connection = True
            return None
        answer = self._spoken(asked)
        if mood in ("garbage", "empty"):
            body = b"{not at all \xff\x00\n" * 9 if mood == "garbage" else b""
            return self._send(200, answer.kind, body)
        return self._stream(mood, answer)

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, mood: str, answer: _Answer) -> None:
        body = b"".join(answer.pieces)
        pieces = answer.pieces if len(answer.pieces) > 1 else [body[: len(body) // 2], body[len(body) // 2 :]]
        whole = len(body)
        if mood in ("trickle", "endless"):
            size = max(1, whole // 40)
            pieces = [body[i : i + size] for i in range(0, whole, size)]
        if mood == "cut":
            body = body[: whole // 2]
            pieces, whole = [body], whole // 2
        if mood == "late":
            self.server.closing.wait(self.server.patience)
        self.send_response(200)
        self.send_header("Content-Type", answer.kind)
        self.send_header(*(("Transfer-Encoding", "chunked") if answer.chunked else ("Content-Length", str(whole))))
        self.end_headers()
        for i, piece in enumerate(pieces):
            if i and i >= len(pieces) // 2 and mood in ("stall", "truncated"):
                if mood == "stall":
                    self._wait_for_leaving()
                self.close_connection = True
                return
            if mood == "endless" and self.server.closing.wait(self.server.patience):
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if answer.chunked else piece)
            self.wfile.flush()
        if answer.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _wait_for_leaving(self) -> None:
        """Until the client has gone, or the server closes."""
        self.connection.settimeout(0.05)
        while not self.server.closing.is_set():
            with suppress(TimeoutError):
                if not self.connection.recv(1):
                    self.server.left.set()
                    return

    # ---- the formats

    def _spoken(self, asked: Asked) -> _Answer:
        if asked.path.startswith("/v1/text-to-speech/"):
            return self._elevenlabs(asked)
        if asked.path.endswith("/audio/speech"):
            return self._openai(asked)
        if asked.path.startswith("/files/"):
            return _Answer("audio/wav", [wav(self.server.said[-1].audio)])
        return self._plain(asked)

    def _elevenlabs(self, asked: Asked) -> _Answer:
        text = asked.json["text"]
        speech = self.server.say(text, language_of(text))
        characters, starts, ends = character_times(speech)
        format_ = asked.query["output_format"]
        if format_.startswith("mp3"):
            sound, per_second = mp3(speech.audio), 0.0
        else:
            rate = int(format_.partition("_")[2])
            sound, per_second = _pcm(resample(speech.audio, rate)).tobytes(), 2.0 * rate
        lines: list[str] = []
        cuts = [0, len(text) // 3, 2 * len(text) // 3, len(text)]
        for i, (a, b) in enumerate(pairwise(cuts)):
            last = i == len(cuts) - 2
            first = len(b"".join(base64.b64decode(json.loads(line)["audio_base64"]) for line in lines))
            stop = len(sound) if last else int(ends[b - 1] * per_second) // 2 * 2 if per_second else first
            shift = first / per_second if self.server.relative and per_second else 0.0
            said = [c.upper() if self.server.altered else c for c in characters[a:b]]
            alignment: dict[str, list[Any]] = {
                "characters": [*said, "~"] if self.server.altered else said,
                "character_start_times_seconds": [t - shift for t in starts[a:b]],
                "character_end_times_seconds": [t - shift for t in ends[a:b]],
            }
            if self.server.altered:
                for key in ("character_start_times_seconds", "character_end_times_seconds"):
                    alignment[key].append(alignment["character_end_times_seconds"][-1])
            audio = base64.b64encode(sound[first:stop]).decode()
            lines.append(json.dumps({"audio_base64": audio, "alignment": alignment, "normalized_alignment": None}))
        lines.append(json.dumps({"audio_base64": "", "alignment": None, "normalized_alignment": None}))
        return _Answer("application/json", [line.encode() + b"\n" for line in lines], chunked=True)

    def _openai(self, asked: Asked) -> _Answer:
        speech = self.server.say(asked.json["input"], language_of(asked.json["input"]))
        if asked.json["response_format"] == "pcm":
            return _Answer("audio/pcm", [_pcm(resample(speech.audio, 24000)).tobytes()], chunked=True)
        if asked.json["response_format"] == "mp3":
            return _Answer("audio/mpeg", [mp3(speech.audio)], chunked=True)
        return _Answer("audio/wav", [wav(speech.audio)])

    def _plain(self, asked: Asked) -> _Answer:
        sent_json = asked.headers.get("content-type", "").startswith("application/json")
        fields = asked.json if sent_json else dict(parse_qsl(asked.body.decode())) | asked.query
        text = fields.get("text") or fields["say"]
        speech = self.server.say(text, fields.get("language") or language_of(text))
        if asked.path == "/json":
            body = {"data": {"audio": base64.b64encode(wav(speech.audio)).decode()}}
        elif asked.path == "/link":
            body = {"data": {"audio": "/files/sound.wav"}}
        elif asked.path == "/elsewhere":
            body = {"data": {"audio": "http://localhost:9/files/sound.wav"}}
        else:
            return _Answer("audio/mpeg", [mp3(speech.audio)])
        return _Answer("application/json", [json.dumps(body).encode()])
