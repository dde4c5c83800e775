"""Settings: read from the environment, all documented, none that opens the server by accident."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from vivavoce.nouns import Canvas
from vivavoce.settings import Settings

DOCS = Path(__file__).resolve().parent.parent / "docs" / "settings.md"


def variables(model: type[BaseModel], prefix: str = "VIVAVOCE_") -> Iterator[tuple[str, object, str]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from variables(kind, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper(), field.default, field.description or ""


def test_the_documents_name_every_setting_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(VIVAVOCE_\w+)` \| (.*?) \|", DOCS.read_text("utf-8"), re.MULTILINE))
    known = {name: default for name, default, _ in variables(Settings)}
    assert rows.keys() == known.keys()
    for name, default in known.items():
        if isinstance(default, bool | str) and default != "":
            assert rows[name] == f"`{str(default).lower() if isinstance(default, bool) else default}`"
        elif isinstance(default, int | float):
            assert float(rows[name].strip("`")) == default


def test_every_setting_says_what_it_is() -> None:
    assert all(description for _, _, description in variables(Settings))


@pytest.mark.parametrize("keys", ['[""]', '["good", " "]', '["two words"]', '["ключ"]', '["tab\\t"]'])
def test_a_key_that_would_admit_everybody_or_nobody_is_refused(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("VIVAVOCE_SERVER__API_KEYS", keys)
    with pytest.raises(ValidationError, match="a key is one or more"):
        Settings()


@pytest.mark.parametrize("name", ["VOICES__OPENAI__API_KEYX", "EARS__OPENAI__API_KEYS", "VOICES__ELEVENLABS__KEY"])
def test_a_misspelt_key_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"VIVAVOCE_{name}", "sk-very-secret")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "very-secret" not in str(refused.value)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIVAVOCE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("VIVAVOCE_DEFAULTS__SIZE", "720p")
    monkeypatch.setenv("VIVAVOCE_DEFAULTS__FPS", "30")
    monkeypatch.setenv("VIVAVOCE_SERVER__CORS_ORIGINS", '["https://one.example"]')
    settings = Settings()
    assert settings.server.cors_origins == ("https://one.example",)
    studio = settings.studio()
    assert (studio.canvas, studio.artifacts) == (Canvas(1280, 720, 30), tmp_path / "artifacts")


def test_data_lie_where_the_system_keeps_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VIVAVOCE_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Settings().data_dir == tmp_path / "vivavoce"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_strangers_are_kept_out(host: str) -> None:
    with pytest.raises(ValidationError, match="VIVAVOCE_SERVER__API_KEYS"):
        Settings().with_server(host=host)
    assert Settings().with_server(host=host, api_keys=("k",)).server.host == host
    assert Settings().with_server(host=host, insecure=True).server.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_this_machine_needs_no_key(host: str) -> None:
    assert Settings().with_server(host=host).server.host == host


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("DEFAULTS__SIZE", "huge"), ("DEFAULTS__FPS", "5"), ("WORK__PROCESSES", "0"), ("STORE__HIGH_WATER", "0")),
        *(("WEBHOOKS__ALLOW", '["10.0.0.0/33"]'), ("WEBHOOKS__ALLOW", '["*.lan"]'), ("WEBHOOKS__ALLOW", '[""]')),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"VIVAVOCE_{name}", value)
    with pytest.raises(ValidationError):
        Settings()
