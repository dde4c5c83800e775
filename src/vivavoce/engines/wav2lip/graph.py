"""The network as an ONNX model: written down from its table, run by onnxruntime, without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.engines.wav2lip.architecture import AUDIO, DECODER, FACE, OUTPUT, SIDE, Folded, Layer
from vivavoce.errors import EngineUnavailable
from vivavoce.face.mel import BANDS, WINDOW

__all__ = ["GraphNet", "write"]

F32 = npt.NDArray[np.float32]

_OPSET, _IR = 17, 8
_INPUTS: Mapping[str, tuple[int, ...]] = {"mel": (1, BANDS, WINDOW), "face": (6, SIDE, SIDE)}


def write(layers: Mapping[str, Folded], target: Path) -> None:
    """Write the network to ``target``, whole or not at all: ``mel`` and ``face`` to ``lips``, any number at once.

    Raises ``EngineUnavailable`` where onnx is missing.
    """
    try:
        from onnx import TensorProto, checker, helper, save_model
    except ImportError as e:
        raise EngineUnavailable("onnx is not installed; add it with `pip install 'vivavoce[neural]'`.") from e
    writer = _Writer(layers, helper)
    seen, flow = [], "face"
    for block in FACE:
        for layer in block:
            flow = writer.add(layer, flow)
        seen.append(flow)
    flow = "mel"
    for layer in AUDIO:
        flow = writer.add(layer, flow)
    for block in DECODER:
        for layer in block:
            flow = writer.add(layer, flow)
        flow = writer.node("Concat", [flow, seen.pop()], axis=1)
    for layer in OUTPUT:
        flow = writer.add(layer, flow)
    writer.nodes.append(helper.make_node("Sigmoid", [flow], ["lips"]))
    kind = TensorProto.FLOAT
    sources = [helper.make_tensor_value_info(name, kind, ["n", *shape]) for name, shape in _INPUTS.items()]
    result = helper.make_tensor_value_info("lips", kind, ["n", 3, SIDE, SIDE])
    graph = helper.make_graph(writer.nodes, "wav2lip", sources, [result], writer.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    checker.check_model(model)
    part = target.with_name(f".{target.name}.part")
    try:
        save_model(model, str(part))
        part.replace(target)
    except OSError as e:
        raise EngineUnavailable(f"The model {target} cannot be written: {e.strerror or e}.") from e
    finally:
        part.unlink(missing_ok=True)


class _Writer:
    """Collects nodes and weights."""

    def __init__(self, layers: Mapping[str, Folded], helper: Any) -> None:
        from onnx import numpy_helper

        self._layers, self._helper, self._numpy = layers, helper, numpy_helper
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add an operator; gives the name of what it makes."""
        made = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(operator, inputs, [made], **attributes))
        return made

    def add(self, layer: Layer, flow: str) -> str:
        """Add a folded layer behind ``flow``."""
        held = self._layers[layer.name]
        names = [f"{layer.name}.weight", f"{layer.name}.bias"]
        for name, array in zip(names, (held.weight, held.bias), strict=True):
            self.weights.append(self._numpy.from_array(array, name))
        options: dict[str, Any] = {"kernel_shape": [layer.kernel] * 2, "strides": list(layer.stride)}
        options["pads"] = [layer.padding] * 4
        if layer.up:
            options["output_padding"] = [layer.stride[0] - 1] * 2
        made = self.node("ConvTranspose" if layer.up else "Conv", [flow, *names], **options)
        if layer.residual:
            made = self.node("Add", [made, flow])
        return made if layer.plain else self.node("Relu", [made])


class GraphNet:
    """An exported network on onnxruntime; any number of threads may ask it."""

    largest = 16

    def __init__(self, path: Path, threads: int = 0) -> None:
        """``threads`` 0 is one for each core. Raises ``EngineUnavailable`` for a file that is no such network."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        here = onnxruntime.get_available_providers()
        providers = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in here]
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as e:  # onnxruntime raises whatever its parser meets
            raise EngineUnavailable(
                f"The file {path.name} is no ONNX model that can be read here, it may be cut off; write it again with "
                "`vivavoce models export wav2lip`."
            ) from e
        found = {i.name: tuple(i.shape[1:]) for i in self._session.get_inputs()}
        if found != dict(_INPUTS) or [tuple(o.shape[1:]) for o in self._session.get_outputs()] != [(3, SIDE, SIDE)]:
            raise EngineUnavailable(
                f"The ONNX model {path.name} is another than Wav2Lip's: it takes {found}; write it with "
                "`vivavoce models export wav2lip`."
            )
        self.name = (
            f"onnxruntime {onnxruntime.__version__} on {self._session.get_providers()[0].lower()[:-17]}, float32"
        )

    def __call__(self, mel: F32, face: F32) -> F32:
        """``mel`` ``(n, 80, 16)``, ``face`` ``(n, 96, 96, 6)`` BGR 0-1; gives BGR ``(n, 96, 96, 3)``, 0-1."""
        seen = np.ascontiguousarray(face.transpose(0, 3, 1, 2))
        (made,) = self._session.run(None, {"mel": mel[:, None], "face": seen})
        return np.ascontiguousarray(np.asarray(made, np.float32).transpose(0, 2, 3, 1))
