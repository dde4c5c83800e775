"""espeak-ng behind a pipe: it is not thread-safe, and its licence is GPL-3, so it runs in a process of its own.

The voice starts this file as a script. It needs nothing of vivavoce and not even numpy, so it is ready in a moment
and small. It ends when its standard input closes, which the death of its parent does too. Every text is spoken by a
fork that ends with it: the library's wave generator cannot be reset, and only a fresh one says the same text in the
same samples.

Every message has a length of four bytes, big-endian, ahead of it. A request is JSON: ``text``, ``voice`` (espeak's
name, ``en-us+f3``), ``rate`` (words a minute), ``pitch`` and ``range`` (0-99). The answer is a row of messages, each
with a letter ahead of its length: R ready (once, at the start: ``{"rate": Hz}``), S sound (16-bit little-endian
mono), E events (``[[kind, sample, position, text], ...]``), then D done or X (``{"error": sentence}``).
"""

import ctypes
import json
import os
import struct
import sys
from typing import Any, BinaryIO

SYNCHRONOUS = 2
PHONEME_EVENTS_IN_IPA = 1 | 2
UTF8, END_PAUSE = 1, 0x1000
CHARACTER = 1
RATE, PITCH, RANGE = 1, 3, 4
END, WORD, PHONEME = 0, 1, 7


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """The library, which a process can hold once."""

    def __init__(self, library: str, data: str, out: BinaryIO) -> None:
        self._library = ctypes.CDLL(library)
        self._out = out
        self.rate = int(self._library.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), PHONEME_EVENTS_IN_IPA))
        if self.rate <= 0:
            raise RuntimeError("espeak-ng does not start with its data folder")
        self._callback = _Callback(self._heard)  # kept here, or it would be freed while the library calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def choose(self, voice: str, rate: int, pitch: int, pitch_range: int) -> None:
        """Take a voice; raises ``ValueError`` when there is no such voice."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"there is no voice {voice!r}")
        for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)

    def say(self, text: str) -> None:
        """Send sound and events of a text; raises ``RuntimeError`` when the library fails."""
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        data = text.encode() + b"\0"
        flags = UTF8 | END_PAUSE
        code = self._library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, CHARACTER, 0, flags, None, None)
        if code != 0:
            raise RuntimeError(f"espeak-ng failed with code {code}")

    def _heard(self, sound: int | None, n: int, events: Any) -> int:
        """Called by the library for every piece of sound; 0 means go on."""
        try:
            if sound and n > 0:
                send(self._out, b"S", ctypes.string_at(sound, 2 * n))
            heard = _read_events(events)
            if heard:
                send(self._out, b"E", json.dumps(heard).encode())
        except OSError:  # nobody listens any more, and no exception crosses the library
            os._exit(0)
        return 0


def _read_events(events: Any) -> list[tuple[str, int, int, str]]:
    heard = []
    for event in events:
        if event.type == END:
            break
        if event.type == WORD:
            heard.append(("word", event.sample, event.text_position - 1, ""))
        elif event.type == PHONEME:
            heard.append(("phoneme", event.sample, -1, event.id.string.decode("utf-8", "ignore")))
    return heard


def send(out: BinaryIO, kind: bytes, payload: bytes) -> None:
    """Write one message of the answer."""
    out.write(kind + struct.pack(">I", len(payload)) + payload)
    out.flush()


def receive(source: BinaryIO) -> dict[str, Any] | None:
    """Read one request; None when the other side has gone."""
    head = source.read(4)
    if len(head) < 4:
        return None
    body = source.read(struct.unpack(">I", head)[0])
    request: dict[str, Any] = json.loads(body)
    return request


def serve(source: BinaryIO, out: BinaryIO) -> None:
    """Answer requests until the source ends."""
    try:
        import espeakng_loader

        espeak = Espeak(espeakng_loader.get_library_path(), espeakng_loader.get_data_path(), out)
    except (ImportError, OSError, RuntimeError) as e:
        send(out, b"X", json.dumps({"error": f"espeak-ng cannot be loaded: {e}"}).encode())
        return
    send(out, b"R", json.dumps({"rate": espeak.rate}).encode())
    while (request := receive(source)) is not None:
        _say_in_fork(espeak, request, out)


def _say_in_fork(espeak: Espeak, request: dict[str, Any], out: BinaryIO) -> None:
    """Take the voice and speak in a child: settings of one language outlive it in the library, and colour the next."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                espeak.choose(request["voice"], request["rate"], request["pitch"], request["range"])
            except ValueError as e:
                send(out, b"X", json.dumps({"error": str(e)}).encode())
            else:
                espeak.say(request["text"])
                send(out, b"D", b"{}")
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1] != 0:
        os._exit(1)  # half an answer may have been sent: whoever asked starts us again


def main() -> None:
    """Serve the pipes that this process was started with; whatever the library prints cannot disturb them."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, out)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)


if __name__ == "__main__":
    main()
