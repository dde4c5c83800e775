"""What a stranger's file is, told by its first bytes alone: names and declared types are not to be trusted."""

from pathlib import Path
from typing import Literal

__all__ = ["Kind", "kind_of"]

Kind = Literal["picture", "video", "unknown"]

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_EBML = b"\x1aE\xdf\xa3"  # WebM and Matroska
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # MP4 and MOV
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


def kind_of(source: Path) -> Kind:
    """Whether ``source`` begins like a picture, a video or neither; raises ``OSError`` when it cannot be opened."""
    with source.open("rb") as file:
        head = file.read(16)
    if head.startswith(_PICTURES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        return "picture"
    if head.startswith(_EBML) or (head[4:8] in _BOXES and head[8:12] not in _STILL_BRANDS):
        return "video"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "video"
    return "unknown"
