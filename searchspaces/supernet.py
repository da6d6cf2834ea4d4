"""The elastic supernet: all weights at their largest, and every architecture a view into them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from torch import Tensor, nn

from searchspaces.architecture import Architecture, Layer
from searchspaces.blocks import Weights, forward
from searchspaces.part import Weight
from searchspaces.space import SearchSpace
from searchspaces.submodel import Submodel, fresh, layer_shapes, matrix_names, stem_shapes

__all__ = ["Supernet"]


class Supernet(nn.Module):
    """One set of weights for a whole space.

    Mixers of a family share a layer's query and key projections, all mixers its value and output
    projections, whatever the number of heads. Width, feed-forward width (MatFormer; Devvrit et al., 2023),
    taps and depth are nested by prefix: a smaller model uses the first rows, columns and layers of a larger
    one. Fresh weights are as `Submodel`'s.

    Which architecture runs is an argument and never a state, so calls may interleave.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self._shapes = _largest_shapes(space)
        depth = space.max_depth
        stem = stem_shapes(space.spec.vocabulary, max(space.spec.width), space.spec.tied)
        self.embedding, self.norm = (fresh(stem[name], depth) for name in ("embedding", "norm"))
        self.head = None if space.spec.tied else fresh(stem["head"], depth)
        self.layers = nn.ModuleList(
            nn.ParameterDict({name: fresh(weight, depth) for name, weight in self._shapes.items()})
            for _ in range(depth)
        )

    @property
    def matrices(self) -> frozenset[str]:
        """Names of the parameters that map vectors to vectors."""
        return matrix_names([self._shapes] * self.space.max_depth)

    def weights(self, architecture: Architecture) -> Weights:
        """The architecture's slices: views, so that gradients reach these and no others.

        Raises:
            SpaceError: the architecture is not one of the space's; every difference is named.
        """
        self.space.encode([architecture])
        width = architecture.width
        layers = []
        for layer, module in zip(architecture.layers, self.layers, strict=False):
            own = dict(module.named_parameters())
            shapes = layer_shapes(layer, width)
            layers.append({name: _prefix(own[name], weight.shape) for name, weight in shapes.items()})
        head = None if self.head is None else self.head[:, :width]
        return Weights(self.embedding[:, :width], self.norm[:width], layers, head)

    def forward(self, tokens: Tensor, architecture: Architecture) -> Tensor:
        """(B, N) token ids → (B, N, V) logits of one architecture; a pure call.

        Raises:
            SpaceError: as `weights`.
        """
        return forward(tokens, architecture, self.weights(architecture))

    def extract(self, architecture: Architecture) -> Submodel:
        """A standalone copy with the architecture's own weights only; its logits are the supernet's.

        Raises:
            SpaceError: as `weights`.
        """
        return Submodel(architecture, self.weights(architecture))


def _largest_shapes(space: SearchSpace) -> dict[str, Weight]:
    """Every weight that a layer of the space may have, as large as the largest of its options needs it."""
    spec, found = space.spec.layer, dict[str, Weight]()
    options = product(spec.mixer, spec.heads, spec.channel, [max(spec.ratio)], spec.conv, spec.kv_heads)
    for layer in {Layer(*option, projection=spec.projection) for option in options}:
        for name, weight in layer_shapes(layer, max(space.spec.width)).items():
            shape = tuple(map(max, weight.shape, found.get(name, weight).shape))
            found[name] = replace(weight, shape=shape)
    return dict(sorted(found.items()))


def _prefix(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The first entries along every axis, as a view."""
    return weight[tuple(slice(size) for size in shape)]
