"""What a radiance field's avatar is called on disk, and how large it may be; light to import."""

from typing import Literal

__all__ = ["BEHIND", "FILM", "LARGEST", "LONGEST", "SOUND", "VERSION", "Engine"]

Engine = Literal["ernerf", "synctalk"]

VERSION = 1
LARGEST, LONGEST = 1024, 15_000
"""Pixels along a side of the camera's picture; frames."""
FILM, BEHIND, SOUND = "film.mp4", "behind.mp4", "heard.wav"
"""Each where there is one: reels of an imported film and of what is behind a head, and an imported head's sound."""
