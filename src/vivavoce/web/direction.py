"""How the studio's document casts a film: its models stand for face engines, its cards for those of this machine.

Where one that is named is not here, what is here stands in if the operator allows it, and ``message`` says so.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from vivavoce.errors import EngineUnavailable, InvalidInput, NotFound
from vivavoce.registry import Registry
from vivavoce.studio.forecast import FIELDS
from vivavoce.web.paths import path_name
from vivavoce.web.services import Services

__all__ = ["SHOWN", "card", "card_note", "given", "installed", "message", "model", "stand_ins", "upload"]

_MODELS = {"synctalk": ("SyncTalk", "synctalk"), "er-nerf": ("ER-NeRF", "ernerf"), "ernerf": ("ER-NeRF", "ernerf")}
"""Models of the document, without regard to case: how they are written, and the face engine that each stands for."""
_CARDS = {"CPU": None, "GPU0": 0, "GPU1": 1}
_UPLOADS = ("uploads", "static/uploads", "files", "files/download")
SHOWN = 40
"""Characters of a client's word that are said back to it."""


def given(value: str, name: str) -> str:
    """A field without the space around it. Raises ``InvalidInput`` when nothing is left."""
    if not value.strip():
        raise InvalidInput(f"{name} is required.")
    return value.strip()


def model(asked: str, field: str) -> tuple[str, str]:
    """How a model is written, and its face engine, which need not be installed. Raises ``InvalidInput``."""
    name = given(asked, field)
    known = {engine.lower(): (engine, engine) for engine in Registry().names("face")} | _MODELS
    if name.lower() not in known:
        titles = ", ".join(dict.fromkeys(title for title, _ in (_MODELS | known).values()))
        raise InvalidInput(f"There is no model {name[:SHOWN]!r}; {field} is one of {titles}.")
    return known[name.lower()]


def installed(engine: str) -> bool:
    """Whether there is such a face engine, and what it is computed with: torch, for a radiance field."""
    return engine in Registry().names("face") and (engine not in FIELDS or find_spec("torch") is not None)


def card(asked: str) -> int | None:
    """The number of a graphics card; None for the processor. Raises ``InvalidInput``."""
    name = given(asked, "gpu_choice").upper()
    if name not in _CARDS:
        raise InvalidInput(f"gpu_choice is one of {', '.join(_CARDS)}, not {asked[:SHOWN]!r}.")
    return _CARDS[name]


def card_note(services: Services, number: int | None) -> str:
    """What is to be said of a card that is not here; "" of one that is. Looks at the machine."""
    if number is None or number < len(services.machine.measure().cards):
        return ""
    return f"GPU{number} is not here: made on the CPU"


def stand_ins(services: Services, notes: Sequence[str]) -> tuple[str, ...]:
    """The notes of what stands in for what, without the empty ones.

    Raises ``EngineUnavailable`` when there are some and the operator does not allow it.
    """
    said = tuple(note for note in notes if note)
    if said and not services.settings.defaults.fallback:
        raise EngineUnavailable(f"{'; '.join(said)}, but VIVAVOCE_DEFAULTS__FALLBACK does not allow it.")
    return said


def upload(services: Services, owner: str, text: str, missing: str) -> Path:
    """The upload that a path stands for. Raises ``NotFound(missing)`` for all that is none, wherever it may lie."""
    name = path_name(text, (*_UPLOADS, str(services.settings.studio().data_dir / "files")))
    try:
        if name is not None:
            return services.files.find(owner, name)
    except NotFound:
        pass
    raise NotFound(missing)


def message(done: str, notes: Sequence[str]) -> str:
    """What was done, and what stood in."""
    return f"{done}（{'; '.join(notes)}）" if notes else done
