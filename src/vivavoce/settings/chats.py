"""Settings of conversation: chat models, scripted answers, how much of a conversation is remembered."""

import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator

from vivavoce.engines.chats.presets import PRESETS
from vivavoce.settings.base import Closed, Group
from vivavoce.studio.conversation import Limits

__all__ = ["ChatModel", "Chats", "Scripted"]

_SYSTEM = (
    "You are a friendly person who is seen and heard on a screen: every word that you write is spoken aloud. "
    "Answer in a few short sentences of plain speech, without headings, lists, tables, code, links or emoji."
)


class ChatModel(Closed):
    """A model that can be talked to."""

    preset: str = Field(default="", description="Server that is known: glm-4-plus, openai, ollama, vllm or llama.cpp")
    base_url: str = Field(default="", description="Address, up to /chat/completions; empty is the preset's")
    model: str = Field(default="", description="Its name there; empty is the preset's, else the server's first")
    api_key: SecretStr = Field(default=SecretStr(""), description="Key; a server of your own may need none")
    stream: bool = Field(default=True, description="Have the answer streamed")
    thinks: bool = Field(default=False, description="Answers begin with thoughts of which only the end is marked")
    extra: dict[str, Any] = Field(default={}, repr=False, description="More fields of the request, as a JSON object")


class Scripted(Group):
    """The chat engine ``scripted``."""

    file: Path | None = Field(default=None, description="Questions and answers: a .json, .csv, .tsv or .md file")
    threshold: float = Field(
        default=0.42, ge=0, le=1, description="How alike, 0 to 1, what is said and a question must be"
    )


class Chats(Closed):
    """Conversation."""

    engine: str = Field(
        default="auto",
        description="openai or scripted, for requests that name neither; auto is scripted where it has a file",
    )
    model: str = Field(default="", description="Chat model of requests that name none; empty is the first")
    models: dict[str, ChatModel] = Field(default={}, description="Chat models by name, as a JSON object")
    scripted: Scripted = Field(default_factory=Scripted)
    system: str = Field(default=_SYSTEM, description="What every chat model is told first")
    connect_seconds: float = Field(default=5.0, gt=0, description="Seconds until a model server accepts a connection")
    first_seconds: float = Field(default=30.0, gt=0, description="Seconds until a model begins to answer")
    token_seconds: float = Field(default=15.0, gt=0, description="Seconds that a model may pause in an answer")
    seconds: float = Field(default=120.0, gt=0, description="Seconds of a whole answer")
    reply_characters: int = Field(default=2000, ge=50, description="Characters of an answer; a longer one is cut short")
    history_turns: int = Field(default=40, ge=2, description="Turns of a conversation that are remembered")
    history_tokens: int = Field(
        default=4000, ge=100, description="Tokens, estimated, that a model is sent; the oldest turns fall out"
    )
    session_seconds: float = Field(
        default=86_400.0, gt=0, description="Seconds after which a conversation without a turn is forgotten"
    )

    @field_validator("models")
    @classmethod
    def _are_names(cls, value: dict[str, ChatModel]) -> dict[str, ChatModel]:
        for name, model in value.items():
            if not name.strip() or len(name) > 80 or not name.isprintable():
                raise ValueError("a chat model has a name of 1 to 80 printable characters")
            if model.preset and model.preset not in PRESETS:
                raise ValueError(f"a preset is one of {', '.join(PRESETS)}")
            if not (model.base_url or model.preset or name in PRESETS):
                raise ValueError(f"the chat model {name} needs a base_url or a preset")
        return value

    def limits(self, said: int) -> Limits:
        """How much is said, remembered and answered; ``said`` are characters of what a user says."""
        return Limits(
            said_characters=said,
            reply_characters=self.reply_characters,
            turns=self.history_turns,
            tokens=self.history_tokens,
        )

    def options(self) -> dict[str, dict[str, Any]]:
        """Constructor arguments of the engines, by entry point."""
        models = {name: _plain(name, model) for name, model in self.models.items()}
        for name, preset in PRESETS.items():  # a vendor whose key is there can be asked by its preset's name
            if name not in models and preset.key_variable and os.environ.get(preset.key_variable):
                models[name] = _plain(name, ChatModel())
        return {
            "chat.openai": {
                "models": models,
                "default": self.model,
                "connect_seconds": self.connect_seconds,
                "first_seconds": self.first_seconds,
                "token_seconds": self.token_seconds,
                "seconds_limit": self.seconds,
            },
            "chat.scripted": {"file": self.scripted.file, "threshold": self.scripted.threshold},
        }


def _plain(name: str, model: ChatModel) -> dict[str, Any]:
    """A model's options, with the key of the environment where the vendor's own service is meant."""
    preset = PRESETS.get(model.preset or name)
    vendor = preset is not None and model.base_url.strip().rstrip("/") in ("", preset.base_url)
    key = model.api_key.get_secret_value()
    if not key and preset and vendor and preset.key_variable:
        # the vendor's own key goes to the vendor only, not to whoever answers at another address
        key = os.environ.get(preset.key_variable, "")
    return model.model_dump(exclude={"api_key"}) | {"api_key": key}
