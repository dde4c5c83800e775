"""Wav2Lip written down as plainly as it was published: what ours is compared with. Slow, and clear."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["crops", "film", "network", "s3fd"]

Bytes = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]


def network(state: dict[str, Any], mel: F32, face: F32) -> F32:
    """``mel`` ``(n, 80, 16)`` and ``face`` ``(n, 96, 96, 6)`` to ``(n, 96, 96, 3)``, layer by layer, in float32."""
    import torch
    from torch.nn import functional as f

    def norm(name: str, x: Any) -> Any:
        b = f"{name}.conv_block.1"
        return f.batch_norm(
            x, state[f"{b}.running_mean"], state[f"{b}.running_var"], state[f"{b}.weight"], state[f"{b}.bias"]
        )

    def conv(name: str, x: Any, stride: Any = 1, padding: int = 1, residual: bool = False) -> Any:
        c = f"{name}.conv_block.0"
        made = norm(name, f.conv2d(x, state[f"{c}.weight"], state[f"{c}.bias"], stride, padding))
        return f.relu(made + x if residual else made)

    def up(name: str, x: Any, stride: int, padding: int, more: int) -> Any:
        c = f"{name}.conv_block.0"
        made = f.conv_transpose2d(x, state[f"{c}.weight"], state[f"{c}.bias"], stride, padding, more)
        return f.relu(norm(name, made))

    with torch.no_grad():
        x = torch.from_numpy(np.ascontiguousarray(face.transpose(0, 3, 1, 2)))
        seen = [x := conv("face_encoder_blocks.0.0", x, 1, 3)]
        for block, more in ((1, 2), (2, 3), (3, 2), (4, 2), (5, 1)):
            x = conv(f"face_encoder_blocks.{block}.0", x, 2)
            for j in range(1, more + 1):
                x = conv(f"face_encoder_blocks.{block}.{j}", x, residual=True)
            seen.append(x)
        x = conv("face_encoder_blocks.6.0", x, 1, 0)
        seen.append(conv("face_encoder_blocks.6.1", x, 1, 0))
        a = torch.from_numpy(mel)[:, None]
        strides: dict[int, Any] = {0: 1, 3: (3, 1), 6: 3, 9: (3, 2)}
        for i in range(11):
            a = conv(f"audio_encoder.{i}", a, strides[i]) if i in strides else conv(f"audio_encoder.{i}", a, 1, 1, True)
        a = conv("audio_encoder.12", conv("audio_encoder.11", a, 1, 0), 1, 0)
        x = torch.cat([conv("face_decoder_blocks.0.0", a, 1, 0), seen.pop()], 1)
        for block in range(1, 7):
            stride, padding, rises = (1, 0, 0) if block == 1 else (2, 1, 1)
            x = up(f"face_decoder_blocks.{block}.0", x, stride, padding, rises)
            for j in range(1, 2 if block == 1 else 3):
                x = conv(f"face_decoder_blocks.{block}.{j}", x, residual=True)
            x = torch.cat([x, seen.pop()], 1)
        x = conv("output_block.0", x)
        x = torch.sigmoid(f.conv2d(x, state["output_block.1.weight"], state["output_block.1.bias"]))
        return np.asarray(x.permute(0, 2, 3, 1).numpy())


def crops(frame: Bytes, box: tuple[int, int, int, int]) -> F32:
    """What the network sees of a BGR picture."""
    x0, y0, x1, y1 = box
    face = cv2.resize(frame[y0:y1, x0:x1], (96, 96))
    masked = face.copy()
    masked[48:] = 0
    return np.concatenate([masked, face], axis=2).astype(np.float32) / np.float32(255)


def film(
    state: dict[str, Any], frames: list[Bytes], boxes: list[tuple[int, int, int, int]], mel: F32, fps: float
) -> list[Bytes]:
    """RGB pictures with the published paste; ``mel`` ``(rows, 80)``, one box a picture."""
    out = []
    for i, (rgb, (x0, y0, x1, y1)) in enumerate(zip(frames, boxes, strict=True)):
        bgr = rgb[..., ::-1].copy()
        start = min(int(i * 80.0 / fps), len(mel) - 16)
        made = network(state, np.ascontiguousarray(mel[start : start + 16].T)[None], crops(bgr, (x0, y0, x1, y1))[None])
        patch = (made[0] * 255.0).astype(np.uint8)
        bgr[y0:y1, x0:x1] = cv2.resize(patch, (x1 - x0, y1 - y0))
        out.append(bgr[..., ::-1])
    return out


def s3fd(heads: list[tuple[F32, F32]]) -> list[list[float]]:
    """Faces from the heads' scores and places, pixel by pixel, pair by pair: x0, y0, x1, y1, how sure."""
    found: list[list[float]] = []
    for head, (scores, places) in enumerate(heads):
        stride = 2 ** (head + 2)
        for row in range(scores.shape[0]):
            for column in range(scores.shape[1]):
                if scores[row, column] <= 0.05:
                    continue
                prior = (stride / 2 + column * stride, stride / 2 + row * stride, stride * 4.0, stride * 4.0)
                told = [float(v) for v in places[:, row, column]]
                x = prior[0] + told[0] * 0.1 * prior[2]
                y = prior[1] + told[1] * 0.1 * prior[3]
                w, h = prior[2] * np.exp(told[2] * 0.2), prior[3] * np.exp(told[3] * 0.2)
                found.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2, float(scores[row, column])])
    found.sort(key=lambda box: -box[4])
    kept: list[list[float]] = []
    for a in found:
        area = (a[2] - a[0] + 1) * (a[3] - a[1] + 1)
        for b in kept:
            w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
            h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
            if w * h / (area + (b[2] - b[0] + 1) * (b[3] - b[1] + 1) - w * h) > 0.3:
                break
        else:
            kept.append(a)
    return [box for box in kept if box[4] > 0.5]
