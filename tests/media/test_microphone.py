"""The microphone: a virtual one of ALSA whose sound is a file, heard through PortAudio in a process of its own.

ALSA's ``null`` device keeps no time, so a recording of seconds takes a moment.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microphones import DEVICE, needs_portaudio
from vivavoce.errors import Overloaded
from vivavoce.media import microphone

RATE, TONE = 48_000, 440.0


PROGRAM = """
import json, sys
import numpy as np
from vivavoce.errors import VivavoceError
from vivavoce.media.microphone import record
arguments = json.loads(sys.argv[1])
looks = arguments.pop("looks", None)
left = iter(range(looks or 0))
try:
    sound = record(**arguments, stop=None if looks is None else lambda: next(left, None) is None)
except VivavoceError as e:
    told = {"status": e.status, "message": str(e)}
else:
    power = np.abs(np.fft.rfft(sound.samples * np.hanning(len(sound.samples)))) if len(sound.samples) else [0]
    hertz = float(np.argmax(power) * sound.rate / max(1, len(sound.samples)))
    peak = float(np.abs(sound.samples).max(initial=0))
    told = {"seconds": sound.seconds, "rate": sound.rate, "hertz": hertz, "peak": peak}
print(json.dumps(told))
"""


def recorded(config: Path, **arguments: Any) -> dict[str, Any]:
    """What ``record`` gives on a machine whose sound devices are those of ``config``."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(arguments)],
        env=os.environ | {"ALSA_CONFIG_PATH": str(config)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told: dict[str, Any] = json.loads(run.stdout)
    return told


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A machine whose microphone hears an endless tone."""
    time = np.arange(RATE * 60) / RATE
    sound = tmp_path / "tone.raw"
    sound.write_bytes((0.5 * np.sin(2 * np.pi * TONE * time) * 32767).astype("<i2").tobytes())
    config = tmp_path / "asound.conf"
    config.write_text(DEVICE.format(sound=sound, rate=RATE))
    return config


@needs_portaudio
def test_what_sounds_is_recorded(tone: Path) -> None:
    told = recorded(tone, seconds=2.0)
    assert told["seconds"] == pytest.approx(2.0, abs=1e-3)
    assert told["rate"] == 16_000
    assert told["hertz"] == pytest.approx(TONE, abs=1)
    assert told["peak"] == pytest.approx(0.5, abs=0.02)


@needs_portaudio
@pytest.mark.parametrize("device", ["studio", 0])
def test_a_device_can_be_chosen(tone: Path, device: str | int) -> None:
    told = recorded(tone, seconds=1.0, rate=22_050, device=device)
    assert told["rate"] == 22_050
    assert told["seconds"] == pytest.approx(1.0, abs=1e-3)
    assert told["peak"] > 0.4


@needs_portaudio
def test_it_stops_when_it_is_told_to(tone: Path) -> None:
    told = recorded(tone, seconds=60.0, looks=10)
    assert told["seconds"] == pytest.approx(0.5, abs=0.01)
    assert recorded(tone, seconds=60.0, looks=0)["seconds"] == 0


@needs_portaudio
def test_a_machine_without_a_microphone_says_so(tmp_path: Path) -> None:
    config = tmp_path / "asound.conf"
    config.write_text('pcm.null { type null }\npcm.!default { type asym playback.pcm "null" }\n')
    told = recorded(config, seconds=1.0)
    assert told["status"] == 503
    assert "no microphone" in told["message"]


@needs_portaudio
def test_an_unknown_device_is_named(tone: Path) -> None:
    told = recorded(tone, seconds=1.0, device="gramophone")
    assert told["status"] == 503
    assert "'gramophone'" in told["message"]


def missing(module: str, error: str) -> dict[str, Any]:
    """What ``record`` says where importing ``module`` raises ``error``."""
    program = (
        "import sys, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        f"    def find_spec(self, name, *_):\n        if name == {module!r}: raise {error}\n"
        f"sys.meta_path.insert(0, Absent())\n{PROGRAM}"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, '{"seconds": 1}'], capture_output=True, text=True, timeout=60, check=True
    )
    told: dict[str, Any] = json.loads(run.stdout)
    return told


def test_a_missing_package_and_a_missing_library_are_told_apart() -> None:
    package = missing("sounddevice", "ModuleNotFoundError(name)")
    assert package["status"] == 503
    assert "vivavoce[mic]" in package["message"]
    library = missing("sounddevice", "OSError('PortAudio library not found')")
    assert library["status"] == 503
    assert "libportaudio2" in library["message"]


def test_two_do_not_record_at_once() -> None:
    with microphone._recording, pytest.raises(Overloaded):
        microphone.record(1.0)
