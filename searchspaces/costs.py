"""What architectures cost before any device is asked, for whole populations at once.

A model is a sum of blocks: one stem for its width (embedding, final norm, output projection), a token
mixer with its projections for each layer that has one, and a channel mixer for each layer. Everything
countable is a count of blocks times a table, so 100,000 architectures take well under a second.
Needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from searchspaces.architecture import NO_MIXER
from searchspaces.channels import parse_channel
from searchspaces.encoding import Population
from searchspaces.mixers import parse_mixer
from searchspaces.operations import Operation, OperationKind
from searchspaces.space import SearchSpace

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
    """Embedding, final norm and output projection (tied to the embedding)."""
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
        option: the mixer's or channel mixer's option; empty for a stem.
        heads: H of a mixer block, 0 elsewhere.
        ratio: F/D of a channel block, 0 elsewhere.
        inner: H·K of a mixer block, 0 elsewhere.
    """

    role: BlockRole
    width: int
    option: str = ""
    heads: int = 0
    ratio: float = 0.0
    inner: int = 0

    def __str__(self) -> str:
        size = {BlockRole.MIXER: f"/h{self.heads}", BlockRole.CHANNEL: f"/r{self.ratio:g}"}
        option = f"/{self.option}" if self.option else ""
        return f"{self.role}{option}{size.get(self.role, '')}/d{self.width}"


class CostModel:
    """Parameters, multiply-accumulates, state bytes and block counts of a space's architectures.

    Args:
        space: whose populations are costed.
        head_size: K where heads do not split the model's width but have a size of their own, as in
            HW-GPT-Bench; None for D/H, as in every model that this project builds.

    Attributes:
        blocks: every block that an architecture of the space can contain; the columns of `counts`.
        names: their texts, unique and stable: a predictor's coefficients are stored under them.
    """

    def __init__(self, space: SearchSpace, head_size: int | None = None) -> None:
        self.space = space
        self._head_size = head_size
        layer = space.spec.layer
        mixers = [option for option in layer.mixer if option != NO_MIXER]
        stems = [Block(BlockRole.STEM, d) for d in space.spec.width]
        mixing = [self._mixer_block(d, m, h) for d in space.spec.width for m in mixers for h in layer.heads]
        mapping = [
            Block(BlockRole.CHANNEL, d, c, ratio=r)
            for d in space.spec.width
            for c in layer.channel
            for r in layer.ratio
        ]
        self.blocks: tuple[Block, ...] = (*stems, *mixing, *mapping)
        self.names: tuple[str, ...] = tuple(map(str, self.blocks))
        column = {block: i for i, block in enumerate(self.blocks)}
        absent = len(self.blocks)
        # Column of a layer's mixer and channel blocks by option index; a layer without a mixer has none.
        self._mixer_column = np.array(
            [
                [[column.get(self._mixer_block(d, m, h), absent) for h in layer.heads] for m in layer.mixer]
                for d in space.spec.width
            ]
        )
        self._channel_column = np.array(
            [
                [
                    [column[Block(BlockRole.CHANNEL, d, c, ratio=r)] for r in layer.ratio]
                    for c in layer.channel
                ]
                for d in space.spec.width
            ]
        )

    def _mixer_block(self, width: int, option: str, heads: int) -> Block:
        inner = width if self._head_size is None else heads * self._head_size
        return Block(BlockRole.MIXER, width, option, heads=heads, inner=inner)

    def counts(self, population: Population) -> _Counts:
        """(n, blocks) how many of each block a row's model contains."""
        layers, active = self.space.layer_view(population)
        width = population[:, 0, None]
        absent = len(self.blocks)
        mixers = self._mixer_column[width, layers[:, :, 0], layers[:, :, 1]]
        channels = self._channel_column[width, layers[:, :, 2], layers[:, :, 3]]
        columns = np.concatenate(
            [width, np.where(active, mixers, absent), np.where(active, channels, absent)], axis=1
        )
        rows = np.arange(len(population))[:, None] * (absent + 1)
        flat = np.bincount((rows + columns).ravel(), minlength=len(population) * (absent + 1))
        return flat.reshape(len(population), absent + 1)[:, :absent]

    def parameters(self, population: Population) -> _Counts:
        """(n,) scalar weights of each model; the output projection is the embedding's."""
        return self.counts(population) @ self._block_parameters

    def macs(self, population: Population, tokens: int) -> _Counts:
        """(n,) multiply-accumulates of one sequence of N tokens, the logits of every position included."""
        return self.counts(population) @ self._per_block(
            lambda block: sum(
                operation.macs for operation in prefill(block, tokens, self.space.spec.vocabulary)
            )
        )

    def state_bytes(self, population: Population, tokens: int) -> _Counts:
        """(n,) bytes of one sequence's decoding state after N tokens, in fp32."""
        return self.counts(population) @ self._per_block(
            lambda block: (
                parse_mixer(block.option).state_bytes(block.inner, block.heads, tokens)
                if block.role is BlockRole.MIXER
                else 0
            )
        )

    def prefill_work(self, tokens: int, batch: int = 1) -> _Table:
        """(blocks, len(WORK)) work of each block on B sequences of N tokens.

        With `counts` it gives a population's work: ``counts(population) @ prefill_work(tokens)``.
        """
        vocabulary = self.space.spec.vocabulary
        return self._work(lambda block: prefill(block, tokens, vocabulary), batch)

    def step_work(self, context: int, batch: int = 1) -> _Table:
        """(blocks, len(WORK)) work of each block in decoding one token after `context` tokens."""
        vocabulary = self.space.spec.vocabulary
        return self._work(lambda block: decode_step(block, context, vocabulary), batch)

    @cached_property
    def _block_parameters(self) -> _Counts:
        return self._per_block(lambda block: block_parameters(block, self.space.spec.vocabulary))

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


