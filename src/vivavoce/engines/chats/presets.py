"""Model servers that are known by name, so that a key or a model's name is all there is to set."""

from dataclasses import dataclass

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """Where a model server is found."""

    title: str
    """Its name in sentences."""
    base_url: str
    """Address, up to ``/chat/completions``."""
    model: str = ""
    """The model that is meant where none is named; "" is the first that the server has."""
    key_variable: str = ""
    """The environment variable that its own documents name for a key; "" where it needs none."""


PRESETS: dict[str, Preset] = {
    "glm-4-plus": Preset("Zhipu", "https://open.bigmodel.cn/api/paas/v4", "glm-4-plus", "ZHIPUAI_API_KEY"),
    "openai": Preset("OpenAI", "https://api.openai.com/v1", "gpt-4o-mini", "OPENAI_API_KEY"),
    "ollama": Preset("Ollama", "http://localhost:11434/v1"),
    "vllm": Preset("vLLM", "http://localhost:8000/v1"),
    "llama.cpp": Preset("llama.cpp", "http://localhost:8080/v1"),
}
"""By the name that operators write; those at ``localhost`` are where these servers listen by themselves."""
