"""Folders that onnxruntime-genai generates with: one graph with its states, and how to feed it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.errors import InvalidSpec, ModelRejected
from nas.export.calls import OPSET
from nas.export.folder import write_json
from nas.export.formats.format import ExportFormat, register_format
from nas.export.library import BlockLibrary
from searchspaces.errors import Problem
from workers.runtimes.onnx_states import NEXT, POSITION, STATE

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto
    from torch import Tensor

    from searchspaces.architecture import Architecture
    from searchspaces.submodel import Submodel

__all__ = ["GenAi"]

CONTEXT_LENGTH = 1 << 20
"""Tokens of a sequence, at most; no table runs out."""

PAST, PRESENT = "past_key_values", "present"


@register_format("genai")
class GenAi(ExportFormat):
    """``model.onnx`` and ``genai_config.json``, and the weights as everywhere.

    onnxruntime-genai keeps two kinds of states: keys and values, which grow with the context, and
    recurrent ones of fixed shape. A layer that keeps every token has the former; what all others keep is laid
    end to end in one of the latter. It wants a convolution's state beside it, which here is one number that
    nobody reads.
    """

    packages = ("onnxruntime-genai",)

    def write(self, submodel: Submodel, folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """See `ExportFormat.write`."""
        from safetensors.torch import save_file

        architecture = submodel.architecture
        weights = {name: value.detach().contiguous() for name, value in submodel.state_dict().items()}
        arrays = {name: value.numpy() for name, value in weights.items()}
        try:
            model = BlockLibrary().compose_extend(architecture, arrays)
        except ValueError as error:
            raise InvalidSpec([Problem("--format", f"no genai: {error}")]) from error
        slots = _rename(model)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        save_file(weights, folder / "model.safetensors")
        write_json(folder / "config.json", {"format": 1, "architecture": architecture.to_dict()})
        write_json(folder / "genai_config.json", _config(architecture, slots))
        return {"graph": "model.onnx", "state_slots": slots}

    def load(self, folder: Path) -> Callable[[Tensor], Tensor]:
        """See `ExportFormat.load`: one sequence after another, each by a first part and the rest."""
        import onnxruntime_genai
        import torch

        try:
            model = onnxruntime_genai.Model(str(folder))
        except Exception as error:  # whatever the library raises
            raise ModelRejected(f"onnxruntime-genai does not load the model: {error}") from error

        def one(ids: Tensor) -> Tensor:
            parameters = onnxruntime_genai.GeneratorParams(model)
            parameters.set_search_options(max_length=len(ids) + 1, do_sample=False)
            generator = onnxruntime_genai.Generator(model, parameters)
            rows = []
            for part in ids.split([(len(ids) + 1) // 2, len(ids) // 2]):
                if len(part):
                    generator.append_tokens(part.numpy().astype(np.int32))
                    rows.append(torch.from_numpy(np.array(generator.get_output("logits")[0])))
            return torch.cat(rows)

        def run(ids: Tensor) -> Tensor:
            try:
                return torch.stack([one(row) for row in ids])
            except Exception as error:  # whatever the library raises
                raise ModelRejected(f"onnxruntime-genai does not run the model: {error}") from error

        return run


def _config(architecture: Architecture, slots: int) -> dict[str, Any]:
    """What onnxruntime-genai asks of a model. Sizes of heads are the file's own, slot by slot."""
    sizes = [layer.sizes(architecture.width) for layer in architecture.layers]
    largest = max(sizes, key=lambda each: each.heads)
    names = ("key", "value")
    return {
        "model": {
            "type": "llama",  # a decoder; everything else is said here
            "bos_token_id": 0,
            "eos_token_id": [],  # it ends nowhere by itself
            "pad_token_id": 0,
            "context_length": CONTEXT_LENGTH,
            "vocab_size": architecture.vocabulary,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": "model.onnx",
                "head_size": largest.head_size or 1,
                "hidden_size": architecture.width,
                "num_attention_heads": largest.heads or 1,
                "num_key_value_heads": largest.groups or 1,
                "num_hidden_layers": slots,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    **{f"past_{name}_names": f"{PAST}.%d.{name}" for name in names},
                },
                "outputs": {
                    "logits": "logits",
                    **{f"present_{name}_names": f"{PRESENT}.%d.{name}" for name in names},
                },
            },
        },
        "search": {
            "do_sample": False,
            "max_length": CONTEXT_LENGTH,
            "min_length": 0,
            "num_beams": 1,
            "num_return_sequences": 1,
            "past_present_share_buffer": False,
        },
    }


