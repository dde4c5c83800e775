"""JSON as every database keeps it: SQLite takes any text, PostgreSQL refuses NUL and half characters."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from vivavoce.errors import InvalidInput

__all__ = ["checked", "scrubbed"]

_UNKEPT = re.compile("[\0\ud800-\udfff]")


def checked(document: Mapping[str, Any]) -> dict[str, Any]:
    """A client's document as plain JSON values. Raises ``InvalidInput`` for what cannot be kept as it is."""
    try:
        kept: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    except (TypeError, ValueError):
        raise InvalidInput("The parameters must be JSON: texts, finite numbers, lists and objects.") from None
    if scrubbed(kept) != kept:
        raise InvalidInput(
            "The parameters hold characters that are no text (NUL, or half of a surrogate pair); leave them out."
        )
    return kept


def scrubbed(value: Any) -> Any:
    """The same in plain JSON values; what cannot be kept becomes U+FFFD, null or a text: no result is lost."""
    match value:
        case str():
            return _UNKEPT.sub("\ufffd", value)
        case bool() | int() | None:
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {scrubbed(str(name)): scrubbed(inner) for name, inner in value.items()}
        case list() | tuple():
            return [scrubbed(inner) for inner in value]
        case _:
            return scrubbed(str(value))
