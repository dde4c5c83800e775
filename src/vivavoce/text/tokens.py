"""How much of a conversation a model can be sent: tokens, estimated, since every model counts them its own way."""

import math
import re
from collections.abc import Sequence

from vivavoce.nouns import Turn

__all__ = ["estimated_tokens", "recent"]

# Characters and how many tokens each costs, on the dear side. Vendors' rules of thumb: four letters of English make a
# token, or one and a half Chinese characters; other alphabets lie between, the less common the dearer.
_COSTS = (
    (re.compile(r"[ -~\u00a0-\u024f]"), 0.3),
    (re.compile(r"[\u0370-\u045f]"), 0.45),
    (re.compile(r"[\u0460-\u052f\u0530-\u06ff]"), 0.8),
)
_DEAREST = 1.0
_TURN = 4
"""Tokens around each turn."""


def estimated_tokens(text: str) -> int:
    """About how many tokens a text costs, rather too many than too few."""
    cost, others = 0.0, len(text)
    for characters, each in _COSTS:
        found = len(characters.findall(text))
        cost += each * found
        others -= found
    return math.ceil(cost + _DEAREST * others)


def recent(turns: Sequence[Turn], *, most_turns: int, most_tokens: int) -> tuple[Turn, ...]:
    """The end of a conversation that fits: the oldest turns fall out, and it begins with the user's.

    What the system says stays and is counted, but is no turn; a question at the end stays however long it is.
    """
    system = tuple(turn for turn in turns if turn.role == "system")
    said = [turn for turn in turns if turn.role != "system"]
    left = most_tokens - sum(_cost(turn) for turn in system)
    kept = 0
    for turn in reversed(said[-most_turns:] if most_turns > 0 else []):
        left -= _cost(turn)
        if left < 0:
            break
        kept += 1
    end = said[-max(kept, 1) :]
    while end and end[0].role != "user":
        end = end[1:]
    return (*system, *end)


def _cost(turn: Turn) -> int:
    return estimated_tokens(turn.text) + _TURN
