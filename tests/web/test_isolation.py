"""Many clients at once, each with a voice and a grey of its own: nobody gets a sample or a frame of another."""

import io
import json
import re
import threading
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import av
import numpy as np
import pytest
import requests

from loads import ask, follow, reset, rows
from serving import House

CLIENTS = 12
KEYS = ("first-key", "second-key")
ENGINES = '''
import re
import numpy as np
from vivavoce.errors import FaceRejected
from vivavoce.nouns import Audio, FaceTraits, Frame, Mark, Speech, VoiceTraits

class Voice:
    """Hums the tone of the client whose number is the voice, a tenth of a second a word."""
    traits = VoiceTraits(languages=("en",), licence="own")

    def synthesize(self, text, *, language, voice):
        samples = 1600 * len(text.split())
        sound = 0.5 * np.sin(2 * np.pi * (300 + 70 * int(voice)) * np.arange(samples) / 16000)
        marks = (Mark("phoneme", "m", 0.0, samples / 16000),)
        yield Speech(text, language, Audio(sound.astype(np.float32), 16000), marks)

class Face:
    """Every frame is as grey as the client is that is named in the text."""
    traits = FaceTraits(device="cpu", licence="own")

    def prepare(self, source, into):
        raise FaceRejected("It takes no pictures.")

    def animate(self, avatar, speech, *, canvas, start_frame=0):
        (client,) = set(re.findall(r"client(\\d\\d)", speech.text)) or {"00"}
        for n in range(canvas.frames(speech.audio.seconds)):
            if "unheard" in speech.text:
                raise ZeroDivisionError
            yield Frame(np.full((canvas.height, canvas.width, 3), 30 + 16 * int(client), np.uint8), n / canvas.fps)
'''


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that two keys open, with engines whose work can be told apart."""
    engines = tmp_path_factory.mktemp("engines")
    (engines / "hum_engines.py").write_text(ENGINES)
    info = engines / "hum_engines-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hum-engines\nVersion: 0\n")
    points = "[vivavoce.engines]\nface.toy = hum_engines:Face\nvoice.hum = hum_engines:Voice\n"
    (info / "entry_points.txt").write_text(points)
    with closing(House(engines, tmp_path_factory.mktemp("data"), {"server__api_keys": json.dumps(KEYS)})) as house:
        house.begin()
        house.ready()
        yield house


class Client:
    """One of many, who knows what is its own."""

    def __init__(self, url: str, number: int) -> None:
        self.number = number
        self.key = KEYS[number % 2]
        self.word = f"client{number:02}"
        self.jobs: list[str] = []
        self.media: list[str] = []
        self._url = url
        self._headers = {"X-API-Key": self.key}

    def body(self, words: int, **more: Any) -> dict[str, Any]:
        return {"text": " ".join([self.word] * words), "language": "en", "voice": f"hum/{self.number}"} | more

    def get(self, path: str) -> bytes:
        answer = requests.get(self._url + path, timeout=60)
        assert answer.status_code == 200, answer.text
        self.media.append(path.rpartition("/")[2].partition(".")[0])
        return answer.content

    def post(self, path: str, body: dict[str, Any], **headers: str) -> requests.Response:
        told = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = requests.post(self._url + path, json=body, headers=told, timeout=120, stream="Accept" in headers)
        assert answer.status_code in (200, 202), answer.text
        return answer

    def chunks(self) -> None:
        """All chunks at once."""
        answer = self.post("/api/stream_chunks", self.body(12, chunk_size=5))
        chunks = answer.json()["chunks"]
        assert len(chunks) == 3
        for chunk in chunks:
            self.owns_text(chunk["text"])
            self.owns_sound(self.get(chunk["audio_url"]), round(1600 * len(chunk["text"].split())))
            self.owns_film(self.get(chunk["video_url"]), chunk["duration"])

    def events_of_chunks(self) -> None:
        """Chunk by chunk, each film while it is made."""
        said = 0
        with self.post("/api/stream_chunks", self.body(12, chunk_size=5), Accept="text/event-stream") as answer:
            kind = ""
            for line in answer.iter_lines(chunk_size=1):
                name, _, value = line.decode().partition(": ")
                kind = value if name == "event" else kind
                if name == "data" and kind == "chunk":
                    chunk = json.loads(value)
                    said += 1
                    self.owns_text(chunk["text"])
                    self.owns_film(self.get(chunk["video_url"]), chunk["duration"])
        assert said == 3

    def stream(self) -> None:
        """A film in the answer itself."""
        self.owns_film(self.post("/api/generate_stream", self.body(8)).content)
        self.owns_film(self.post("/v1/videos", self.body(8), Accept="video/mp4").content)
        self.owns_film(self.post("/api/generate", self.body(8)).content)

    def video(self) -> None:
        """A job, its events, its result; the key of the call is the same for everybody."""
        words = 6 + self.number
        answer = self.post("/v1/videos", self.body(words), Idempotency_Key=f"all-use-this-{self.number // 2}")
        job = answer.json()["id"]
        self.jobs.append(job)
        for _, kind, data in follow(self._url, job, headers=self._headers):
            assert job == answer.json()["id"]
            if kind == "sound":
                self.owns_text(data["text"])
                self.owns_film(self.get(data["video_url"]))
                self.owns_sound(self.get(data["audio_url"]), 1600 * words)
        done = requests.get(f"{self._url}/v1/jobs/{job}", headers=self._headers, timeout=20).json()
        assert done["state"] == "succeeded"
        self.owns_text(done["params"]["text"])
        self.owns_film(self.get(done["result"]["video_url"]), done["result"]["duration"])
        self.owns_sound(self.get(done["result"]["audio_url"]), 1600 * words)

    def owns_text(self, text: str) -> None:
        assert set(text.split()) == {self.word}

    def owns_sound(self, wav: bytes, samples: int) -> None:
        """Every sample is that of this client's tone, or of the silence around it."""
        with wave.open(io.BytesIO(wav)) as file:  # behind the sound there is a mark that says that it is synthetic
            heard = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float) / 32767
        first = int(np.flatnonzero(np.abs(heard) > 1e-3)[0]) - 1  # a sine begins with a zero
        tone = 0.5 * np.sin(2 * np.pi * self.hertz * np.arange(samples) / 16000)
        expected = np.zeros_like(heard)
        expected[first : first + samples] = tone
        assert np.abs(heard - expected).max() < 1e-3

    def owns_film(self, film: bytes, seconds: float | None = None) -> None:
        """Every frame is as grey as this client, and in every stretch of the sound is no tone but its own."""
        with av.open(io.BytesIO(film), "r") as container:
            levels = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        for level in levels:
            assert np.abs(level.astype(int) - (30 + 16 * self.number)).max() <= 5
        if seconds is not None:
            assert len(levels) == round(25 * seconds)
        with av.open(io.BytesIO(film), "r") as container:
            rate = container.streams.audio[0].rate
            sound = np.concatenate([f.to_ndarray().mean(0) for f in container.decode(audio=0)])
        width = rate // 8  # so that the parts of a spectrum lie 8 Hz apart
        starts = range(0, len(sound) - width, width // 4)
        spectra = [np.abs(np.fft.rfft(sound[k : k + width] * np.hanning(width))) ** 2 for k in starts]
        most = max(spectrum.sum() for spectrum in spectra)
        for spectrum in spectra:
            own = round(self.hertz / 8)  # the next client's is nine parts away
            if spectrum.sum() > 1e-4 * most:
                assert abs(int(spectrum.argmax()) - own) <= 4
            if spectrum.sum() > 0.6 * most:  # a tone that begins or ends within is broader
                assert spectrum[own - 4 : own + 5].sum() > 0.9 * spectrum.sum()

    @property
    def hertz(self) -> int:
        return 300 + 70 * self.number


def together(clients: list[Client], deed: Callable[[Client], None]) -> None:
    """All begin at the same moment."""
    start = threading.Barrier(len(clients))

    def one(client: Client) -> None:
        start.wait(30)
        deed(client)

    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(one, clients))


