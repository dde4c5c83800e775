"""Piper's neural voices: files that the operator puts into a folder, spoken by a process of their own."""

from vivavoce.engines.piper.voice import PiperVoice

__all__ = ["PiperVoice"]
