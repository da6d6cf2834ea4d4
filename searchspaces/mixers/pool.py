"""Average pooling as a token mixer (PoolFormer; Yu et al., 2022): no weights at all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from searchspaces.mixers.depthwise import Kernelled
from searchspaces.mixers.mixer import Kind, Mixer, Weights, register_mixer
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sight, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns


@register_mixer("pool")
@dataclass(frozen=True)
class Pool(Kernelled, Mixer):
    """The mean of the tokens around a token, it among them, minus the token itself, which the residual adds.
    At an edge it is of those that there are.

    Args:
        size: places along every axis of the grid.
    """

    size: int = 3

    glyph = "○"
    example = "pool"
    kind = Kind.FIXED
    kernel = "1/n"
    sparsity = "a window"
    source = "PoolFormer: Yu et al., 2022"
    family = ""
    sights = frozenset({Sight.BIDIRECTIONAL})

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
        """See `Mixer.forward`."""
        if present is None:
            return self._mean(x, sizes.view.grid) - x
        there = present.to(x.dtype).unsqueeze(2)
        # Both means are over the same places, of which so many are absent.
        around, share = (self._mean(y, sizes.view.grid) for y in (x * there, there))
        return around / share.clamp(min=1 / (2 * self.size)) - x

    def _mean(self, x: Tensor, grid: tuple[int, ...]) -> Tensor:
        from torch.nn.functional import avg_pool1d, avg_pool2d

        image = x.transpose(1, 2).reshape(-1, int(x.shape[2]), *grid)
        pool = avg_pool1d if len(grid) == 1 else avg_pool2d
        mean = pool(image, self.size, 1, self.size // 2, count_include_pad=False)
        return mean.flatten(2).transpose(1, 2)

    def reference(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """Token by token."""
        import torch

        places = torch.tensor(list(product(*map(range, sizes.view.grid))))
        far = (places.unsqueeze(1) - places).abs().amax(-1)
        return torch.stack([x[:, row <= self.size // 2].mean(1) for row in far], dim=1) - x

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """A sum a place, the layout changed there and back."""
        written = tokens * sizes.width
        places = self.size**sizes.view.dimensions
        return (
            Operation(OperationKind.GATHER, elements=2 * written, calls=2),
            Operation(OperationKind.ELEMENTWISE, elements=(places + 1) * written, calls=2),
        )
