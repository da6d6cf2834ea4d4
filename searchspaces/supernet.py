"""The elastic supernet: all weights at their largest, and every architecture a view into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

from torch import Tensor, nn

from searchspaces.architecture import Architecture, Layer
from searchspaces.blocks import Weights, channel_prefix, forward
from searchspaces.mixers import obeyed_genes
from searchspaces.part import Initial, Sizes, Weight
from searchspaces.space import SearchSpace
from searchspaces.submodel import Submodel, fresh, layer_shapes, matrix_names, outer_shapes

__all__ = ["OF", "Supernet"]

OF = " of "
"""Between the name of a projection and what it is fitted to, in those that are (`Supernet`)."""


class Supernet(nn.Module):
    """One set of weights for a whole space.

    Mixers of a family share a layer's query and key projections, all mixers its value and output
    projections, whatever the number of heads. Width, feed-forward width (MatFormer; Devvrit et al., 2023),
    taps and depth are nested by prefix: a smaller model uses the first rows, columns and layers of a larger
    one. Fresh weights are as `Submodel`'s.

    Which architecture runs is an argument and never a state, so calls may interleave.

    Args:
        fitted: whatever stands in the place of a part of the space's first member has a projection back to
            the stream (`Initial.RESIDUAL`) of its own, in place of the one that all share: what replaces a
            pretrained model's parts is fitted by it (`nas.pretrained.fitting`).
    """

    def __init__(self, space: SearchSpace, fitted: bool = False) -> None:
        super().__init__()
        self.space, self._fitted, self._replaced = space, fitted, space.first.layers[0]
        self._outer, self._shapes = _largest_outer_shapes(space), self._largest_shapes()
        depth = space.max_depth
        for name, weight in self._outer.items():
            self.register_parameter(name, fresh(weight, depth))
        self.layers = nn.ModuleList(
            nn.ParameterDict({name: fresh(weight, depth) for name, weight in self._shapes.items()})
            for _ in range(depth)
        )

    @classmethod
    def holding(cls, space: SearchSpace, weights: Mapping[str, Tensor]) -> Supernet:
        """One that such weights can be loaded into: their names tell whether it is fitted."""
        return cls(space, fitted=any(OF in name for name in weights))

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
            layers.append(
                {name: _prefix(own[self._place(name, w, layer)], w.shape) for name, w in shapes.items()}
            )
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

    def _largest_shapes(self) -> dict[str, Weight]:
        """Every weight that a layer of the space may have, as large as its largest option needs it."""
        spec, found = self.space.spec.layer, dict[str, Weight]()
        ratios = spec.ratio if self._fitted else [max(spec.ratio)]
        options = product(spec.mixer, spec.heads, spec.channel, ratios, spec.conv, spec.kv_heads)
        for layer in {Layer(*option, projection=spec.projection) for option in options}:
            for name, weight in layer_shapes(layer, max(self.space.spec.width), self.space.view).items():
                place = self._place(name, weight, layer)
                shape = tuple(map(max, weight.shape, found.get(place, weight).shape))
                found[place] = replace(weight, shape=shape)
        return dict(sorted(found.items()))

    def _place(self, name: str, weight: Weight, layer: Layer) -> str:
        """What a layer's weight is called among all of the space's."""
        if not self._fitted or weight.initial is not Initial.RESIDUAL:
            return name
        part = _channel if name.startswith(channel_prefix(layer.channel)) else _mixer
        told = part(layer)
        return name if told == part(self._replaced) else f"{name}{OF}{told.replace('.', '_')}"


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


def _channel(layer: Layer) -> str:
    return f"{layer.channel} {layer.ratio}"


def _mixer(layer: Layer) -> str:
    """With the genes that it obeys."""
    said = {"heads": layer.heads, "conv": layer.conv, "kv_heads": layer.kv_heads or layer.heads}
    return " ".join([layer.mixer, *(str(said[gene]) for gene in said if gene in obeyed_genes(layer.mixer))])