@pytest.mark.parametrize(
    "deeds",
    [
        pytest.param((Client.video,), id="videos"),
        pytest.param(
            (Client.chunks, Client.events_of_chunks, Client.stream, Client.video), id="all", marks=pytest.mark.slow
        ),
    ],
)
def test_nobody_gets_anything_of_another(house: House, deeds: tuple[Callable[[Client], None], ...]) -> None:
    clients = [Client(house.url, number) for number in range(CLIENTS)]

    def mixed(client: Client) -> None:
        for n in range(len(deeds)):
            deeds[(n + client.number) % len(deeds)](client)

    together(clients, mixed)
    made = [name for client in clients for name in set(client.media)]
    assert len(made) == len(set(made)), "two clients were given the same file"
    check_doors(house.url, clients)


def check_doors(url: str, clients: list[Client]) -> None:
    """A key shows its own jobs only."""
    for key in KEYS:
        mine = {job for client in clients if client.key == key for job in client.jobs}
        listed = requests.get(f"{url}/v1/jobs?limit=200", headers={"X-API-Key": key}, timeout=20)
        words = set(re.findall(r"client\d\d", listed.text))
        assert mine <= {job["id"] for job in listed.json()["jobs"]}
        assert words <= {client.word for client in clients if client.key == key}
        for client in clients:
            if client.key != key:
                for job in client.jobs:
                    for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
                        answer = requests.request(
                            method, f"{url}/v1/jobs/{job}{path}", headers={"X-API-Key": key}, timeout=20
                        )
                        assert answer.status_code == 404


