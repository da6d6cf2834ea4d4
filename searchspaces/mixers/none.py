"""No token mixer: the layer is its channel mixer alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.mixer import Mixer, Shape, State, register_mixer
from searchspaces.operations import Operation

if TYPE_CHECKING:
    from torch import Tensor, dtype


@register_mixer("none")
@dataclass(frozen=True)
class NoMixer(Mixer):
    """Passes nothing between tokens; the layer skips its norm and projections too."""

    glyph = "·"
    example = "none"

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Zeros: adds nothing to the residual."""
        return v * 0

    def reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Zeros."""
        return v * 0

    def init_state(self, batch: int, heads: int, head_size: int, dtype: dtype) -> State:
        """Empty."""
        return {}

    def step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Zeros."""
        return v * 0, state

    def state_shapes(self, batch: int, heads: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """None."""
        return {}

    def operations(self, width: int, heads: int, tokens: int) -> tuple[Operation, ...]:
        """None."""
        return ()

    def step_operations(self, width: int, heads: int, context: int) -> tuple[Operation, ...]:
        """None."""
        return ()
