"""Linear attention that forgets by what it reads (scalar gates: Mamba-2, Dao & Gu, 2024; GLA, Yang et al.,
2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.gates import gate_operations, gate_weights, log_gate
from searchspaces.mixers.linear import Linear
from searchspaces.mixers.mixer import Kind, register_mixer
from searchspaces.operations import Operation
from searchspaces.part import Sight, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor


@register_mixer("gated")
@dataclass(frozen=True)
class Gated(Linear):
    """Weights are φ(q)·φ(k) Π_{j<t≤i} α_t, φ(x) = elu(x) + 1, with α_t = sigmoid(w·x_t + b), one a head.

    Mamba-2 and GLA have a norm in place of the sum of weights. Fresh gates give `decay`'s rates, whatever
    they read.
    """

    glyph = "G"
    example = "gated"
    kind = Kind.RECURRENT
    kernel = "φ(q)·φ(k) × decays read from tokens, normalised"
    sparsity = "all tokens"
    source = "Mamba-2: Dao & Gu, 2024; GLA: Yang et al., 2024"
    sights = frozenset({Sight.CAUSAL})

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """The gate's."""
        return gate_weights("gate", sizes)

    def signals(self, x: Tensor, weights: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
        """`log_decay` (B, G, N)."""
        return {"log_decay": log_gate(x, weights, self.own_name("gate"), sizes)}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """As without decays, and these."""
        return (
            *gate_operations(sizes, tokens),
            *super().mix_operations(sizes, tokens),
            *self.decay_operations(sizes, tokens),
        )

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """As without decays, and the gate."""
        return *gate_operations(sizes, 1), *super().mix_step_operations(sizes, context)