def test_something_of_another_would_be_noticed(house: House) -> None:
    """The checks themselves: clients whose tones and greys are next to each other."""
    one, other = Client(house.url, 4), Client(house.url, 5)
    (chunk,) = one.post("/api/stream_chunks", one.body(5)).json()["chunks"]
    film, sound = one.get(chunk["video_url"]), one.get(chunk["audio_url"])
    one.owns_film(film)
    one.owns_sound(sound, 8000)
    with pytest.raises(AssertionError):
        other.owns_film(film)
    with pytest.raises(AssertionError):
        other.owns_sound(sound, 8000)
    with pytest.raises(AssertionError):
        other.owns_text(chunk["text"])


def test_the_log_of_a_failure_has_nobodys_words_and_keys(house: House) -> None:
    client = Client(house.url, 3)
    body = client.body(1, text="client03 said something unheard of")
    answer = client.post("/v1/videos", body, Prefer="wait=20")
    assert (answer.json()["state"], answer.json()["error"]["code"]) == ("failed", "internal")
    with suppress(ConnectionError):  # leaves before its body is there
        reset(ask(house.url, "POST", "/v1/videos", body, Content_Length="9999", X_API_Key=client.key))
    requests.get(f"{house.url}/api/health", timeout=20)
    log = house.log.read_text()
    assert "ZeroDivisionError" in log
    assert "unheard" not in log
    assert client.key not in log
    assert "ClientDisconnect" not in log


def test_an_idempotency_key_is_one_owners(house: House) -> None:
    clients = [Client(house.url, number) for number in (0, 1)]
    jobs = [
        client.post("/v1/videos", client.body(3), Idempotency_Key="everybodys").json()["id"]
        for client in (*clients, *clients)
    ]
    assert jobs[:2] == jobs[2:]
    assert jobs[0] != jobs[1]
    owners = [rows(house.database, f"SELECT owner FROM job WHERE id = '{job}'")[0]["owner"] for job in jobs[:2]]
    assert len(set(owners)) == 2
    for client, job in zip(clients, jobs[:2], strict=True):
        *_, (_, _, last) = follow(house.url, job, headers={"X-API-Key": client.key})
        assert last["state"] == "succeeded"
