"""Whole models as ONNX graphs, composed from blocks that are exported once."""

from __future__ import annotations

import hashlib
import inspect
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.export.attention import ATTENTION_DOMAIN, OPERATOR, STANDARD_FORM, Form, form_of
from nas.export.blocks import Answer, Block, Channels, Mixing, Opening, Positions
from nas.export.calls import DOMAIN, OPSET, Arrays, Calls
from nas.export.carried import with_carried
from nas.export.generating import ExtendedMixers
from nas.export.simplified import simplified
from nas.export.weights import random_weights
from nas.files import write_whole
from searchspaces.architecture import NO_MIXER, Architecture
from searchspaces.form import Classes
from searchspaces.mixers import HeadMixer, parse_mixer
from workers.runtimes.onnx_states import APPENDED

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto

__all__ = ["OPSET", "BlockLibrary"]


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
        weights: Arrays | None = None,
        seed: int = 0,
        attention: Form | None = None,
    ) -> ModelProto:
        """A model file of any batch, opset `OPSET`: of a language model with the input `tokens` int64 (batch,
        length) and the output `logits` float32 (batch, length, V), any length; of others as their form says,
        `pixels` float32 (batch, C, H, W) to `logits` (batch, classes).

        Args:
            weights: float32, by the names of `Submodel.state_dict`, which the file's initializers keep, with
                ``.T`` behind those of matrices that it holds transposed; random where None, for what takes
                equally long whatever the weights are.
            seed: of random weights.
            attention: what causal softmax attention is computed by; the standard form where None.

        Raises:
            KeyError: a weight is missing.
        """
        calls = Calls(self.function, attention or form_of((STANDARD_FORM,)))
        width, given, asked = architecture.width, architecture.form.input, architecture.form.output
        opening = Opening.of(architecture)
        x, *told = calls.add(opening, {given.name: given.name})
        present = dict(zip(opening.outputs[1:], told, strict=True))
        turns: dict[Positions, list[str]] = {}
        for number, layer in enumerate(architecture.layers):
            prefix = f"layers.{number}."
            if layer.mixer != NO_MIXER:
                activations, mixing = {"x": x, **present}, Mixing.of(layer, width, view=architecture.view)
                if mixing.reads_turns:
                    positions = Positions(width, mixing.head_size, layer.projection)
                    if positions not in turns:
                        turns[positions] = calls.add(positions, {"tokens": "tokens"})
                    activations |= zip(Positions.outputs, turns[positions], strict=True)
                (x,) = calls.add(mixing, activations, prefix)
            if layer.ratio:
                (x,) = calls.add(Channels(width, layer.channel, layer.ratio), {"x": x}, prefix)
        calls.add(Answer.of(architecture), {"x": x, **present}, outputs=["logits"])
        sizes: list[int | str]
        answers: list[int | str]
        if isinstance(asked, Classes):
            sizes, answers = ["batch", *given.shape(1)[1:]], ["batch", asked.count]
        else:
            sizes, answers = ["batch", "length"], ["batch", "length", architecture.vocabulary]
        arrays = _arrays(architecture, weights, seed)
        return calls.model(architecture, arrays, {given.name: sizes}, {"logits": answers})

    def compose_extend(
        self,
        architecture: Architecture,
        weights: Arrays | None = None,
        seed: int = 0,
        batch: int | None = None,
        tokens: int | None = None,
        in_place: bool = False,
        branches: bool = True,
    ) -> ModelProto:
        """A model file that goes on from earlier tokens: inputs `tokens` int64 (B, S), `position` int64 (),
        how many these were, and each state of each layer, ``layers.0.state_k`` float32, …; outputs `logits`
        float32 (B, S, V), `next_position` and the states after the tokens, ``layers.0.next_k``, …

        One file serves prompts and single tokens after any context. Before the first token states are zeros,
        of no length on the axes that grow with the context.

        Args:
            weights, seed: see `compose`.
            batch: B; any where None.
            tokens: S; any where None, else 1: the file then holds one token's arithmetic alone.
            in_place: whether one token appends to states of which all is kept by what `nas.export.cached`
                has, with which those that the file's metadata `APPENDED` name are appended to in place.

            branches: whether one token has arithmetic of its own where any number is taken; else it is mixed
                as several are, which takes longer.

        Raises:
            KeyError: a weight is missing.
            ValueError: a mixer does not say how it goes on by several tokens.
        """
        if tokens is None:
            _refuse_steps_alone(architecture)
        calls = Calls(self.function, form_of((STANDARD_FORM,)))
        width, sizes = architecture.width, (batch or "batch", tokens or "length")
        extended = ExtendedMixers(calls, width, sizes, in_place, branches)
        (x,) = calls.add(Opening.of(architecture), {"tokens": "tokens"})
        for number, layer in enumerate(architecture.layers):
            prefix = f"layers.{number}."
            if layer.mixer != NO_MIXER:
                x = extended.mix(layer, x, prefix)
            if layer.ratio:
                (x,) = calls.add(Channels(width, layer.channel, layer.ratio), {"x": x}, prefix)
        calls.add(Answer.of(architecture), {"x": x}, outputs=["logits"])
        model = calls.model(
            architecture,
            _arrays(architecture, weights, seed),
            {"tokens": sizes, **extended.states},
            {"logits": [*sizes, architecture.vocabulary], **extended.following},
        )
        if extended.appended:
            model.metadata_props.add(key=APPENDED, value=" ".join(extended.appended))
        return model

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


def _refuse_steps_alone(architecture: Architecture) -> None:
    for layer in architecture.layers:
        mixer = parse_mixer(layer.mixer)
        if isinstance(mixer, HeadMixer) and type(mixer).mix_extend is HeadMixer.mix_extend:
            raise ValueError(
                f"mixer {layer.mixer!r} says only how one more token is mixed; "
                "a model that takes prompts needs its `mix_extend`"
            )


def _export(block: Block) -> bytes:
    """The block's own ONNX file, by tracing, constants folded."""
    import onnx
    import torch

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
            do_constant_folding=False,  # `simplified` does it better
            input_names=names,
            output_names=list(block.outputs),
            dynamic_axes={name: axes for name in (*names, *block.outputs) if (axes := block.axes(name))},
        )
        model = simplified(with_carried(onnx.load_model(file), OPSET))
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


def _arrays(architecture: Architecture, weights: Arrays | None, seed: int) -> Arrays:
    """The weights, or random ones where None."""
    if weights is not None:
        return weights
    return {name: value.numpy() for name, value in random_weights(architecture, seed).items()}
