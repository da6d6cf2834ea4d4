"""The elastic supernet: all weights at their largest, and every architecture a view into them."""

from __future__ import annotations

from torch import Tensor, nn

from searchspaces.architecture import Architecture, Layer
from searchspaces.blocks import Weights, forward
from searchspaces.space import SearchSpace
from searchspaces.submodel import Submodel, initial, layer_shapes

__all__ = ["Supernet"]


class Supernet(nn.Module):
    """One set of weights for a whole space.

    Layers share their query, key, value and output projections among all mixers and head counts. Width,
    feed-forward width (MatFormer; Devvrit et al., 2023) and depth are nested by prefix: a smaller model
    uses the first rows, columns and layers of a larger one. Fresh weights are as `Submodel`'s.

    Which architecture runs is an argument and never a state, so calls may interleave.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        spec = space.spec
        width = max(spec.width)
        shapes: dict[str, tuple[int, ...]] = {}
        for channel in spec.layer.channel:
            for mixer in spec.layer.mixer:
                for name, shape in layer_shapes(
                    Layer(mixer, 1, channel, max(spec.layer.ratio)), width
                ).items():
                    shapes[name] = tuple(map(max, shape, shapes.get(name, shape)))
        depth = space.max_depth
        self.embedding = initial("embedding", (spec.vocabulary, width), depth)
        self.norm = initial("norm", (width,), depth)
        self.layers = nn.ModuleList(
            nn.ParameterDict({name: initial(name, shape, depth) for name, shape in shapes.items()})
            for _ in range(depth)
        )

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
            layers.append({name: _prefix(own[name], shape) for name, shape in shapes.items()})
        return Weights(self.embedding[:, :width], self.norm[:width], layers)

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


def _prefix(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The first entries along every axis, as a view."""
    return weight[tuple(slice(size) for size in shape)]
