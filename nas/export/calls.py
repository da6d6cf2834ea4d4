"""Graphs of calls of blocks, and the model files that they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

from nas.export.attention import ATTENTION_DOMAIN, Form
from nas.export.blocks import Block, TokenMixer
from searchspaces.architecture import Architecture
from workers.runtimes.onnx_states import NEXT, POSITION

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto

__all__ = ["DOMAIN", "IR_VERSION", "OPSET", "Arrays", "Calls"]

OPSET = 18
IR_VERSION = 9
DOMAIN = "nas.blocks"

WHOLE = ("tokens", POSITION, NEXT + POSITION)
"""Inputs and outputs that are whole numbers."""

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
"""Weights by the names of `Submodel.state_dict`."""


class Calls:
    """The nodes of a graph whose nodes call blocks.

    Args:
        function: of a block, as an ONNX function.
        attention: what causal softmax attention is computed by.
    """

    def __init__(self, function: Callable[[Block], FunctionProto], attention: Form) -> None:
        self._function = function
        self._attention = attention
        self._domains: set[str] = set()
        self._told: list[ValueInfoProto] = []
        self.nodes: list[NodeProto] = []
        self.functions: dict[str, FunctionProto] = {}
        self.weights: dict[str, None] = {}  # a set that keeps its order

    def add(
        self,
        block: Block,
        activations: Mapping[str, str],
        prefix: str = "",
        outputs: list[str] | None = None,
    ) -> list[str]:
        """Call a block on named values, and on the weights whose names begin with `prefix`."""
        from onnx import helper

        function = self.functions.get(block.name) or self._define(block)
        weights = {name: prefix + name for name in function.input if name not in activations}
        inputs = [{**weights, **activations}[name] for name in function.input]
        if outputs is None:
            outputs = [f"{name}_{len(self.nodes)}" for name in function.output]
        self.nodes.append(helper.make_node(block.name, inputs, outputs, domain=DOMAIN))
        self.weights |= dict.fromkeys(weights.values())
        return outputs

    def apply(self, function: FunctionProto, activations: Mapping[str, str], outputs: list[str]) -> list[str]:
        """Call a function that is no block's, on named values."""
        from onnx import TensorProto, helper

        self.functions[function.name] = function
        self._domains |= {each.domain for each in function.opset_import if each.domain}
        # Whoever quantises asks for types, which nobody infers of such operators.
        self._told += [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        inputs = [activations[name] for name in function.input]
        self.nodes.append(helper.make_node(function.name, inputs, outputs, domain=function.domain))
        return outputs

    def choose(
        self, condition: str, one: Block, other: Block, activations: Mapping[str, str], outputs: list[str]
    ) -> None:
        """Call one of two blocks without weights, whose inputs and outputs have the same names."""
        from onnx import TensorProto, helper

        branches = []
        for block in (one, other):
            function = self.functions.get(block.name) or self._define(block)
            names = [f"{block.name}_{len(self.nodes)}_{place}" for place in range(len(outputs))]
            node = helper.make_node(
                block.name, [activations[name] for name in function.input], names, domain=DOMAIN
            )
            declared = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
            branches.append(helper.make_graph([node], block.name, [], declared))
        then, otherwise = branches
        node = helper.make_node("If", [condition], outputs, then_branch=then, else_branch=otherwise)
        self.nodes.append(node)

    def _define(self, block: Block) -> FunctionProto:
        """The block's function, with the form of attention that it calls beside it."""
        from onnx import FunctionProto

        function = FunctionProto()
        function.CopyFrom(self._function(block))
        for node in function.node:
            if isinstance(block, TokenMixer) and node.domain == ATTENTION_DOMAIN:
                form = self._attention.function(block.heads, block.head_size, OPSET)
                self.functions[form.name] = form
                self._domains |= set(self._attention.domains)
                node.op_type = form.name
        self.functions[block.name] = function
        return function

    def model(
        self,
        architecture: Architecture,
        weights: Arrays,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
    ) -> ModelProto:
        """The model file of all calls, inlined; `inputs` and `outputs` by name with their sizes, int64 where
        they are tokens or a position and float32 elsewhere."""
        from onnx import TensorProto, helper
        from onnx.inliner import inline_local_functions

        def declared(values: Mapping[str, Sequence[int | str]]) -> list[ValueInfoProto]:
            return [
                helper.make_tensor_value_info(
                    name, TensorProto.INT64 if name in WHOLE else TensorProto.FLOAT, list(shape)
                )
                for name, shape in values.items()
            ]

        # Weights are inputs until all is inlined, which copies whatever there is several times.
        arrays = {name: weights[name] for name in self.weights}
        graph = helper.make_graph(
            self.nodes,
            f"architecture_{architecture.digest}",
            declared(inputs) + declared({name: array.shape for name, array in arrays.items()}),
            declared(outputs),
            value_info=[value for value in self._told if value.name not in outputs],
        )
        model = helper.make_model(
            graph,
            functions=list(self.functions.values()),
            opset_imports=[
                helper.make_opsetid("", OPSET),
                *(
                    helper.make_opsetid(each, 1)
                    for each in (DOMAIN, ATTENTION_DOMAIN, *sorted(self._domains))
                ),
            ],
            ir_version=IR_VERSION,
            producer_name="nas",
        )
        inlined = inline_local_functions(model)
        del inlined.graph.input[len(inputs) :]
        _add_weights(inlined.graph, arrays)
        return inlined


def _add_weights(graph: GraphProto, arrays: Arrays) -> None:
    """As initializers, matrices as products read them: one that a Transpose turns is stored turned, under its
    name and ``.T``. Engines would do so when they load; but quantisers take only constants for weights."""
    from onnx import numpy_helper

    turned: dict[str, str] = {}
    for node in list(graph.node):
        if node.op_type == "Transpose" and (name := node.input[0]) in arrays and arrays[name].ndim == 2:
            turned[node.output[0]] = f"{name}.T"
            graph.node.remove(node)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = turned.get(name, name)
    used = {name for node in graph.node for name in node.input}
    stored = {name: array for name, array in arrays.items() if array.ndim != 2 or name in used}
    stored |= {f"{name}.T": array.T for name, array in arrays.items() if f"{name}.T" in used}
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in stored.items())
