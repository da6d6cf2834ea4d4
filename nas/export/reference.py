"""The fixed model that every measurement is timed beside, so that a device's drift can be divided out."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from searchspaces.architecture import NO_MIXER, Architecture, Layer

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["reference_model", "reference_submodel"]

VOCABULARY = 256
WIDTH = 64
HIDDEN = 512
OPSET = 17
IR_VERSION = 8
"""Both old enough for every runtime that might time it."""


@cache
def reference_model() -> bytes:
    """An ONNX file with the inputs and outputs of the models that are searched: `tokens` int64 (batch,
    length) → `logits` float32 (batch, length, 256).

    One feed-forward block between an embedding and a head: about 2 ms for 1024 tokens on one thread of
    a laptop. It is built here node by node from exact arithmetic, so that its bytes depend on nothing
    but this function: measurements of different days are expressed against the same work.
    """
    from onnx import TensorProto, helper, numpy_helper

    weights: dict[str, NDArray[Any]] = {
        "vocabulary": np.array(VOCABULARY, dtype=np.int64),
        "embedding": _weights(VOCABULARY, WIDTH),
        "up": _weights(WIDTH, HIDDEN),
        "down": _weights(HIDDEN, WIDTH),
        "head": _weights(WIDTH, VOCABULARY),
    }
    nodes = [
        # Token ids of a larger vocabulary are folded into this one's.
        helper.make_node("Mod", ["tokens", "vocabulary"], ["ids"]),
        helper.make_node("Gather", ["embedding", "ids"], ["x"]),
        helper.make_node("MatMul", ["x", "up"], ["expanded"]),
        helper.make_node("Sigmoid", ["expanded"], ["gate"]),
        helper.make_node("Mul", ["expanded", "gate"], ["activated"]),
        helper.make_node("MatMul", ["activated", "down"], ["mixed"]),
        helper.make_node("Add", ["x", "mixed"], ["y"]),
        helper.make_node("MatMul", ["y", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "reference",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "length", VOCABULARY])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="nas")
    model.ir_version = IR_VERSION
    return bytes(model.SerializeToString(deterministic=True))


def reference_submodel() -> tuple[Architecture, dict[str, Tensor]]:
    """The same sizes as a submodel with its weights, for runtimes that rebuild one; as unchanging."""
    import torch

    architecture = Architecture(VOCABULARY, WIDTH, (Layer(NO_MIXER, 0, "mlp", HIDDEN / WIDTH),))
    arrays = {
        "embedding": _weights(VOCABULARY, WIDTH),
        "norm": np.ones(WIDTH, np.float32),
        "layers.0.channel_norm": np.ones(WIDTH, np.float32),
        "layers.0.mlp_up": _weights(HIDDEN, WIDTH),
        "layers.0.mlp_down": _weights(WIDTH, HIDDEN),
    }
    return architecture, {name: torch.from_numpy(array) for name, array in arrays.items()}


def _weights(rows: int, columns: int) -> NDArray[np.float32]:
    """Scattered values in [−1, 1) / 16 by multiplicative hashing: the same bits on every platform."""
    index = np.arange(rows * columns, dtype=np.uint32)
    scattered = (index * np.uint32(2654435761)).astype(np.float64) / 2**32
    return ((2 * scattered - 1) / 16).astype(np.float32).reshape(rows, columns)
