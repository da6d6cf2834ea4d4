"""What architectures cost before any device is asked, for whole populations at once.

A model is a sum of blocks: one of what stands around its layers (stem and readout), a token
mixer with its projections for each layer that has one, and a channel mixer for each layer. Everything
countable is a count of blocks times a table, so 100,000 architectures take well under a second.
Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from searchspaces.architecture import NO_MIXER, Layer
from searchspaces.channels import parse_channel
from searchspaces.encoding import Population
from searchspaces.form import LANGUAGE, Form
from searchspaces.mixers import parse_mixer
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import CAUSAL, Part, Sizes, View, Weight
from searchspaces.projection import PLAIN, Projection
from searchspaces.readouts import parse_readout
from searchspaces.space import SearchSpace
from searchspaces.stems import parse_stem

__all__ = ["WORK", "Block", "BlockRole", "CostModel"]

WORK = (
    *(f"{kind}_macs" for kind in (OperationKind.MATMUL, OperationKind.ATTENTION)),
    *(f"{kind}_elements" for kind in OperationKind),
    "weight_elements",
    "calls",
)
"""Columns of a table of work: multiply-accumulates by kind, scalar values written by kind, weights read,
kernel launches."""

_Counts = NDArray[np.int64]
_Table = NDArray[np.float64]


class BlockRole(StrEnum):
    """What a block is to its model."""

    STEM = "stem"
    """What turns inputs into tokens and tokens into answers: of a language model embedding, final norm and
    output projection."""
    MIXER = "mixer"
    """Norm, projections, rotary turns, a token mixer and the residual sum."""
    CHANNEL = "channel"
    """Norm, a channel mixer and the residual sum."""


@dataclass(frozen=True, slots=True)
class Block:
    """One kind of block at one size.

    Attributes:
        role: what it is to its model.
        width: D.
        option: the mixer's, the channel mixer's or the stem's option.
        heads: H of a mixer block, 0 elsewhere.
        ratio: F/D of a channel block, 0 elsewhere.
        conv: taps of a mixer block's short convolutions, 0 elsewhere.
        kv_heads: G of a mixer block where it is not H, 0 elsewhere.
        head_size: K of a mixer block where it is not D/H, 0 elsewhere.
        projection: of a mixer block with heads.
        tied: of a stem, whether its output projection is the embedding.
        readout: beside a stem, what turns tokens into answers.
        form: of a stem, what goes in and comes out.
        view: how tokens lie.
    """

    role: BlockRole
    width: int
    option: str = ""
    heads: int = 0
    ratio: float = 0.0
    conv: int = 0
    kv_heads: int = 0
    head_size: int = 0
    projection: Projection = PLAIN
    tied: bool = True
    readout: str = ""
    form: Form = LANGUAGE
    view: View = CAUSAL

    def __str__(self) -> str:
        size = {BlockRole.MIXER: f"/h{self.heads}", BlockRole.CHANNEL: f"/r{self.ratio:g}"}
        option = f"/{self.option}"
        if self.role is BlockRole.STEM:
            option = "" if self.form.causal else f"{option}/{self.readout}"
        later = "".join(f"/{letter}{n}" for letter, n in (("c", self.conv), ("g", self.kv_heads)) if n)
        later += f"/{self.projection}" if self.projection != PLAIN else ""
        later += "" if self.tied else "/untied"
        return f"{self.role}{option}{size.get(self.role, '')}{later}/d{self.width}"

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it is made of beside its norm."""
        match self.role:
            case BlockRole.STEM:
                return parse_stem(self.option), parse_readout(self.readout)
            case BlockRole.MIXER:
                return (parse_mixer(self.option),)
            case BlockRole.CHANNEL:
                return (parse_channel(self.option),)

    @property
    def sizes(self) -> Sizes:
        """What it says to its parts."""
        if self.role is BlockRole.STEM:
            return Sizes(self.width, view=self.view, form=self.form, tied=self.tied)
        if self.role is BlockRole.CHANNEL:
            return Sizes(self.width, hidden=round(self.ratio * self.width), view=self.view)
        layer = Layer(self.option, self.heads, "", 0, self.conv, self.kv_heads, self.projection)
        sizes = layer.sizes(self.width, self.view)
        return replace(sizes, head_size=self.head_size) if self.head_size else sizes

    @property
    def weights(self) -> dict[str, Weight]:
        """Those of its parts, by name; what two of them share once."""
        return {name: weight for part in self.parts for name, weight in part.shapes(self.sizes).items()}


