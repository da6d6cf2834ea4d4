"""What architectures cost before any device is asked, for whole populations by table look-up."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from searchspaces.architecture import NO_MIXER
from searchspaces.channels import parse_channel
from searchspaces.encoding import Population
from searchspaces.mixers import parse_mixer
from searchspaces.operations import Operation
from searchspaces.space import SearchSpace

__all__ = ["CostModel"]

Counts = NDArray[np.int64]


class CostModel:
    """Exact counts of one space's architectures: sums over layers of what each block option costs."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._tables = lru_cache(maxsize=64)(self._make_tables)

    def parameters(self, population: Population) -> Counts:
        """(n,) trainable scalars, the embedding (tied to the output projection) included."""
        return self._sum(population, "parameters", 1)

    def macs(self, population: Population, tokens: int) -> Counts:
        """(n,) multiply-accumulates of one sequence of `tokens` tokens, all logits computed."""
        return self._sum(population, "macs", tokens)

    def state_bytes(self, population: Population, tokens: int) -> Counts:
        """(n,) bytes of one sequence's decoding state after `tokens` tokens, in fp32."""
        return self._sum(population, "state_bytes", tokens)

    def _sum(self, population: Population, quantity: str, tokens: int) -> Counts:
        mixing, feeding, fixed = self._tables(quantity, tokens)
        layers, active = self.space.layer_view(population)
        width = population[:, 0]
        per_layer = mixing[width[:, None], layers[:, :, 0], layers[:, :, 1]]
        per_layer = per_layer + feeding[width[:, None], layers[:, :, 2], layers[:, :, 3]]
        total: Counts = fixed[width] + np.where(active, per_layer, 0).sum(1)
        return total

    def _make_tables(self, quantity: str, tokens: int) -> tuple[Counts, Counts, Counts]:
        """(widths, mixers, heads), (widths, channels, ratios) and (widths,) counts of a block by its options."""
        spec, count = self.space.spec, _QUANTITIES[quantity]
        mixing = [
            [
                [0 if m == NO_MIXER else count.mixing(m, d, h, tokens) for h in spec.layer.heads]
                for m in spec.layer.mixer
            ]
            for d in spec.width
        ]
        feeding = [
            [
                [count.feeding(c, d, round(r * d), tokens) for r in spec.layer.ratio]
                for c in spec.layer.channel
            ]
            for d in spec.width
        ]
        fixed = [count.fixed(spec.vocabulary, d, tokens) for d in spec.width]
        return np.array(mixing, np.int64), np.array(feeding, np.int64), np.array(fixed, np.int64)


class _Quantity:
    """How one quantity is counted for each kind of block."""

    def __init__(
        self,
        mixing: Callable[[str, int, int, int], int],
        feeding: Callable[[str, int, int, int], int],
        fixed: Callable[[int, int, int], int],
    ) -> None:
        self.mixing, self.feeding, self.fixed = mixing, feeding, fixed


def _macs(operations: tuple[Operation, ...]) -> int:
    return sum(operation.macs for operation in operations)


_QUANTITIES = {
    "parameters": _Quantity(
        mixing=lambda mixer, width, heads, tokens: width + 4 * width * width,
        feeding=lambda channel, width, hidden, tokens: (
            width + sum(prod(shape) for shape, _ in parse_channel(channel).shapes(width, hidden).values())
        ),
        fixed=lambda vocabulary, width, tokens: vocabulary * width + width,
    ),
    "macs": _Quantity(
        mixing=lambda mixer, width, heads, tokens: (
            4 * tokens * width * width + _macs(parse_mixer(mixer).operations(width, heads, tokens))
        ),
        feeding=lambda channel, width, hidden, tokens: _macs(
            parse_channel(channel).operations(width, hidden, tokens)
        ),
        fixed=lambda vocabulary, width, tokens: tokens * vocabulary * width,
    ),
    "state_bytes": _Quantity(
        mixing=lambda mixer, width, heads, tokens: parse_mixer(mixer).state_bytes(width, heads, tokens),
        feeding=lambda channel, width, hidden, tokens: 0,
        fixed=lambda vocabulary, width, tokens: 0,
    ),
}
