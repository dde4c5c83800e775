"""Every registered engine, ours or a plug-in's, keeps the promises of its port."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carried import avatar as film_of_a_person
from partners import partner
from vivavoce.engines.espeak import EspeakVoice
from vivavoce.errors import EngineUnavailable
from vivavoce.media.audio import resample
from vivavoce.nouns import Audio, Avatar
from vivavoce.ports import Animator
from vivavoce.registry import Registry
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.studio.scene import builtin_avatars
from vivavoce.studio.speech import joined
from vivavoce.testing import (
    check_animator,
    check_chat,
    check_cloner,
    check_encoder,
    check_enhancer,
    check_prepare,
    check_recognizer,
    check_synthesizer,
)

NAMES = Registry()


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    held = Registry()
    yield held
    held.close()


@pytest.mark.parametrize("name", NAMES.names("voice"))
def test_voice(registry: Registry, name: str) -> None:
    try:
        engine = registry.get("voice", name)
    except EngineUnavailable as e:
        pytest.skip(str(e))
    check_synthesizer(engine)


def face(registry: Registry, name: str) -> Animator:
    try:
        return registry.get("face", name)
    except EngineUnavailable as e:
        pytest.skip(str(e))


def faces() -> list[Any]:
    """Those that are learnt by nets take long."""
    long = [pytest.mark.neural, pytest.mark.slow]
    return [pytest.param(n, marks=long if n in ("ernerf", "synctalk") else ()) for n in NAMES.names("face")]


@pytest.mark.parametrize("name", faces())
def test_face(registry: Registry, name: str, tmp_path: Path) -> None:
    engine = face(registry, name)
    check_animator(engine, avatar_of(engine, name, tmp_path))


def avatar_of(engine: Animator, name: str, folder: Path) -> Avatar:
    """An avatar that ships for this engine, or one made of a film or of a default avatar's picture."""
    library = AvatarLibrary(folder / "avatars", builtin_avatars())
    for known in library.names():
        if library.get(known).engine == name:
            return library.get(known)
    if name == "person":
        return film_of_a_person(folder / "made")
    if name in ("ernerf", "synctalk"):
        from fields import avatar as field_of_a_person

        return field_of_a_person(folder / "made", "ernerf" if name == "ernerf" else "synctalk")
    (folder / "made").mkdir()
    return engine.prepare(library.poster("anna"), folder / "made")


@pytest.mark.parametrize("name", NAMES.names("face"))
def test_prepare(registry: Registry, name: str, tmp_path: Path) -> None:
    engine = face(registry, name)
    if "picture" not in engine.traits.sources:
        pytest.skip(f"face.{name} is not made from pictures")
    picture = AvatarLibrary(tmp_path / "avatars", builtin_avatars()).poster("anna")
    try:
        avatar = check_prepare(engine, picture, tmp_path / "prepared")
    except EngineUnavailable as e:
        pytest.skip(str(e))
    assert avatar.engine == name


@pytest.mark.parametrize("name", NAMES.names("speaker"))
def test_speaker(registry: Registry, name: str, voice: EspeakVoice) -> None:
    try:
        engine = registry.get("speaker", name)
    except EngineUnavailable as e:
        pytest.skip(str(e))

    def says(who: str, text: str) -> Audio:
        parts = [part.audio for part in voice.synthesize(text, language="en", voice=who)]
        return resample(Audio(np.concatenate([p.samples for p in parts]), parts[0].rate), engine.traits.rate)

    one, two = "The north wind and the sun disputed which was the stronger.", "A traveller came along in a warm cloak."
    check_encoder(engine, says("f3", one), says("f3", two), says("m3", one))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES.names("ear"))
def test_ear(registry: Registry, name: str, voice: EspeakVoice) -> None:
    try:
        engine = registry.get("ear", name)
    except EngineUnavailable as e:
        pytest.skip(str(e))
    said = joined(voice.synthesize("Good morning everybody.", language="en", voice="f3"))
    check_recognizer(engine, {"en": resample(said.audio, engine.traits.rate)})


NETS = ("gtcrn", "auto")
"""Enhancers that take a second of computing or more for all checks."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in NETS else n for n in NAMES.names("clean")]
)
def test_cleaner(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue("shared") / "models" if name in NETS else None
    options = {f"clean.{net}": {"models_dir": folder, "offline": True} for net in NETS}
    try:
        check_enhancer(Registry(options).get("clean", name))
    except EngineUnavailable as e:
        pytest.skip(str(e))


@pytest.mark.parametrize("name", NAMES.names("chat"))
def test_chat(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    script = tmp_path / "script.md"
    script.write_text("# Hello, how are you?\n\nI am well, thank you. And you?\n", encoding="utf-8")
    with partner() as server:
        options: dict[str, dict[str, Any]] = {
            "chat.openai": {"models": {"here": {"base_url": server.url}}},
            "chat.scripted": {"file": script},
        }
        registry = Registry(options)
        try:
            check_chat(registry.get("chat", name))
        except EngineUnavailable as e:
            pytest.skip(str(e))
        finally:
            registry.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES.names("clone"))
def test_cloner(registry: Registry, name: str, voice: EspeakVoice, tmp_path: Path) -> None:
    try:
        engine = registry.get("clone", name)
    except EngineUnavailable as e:
        pytest.skip(str(e))
    text = "The north wind and the sun disputed which was the stronger, when a traveller came along in a warm cloak. "
    recording = joined(voice.synthesize(text * 3, language="en", voice="m1")).audio
    check_cloner(engine, [recording], tmp_path)
