"""What a configured service answers with, taken apart: sound inside JSON, and keys that no message may show."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

import httpx

from vivavoce.errors import EngineUnavailable

__all__ = ["found", "same_host", "secrets_in", "secrets_of", "unpacked"]


def found(data: bytes, path: str, service: str) -> str:
    """The text at ``a.b.0`` of a JSON document. Raises ``EngineUnavailable`` when there is none."""
    try:
        value: Any = json.loads(data)
        for step in path.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        value = None
    if not isinstance(value, str) or not value:
        raise EngineUnavailable(f"The answer of {service} has no {path!r}; check its settings.")
    return value


def unpacked(value: str, service: str) -> bytes:
    """Bytes of base64, with or without ``data:…,`` before it. Raises ``EngineUnavailable`` when it is none."""
    try:
        return base64.b64decode(re.sub(r"^data:[\w/.+;=-]*,|\s", "", value), validate=True)
    except (binascii.Error, ValueError):
        raise EngineUnavailable(f"{service} sent sound that is not base64; check its settings.") from None


def same_host(url: str, address: str, service: str) -> str:
    """``address``, relative or not, on the host of ``url``; any other is refused, since headers may hold a key."""
    ours = httpx.URL(url)
    try:
        theirs = ours.join(address)
    except httpx.InvalidURL:
        raise EngineUnavailable(f"{service} sent an address that is none; check its settings.") from None
    if (ours.scheme, ours.host, ours.port) != (theirs.scheme, theirs.host, theirs.port):
        raise EngineUnavailable(f"{service} points to sound on another host; only its own is asked.")
    return str(theirs)


def secrets_in(values: Mapping[str, Any]) -> list[str]:
    """What the operator set and no message may show; short values are words, not keys."""
    held = [w for v in values.values() if isinstance(v, str) for w in (v, v.rpartition(" ")[2])]
    return [v for v in held if len(v) >= 8]


def secrets_of(url: str) -> list[str]:
    """The same of an address: its query may hold a key."""
    return secrets_in(dict(httpx.URL(url).params.items()))
