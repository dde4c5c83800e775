"""What a training can be told besides its film: names, ranges, and the two ways in which clients write them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from vivavoce.errors import InvalidInput
from vivavoce.studio.forecast import FIELDS

__all__ = [
    "MOST_EPOCHS",
    "OPTIONS",
    "Option",
    "checked_options",
    "consent_note",
    "default_trainer",
    "options_of",
    "quality_of",
    "read_options",
]

MOST_EPOCHS = 1_000_000
_LONGEST = 2000
_SHOWN = 40
"""Characters of a client's word that are said back to it."""


@dataclass(frozen=True, slots=True)
class Option:
    """What one of them may be: a number from ``low`` to ``high``, or one of ``words``."""

    about: str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    words: tuple[str, ...] = ()

    def check(self, name: str, value: object) -> float | str:
        """The value as engines take it. Raises ``InvalidInput`` with what is allowed."""
        if self.words:
            word = value.strip().lower() if isinstance(value, str) else ""
            if word not in self.words:
                raise InvalidInput(f"{name} is one of {', '.join(self.words)}, not {str(value)[:_SHOWN]!r}.")
            return word
        number = _number(value)
        if number is None or not self.low <= number <= self.high or (self.whole and number != int(number)):
            kind = "a whole number" if self.whole else "a number"
            raise InvalidInput(f"{name} is {kind} from {self.low:g} to {self.high:g}, not {str(value)[:_SHOWN]!r}.")
        return int(number) if self.whole else number


OPTIONS: Mapping[str, Option] = {
    "quality": Option("`best` refines the mouth with a network, `fast` does not", words=("fast", "best")),
    "lr": Option("Learning rate of the networks", 1e-7, 1.0),
    "batch": Option("Pictures in a step of a network", 1, 1024, whole=True),
    "size": Option("Pixels along a side of what ER-NeRF and SyncTalk learn: 64 to 512", 64, 512, whole=True),
    "ear": Option(
        "What ER-NeRF and SyncTalk hear: the mouth that is asked for, or the sound",
        words=("lips", "mel", "ave", "hubert", "hubert_cn"),
    ),
    "expressiveness": Option("How far the mouth moves: 1 as the person does", 0.0, 2.0),
    "max_minutes": Option(
        "Minutes after which the training of a network ends, and what is good by then is kept", 0.01, 100_000.0
    ),
}


def checked_options(given: Mapping[str, object]) -> dict[str, float | str]:
    """The options as engines take them. Raises ``InvalidInput`` for a wrong value, and for an unknown name."""
    checked = {}
    for name, value in given.items():
        option = OPTIONS.get(name.strip().lower())
        if option is None:
            raise InvalidInput(
                f"There is no training parameter {name[:_SHOWN]!r}; the parameters are {', '.join(OPTIONS)}."
            )
        if (key := name.strip().lower()) in checked:
            raise InvalidInput(f"{key} is there twice; send it once.")
        checked[key] = option.check(key, value)
    return checked


def read_options(text: str) -> dict[str, float | str]:
    """The same of a text: ``lr=0.001,batch=4``, or a JSON object; "" is none. Raises ``InvalidInput``."""
    text = text.strip()
    if len(text) > _LONGEST:
        raise InvalidInput(f"The training parameters have at most {_LONGEST} characters.")
    if text.startswith("{"):
        return checked_options(_object(text))
    pairs = [part.partition("=") for part in text.replace("，", ",").replace(";", ",").split(",") if part.strip()]
    for name, equals, _ in pairs:
        if not equals:
            raise InvalidInput(
                f"Write training parameters as lr=0.001,batch=4 or as JSON; {name[:_SHOWN]!r} is neither."
            )
    names = [name.strip().lower() for name, _, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"{name[:_SHOWN]} is there twice; send it once.")
    return checked_options({name.strip(): value.strip() for name, _, value in pairs})


def options_of(engine: str) -> list[str]:
    """Those that an engine which learns can be told."""
    return [name for name in OPTIONS if (name != "quality" if engine in FIELDS else name not in ("size", "ear"))]


def default_trainer(own: str, trainers: Sequence[str]) -> str:
    """The engine that learns people where none is named: ``own``, the operator's, if it does; else ``person``."""
    return own if own in trainers else next((name for name in ("person", *trainers) if name in trainers), own)


def consent_note(given: bool, by: str, text: str, *, required: bool) -> dict[str, Any]:
    """What is kept of the person's consent. Raises ``InvalidInput``, also where a consent is required and not given."""
    for name, value in (("consent_by", by), ("consent_text", text)):
        if len(value) > _LONGEST:
            raise InvalidInput(f"{name} has at most {_LONGEST} characters.")
    if required and not given:
        raise InvalidInput(
            "A person is learnt here only with their consent; ask for it, and say so with consent=true (--consent)."
        )
    return {"given": given, "by": by, "text": text}


def quality_of(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an engine measured of a person, which it notes in ``avatar.json`` under its own name; None: nothing."""
    told = facts.get(str(facts.get("engine")))
    return dict(told) if isinstance(told, Mapping) else None


def _object(text: str) -> dict[str, object]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise InvalidInput('The training parameters are no JSON object; write {"lr": 0.001, "batch": 4}.')
    return given


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
