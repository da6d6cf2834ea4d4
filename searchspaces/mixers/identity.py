"""Nothing in place of a token mixer, but for its norm and residual (IdentityFormer; Yu et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.mixer import Kind, Mixer, Position, State, Weights, register_mixer
from searchspaces.operations import Operation
from searchspaces.part import Sight, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns


@register_mixer("identity")
@dataclass(frozen=True)
class Identity(Mixer):
    """Every token as it is, normed: what any other mixer must beat."""

    glyph = "="
    example = "identity"
    kind = Kind.FIXED
    kernel = "1"
    sparsity = "the token itself"
    source = "IdentityFormer: Yu et al., 2022"
    family = ""
    sights = frozenset(Sight)

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """None."""
        return {}

    def forward(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """x."""
        return x

    def reference(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """x."""
        return x

    def extend(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        state: State,
        position: Position,
    ) -> tuple[Tensor, State]:
        """x."""
        return x, state

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """None."""
        return ()
