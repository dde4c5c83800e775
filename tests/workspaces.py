"""Workspaces in the layouts of ER-NeRF and SyncTalk: a few small pictures, and nets whose planes say something."""

import json
import wave
from dataclasses import dataclass, field
from functools import cache
from math import cos, sin
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["FOCAL", "FRAMES", "ROWS", "SIDE", "Layout", "opt", "pose", "state", "write"]

FRAMES, SIDE = 11, 24
FOCAL = 52.0
ROWS: dict[str, tuple[str, tuple[int, ...]]] = {
    "deepspeech": ("ds", (16, 29)),
    "esperanto": ("eo", (16, 44)),
    "hubert": ("hu", (2, 1024)),
    "hubert_cn": ("hu_cn", (2, 1024)),
    "ave": ("ave", (512,)),
}
"""Files of features, and the shape of their rows."""


@dataclass(frozen=True)
class Layout:
    """What a workspace has."""

    engine: str = "ernerf"
    ear: str = "deepspeech"
    torso: bool = False
    eyes: int | None = None
    """As the engine has them, when None."""
    file: str = "checkpoints/ngp_ep0012.pth"
    best: bool = False
    """Saved as the best: without densities."""
    bits: bool = True
    wrapped: bool = True
    """With an optimiser, means and statistics beside the model."""
    features: bool = True
    says: dict[str, Any] = field(default_factory=dict)
    """Options that ``opt.txt`` has; it is not written without any."""
    seed: int = 0

    @property
    def shape(self) -> Any:
        """Of the head."""
        from vivavoce.engines.nerf.field.networks import Shape

        synctalk = self.engine == "synctalk"
        eyes = self.eyes if self.eyes is not None else 7 if synctalk else 1
        return Shape(self.ear, eyes, 64 if synctalk else 16, not synctalk, 20 if synctalk else 15)  # type: ignore[arg-type]


def pose(i: int) -> npt.NDArray[np.float64]:
    """A camera of a NeRF file that looks at a head that sways; in the file's unit the head is a quarter as large."""
    a, b = 0.3 * sin(0.7 * i), 0.15 * cos(0.5 * i)
    turn = np.array([[cos(a), 0, sin(a)], [0, 1, 0], [-sin(a), 0, cos(a)]])
    nod = np.array([[1, 0, 0], [0, cos(b), -sin(b)], [0, sin(b), cos(b)]])
    made = np.eye(4)
    made[:3, :3] = turn @ nod
    made[:3, 3] = 0.55 * made[:3, 2]
    return made


def state(layout: Layout) -> tuple[Any, Any, Any]:
    """A head, a torso or None, and its cells, as such a training leaves them."""
    import torch

    from vivavoce.engines.nerf.field.networks import Head, Torso

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(layout.seed)
        head: Any = Head(layout.shape)
        for plane in (head.encoder_xy, head.encoder_yz, head.encoder_xz):
            plane.embeddings.uniform_(-1, 1)
        head.sigma_net.net[2].weight[0] = 18 * head.sigma_net.net[2].weight[0].abs()  # dense everywhere
        head.sigma_net.net[0].weight[:, 36:] *= 8  # moved by sound and eyes
        for layer in (m for m in head.audio_net.modules() if hasattr(m, "weight")):
            layer.weight *= 2.5
        head.color_net.net[1].weight *= 8
        torso: Any = None
        if layout.torso:
            torso = Torso(layout.shape.codes)
            torso.torso_encoder.embeddings.uniform_(-1, 1)
    return head, torso, _cells()


def _cells() -> Any:
    import torch

    from vivavoce.engines.nerf.field.occupancy import Occupancy

    cells = Occupancy()
    cells.density[40:88, 40:88, 40:88] = 20 + 50 * torch.rand(48, 48, 48, generator=torch.Generator().manual_seed(0))
    cells.density[:, :20] = -1
    cells.counts.copy_(cells.density > 10)
    return cells


@cache
def _published() -> dict[str, Any]:
    return dict(_cells().published())


def opt(says: dict[str, Any]) -> str:
    """As the programs write it: all calls one after another, without a line's end."""
    told = ", ".join(f"{name}={value!r}" for name, value in says.items())
    return f"Namespace(path='data/may', O=True, scale=1, att=0)Namespace(path='data/may', data_range=[0, -1], {told})"


