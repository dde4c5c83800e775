"""Folders of weights on a model hub: recognisers whose model is several files, some of hundreds of megabytes.

They are fetched with huggingface_hub, the operator's own client: its mirror (``HF_ENDPOINT``), its token and its
proxies hold. Each file is named by a fixed revision and checked against its SHA-256.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from vivavoce.errors import EngineUnavailable

__all__ = ["WHISPERS", "Hub", "Part", "Whisper", "fetch"]

_TOKENIZER = "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
_VOCABULARY = "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a folder."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Hub:
    """A repository on the hub, at one revision."""

    repository: str
    revision: str


@dataclass(frozen=True, slots=True)
class Whisper:
    """A Whisper model converted for CTranslate2."""

    size: str
    hub: Hub
    parts: tuple[Part, ...]
    purpose: str


def _whisper(size: str, repository: str, revision: str, config: Part, model: Part, *more: Part) -> Whisper:
    older = Part("tokenizer.json", 2_203_239, _TOKENIZER), Part("vocabulary.txt", 459_861, _VOCABULARY)
    purpose = f"writes down speech in a hundred languages (Whisper {size})"
    return Whisper(size, Hub(repository, revision), (config, model, *(more or older)), purpose)


def _third(tokenizer: Part) -> tuple[Part, ...]:
    """What the third generation has besides: 128 mel bands and one language more."""
    return (
        Part("preprocessor_config.json", 340, "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711"),
        tokenizer,
        Part("vocabulary.json", 1_068_114, "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1"),
    )


WHISPERS = (
    _whisper(
        "tiny",
        "Systran/faster-whisper-tiny",
        "d90ca5fe260221311c53c58e660288d3deb8d356",
        Part("config.json", 2_249, "a73a28cdfe1c43ccc7202fa333d1f89c202477271407ae9a7f19afa52039cac8"),
        Part("model.bin", 75_538_270, "dcb76c6586fc06cbdac6dd21f14cfd129cc4cdd9dce19bf4ffa62e59cbe6e6d1"),
    ),
    _whisper(
        "base",
        "Systran/faster-whisper-base",
        "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        Part("config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
        Part("model.bin", 145_217_532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"),
    ),
    _whisper(
        "small",
        "Systran/faster-whisper-small",
        "536b0662742c02347bc0e980a01041f333bce120",
        Part("config.json", 2_370, "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828"),
        Part("model.bin", 483_546_902, "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671"),
    ),
    _whisper(
        "medium",
        "Systran/faster-whisper-medium",
        "08e178d48790749d25932bbc082711ddcfdfbc4f",
        Part("config.json", 2_257, "3622a2ddc41ec0e0fd4e68c13c6830f03b90c38d89aaad184de02c8c642cf807"),
        Part("model.bin", 1_527_906_378, "9b45e1009dcc4ab601eff815b61d80e60ce3fd8c74c1a14f4a282258286b51ae"),
    ),
    _whisper(
        "large-v3",
        "Systran/faster-whisper-large-v3",
        "edaa852ec7e145841d8ffdb056a99866b5f0a478",
        Part("config.json", 2_394, "a9306624f5ec14270a014b647e5c316b6e03a662c369758d1b90697a7b0655b9"),
        Part("model.bin", 3_087_284_237, "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1"),
        *_third(Part("tokenizer.json", 2_480_617, "6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca")),
    ),
    _whisper(
        "large-v3-turbo",
        "dropbox-dash/faster-whisper-large-v3-turbo",
        "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
        Part("config.json", 2_263, "b0253ea6c0d3bea6b1e19e91a02acfd3b53f4467362efcb5a3e6b16c9b3a9b7e"),
        Part("model.bin", 1_617_884_929, "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da"),
        *_third(Part("tokenizer.json", 2_710_337, "297b13372ac43916285644fb9687add3cc62ee2a1adb60da3dc25cc94c1871fd")),
    ),
)
"""The revisions are the repositories' last; sizes and hashes are those that several public projects pin for them."""


def fetch(source: Hub, part: Part, folder: Path, fetching: Callable[[int], None]) -> None:
    """Fetch one file into ``folder``, telling the bytes so far; what an earlier fetch left there is gone on with.

    Raises ``EngineUnavailable`` when it cannot be had; whether it is the right one is the caller's to check.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        with _watched(folder, fetching):
            hf_hub_download(source.repository, part.file, revision=source.revision, local_dir=folder)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as e:
        host = constants.ENDPOINT.partition("://")[2].partition("/")[0]
        raise EngineUnavailable(
            f"The file {part.file} of {source.repository} could not be fetched from {host} ({type(e).__name__}); check "
            "the network, or set HF_ENDPOINT to a mirror, then run the command again."
        ) from e


@contextmanager
def _watched(folder: Path, fetching: Callable[[int], None]) -> Iterator[None]:
    """Tell how much lies in ``folder`` while it is filled; the client itself tells only a terminal."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            fetching(sum(_size(file) for file in folder.rglob("*")))

    thread = threading.Thread(target=watch, name="fetching", daemon=True)
    thread.start()
    try:
        with _silent_bars():
            yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _silent_bars() -> Iterator[None]:
    bars: Any = import_module("huggingface_hub.utils")
    were = bars.are_progress_bars_disabled()
    bars.disable_progress_bars()
    try:
        yield
    finally:
        if not were:
            bars.enable_progress_bars()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:  # renamed meanwhile
        return 0
