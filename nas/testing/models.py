"""Small model files in each format that runtimes take, and what they compute."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.runtimes import Tokens
from workers.target import Workload

__all__ = ["VOCABULARY", "build_model", "build_submodel", "model_by_hand", "submodel_by_hand"]

VOCABULARY = 64
WORKLOAD = Workload(tokens=64)


def build_model(width: int = 16, layers: int = 1, input_name: str = "tokens") -> bytes:
    """Embedding, `layers` residual matrix products, head; ONNX bytes."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(width)
    weights: dict[str, Any] = {"embedding": rng.standard_normal((VOCABULARY, width)).astype(np.float32)}
    nodes = [helper.make_node("Gather", ["embedding", input_name], ["x0"])]
    for i in range(layers):
        weights[f"w{i}"] = rng.standard_normal((width, width)).astype(np.float32) / width
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"y{i}"]))
        nodes.append(helper.make_node("Add", [f"x{i}", f"y{i}"], [f"x{i + 1}"]))
    nodes.append(helper.make_node("Identity", [f"x{layers}"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(input_name, TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "length", width])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def model_by_hand(tokens: Tokens) -> NDArray[np.float32]:
    """What `build_model()` computes."""
    rng = np.random.default_rng(16)
    embedded = rng.standard_normal((VOCABULARY, 16)).astype(np.float32)[tokens]
    matrix = rng.standard_normal((16, 16)).astype(np.float32) / np.float32(16)
    return np.asarray(embedded + embedded @ matrix, np.float32)


def build_submodel(width: int = 16, workload: Workload = WORKLOAD) -> bytes:
    """One feed-forward block between an embedding and its transpose, as runtimes that rebuild models take
    it; every norm is 1 and every other weight normal."""
    from safetensors.numpy import save

    rng = np.random.default_rng(width)

    def normal(*shape: int) -> NDArray[np.float32]:
        return (rng.standard_normal(shape) / width).astype(np.float32)

    weights = {
        "embedding": normal(VOCABULARY, width),
        "norm": np.ones(width, np.float32),
        "layers.0.channel_norm": np.ones(width, np.float32),
        "layers.0.mlp_up": normal(2 * width, width),
        "layers.0.mlp_down": normal(width, 2 * width),
    }
    layer = {"mixer": "none", "heads": 0, "channel": "mlp", "ratio": 2.0}
    architecture = {"vocabulary": VOCABULARY, "width": width, "layers": [layer]}
    content = {"architecture": architecture, "workload": str(workload)}
    return save(weights, {"submodel": json.dumps(content)})


def submodel_by_hand(tokens: Tokens) -> NDArray[np.float32]:
    """What `build_submodel()` computes."""
    rng = np.random.default_rng(16)
    embedding, up, down = (rng.standard_normal(shape) / 16 for shape in [(64, 16), (32, 16), (16, 32)])

    def normed(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6))

    x = embedding[tokens] * 4
    hidden = normed(x) @ up.T
    x = x + hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2 @ down.T
    return np.asarray(normed(x) @ embedding.T, np.float32)
