"""Trainings of the toy that learns a number (``serving``), asked for over HTTP and looked at on the disk."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests

from loads import follow
from serving import Served

__all__ = ["NORMAL", "asked", "ended", "hide_torch", "learnt", "native", "rest", "weight"]

NORMAL = {"model_choice": "toy", "gpu_choice": "CPU", "epoch": "6"}


def hide_torch(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Servers and commands that start from now on find no torch, whether it is installed or not."""
    (folder / "sitecustomize.py").write_text('import sys\n\nsys.modules["torch"] = None\n')
    patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))


def asked(server: Served, film: bytes | None = None, **fields: str) -> requests.Response:
    """The answer to ``/model_training``: with the film itself, or else with ``ref_video`` among the fields."""
    files = {name: (None, value) for name, value in (NORMAL | fields).items()}
    sent: dict[str, Any] = files if film is None else files | {"ref_video": ("me.mp4", film, "video/mp4")}
    return requests.post(f"{server.url}/model_training", files=sent, timeout=60)


def native(server: Served, film: bytes, headers: dict[str, str] | None = None, **fields: str) -> requests.Response:
    """The answer to ``POST /v1/models``."""
    sent = {"name": "mary", "engine": "toy", "epochs": "6"} | fields
    files = {"file": ("me.mp4", film, "video/mp4")}
    return requests.post(f"{server.url}/v1/models", data=sent, files=files, headers=headers, timeout=90)


def ended(server: Served, job: str) -> dict[str, Any]:
    """The job's last event."""
    *_, (_, kind, data) = follow(server.url, job, timeout=120)
    assert kind == "state"
    return data


def weight(film: bytes, epochs: int) -> int:
    """What the toy has learnt when it saw each epoch once, in order."""
    held = len(film)
    for epoch in range(1, epochs + 1):
        held = (held * 31 + epoch) % 1_000_003
    return held


def learnt(server: Served, name: str) -> dict[str, Any]:
    """What lies in the model: ``epochs``, ``weight``, ``options``."""
    head: dict[str, Any] = json.loads((server.data / "avatars" / name / "head.json").read_text())
    return head


def rest(server: Served) -> list[str]:
    """What trainings left lying about."""
    folder = server.data / "training"
    return [*server.left(), *(p.name for p in (folder.iterdir() if folder.is_dir() else ()))]
