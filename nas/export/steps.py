"""Token mixers in decoding: one token, and what the layer remembers of those before it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

from nas.export.blocks import TokenMixer
from searchspaces.architecture import Architecture, Layer
from workers.runtimes.onnx_states import NEXT, STATE

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["StepMixing"]

EXAMPLE_BATCH = 2
CONTEXT, FOLLOWING = "context", "following"
"""Names of sizes that grow: tokens before the one that is decoded, and with it."""


@dataclass(frozen=True)
class StepMixing(TokenMixer):
    """x, a token mixer's weights and its state after `context` tokens → y and the next state.

    The context is fixed: it decides the state's shapes, the rotary turn, and what a mixer drops. Only a size
    that is the context itself, since a mixer keeps every token, is any that the file is called with.
    """

    context: int

    @classmethod
    def after(cls, layer: Layer, width: int, context: int) -> Self:
        """That of a layer of a model of width D."""
        genes = layer.mixer, layer.heads, layer.conv, layer.kv_heads, layer.projection
        return cls(width, *genes, context)

    @cached_property
    def states(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state by name, of `EXAMPLE_BATCH` sequences."""
        return self._shapes(self.context)

    @cached_property
    def growing(self) -> dict[str, list[int]]:
        """Axes of each state that are as long as the context."""
        following = self._shapes(self.context + 1)
        return {
            name: [
                axis
                for axis, (before, after) in enumerate(zip(shape, following[name], strict=True))
                if (before, after) == (self.context, self.context + 1)
            ]
            for name, shape in self.states.items()
        }

    def _shapes(self, context: int) -> dict[str, tuple[int, ...]]:
        from searchspaces.submodel import state_shapes

        (shapes,) = state_shapes(Architecture(1, self.width, (self.layer,)), EXAMPLE_BATCH, context)
        return shapes

    @property
    def outputs(self) -> tuple[str, ...]:
        """y, then the next state."""
        return ("y", *(NEXT + name for name in self.states))

    def axes(self, name: str) -> dict[int, str]:
        """See `Block.axes`."""
        for prefix, size in ((STATE, CONTEXT), (NEXT, FOLLOWING)):
            if name.startswith(prefix):
                return {0: "batch"} | dict.fromkeys(self.growing[name.removeprefix(prefix)], size)
        return super().axes(name)

    def example(self) -> dict[str, Tensor]:
        """x (B, 1, D), the layer's weights and its state."""
        import torch

        states = {STATE + name: torch.zeros(shape) for name, shape in self.states.items()}
        return {"x": torch.zeros(EXAMPLE_BATCH, 1, self.width), **self.weights(), **states}

    def compute(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """y (B, 1, D) and the next state."""
        import torch

        from searchspaces.blocks import positioned, step_tokens
        from searchspaces.rotary import rotary

        token, here = inputs["x"][:, 0], torch.tensor([self.context])
        turns = rotary(here, self.head_size, self.projection) if positioned(self.layer) else None
        state = {name: inputs[STATE + name] for name in self.states}
        mixed, following = step_tokens(token, self.layer, inputs, turns, state)
        return (token + mixed).unsqueeze(1), *(following[name] for name in self.states)
