"""Token mixers in a file that serves prompts and single tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nas.export.blocks import Positions
from nas.export.cached import appended, appended_attention, appends_in_place, attends_in_place
from nas.export.calls import OPSET, Calls
from nas.export.extending import (
    CONTEXT,
    EXAMPLE_TOKENS,
    FOLLOWING,
    AfterMixing,
    BeforeMixing,
    ExtendedPositions,
    Extending,
    MixHeads,
    MixOnAllKept,
    StatefulMixer,
)
from searchspaces.architecture import Layer
from searchspaces.mixers import HeadMixer, parse_mixer
from workers.runtimes.onnx_states import NEXT, POSITION, STATE

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["ExtendedMixers"]


class ExtendedMixers:
    """The token mixers of a model that goes on from earlier tokens.

    Args:
        calls: the graph.
        width: D.
        sizes: B and S; S is any number, by name, or 1.
        in_place: whether the engine appends in place by what `nas.export.cached` has.
        branches: whether one token has arithmetic of its own where S is any number.

    Attributes:
        states, following: inputs and outputs of the file, with their sizes.
        appended: those of the states that may be appended to in place.
    """

    def __init__(
        self,
        calls: Calls,
        width: int,
        sizes: Sequence[int | str],
        in_place: bool = False,
        branches: bool = True,
    ) -> None:
        self._calls = calls
        self._in_place, self._branches = in_place, branches
        self.appended: list[str] = []
        self._width = width
        self._batch, self._tokens = sizes
        self._turns: dict[ExtendedPositions, list[str]] = {}
        self.states: dict[str, list[int | str]] = {POSITION: []}
        self.following: dict[str, list[int | str]] = {NEXT + POSITION: []}
        calls.nodes.extend(_of_tokens())

    def mix(self, layer: Layer, x: str, prefix: str) -> str:
        """x plus what a layer's token mixer adds."""
        mixer, calls = parse_mixer(layer.mixer), self._calls
        turns: dict[str, str] = {}
        if mixer.positioned:
            head_size = layer.sizes(self._width).head_size
            positions = ExtendedPositions(self._width, head_size, layer.projection)
            if positions not in self._turns:
                inputs = {"tokens": "tokens", POSITION: POSITION}
                self._turns[positions] = calls.add(positions, inputs)
            turns = dict(zip(Positions.outputs, self._turns[positions], strict=True))
        if not isinstance(mixer, HeadMixer):
            extending = Extending.of(layer, self._width)
            inputs = {"x": x, POSITION: POSITION, **turns}
            (y,) = self._add(extending, inputs, prefix)
            return y
        before = BeforeMixing.of(layer, self._width)
        values = self._add(before, {"x": x, **turns}, prefix)
        named = dict(zip(before.heads_inputs, values, strict=True)) | {POSITION: POSITION}
        (mixed,) = self._add_heads(layer, named, prefix)
        (y,) = calls.add(AfterMixing.of(layer, self._width), {"x": x, "mixed": mixed}, prefix)
        return y

    def _add(self, block: StatefulMixer, activations: Mapping[str, str], prefix: str) -> list[str]:
        """Call a block on values, and on states that become inputs of the file; its own outputs."""
        activations, kept = self._with_states(block, activations, prefix)
        own = [f"{prefix}{name}" for name in block.outputs[: -len(kept) or None]]
        return self._calls.add(block, activations, prefix, [*own, *kept])[: len(own)]

    def _add_heads(self, layer: Layer, activations: Mapping[str, str], prefix: str) -> list[str]:
        """Mixed heads: by one token's arithmetic where there is one, by that of many elsewhere."""
        one, many = (MixHeads.of(layer, self._width, tokens) for tokens in (1, EXAMPLE_TOKENS))
        if self._tokens == 1 and self._in_place and appends_in_place(layer):
            return self._append(layer, *self._with_states(one, activations, prefix), prefix)
        if self._tokens == 1 or not self._branches:
            return self._add(one if self._tokens == 1 else many, activations, prefix)
        activations, kept = self._with_states(one, activations, prefix)
        outputs = [f"{prefix}mixed", *kept]
        self._calls.choose("is_one", one, many, activations, outputs)
        return outputs[:1]

    def _append(
        self, layer: Layer, activations: Mapping[str, str], kept: list[str], prefix: str
    ) -> list[str]:
        """Mixed heads of one token, which appends to the states in place."""
        calls = self._calls
        block = MixOnAllKept.of(layer, self._width)
        self.appended += [activations[STATE + name] for name in block.states]
        if attends_in_place(layer, self._width):
            function = appended_attention(layer, self._width, OPSET)
            return calls.apply(function, activations, [f"{prefix}mixed", *kept])[:1]
        calls.apply(appended(OPSET), activations, kept)
        return calls.add(block, {**activations, **dict(zip(block.following, kept, strict=True))}, prefix)

    def _with_states(
        self, block: StatefulMixer, activations: Mapping[str, str], prefix: str
    ) -> tuple[dict[str, str], list[str]]:
        """The block's inputs with its states, and the names of the next ones."""
        for name in block.states:
            for declared, role, size in ((self.states, STATE, CONTEXT), (self.following, NEXT, FOLLOWING)):
                sizes = [
                    size if axis in block.growing[name] else n for axis, n in enumerate(block.shapes[name])
                ]
                declared[prefix + role + name] = [self._batch, *sizes[1:]]
        states = {STATE + name: prefix + STATE + name for name in block.states}
        return {**activations, **states}, [prefix + NEXT + name for name in block.states]


def _of_tokens() -> list[NodeProto]:
    """Nodes: the position after the tokens, and whether there is only one of them."""
    from onnx import parser

    function = parser.parse_function(
        f"""<domain: "any", opset_import: ["" : {OPSET}]>
        f (tokens, {POSITION}) => (tokens) {{
            length = Shape<start = 1, end = 2>(tokens)
            count = Squeeze(length)
            {NEXT}{POSITION} = Add({POSITION}, count)
            one = Constant<value_int = 1>()
            is_one = Equal(count, one)
        }}"""
    )
    return list(function.node)
