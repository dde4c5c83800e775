"""A microphone without hardware: ALSA plays a file to whoever records."""

from ctypes.util import find_library

import pytest

DEVICE = """
pcm.null {{ type null }}
pcm.studio {{
  type plug
  slave {{
    pcm {{ type file slave.pcm "null" file "/dev/null" infile "{sound}" format "raw" }}
    format S16_LE channels 1 rate {rate}
  }}
}}
pcm.!default {{ type asym playback.pcm "null" capture.pcm "studio" }}
"""
"""What ``ALSA_CONFIG_PATH`` names, with ``sound`` (16-bit PCM, mono) and ``rate`` filled in."""

needs_portaudio = pytest.mark.skipif(
    find_library("portaudio") is None or find_library("asound") is None,
    reason="PortAudio and ALSA are not installed (Debian: apt install libportaudio2)",
)