class CostModel:
    """Parameters, multiply-accumulates, state bytes and block counts of a space's architectures.

    Args:
        space: whose populations are costed.
        head_size: K where heads do not split the model's width but have a size of their own, as in
            HW-GPT-Bench; 0 for D/H, as in every model that this project builds.

    Attributes:
        blocks: every block that an architecture of the space can contain; the columns of `counts`.
        names: their texts, unique and stable: a predictor's coefficients are stored under them.
    """

    def __init__(self, space: SearchSpace, head_size: int = 0) -> None:
        self.space = space
        self._head_size = head_size
        layer, widths = space.spec.layer, space.spec.width
        outer = list(product(widths, space.spec.stem, space.spec.readout))
        stems = [self._stem_block(*options) for options in outer]
        genes = list(product(widths, layer.mixer, layer.heads, layer.conv, layer.kv_heads))
        mixing = [self._mixer_block(*options) for options in genes]
        shape = [len(options) for options in (widths, layer.channel, layer.ratio)]
        mapping = [
            Block(BlockRole.CHANNEL, d, c, ratio=r, view=space.view) if r else None
            for d, c, r in product(widths, layer.channel, layer.ratio)
        ]
        self.blocks: tuple[Block, ...] = tuple(
            dict.fromkeys(block for block in (*stems, *mixing, *mapping) if block is not None)
        )
        self.names: tuple[str, ...] = tuple(map(str, self.blocks))
        column: dict[Block | None, int] = {block: i for i, block in enumerate(self.blocks)}
        # Column of a layer's mixer and channel blocks by option index; a layer without one has none.
        column[None] = len(self.blocks)
        self._channel_column = np.array([column[block] for block in mapping]).reshape(shape)
        shape = [len(options) for options in (widths, layer.mixer, layer.heads, layer.conv, layer.kv_heads)]
        self._mixer_column = np.array([column[block] for block in mixing]).reshape(shape)
        shape = [len(options) for options in (widths, space.spec.stem, space.spec.readout)]
        self._stem_column = np.array([column[block] for block in stems]).reshape(shape)

    def _stem_block(self, width: int, stem: str, readout: str) -> Block:
        of, tied = self.space, self.space.spec.tied
        return Block(BlockRole.STEM, width, stem, tied=tied, readout=readout, form=of.form, view=of.view)

    def _mixer_block(self, width: int, mixer: str, heads: int, conv: int, kv_heads: int) -> Block | None:
        if mixer == NO_MIXER:
            return None
        projection = self.space.spec.layer.projection
        layer = Layer(mixer, heads, "", 0, conv, kv_heads, projection)  # without what it does not obey
        size = self._head_size if layer.heads else 0
        genes = layer.heads, 0.0, layer.conv, layer.kv_heads
        return Block(BlockRole.MIXER, width, mixer, *genes, size, layer.projection, view=self.space.view)

    def counts(self, population: Population) -> _Counts:
        """(n, blocks) how many of each block a row's model contains."""
        layers, active = self.space.layer_view(population)
        width = population[:, 0, None]
        absent = len(self.blocks)
        mixer, heads, channel, ratio, conv, kv_heads = np.moveaxis(layers, 2, 0)
        mixers = self._mixer_column[width, mixer, heads, conv, kv_heads]
        channels = self._channel_column[width, channel, ratio]
        stem, readout = np.moveaxis(self.space.outer_view(population)[:, None], 2, 0)
        stems = self._stem_column[width, stem, readout]
        columns = np.concatenate(
            [stems, np.where(active, mixers, absent), np.where(active, channels, absent)], axis=1
        )
        rows = np.arange(len(population))[:, None] * (absent + 1)
        flat = np.bincount((rows + columns).ravel(), minlength=len(population) * (absent + 1))
        return flat.reshape(len(population), absent + 1)[:, :absent]

    def parameters(self, population: Population) -> _Counts:
        """(n,) scalar weights of each model; the output projection is the embedding's."""
        return self.counts(population) @ self._block_parameters

    def macs(self, population: Population, tokens: int) -> _Counts:
        """(n,) multiply-accumulates of one sequence of N tokens, of a language model with the logits of every
        position."""
        return self.counts(population) @ self._per_block(
            lambda block: sum(operation.macs for operation in prefill(block, tokens))
        )

    def state_bytes(self, population: Population, tokens: int) -> _Counts:
        """(n,) bytes of one sequence's decoding state after N tokens, in fp32."""
        return self.counts(population) @ self._per_block(
            lambda block: (
                parse_mixer(block.option).state_bytes(block.sizes, tokens)
                if block.role is BlockRole.MIXER and block.view.causal
                else 0
            )
        )

    def prefill_work(self, tokens: int, batch: int = 1) -> _Table:
        """(blocks, len(WORK)) work of each block on B sequences of N tokens.

        With `counts` it gives a population's work: ``counts(population) @ prefill_work(tokens)``.
        """
        return self._work(lambda block: prefill(block, tokens), batch)

    def step_work(self, context: int, batch: int = 1) -> _Table:
        """(blocks, len(WORK)) work of each block in decoding one token after `context` tokens."""
        return self._work(lambda block: decode_step(block, context), batch)

    @cached_property
    def _block_parameters(self) -> _Counts:
        return self._per_block(block_parameters)

    def _per_block(self, value: Callable[[Block], int]) -> _Counts:
        return np.array([value(block) for block in self.blocks], dtype=np.int64)

    def _work(self, operations: Callable[[Block], Iterable[Operation]], batch: int) -> _Table:
        table = np.zeros((len(self.blocks), len(WORK)))
        for row, block in enumerate(self.blocks):
            for operation in operations(block):
                if operation.macs:
                    table[row, WORK.index(f"{operation.kind}_macs")] += batch * operation.macs
                table[row, WORK.index(f"{operation.kind}_elements")] += batch * operation.elements
                table[row, WORK.index("calls")] += operation.calls
        table[:, WORK.index("weight_elements")] = self._block_parameters
        return table


def block_parameters(block: Block) -> int:
    """Scalar weights of one block."""
    norm = 0 if block.role is BlockRole.STEM else block.width
    return norm + sum(math.prod(weight.shape) for weight in block.weights.values())


def prefill(block: Block, tokens: int) -> tuple[Operation, ...]:
    """Counted operations of one block on one sequence of N tokens."""
    around = () if block.role is BlockRole.STEM else _around(block.width, tokens)
    return *around, *(each for part in block.parts for each in part.operations(block.sizes, tokens))


def decode_step(block: Block, context: int) -> tuple[Operation, ...]:
    """Counted operations of one block in decoding one token after `context` tokens."""
    if block.role is BlockRole.MIXER:
        mixing = parse_mixer(block.option).step_operations(block.sizes, context)
        return *_around(block.width, 1), *mixing
    return prefill(block, 1)


def _around(width: int, tokens: int) -> tuple[Operation, ...]:
    """The norm before a part, and the residual sum after it."""
    return _norm(width, tokens), Operation(OperationKind.ELEMENTWISE, elements=tokens * width)


def _norm(width: int, tokens: int) -> Operation:
    return Operation(OperationKind.ELEMENTWISE, elements=2 * tokens * width, calls=4)
