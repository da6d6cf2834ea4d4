"""Linear attention that forgets at fixed rates (RetNet's decay; Sun et al., 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.linear import Linear
from searchspaces.mixers.mixer import Kind, register_mixer
from searchspaces.operations import Operation
from searchspaces.part import Sight, Sizes

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["constants", "log_decays"]

SPAN = 8.0
"""Time scales are spread evenly over 2^0 to 2^8 tokens."""


def log_decays(groups: int) -> list[float]:
    """log α of G heads, α = 1 − 2^−e with e in the middles of G equal parts of [0, `SPAN`]: of four 1, 3, 5
    and 7.

    Heads of a smaller number thus have the mean time scale of those that they are split into.
    """
    return [math.log1p(-(2.0 ** -(SPAN * (head + 0.5) / groups))) for head in range(groups)]


def constants(x: Tensor, numbers: Sequence[float]) -> Tensor:
    """(n,) of x's type, made on its device: a copy from the host's memory cannot be in a CUDA graph."""
    import torch

    return torch.stack([x.new_full((), number) for number in numbers])


@register_mixer("decay")
@dataclass(frozen=True)
class Decay(Linear):
    """Weights are φ(q)·φ(k) α^(i−j), φ(x) = elu(x) + 1, with a fixed decay α a head.

    RetNet has no feature map, a norm in place of the sum of weights, and rates closer to 1; over wide time
    scales and divided by the sum it learns much faster here.
    """

    glyph = "D"
    example = "decay"
    kind = Kind.RECURRENT
    kernel = "φ(q)·φ(k) × a fixed decay, normalised"
    sparsity = "all tokens"
    source = "RetNet: Sun et al., 2023"
    sights = frozenset({Sight.CAUSAL})

    def signals(self, x: Tensor, weights: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
        """`log_decay` (1, G, 1), the same for all tokens."""
        return {"log_decay": constants(x, log_decays(sizes.groups)).reshape(1, -1, 1)}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """As without decays, and these."""
        return *super().mix_operations(sizes, tokens), *self.decay_operations(sizes, tokens)