def block_parameters(block: Block, vocabulary: int) -> int:
    """Scalar weights of one block."""
    width = block.width
    if block.role is BlockRole.STEM:
        return vocabulary * width + width
    if block.role is BlockRole.MIXER:
        return width + 4 * width * block.inner
    shapes = parse_channel(block.option).shapes(width, round(block.ratio * width))
    return width + sum(int(np.prod(shape)) for shape, _ in shapes.values())


def prefill(block: Block, tokens: int, vocabulary: int) -> tuple[Operation, ...]:
    """Counted operations of one block on one sequence of N tokens."""
    return _shared(block, tokens, vocabulary) + (
        parse_mixer(block.option).operations(block.inner, block.heads, tokens)
        if block.role is BlockRole.MIXER
        else ()
    )


def decode_step(block: Block, context: int, vocabulary: int) -> tuple[Operation, ...]:
    """Counted operations of one block in decoding one token after `context` tokens."""
    return _shared(block, 1, vocabulary) + (
        parse_mixer(block.option).step_operations(block.inner, block.heads, context)
        if block.role is BlockRole.MIXER
        else ()
    )


def _shared(block: Block, tokens: int, vocabulary: int) -> tuple[Operation, ...]:
    """What does not depend on how tokens see each other: everything but the mixer itself."""
    d = block.width
    norm = Operation(OperationKind.ELEMENTWISE, elements=2 * tokens * d, calls=4)
    residual = Operation(OperationKind.ELEMENTWISE, elements=tokens * d)
    if block.role is BlockRole.STEM:
        embedding = Operation(OperationKind.GATHER, elements=tokens * d)
        logits = Operation(OperationKind.MATMUL, macs=tokens * d * vocabulary, elements=tokens * vocabulary)
        return embedding, norm, logits
    if block.role is BlockRole.CHANNEL:
        return norm, *parse_channel(block.option).operations(d, round(block.ratio * d), tokens), residual
    inner = block.inner
    projections = Operation(
        OperationKind.MATMUL, macs=4 * tokens * d * inner, elements=tokens * (3 * inner + d), calls=2
    )
    turns = Operation(OperationKind.ELEMENTWISE, elements=6 * tokens * inner, calls=8)
    heads = Operation(OperationKind.GATHER, elements=4 * tokens * inner, calls=4)
    return norm, projections, turns, heads, residual
