"""Nothing in place of a token mixer, but for its norm and residual (IdentityFormer; Yu et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.mixer import Position, State, Weights, register_mixer
from searchspaces.mixers.none import NoMixer
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns


@register_mixer("identity")
@dataclass(frozen=True)
class Identity(NoMixer):
    """Every token as it is, normed: what any other mixer must beat.

    It has no weights, no state and no work, as none has.
    """

    glyph = "="
    example = "identity"
    kernel = "1"
    sparsity = "the token itself"
    source = "IdentityFormer: Yu et al., 2022"

    def forward(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        present: Tensor | None = None,
    ) -> Tensor:
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
