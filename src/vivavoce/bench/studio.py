"""The studio measured with a folder of recordings: how alike cloned voices are, and how soon an answer is heard."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from vivavoce.bench import cloning, conversation
from vivavoce.bench.server import running
from vivavoce.bench.suite import Measured
from vivavoce.errors import InvalidInput
from vivavoce.settings import Settings

__all__ = ["measure"]

Show = Callable[[float, str], None]
_VOICE = "bench"


def measure(folder: Path, *, quick: bool = False, show: Show = lambda *_: None) -> tuple[list[Measured], str]:
    """Everything about voices and conversation, and the table of speakers, in Markdown.

    ``folder`` has a folder of recordings for each speaker. Raises ``InvalidInput`` when there are too few,
    ``EngineUnavailable`` when the cloner cannot be used here.
    """
    sentences = 3 if quick else len(cloning.SENTENCES)
    found = cloning.measure(folder, lambda done, words: show(0.7 * done, words), sentences=sentences)
    show(0.7, "Talking")
    rows = cloning.rows(found) + _answers(folder, 3 if quick else 9)
    return rows, f"### Cloned voices\n\n{cloning.table(found)}"


def _answers(folder: Path, times: int) -> list[Measured]:
    with conversation.writing() as model, TemporaryDirectory(prefix="vivavoce-bench-") as data:
        models = {conversation.MODEL: {"base_url": model.url, "model": "any"}}
        settings = {"VIVAVOCE_CHATS__MODELS": json.dumps(models)}
        with running(Path(data), Settings().defaults.avatar, settings) as server:
            embedded = conversation.latencies(server.url, model, voice="espeak/", times=times)
            _enrol(server.url, folder)
            cloned = conversation.latencies(server.url, model, voice=f"clone/{_VOICE}", times=times)
    return conversation.rows(embedded, "embedded voice") + conversation.rows(cloned, "cloned voice")


def _enrol(url: str, folder: Path) -> None:
    speaker = next((place for place in sorted(folder.iterdir()) if place.is_dir()), None)
    if speaker is None:
        raise InvalidInput(f"The folder {folder.name} has no folder of a speaker.")
    files = [("recording", (path.name, path.read_bytes())) for path in sorted(speaker.iterdir())[:3]]
    data = {"id": _VOICE, "language": "en", "consent": "true"}
    httpx.post(f"{url}/v1/voices", data=data, files=files, timeout=120).raise_for_status()
