"""Writes a small net down as an ONNX model: the few messages of its protobuf that a chain of layers needs.

The field numbers are those of onnx.proto3 (ONNX IR version 8). A message is a row of fields: number and wire type in
one varint, then a varint, or a length and bytes (the encoding of Protocol Buffers).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Node", "model"]

_IR, _OPSET = 8, 17
_FLOAT, _INT = 1, 7  # of TensorProto.DataType
_ATTRIBUTE_INT = 2

Node = tuple[str, Sequence[str], Sequence[str], Mapping[str, int]]
"""Operator, names of its inputs, names of its outputs ("" is one that is left out), attributes."""


def model(
    nodes: Sequence[Node],
    weights: Mapping[str, npt.NDArray[np.generic]],
    source: tuple[str, Sequence[int | None]],
    result: tuple[str, Sequence[int | None]],
) -> bytes:
    """The model's bytes. ``weights`` are float32 or int64; ``source`` and ``result`` are names and shapes of float32,
    None for an axis of any length.
    """
    graph = [_message(1, _node(node)) for node in nodes]
    graph += [_text(2, "net")]
    graph += [_message(5, _tensor(name, array)) for name, array in weights.items()]
    graph += [_message(11, _value(*source)), _message(12, _value(*result))]
    opset = _number(2, _OPSET)
    return b"".join([_number(1, _IR), _message(7, b"".join(graph)), _message(8, opset)])


def _node(node: Node) -> bytes:
    operator, inputs, outputs, attributes = node
    fields = [_text(1, name) for name in inputs] + [_text(2, name) for name in outputs] + [_text(4, operator)]
    for name, value in attributes.items():
        fields.append(_message(5, _text(1, name) + _number(3, value) + _number(20, _ATTRIBUTE_INT)))
    return b"".join(fields)


def _tensor(name: str, array: npt.NDArray[np.generic]) -> bytes:
    kind, stored = (_INT, "<i8") if np.issubdtype(array.dtype, np.integer) else (_FLOAT, "<f4")
    dims = b"".join(_number(1, size) for size in array.shape)
    return dims + _number(2, kind) + _text(8, name) + _message(9, array.astype(stored).tobytes())


def _value(name: str, shape: Sequence[int | None]) -> bytes:
    axes = [_message(1, _text(2, f"axis{i}") if n is None else _number(1, n)) for i, n in enumerate(shape)]
    tensor = _number(1, _FLOAT) + _message(2, b"".join(axes))
    return _text(1, name) + _message(2, _message(1, tensor))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, content: str) -> bytes:
    return _message(field, content.encode())
