"""The elastic supernet: all weights at their largest, and every architecture a view into them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.blocks import Weights, channel_prefix, forward
from searchspaces.channels import parse_channel
from searchspaces.space import SearchSpace
from searchspaces.submodel import Submodel, initial, layer_shapes

__all__ = ["Supernet"]


class Supernet(nn.Module):
    """One set of weights for a whole space.

    Layers share their query, key, value and output projections among all mixers and head counts. Width,
    feed-forward width (MatFormer; Devvrit et al., 2023) and depth are nested by prefix: a smaller model
    uses the first rows, columns and layers of a larger one.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        spec = space.spec
        width = max(spec.width)
        self.embedding = nn.Parameter(torch.randn(spec.vocabulary, width) * 0.02)
        self.norm = nn.Parameter(torch.ones(width))
        shapes: dict[str, tuple[int, ...]] = {}
        for channel in spec.layer.channel:
            for mixer in spec.layer.mixer:
                shapes |= layer_shapes(Layer(mixer, 1, channel, max(spec.layer.ratio)), width)
        self.layers = nn.ModuleList(
            nn.ParameterDict({name: initial(name, shape, space.max_depth) for name, shape in shapes.items()})
            for _ in range(space.max_depth)
        )

    def weights(self, architecture: Architecture) -> Weights:
        """The architecture's slices: views, so that gradients reach these and no others."""
        width = architecture.width
        layers = []
        for layer, own in zip(architecture.layers, self.layers, strict=False):
            hidden = round(layer.ratio * width)
            sliced: dict[str, Tensor] = {"channel_norm": own["channel_norm"][:width]}
            if layer.mixer != NO_MIXER:
                sliced["mixing_norm"] = own["mixing_norm"][:width]
                sliced["qkv"] = own["qkv"][:, :width, :width]
                sliced["out"] = own["out"][:width, :width]
            prefix = channel_prefix(layer.channel)
            for name, (shape, _) in parse_channel(layer.channel).shapes(width, hidden).items():
                sliced[prefix + name] = own[prefix + name][tuple(slice(size) for size in shape)]
            layers.append(sliced)
        return Weights(self.embedding[:, :width], self.norm[:width], layers)

    def forward(self, tokens: Tensor, architecture: Architecture) -> Tensor:
        """(B, N) token ids → (B, N, V) logits of one architecture; a pure call."""
        return forward(tokens, architecture, self.weights(architecture))

    def extract(self, architecture: Architecture) -> Submodel:
        """A standalone copy with the architecture's own weights only; its logits are the supernet's."""
        submodel = Submodel(architecture)
        weights = self.weights(architecture)
        with torch.no_grad():
            submodel.embedding.copy_(weights.embedding)
            submodel.norm.copy_(weights.norm)
            for target, source in zip(submodel.layers, weights.layers, strict=True):
                for name, weight in source.items():
                    target[name].copy_(weight)
        return submodel
