"""Token mixers in decoding: one token, and what the layer remembers of those before it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from nas.export.blocks import Block
from searchspaces.architecture import Architecture, Layer

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["StepMixing"]

EXAMPLE_BATCH = 2
STATE, NEXT = "state_", "next_"


@dataclass(frozen=True)
class StepMixing(Block):
    """x, a layer's projections and its state after `context` tokens → y and the next state.

    The context is fixed: it decides the state's shapes, the rotary turn, and what a mixer drops.
    """

    mixer: str
    heads: int
    context: int

    @property
    def layer(self) -> Layer:
        """A layer with this token mixer; the genes of its channel mixer do not count."""
        return Layer(self.mixer, self.heads)

    @cached_property
    def states(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state by name, of `EXAMPLE_BATCH` sequences."""
        from searchspaces.submodel import state_shapes

        (shapes,) = state_shapes(Architecture(1, self.width, (self.layer,)), EXAMPLE_BATCH, self.context)
        return shapes

    @property
    def outputs(self) -> tuple[str, ...]:
        """y, then the next state."""
        return ("y", *(NEXT + name for name in self.states))

    def axes(self, name: str) -> dict[int, str]:
        """See `Block.axes`."""
        return {0: "batch"} if name.startswith((STATE, NEXT)) else super().axes(name)

    def example(self) -> dict[str, Tensor]:
        """x (B, 1, D), the layer's weights and its state."""
        import torch

        from searchspaces.blocks import MIXING_WEIGHTS
        from searchspaces.submodel import layer_shapes

        shapes = layer_shapes(self.layer, self.width)
        weights = {name: torch.zeros(shapes[name]) for name in MIXING_WEIGHTS}
        states = {STATE + name: torch.zeros(shape) for name, shape in self.states.items()}
        return {"x": torch.zeros(EXAMPLE_BATCH, 1, self.width), **weights, **states}

    def compute(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """y (B, 1, D) and the next state."""
        import torch

        from searchspaces.blocks import rotary, step_tokens

        token = inputs["x"][:, 0]
        turns = rotary(torch.tensor([self.context]), self.width // self.heads)
        state = {name: inputs[STATE + name] for name in self.states}
        mixed, following = step_tokens(token, self.layer, inputs, turns, state)
        return (token + mixed).unsqueeze(1), *(following[name] for name in self.states)
