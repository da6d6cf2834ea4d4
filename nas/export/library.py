"""Whole models as ONNX graphs, composed from blocks that are exported once."""

from __future__ import annotations

import hashlib
import inspect
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from nas.export.attention import ATTENTION_DOMAIN, OPERATOR, STANDARD_FORM, Form, form_of
from nas.export.blocks import Block, Channels, Embedding, Logits, Mixing, Positions
from nas.export.carried import with_carried
from nas.export.steps import CONTEXT, FOLLOWING, StepMixing
from nas.export.weights import random_weights
from nas.files import write_whole
from searchspaces.architecture import NO_MIXER, Architecture
from workers.runtimes.onnx_states import NEXT, STATE

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto, NodeProto, ValueInfoProto

__all__ = ["OPSET", "BlockLibrary"]

OPSET = 18
IR_VERSION = 9
DOMAIN = "nas.blocks"

Weights = Mapping[str, NDArray[Any]]


class BlockLibrary:
    """Composes model files out of blocks.

    A block is exported by tracing, which takes a few tenths of a second (`torch.export` takes seconds, for
    graphs that onnxruntime runs equally fast), turned into an ONNX function, and kept. A model is then a
    list of calls, one or two a layer, inlined so that every runtime loads it: some milliseconds.

    Args:
        folder: where exported blocks are kept, each by a digest of everything that it follows from; they
            are kept in memory only where None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._functions: dict[Block, FunctionProto] = {}

    def compose(
        self,
        architecture: Architecture,
        weights: Weights | None = None,
        seed: int = 0,
        attention: Form | None = None,
    ) -> ModelProto:
        """A model file: input `tokens` int64 (batch, length), output `logits` float32 (batch, length, V),
        any batch and length, opset `OPSET`.

        Args:
            weights: float32, by the names of `Submodel.state_dict`, which the file's initializers keep, with
                ``.T`` behind those of matrices that it holds transposed; random where None, for what takes
                equally long whatever the weights are.
            seed: of random weights.
            attention: what causal softmax attention is computed by; the standard form where None.

        Raises:
            KeyError: a weight is missing.
        """
        from searchspaces.blocks import positioned

        calls = _Calls(self, attention or form_of((STANDARD_FORM,)))
        width = architecture.width
        (x,) = calls.add(Embedding(width), {"tokens": "tokens"})
        turns: dict[Positions, list[str]] = {}
        for number, layer in enumerate(architecture.layers):
            prefix = f"layers.{number}."
            if layer.mixer != NO_MIXER:
                activations, mixing = {"x": x}, Mixing.of(layer, width)
                if positioned(layer):
                    positions = Positions(width, mixing.head_size, layer.projection)
                    if positions not in turns:
                        turns[positions] = calls.add(positions, {"tokens": "tokens"})
                    activations |= zip(Positions.outputs, turns[positions], strict=True)
                (x,) = calls.add(mixing, activations, prefix)
            if layer.ratio:
                (x,) = calls.add(Channels(width, layer.channel, layer.ratio), {"x": x}, prefix)
        calls.add(Logits.of(architecture), {"x": x}, outputs=["logits"])
        return calls.model(
            architecture,
            _arrays(architecture, weights, seed),
            {"tokens": ["batch", "length"]},
            {"logits": ["batch", "length", architecture.vocabulary]},
        )

    def compose_step(
        self,
        architecture: Architecture,
        batch: int,
        context: int,
        weights: Weights | None = None,
        seed: int = 0,
    ) -> ModelProto:
        """A model file that decodes one token after `context` tokens: inputs `tokens` int64 (B, 1) and each
        state of each layer, ``layers.0.state_k`` float32, …; outputs `logits` float32 (B, 1, V) and the
        states after the token, ``layers.0.next_k``, …

        One file serves one context: what a mixer drops depends on it. Sizes are fixed, but for those of a
        state that are the context itself: they may grow with every token.

        Args:
            batch: B.
            context: tokens that the states have seen.
            weights, seed: see `compose`.

        Raises:
            KeyError: a weight is missing.
        """
        from searchspaces.submodel import state_shapes

        calls = _Calls(self, form_of((STANDARD_FORM,)))
        width = architecture.width
        shapes = state_shapes(architecture, batch, context)
        following = state_shapes(architecture, batch, context + 1)
        inputs: dict[str, list[int | str]] = {"tokens": [batch, 1]}
        outputs: dict[str, list[int | str]] = {"logits": [batch, 1, architecture.vocabulary]}
        (x,) = calls.add(Embedding(width), {"tokens": "tokens"})
        for number, layer in enumerate(architecture.layers):
            prefix = f"layers.{number}."
            if layer.mixer != NO_MIXER:
                states = {STATE + name: prefix + STATE + name for name in shapes[number]}
                kept = [prefix + NEXT + name for name in shapes[number]]
                mixing = StepMixing.after(layer, width, context)
                x = calls.add(mixing, {"x": x, **states}, prefix, [f"mixed_{number}", *kept])[0]
                for name, growing in mixing.growing.items():
                    for declared, role, size, shape in (
                        (inputs, STATE, CONTEXT, shapes[number][name]),
                        (outputs, NEXT, FOLLOWING, following[number][name]),
                    ):
                        sizes = [size if axis in growing else n for axis, n in enumerate(shape)]
                        declared[prefix + role + name] = sizes
            if layer.ratio:
                (x,) = calls.add(Channels(width, layer.channel, layer.ratio), {"x": x}, prefix)
        calls.add(Logits.of(architecture), {"x": x}, outputs=["logits"])
        return calls.model(architecture, _arrays(architecture, weights, seed), inputs, outputs)

    def function(self, block: Block) -> FunctionProto:
        """The block as an ONNX function of its activations and weights, exported where it is not yet."""
        if block not in self._functions:
            self._functions[block] = _as_function(self._exported(block), block.name)
        return self._functions[block]

    def _exported(self, block: Block) -> ModelProto:
        from onnx import load_model_from_string

        if self._folder is None:
            return load_model_from_string(_export(block))
        path = self._folder / f"{block.name}-{_origin()}.onnx"
        if not path.is_file():
            with write_whole(path) as temporary:
                temporary.write_bytes(_export(block))
        return load_model_from_string(path.read_bytes())


class _Calls:
    """The nodes of a graph whose every node calls a block."""

    def __init__(self, library: BlockLibrary, attention: Form) -> None:
        self._library = library
        self._attention = attention
        self._domains: set[str] = set()
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

    def _define(self, block: Block) -> FunctionProto:
        """The block's function, with the form of attention that it calls beside it."""
        from onnx import FunctionProto

        function = FunctionProto()
        function.CopyFrom(self._library.function(block))
        for node in function.node:
            if isinstance(block, Mixing) and node.domain == ATTENTION_DOMAIN:
                form = self._attention.function(block.heads, block.head_size, OPSET)
                self.functions[form.name] = form
                self._domains |= set(self._attention.domains)
                node.op_type = form.name
        self.functions[block.name] = function
        return function

    def model(
        self,
        architecture: Architecture,
        weights: Weights,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
    ) -> ModelProto:
        """The model file of all calls, inlined; `inputs` and `outputs` by name with their sizes, int64 where
        they are tokens and float32 elsewhere."""
        from onnx import TensorProto, helper, numpy_helper
        from onnx.inliner import inline_local_functions

        def declared(values: Mapping[str, Sequence[int | str]]) -> list[ValueInfoProto]:
            return [
                helper.make_tensor_value_info(
                    name, TensorProto.INT64 if name == "tokens" else TensorProto.FLOAT, list(shape)
                )
                for name, shape in values.items()
            ]

        graph = helper.make_graph(
            self.nodes,
            f"architecture_{architecture.digest}",
            declared(inputs),
            declared(outputs),
            [numpy_helper.from_array(weights[name], name) for name in self.weights],
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
        _transpose_weights(inlined)
        return inlined


def _transpose_weights(model: ModelProto) -> None:
    """Hold matrices as products read them: an initializer that a Transpose turns is stored turned, under its
    name and ``.T``. Engines would do so when they load; but quantisers take only constants for weights."""
    from onnx import numpy_helper

    graph = model.graph
    matrices = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    turned: dict[str, str] = {}
    for node in list(graph.node):
        if node.op_type == "Transpose" and node.input[0] in matrices:
            name = node.input[0]
            if f"{name}.T" not in turned.values():
                array = numpy_helper.to_array(matrices[name]).T
                graph.initializer.append(numpy_helper.from_array(array.copy(), f"{name}.T"))
            turned[node.output[0]] = f"{name}.T"
            graph.node.remove(node)
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in turned:
                node.input[place] = turned[name]
    used = {name for node in graph.node for name in node.input}
    for tensor in matrices.values():
        if tensor.name not in used:
            graph.initializer.remove(tensor)


def _export(block: Block) -> bytes:
    """The block's own ONNX file, by tracing, constants folded."""
    import onnx
    import torch
    from onnxscript import optimizer

    class Traced(torch.nn.Module):
        def forward(self, *values: torch.Tensor) -> Any:
            return block.compute(dict(zip(names, values, strict=True)))

    inputs = block.example()
    names = list(inputs)
    with (
        _attention_as_operator(),
        warnings.catch_warnings(),
        torch.inference_mode(),
        tempfile.TemporaryDirectory() as folder,
    ):
        file = Path(folder) / "block.onnx"
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of the tracing exporter
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", message="Constant folding")
        torch.onnx.export(
            Traced(),
            tuple(inputs.values()),
            file,
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=False,  # the optimizer does it better
            input_names=names,
            output_names=list(block.outputs),
            dynamic_axes={name: axes for name in (*names, *block.outputs) if (axes := block.axes(name))},
        )
        model = optimizer.optimize(with_carried(onnx.load_model(file), OPSET))
    return bytes(model.SerializeToString())


@contextmanager
def _attention_as_operator() -> Iterator[None]:
    """Meanwhile causal `scaled_dot_product_attention` is traced as one call of `OPERATOR`."""
    from torch.onnx import register_custom_op_symbolic, symbolic_opset14, unregister_custom_op_symbolic
    from torch.onnx.symbolic_helper import _maybe_get_const

    usual, name = symbolic_opset14.scaled_dot_product_attention, "aten::scaled_dot_product_attention"

    def symbolic(graph: Any, query: Any, key: Any, value: Any, *others: Any) -> Any:
        if not _maybe_get_const(others[2], "b"):
            return usual(graph, query, key, value, *others)
        mixed = graph.op(f"{ATTENTION_DOMAIN}::{OPERATOR}", query, key, value)
        mixed.setType(query.type())
        return mixed

    register_custom_op_symbolic(name, symbolic, OPSET)
    try:
        yield
    finally:
        unregister_custom_op_symbolic(name, OPSET)


def _as_function(model: ModelProto, name: str) -> FunctionProto:
    """The graph of a model file, its initializers as constants."""
    from onnx import helper

    graph = model.graph
    constants = [
        helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in graph.initializer
    ]
    return helper.make_function(
        DOMAIN,
        name,
        [value.name for value in graph.input],
        [value.name for value in graph.output],
        [*constants, *graph.node],
        [helper.make_opsetid("", OPSET), helper.make_opsetid(ATTENTION_DOMAIN, 1)],
    )


@cache
def _origin() -> str:
    """8 hexadecimal digits of everything that an exported block follows from, besides its name: the
    arithmetic's source, this package's, and the exporters' versions."""
    digest = hashlib.sha256()
    packages = [Path(__file__).parent, Path(inspect.getfile(Architecture)).parent]
    for file in sorted(file for package in packages for file in package.rglob("*.py")):
        digest.update(file.read_bytes())
    for package in ("torch", "onnx", "onnxscript"):
        digest.update(version(package).encode())
    return digest.hexdigest()[:8]


def _arrays(architecture: Architecture, weights: Weights | None, seed: int) -> Weights:
    """The weights, or random ones where None."""
    if weights is not None:
        return weights
    return {name: value.numpy() for name, value in random_weights(architecture, seed).items()}
