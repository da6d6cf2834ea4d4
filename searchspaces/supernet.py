"""The elastic supernet: all weights at their largest, and every architecture a view into them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from torch import Tensor, nn

from searchspaces.architecture import Architecture, Layer
from searchspaces.blocks import Weights, forward
from searchspaces.part import Sizes, Weight
from searchspaces.space import SearchSpace
from searchspaces.submodel import Submodel, fresh, layer_shapes, matrix_names, outer_shapes

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
        self._outer, self._shapes = _largest_outer_shapes(space), _largest_shapes(space)
        depth = space.max_depth
        for name, weight in self._outer.items():
            self.register_parameter(name, fresh(weight, depth))
        self.layers = nn.ModuleList(
            nn.ParameterDict({name: fresh(weight, depth) for name, weight in self._shapes.items()})
            for _ in range(depth)
        )

    @property
    def matrices(self) -> frozenset[str]:
        """Names of the parameters that map vectors to vectors."""
        return matrix_names(self._outer, [self._shapes] * self.space.max_depth)

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
            shapes = layer_shapes(layer, width, architecture.view)
            layers.append({name: _prefix(own[name], weight.shape) for name, weight in shapes.items()})
        shapes = outer_shapes(architecture.stem, architecture.readout, architecture.sizes)
        whole = dict(self.named_parameters(recurse=False))
        outer = {name: _prefix(whole[name], weight.shape) for name, weight in shapes.items()}
        return Weights(outer, layers)

    def forward(self, inputs: Tensor, architecture: Architecture) -> Tensor:
        """What the space's form takes → what it asks for, (B, N) token ids → (B, N, V) logits, of one
        architecture; a pure call.

        Raises:
            SpaceError: as `weights`.
        """
        return forward(inputs, architecture, self.weights(architecture))

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
        for name, weight in layer_shapes(layer, max(space.spec.width), space.view).items():
            shape = tuple(map(max, weight.shape, found.get(name, weight).shape))
            found[name] = replace(weight, shape=shape)
    return dict(sorted(found.items()))


def _largest_outer_shapes(space: SearchSpace) -> dict[str, Weight]:
    """The same of stems and readouts, which no other option makes larger."""
    spec = space.spec
    sizes = Sizes(max(spec.width), view=space.view, form=space.form, tied=spec.tied)
    found: dict[str, Weight] = {}
    for stem, readout in product(spec.stem, spec.readout):
        found |= outer_shapes(stem, readout, sizes)
    return found


def _prefix(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The first entries along every axis, as a view."""
    return weight[tuple(slice(size) for size in shape)]
