"""Voices of people on the command line: learnt, listed, heard, forgotten."""

from pathlib import Path

import numpy as np
import pytest
from commands import refused, run

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.media.audio import write_wav
from vivavoce.media.synthetic import is_marked
from vivavoce.media.video import probe
from vivavoce.nouns import Audio
from vivavoce.store.voices import VoiceStore
from vivavoce.studio.speech import joined

pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture
def heard(voice: EspeakVoice, tmp_path: Path) -> Path:
    """A recording."""
    said = voice.synthesize("The old man opened his umbrella and walked to the harbour.", language="en", voice="m1")
    write_wav(tmp_path / "heard.wav", joined(said).audio)
    return tmp_path / "heard.wav"


@pytest.mark.slow
def test_a_voice_is_learnt_listed_heard_and_forgotten(heard: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyworld", reason="the dependency group measuring is not installed")
    about = ["--name", "[b]Иван", "--language", "ru", "--consent", "--consent-by", "himself"]
    added = run("voices", "add", "иван", heard, heard, *about)
    assert added.exit_code == 0, added.output
    assert added.stdout.startswith("clone/иван: learnt of ")
    assert "Little speech" in added.stderr
    kept = VoiceStore(tmp_path / "data" / "voices").get("", "иван")
    assert (kept.consent.given, kept.consent.by, kept.language, len(kept.recordings)) == (True, "himself", "ru", 2)
    table = run("voices", "list", "--language", "ru").output
    assert "clone/иван" in table
    assert "[b]Иван" in table, "a name is no markup"
    assert "approximate" in table
    assert "espeak/f3" in table
    alone = run("voices", "list", "--engine", "clone").output
    assert "clone/иван" in alone
    assert "espeak/f3" not in alone
    spoken = run("speak", "Здравствуйте!", "--voice", "clone/иван", "-o", "a.mp4", "--size", "128x128")
    assert spoken.exit_code == 0, spoken.output
    assert "language ru" in spoken.stdout
    assert probe(tmp_path / "a.mp4").has_audio
    assert is_marked(tmp_path / "a.mp4")
    refused(run("voices", "add", "иван", heard), 1, "already")
    assert run("voices", "remove", "clone/иван").exit_code == 0
    assert "clone/" not in run("voices", "list", "--engine", "clone").output
    assert not [p for p in (tmp_path / "data" / "voices").rglob("*") if p.is_file()]


def test_an_enrolment_that_fails_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("pyworld", reason="the dependency group measuring is not installed")
    write_wav(tmp_path / "silence.wav", Audio(np.zeros(80_000, np.float32), 16_000))
    refused(run("voices", "add", "nobody", "silence.wav"), 2, "0.0 s of speech")
    assert not [p for p in (tmp_path / "data").rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["add", "x", "nowhere.wav"], 2, "no recording nowhere.wav"),
        (["add", "../x", "heard.wav"], 2, "1 to 64"),
        (["add", "x", "heard.wav", "--engine", "strange"], 3, "no cloner 'strange'"),
        (["add", "x", "heard.wav", "--engine", "http"], 3, "VIVAVOCE_CLONES__HTTP__URL"),
        (["add", "x", "heard.wav", "--language", "tlh"], 2, "tlh"),
        (["remove", "nobody"], 2, "There is no voice 'nobody'"),
    ],
)
def test_what_is_refused(heard: Path, args: list[str], code: int, says: str) -> None:
    refused(run("voices", *args), code, says)


def test_a_consent_that_is_required(heard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_CLONES__CONSENT", "required")
    refused(run("voices", "add", "x", heard), 2, "--consent")


def test_voices_that_cannot_speak(tmp_path: Path) -> None:
    refused(run("speak", "Hello.", "--voice", "clone/nobody", "--size", "128x128"), 2, "There is no voice 'nobody'")
    store = VoiceStore(tmp_path / "data" / "voices")
    store.add("", "old", [Audio(np.full(16_000, 0.1, np.float32), 16_000)], lambda _: (), engine="of-a-plug-in")
    table = run("voices", "list", "--engine", "clone").output
    assert "clone/old" in table
    assert "of-a-plug-in" in table, "what its cloner lacks"
    refused(run("speak", "Hello.", "--voice", "clone/old", "--size", "128x128"), 3, "of-a-plug-in")


@pytest.mark.slow
def test_a_photo_speaks_with_a_voice_of_somebody(shared: Path, locator: object, heard: Path) -> None:
    """An avatar of a photo lives in a folder of its own for a while; the voices are there all the same."""
    pytest.importorskip("pyworld", reason="the dependency group measuring is not installed")
    assert run("voices", "add", "me", heard, "--language", "en").exit_code == 0
    photo = shared / "media" / "portraits" / "woman_0033.jpg"
    spoken = run("speak", "Hello.", "--voice", "clone/me", "--avatar", photo, "--size", "128x128", "-o", "a.mp4")
    assert spoken.exit_code == 0, spoken.output
    assert VoiceStore(Path("data/voices")).get("", "me").recordings[0].is_file()


@pytest.mark.parametrize(
    ("engine", "code", "says"), [("world", 0, "consent is noted"), ("http", 0, "HTTP__URL"), ("strange", 1, "strange")]
)
def test_the_doctor_names_cloners(monkeypatch: pytest.MonkeyPatch, engine: str, code: int, says: str) -> None:
    if engine == "world":
        pytest.importorskip("pyworld", reason="the dependency group measuring is not installed")
    monkeypatch.setenv("VIVAVOCE_CLONES__ENGINE", engine)
    examined = run("doctor")
    assert examined.exit_code == code, examined.output
    (row,) = [line for line in examined.output.splitlines() if "│ cloners" in line]
    assert says in row