def write(training: Path, layout: Layout, data: Path | None = None) -> Path:
    """Write it; where it lies."""
    data = data or training
    for folder in (training, data):
        folder.mkdir(parents=True, exist_ok=True)
    _checkpoint(training / layout.file, layout)
    if layout.says:
        (training / "opt.txt").write_text(opt(layout.says))
    split = FRAMES * 10 // 11
    camera = {"focal_len": FOCAL, "cx": SIDE / 2, "cy": SIDE / 2}
    frames = [{"img_id": i, "aud_id": i, "transform_matrix": pose(i).tolist()} for i in range(FRAMES)]
    for name, part in (("train", frames[:split]), ("val", frames[split:])):
        (data / f"transforms_{name}.json").write_text(json.dumps({**camera, "frames": part}))
    _pictures(data, layout)
    _rows(data, layout)
    loud = np.repeat(np.random.default_rng(5).uniform(0.02, 1, FRAMES * 4), 160)  # 10 ms each
    with wave.open(str(data / "aud.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((8000 * loud * np.sin(np.arange(len(loud)) * 0.4)).astype("<i2").tobytes())
    return training


def _checkpoint(path: Path, layout: Layout) -> None:
    import torch

    head, torso, _ = state(layout)
    model = dict(head.state_dict()) | ({} if torso is None else dict(torso.state_dict())) | _published()
    model |= {"aabb_train": torch.zeros(6), "aabb_infer": torch.zeros(6), "step_counter": torch.zeros(16, 2).int()}
    if layout.shape.eyes == 0:  # the published nets have it all the same
        width = layout.shape.eye_width
        model |= {"eye_att_net.net.0.weight": torch.zeros(width, 36), "eye_att_net.net.1.weight": torch.zeros(1, width)}
    if torso is not None:
        model["density_grid_torso"] = torch.zeros(128 * 128)
    if layout.best:
        del model["density_grid"]
    if not layout.bits:
        del model["density_bitfield"]
    shadow = [torch.full_like(p, 9.0) for p in head.parameters()]
    document: Any = model
    if layout.wrapped:
        statistics = {"loss": [0.1], "valid_loss": [], "results": [0.2], "checkpoints": ["a.pth"], "best_result": None}
        document = {"epoch": 12, "global_step": 120, "stats": statistics, "mean_count": 5, "mean_density": 3.0}
        document |= {"mean_density_torso": 0, "model": model}
        if not layout.best:
            steps = torch.optim.AdamW(head.parameters())
            document |= {"optimizer": steps.state_dict(), "scaler": {}, "lr_scheduler": {"last_epoch": 12}}
            document["ema"] = {"decay": 0.95, "num_updates": 3, "shadow_params": shadow, "collected_params": []}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(document, path)


def _pictures(data: Path, layout: Layout) -> None:
    chance = np.random.default_rng(3)
    folders = ["gt_imgs", "ori_imgs", "torso_imgs", "parsing"]
    for name in folders:
        (data / name).mkdir(exist_ok=True)
    wall = np.full((SIDE, SIDE, 3), (180, 120, 60), np.uint8)
    cv2.imwrite(str(data / "bc.jpg"), wall)
    for i in range(FRAMES):
        film = cv2.GaussianBlur(chance.integers(0, 255, (SIDE, SIDE, 3), np.uint8), (0, 0), 4)
        for name in ("gt_imgs", "ori_imgs"):
            cv2.imwrite(str(data / name / f"{i}.jpg"), film if name == "ori_imgs" else film // 2)
        torso = np.zeros((SIDE, SIDE, 4), np.uint8)
        torso[SIDE // 2 :] = (10, 20, 200, 255)
        cv2.imwrite(str(data / "torso_imgs" / f"{i}.png"), torso)
        parsed = np.full((SIDE, SIDE, 3), 255, np.uint8)
        parsed[6:18, 6:18] = (255, 0, 0)
        cv2.imwrite(str(data / "parsing" / f"{i}.png"), parsed)
        if layout.engine == "synctalk":
            cv2.imwrite(str(data / "parsing" / f"{i}_face.png"), parsed)


def _rows(data: Path, layout: Layout) -> None:
    chance = np.random.default_rng(4)
    short, widths = ROWS[layout.ear]
    if layout.features:
        np.save(data / f"aud_{short}.npy", chance.standard_normal((FRAMES, *widths)).astype(np.float32))
    if layout.engine == "synctalk":
        np.save(data / "bs.npy", chance.uniform(0, 1, (FRAMES, 52)))
    else:
        rows = ["frame, face_id, AU45_r, AU45_c"] + [f"{i + 1}, 0, {0.3 * i:.2f}, 1.00" for i in range(FRAMES)]
        (data / "au.csv").write_text("\n".join(rows) + "\n")
