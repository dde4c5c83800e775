"""A real server with a face of its own making: small, quick, and known frame by frame."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import cv2
import numpy as np
import requests

TOY = '''
import json
import os
import threading
import cv2
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import FaceRejected, InvalidInput
from vivavoce.nouns import Audio, Avatar, CloneTraits, FaceTraits, Frame, Lesson, Speech, VoiceTraits
import numpy as np

class Face:
    """Every frame is grey, as bright as its number in the whole film says."""
    traits = FaceTraits(device="cpu", licence="own")

    def prepare(self, source, into):
        raise FaceRejected("The toy takes no pictures.")

    def train(self, source, into, *, work, epochs, options, tell):
        """What it has learnt is a number that tells whether each epoch was learnt once, in order, from one film.

        Words in the film's own comment make it slow, hang, fail or die: see ``films.footage``.
        """
        film = source.read_bytes()
        if options.get("quality") == "best":
            raise InvalidInput("The toy has no quality.")
        if b"toy:faceless" in film:
            raise FaceRejected("No face was found; use a video of one person, seen from the front, in good light.")
        for step in range(5):
            tell(Lesson(0.02 * step, "track"))
        held = work / "checkpoint.json"
        epoch, weight = json.loads(held.read_text()) if held.exists() else (0, len(film))
        while epoch < epochs:
            if b"toy:slow" in film:
                threading.Event().wait(0.03)
            if b"toy:hang" in film and epoch == 3:
                threading.Event().wait()
            if b"toy:die" in film and epoch == 3:
                os._exit(9)
            if b"toy:bug" in film and epoch == 3:
                raise ZeroDivisionError("secret of the toy")
            epoch, weight = epoch + 1, (weight * 31 + epoch + 1) % 1_000_003
            part = work / "checkpoint.part"
            part.write_text(json.dumps([epoch, weight]))
            part.replace(held)
            picture = np.full((48, 64, 3), (epoch * 7) % 256, np.uint8)
            preview = cv2.imencode(".jpg", picture)[1].tobytes() if epoch % 5 == 1 else b""
            tell(Lesson(0.1 + 0.9 * epoch / epochs, "refine", epoch, epochs, 1 / (1 + epoch), preview))
        (into / "head.json").write_text(json.dumps({"epochs": epoch, "weight": weight, "options": dict(options)}))
        cv2.imwrite(str(into / "poster.jpg"), np.full((256, 256, 3), 180, np.uint8))
        seen = {"speech_seconds": 3.0, "own_voice": 0.5, "blurred_share": 0.1, "closed_frames": 30}
        (into / "avatar.json").write_text(json.dumps({"version": 1, "kind": "video", "toy": seen}))
        return Avatar(into.name, into, "toy", ("Speak for a minute.",))

    def animate(self, avatar, speech, *, canvas, start_frame=0):
        for n in range(canvas.frames(speech.audio.seconds)):
            if "forever" in speech.text and n == 12:
                threading.Event().wait()
            if "slowly" in speech.text:
                threading.Event().wait(0.03)
            level = 40 + 4 * ((start_frame + n) % 40)
            yield Frame(np.full((canvas.height, canvas.width, 3), level, np.uint8), n / canvas.fps)

class Voice:
    """Never gets to its words."""
    traits = VoiceTraits(languages=("en",), licence="own")

    def synthesize(self, text, *, language, voice):
        threading.Event().wait()
        yield Speech(text, language, Audio(np.zeros(1600, np.float32), 16000))

class Cloner:
    """Says everything as the embedded voice m3; to learn more than 60 s takes for ever."""
    traits = CloneTraits(languages=("en", "ru", "zh"), approximate=True, least=2.0, licence="own")

    def __init__(self):
        self._voice = EspeakVoice()

    def enrol(self, recordings, into):
        seconds = sum(recording.seconds for recording in recordings)
        if seconds > 60:
            threading.Event().wait()
        (into / "learnt").write_text(str(seconds))
        return (f"Little speech: {seconds:.1f} s.",) if seconds < 2 else ()

    def synthesize(self, text, *, language, voice):
        assert (voice / "learnt").is_file()
        if "forever" in text:
            threading.Event().wait()
        yield from self._voice.synthesize(text, language=language, voice="m3")

    def close(self):
        self._voice.close()
'''


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    pid: int
    data: Path
    log: Path

    def left(self) -> list[str]:
        """Parts, uploads and half-made avatars that lie about.

        A job's end is told before the last of them is gone: they get some seconds.
        """
        until = monotonic() + 8
        while (found := self._lying()) and monotonic() < until:
            threading.Event().wait(0.05)
        return found

    def _lying(self) -> list[str]:
        files = [p.name for p in (self.data / "artifacts").rglob("*") if p.suffix in (".part", ".sound", ".source")]
        return files + [p.name for p in (self.data / "avatars").iterdir() if p.name.startswith(".")]


class House:
    """A data folder and an address, at which servers come and go."""

    def __init__(self, toy: Path, data: Path, settings: dict[str, str]) -> None:
        avatar = data / "avatars" / "toy"
        avatar.mkdir(parents=True)
        (avatar / "avatar.json").write_text(json.dumps({"version": 1, "name": "toy", "engine": "toy", "warnings": []}))
        cv2.imwrite(str(avatar / "poster.jpg"), np.full((256, 256, 3), 180, np.uint8))
        chosen = {"data_dir": str(data), "defaults__avatar": "toy", "defaults__size": "128x128", "work__processes": "2"}
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VIVAVOCE_")}
        environment |= {f"VIVAVOCE_{key.upper()}": value for key, value in (chosen | settings).items()}
        environment["TMPDIR"] = str(data / "tmp")
        (data / "tmp").mkdir()
        environment["PYTHONPATH"] = os.pathsep.join([str(toy), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self.data, self.log = data, data / "log"
        self.database = settings.get("store__database", f"sqlite:///{data / 'jobs.db'}")
        self._environment = environment
        self._key = "".join(json.loads(settings.get("server__api_keys", "[]"))[:1])
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(64)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self, app: str = "vivavoce.web.app:create_app") -> None:
        """Start a server; who calls meanwhile waits."""
        fd = self._listening.fileno()
        options = ["--fd", str(fd), "--no-access-log", "--timeout-graceful-shutdown", "3"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "--factory", app, *options],
                env=self._environment,
                pass_fds=[fd],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ready(self) -> Served:
        """Wait until it can work."""
        assert self.process is not None
        answer = requests.get(f"{self.url}/v1/voices", headers={"X-API-Key": self._key}, timeout=60)
        assert answer.status_code == 200, self.log.read_text()
        return Served(self.url, self.process.pid, self.data, self.log)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Signal the server and wait until it has gone; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(20)

    def close(self) -> None:
        """Nobody is at this address any more."""
        try:
            if self.process is not None and self.process.poll() is None:
                self.end()
        finally:
            self._listening.close()


@contextmanager
def running(toy: Path, data: Path, settings: dict[str, str]) -> Iterator[Served]:
    with closing(House(toy, data, settings)) as house:
        house.begin()
        yield house.ready()
