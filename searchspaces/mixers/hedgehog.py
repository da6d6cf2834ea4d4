"""Linear attention with learned features (Hedgehog; Zhang et al., 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from searchspaces.mixers.linear import Linear
from searchspaces.mixers.mixer import Kind, register_mixer
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor


EPSILON = 1e-6
"""Added to every feature: two tokens whose peaks lie apart would else have a weight of 0."""


@register_mixer("hedgehog")
@dataclass(frozen=True)
class Hedgehog(Linear):
    """Weights are φ(q)·φ(k) with φ(x) = [softmax(y), softmax(−y)], y = x + W x, W learned for each head, for
    queries and for keys: 2 K features, all above 0 and as peaked as softmax's weights can be."""

    glyph = "H"
    example = "hedgehog"
    kind = Kind.KERNEL
    kernel = "φ(q)·φ(k), φ learned, normalised"
    sparsity = "all tokens"
    source = "Zhang et al., 2024"

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """W of queries (H, K, K) and of keys (G, K, K), zeros at first."""
        size, axes = sizes.head_size, ("", "width", "width")
        heads = zip(self.maps(sizes), (sizes.heads, sizes.groups), strict=True)
        return {name: Weight((count, size, size), axes, Initial.ZEROS) for name, count in heads}

    def maps(self, sizes: Sizes) -> tuple[str, str]:
        """Names of W of queries and of keys among `own_shapes`; of one number of heads only."""
        return f"query{sizes.heads}", f"key{sizes.groups}"

    def prepared(
        self, q: Tensor, k: Tensor, weights: Mapping[str, Tensor], sizes: Sizes
    ) -> tuple[Tensor, Tensor]:
        """y of queries and keys."""
        of_query, of_key = (weights[self.own_name(name)] for name in self.maps(sizes))
        return q + q @ of_query, k + k @ of_key

    def base(self, x: Tensor) -> Tensor:
        """The features."""
        import torch

        return torch.cat([x.softmax(-1), (-x).softmax(-1)], dim=-1) + EPSILON

    def base_size(self, head_size: int) -> int:
        """2 K."""
        return 2 * head_size

    def feature_size(self, head_size: int) -> int:
        """2 K."""
        return 2 * head_size

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """The maps, and as without them."""
        return _maps(sizes, tokens), *super().mix_operations(sizes, tokens)

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """The same, where tokens all see each other."""
        return _maps(sizes, tokens), *super().mix_bidirectional_operations(sizes, tokens)

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """The same for one token."""
        return _maps(sizes, 1), *super().mix_step_operations(sizes, context)


def _maps(sizes: Sizes, tokens: int) -> Operation:
    mapped = tokens * (sizes.inner + sizes.shared)
    return Operation(OperationKind.MATMUL, macs=mapped * sizes.head_size, elements=2 * mapped, calls=4)
