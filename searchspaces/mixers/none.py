"""No token mixer: the layer is its channel mixer alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.mixer import CausalMixer, Kind, Position, Shape, State, Weights, register_mixer
from searchspaces.operations import Operation
from searchspaces.part import Sight, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns


@register_mixer("none")
@dataclass(frozen=True)
class NoMixer(CausalMixer):
    """Passes nothing between tokens; the layer skips its norm too."""

    glyph = "·"
    example = "none"
    kind = Kind.FIXED
    kernel = "0"
    sparsity = "nothing"
    family = ""
    sights = frozenset(Sight)

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """None."""
        return {}

    def forward(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        present: Tensor | None = None,
    ) -> Tensor:
        """Zeros: adds nothing to the residual."""
        return x * 0

    def reference(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """Zeros."""
        return x * 0

    def extend(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        state: State,
        position: Position,
    ) -> tuple[Tensor, State]:
        """Zeros."""
        return x * 0, state

    def state_shapes(self, batch: int, sizes: Sizes, tokens: int) -> dict[str, Shape]:
        """None."""
        return {}

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """None."""
        return ()

    def step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """None."""
        return ()
