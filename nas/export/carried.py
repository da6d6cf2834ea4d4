"""States that are carried from chunk to chunk, as an operator of the ONNX standard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from searchspaces.mixers.recurrence import CARRIED

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto, ValueInfoProto

__all__ = ["with_carried"]

DOMAIN, NAME = CARRIED.split("::")


def with_carried(model: ModelProto, opset: int) -> ModelProto:
    """The model with `searchspaces.mixers.recurrence.carried`, where it has any, as a `Scan` over chunks."""
    from onnx.inliner import inline_local_functions

    if not any(node.domain == DOMAIN for node in model.graph.node):
        return model
    model.functions.append(_carried(opset))
    return inline_local_functions(model)


def _carried(opset: int) -> FunctionProto:
    from onnx import TensorProto, helper

    def value(name: str) -> ValueInfoProto:
        # Of four axes; onnxruntime wants to know so much.
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4)

    step = helper.make_graph(
        [
            helper.make_node("Identity", ["state"], ["before"]),
            helper.make_node("MatMul", ["transition", "state"], ["left"]),
            helper.make_node("Add", ["left", "input"], ["after"]),
        ],
        "chunk",
        [value("state"), value("transition"), value("input")],
        [value("after"), value("before")],
    )
    nodes = [
        helper.make_node("Constant", [], ["first"], value_int=0),
        helper.make_node("Constant", [], ["none"], value_float=0.0),
        helper.make_node("Gather", ["inputs", "first"], ["one"], axis=2),
        helper.make_node("Mul", ["one", "none"], ["start"]),
        helper.make_node(
            "Scan",
            ["start", "transitions", "inputs"],
            ["end", "states"],
            body=step,
            num_scan_inputs=2,
            scan_input_axes=[2, 2],
            scan_output_axes=[2],
        ),
    ]
    imports = [helper.make_opsetid("", opset)]
    return helper.make_function(DOMAIN, NAME, ["transitions", "inputs"], ["states"], nodes, imports)
