"""The embedded voice: espeak-ng, in a process of its own."""

from vivavoce.engines.espeak.voice import EspeakVoice

__all__ = ["EspeakVoice"]