def _rename(model: ModelProto) -> int:
    """Give a file of `compose_extend` the inputs and outputs that onnxruntime-genai knows; the number of its
    slots of states."""
    from onnx import TensorProto, helper

    graph = model.graph
    states = [value for value in graph.input if STATE in value.name]
    kept = {value.name: value for value in graph.output}
    vocabulary = kept["logits"].type.tensor_type.shape.dim[2].dim_value

    def declared(name: str, kind: int, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, kind, list(shape))

    inputs = [
        declared("input_ids", TensorProto.INT64, "batch", "length"),
        declared("attention_mask", TensorProto.INT64, "batch", "total"),
    ]
    outputs = [declared("logits", TensorProto.FLOAT, "batch", "length", vocabulary)]
    first, last = _of_tokens(), []
    slot, fixed = 0, []
    growing: dict[str, int] = {}
    for value in states:
        shape = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        following = value.name.replace(STATE, NEXT)
        if "context" not in shape:
            fixed.append((value.name, following, shape[1:]))
            continue
        layer, _, name = value.name.rpartition(STATE)
        role = {"k": "key", "v": "value"}[name]
        if layer not in growing:
            growing[layer], slot = slot, slot + 1
        before, after = (f"{which}.{growing[layer]}.{role}" for which in (PAST, PRESENT))
        inputs.append(declared(before, TensorProto.FLOAT, shape[0], shape[1], "past", shape[3]))
        outputs.append(declared(after, TensorProto.FLOAT, shape[0], shape[1], "total", shape[3]))
        first.append(helper.make_node("Identity", [before], [value.name]))
        last.append(helper.make_node("Identity", [following], [after]))
    if fixed:
        before, after = (f"{which}.{slot}.recurrent_state" for which in (PAST, PRESENT))
        unread, unwritten = (f"{which}.{slot}.conv_state" for which in (PAST, PRESENT))
        sizes = [math.prod(map(int, shape)) for _, _, shape in fixed]
        for names, name, size in (
            (inputs, before, (1, sum(sizes))),
            (inputs, unread, (1, 1)),
            (outputs, after, (1, sum(sizes))),
            (outputs, unwritten, (1, 1)),
        ):
            names.append(declared(name, TensorProto.FLOAT, "batch", *size))
        first += _apart(before, fixed, sizes)
        last += _together(after, fixed)
        last.append(helper.make_node("Identity", [unread], [unwritten]))
        slot += 1
    nodes = [*first, *graph.node, *last]
    for field in ("input", "output", "node"):
        graph.ClearField(field)
    graph.input.extend(inputs)
    graph.output.extend(outputs)
    graph.node.extend(nodes)
    return slot


def _of_tokens() -> list[NodeProto]:
    from onnx import parser

    function = parser.parse_function(
        f"""<domain: "any", opset_import: ["" : {OPSET}]>
        f (input_ids, attention_mask) => (tokens) {{
            tokens = Identity(input_ids)
            all_tokens = Shape<start = 1, end = 2>(attention_mask)
            new_tokens = Shape<start = 1, end = 2>(input_ids)
            old_tokens = Sub(all_tokens, new_tokens)
            {POSITION} = Squeeze(old_tokens)
        }}"""
    )
    return list(function.node)


def _apart(name: str, states: list[tuple[str, str, list[Any]]], sizes: list[int]) -> list[NodeProto]:
    """States of fixed shape, out of one row of numbers."""
    from onnx import helper

    pieces = [f"{state}.row" for state, _, _ in states]
    nodes = [_constant("state_sizes", np.array(sizes, np.int64))]
    nodes.append(helper.make_node("Split", [name, "state_sizes"], pieces, axis=2))
    for (state, _, shape), piece in zip(states, pieces, strict=True):
        nodes.append(_constant(f"{state}.shape", np.array([0, *map(int, shape)], np.int64)))
        nodes.append(helper.make_node("Reshape", [piece, f"{state}.shape"], [state]))
    return nodes


def _together(name: str, states: list[tuple[str, str, list[Any]]]) -> list[NodeProto]:
    from onnx import helper

    nodes, rows = [_constant("state_row", np.array([0, 1, -1], np.int64))], []
    for _, following, _ in states:
        rows.append(f"{following}.row")
        nodes.append(helper.make_node("Reshape", [following, "state_row"], [rows[-1]]))
    return [*nodes, helper.make_node("Concat", rows, [name], axis=2)]


def _constant(name: str, value: Any) -> NodeProto:
    from onnx import helper, numpy_helper

    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
