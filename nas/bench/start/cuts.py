"""What a pretrained model would be cut to without a search: feed-forwards narrowed alike, layers dropped,
small weights pruned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from nas.pretrained.terms import terms
from searchspaces.architecture import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from nas.pretrained.fitting import Moments
    from searchspaces.submodel import Submodel

__all__ = ["Cut", "DroppedLayers", "NarrowedAlike", "PrunedByMagnitude", "WindowedAlike", "nearest_below"]

GRAIN = 16
"""Feed-forward widths are multiples of this, which processors multiply well."""

OVER = 1.01
"""Times a limit that still counts as within it: measurements repeat within a percent."""

TRIES = 3
"""Strengths between the two ends that are measured to meet a latency."""


class Cut(ABC):
    """A family of smaller models, by how strongly the parent is cut.

    Args:
        parent: nested (`nas.pretrained.nesting.nest`).

    Attributes:
        name: for tables.
        most: the strongest cut; 0 cuts nothing that the family's members share.
    """

    name: ClassVar[str]

    def __init__(self, parent: Submodel) -> None:
        self.parent = parent

    @property
    @abstractmethod
    def most(self) -> int:
        """See the class."""

    @abstractmethod
    def architecture(self, strength: int) -> Architecture:
        """Of the model that is cut so strongly."""

    @abstractmethod
    def layers(self, strength: int) -> Sequence[Mapping[str, Tensor]]:
        """Weights of its layers."""

    def model(self, strength: int) -> Submodel:
        """With the parent's weights."""
        from searchspaces.blocks import Weights
        from searchspaces.submodel import Submodel

        weights = Weights(self.parent.weights.outer, self.layers(strength))
        return Submodel(self.architecture(strength), weights)


class _Narrowed(Cut):
    """The same share of feed-forward units in every layer."""

    @property
    def most(self) -> int:
        """All units."""
        return self._hidden // GRAIN

    @property
    def _hidden(self) -> int:
        return round(self._whole.layers[0].ratio * self._whole.width)

    @property
    def _whole(self) -> Architecture:
        return self.parent.architecture

    def architecture(self, strength: int) -> Architecture:
        """See `Cut.architecture`."""
        ratio = self._kept(strength) / self._whole.width
        layers = (replace(layer, ratio=ratio) for layer in self._whole.layers)
        return replace(self._whole, layers=tuple(layers))

    def layers(self, strength: int) -> Sequence[Mapping[str, Tensor]]:
        """Without what no unit is left of."""
        kept = self._kept(strength)
        numbered = enumerate(self.parent.weights.layers)
        if kept:
            return [{**weights, **self._narrowed(number, weights, kept)} for number, weights in numbered]
        return [
            {name: w for name, w in weights.items() if not name.startswith(("swiglu_", "channel_"))}
            for _, weights in numbered
        ]

    def _kept(self, strength: int) -> int:
        return max(0, self._hidden - GRAIN * strength)

    @abstractmethod
    def _narrowed(self, number: int, weights: Mapping[str, Tensor], kept: int) -> Mapping[str, Tensor]:
        """The feed-forward's weights of so many units in a layer."""


class NarrowedAlike(_Narrowed):
    """The units that the parent is nested by, what is left of them fitted: members of the space that is
    searched, but that its shares are coarser.

    Args:
        units: activations of the parent's, by layer.
    """

    name = "feed-forwards alike"

    def __init__(self, parent: Submodel, units: Sequence[Moments]) -> None:
        super().__init__(parent)
        self._units = units

    def _narrowed(self, number: int, weights: Mapping[str, Tensor], kept: int) -> Mapping[str, Tensor]:
        from nas.pretrained.fitting import narrowed

        first = {name: weights[name][:kept] for name in ("swiglu_gate", "swiglu_up")}
        return {**first, "swiglu_down": narrowed(weights["swiglu_down"], self._units[number], kept)}


class WindowedAlike(NarrowedAlike):
    """A window in every layer, and feed-forwards alike, both fitted.

    Args:
        mixer: option of the token mixer.
        tokens: (B, N), by which windows are fitted.
    """

    name = "windows and feed-forwards alike"

    def __init__(self, parent: Submodel, units: Sequence[Moments], mixer: str, tokens: Tensor) -> None:
        import torch

        from nas.pretrained.fitting import fitted_mixer
        from nas.pretrained.streams import passages_of_rows

        super().__init__(parent, units)
        self._mixer = mixer
        with torch.inference_mode():
            self._fitted = [
                fitted_mixer(rows, replace(rows[0].layer, mixer=mixer), rows[0].weights)
                for rows in passages_of_rows(tokens, parent.architecture, parent.weights)
            ]

    def architecture(self, strength: int) -> Architecture:
        """See `Cut.architecture`."""
        narrowed = super().architecture(strength)
        return replace(narrowed, layers=tuple(replace(layer, mixer=self._mixer) for layer in narrowed.layers))

    def layers(self, strength: int) -> Sequence[Mapping[str, Tensor]]:
        """See `Cut.layers`."""
        pairs = zip(super().layers(strength), self._fitted, strict=True)
        return [{**weights, **projection} for weights, projection in pairs]


class PrunedByMagnitude(_Narrowed):
    """The units of the largest weights: the norm of a unit's row and column in all three of the model's own
    matrices, which stay as they are (LLM-Pruner; Ma et al., 2023).

    Args:
        epsilon: of the model's own norms, by which its weights were scaled (`nas.pretrained.terms`).
    """

    name = "pruned by magnitude (LLM-Pruner)"

    def __init__(self, parent: Submodel, epsilon: float) -> None:
        super().__init__(parent)
        self._factors = {term.own: term.factor for term in terms(parent.architecture, epsilon)}

    def _narrowed(self, number: int, weights: Mapping[str, Tensor], kept: int) -> Mapping[str, Tensor]:
        def squares(name: str, across: int) -> Tensor:
            return (weights[name] / self._factors[f"layers.{number}.{name}"]).square().sum(across)

        score = squares("swiglu_gate", 1) + squares("swiglu_up", 1) + squares("swiglu_down", 0)
        first = score.argsort(descending=True, stable=True)[:kept]
        rows = {name: weights[name][first] for name in ("swiglu_gate", "swiglu_up")}
        return {**rows, "swiglu_down": weights["swiglu_down"][:, first]}


class DroppedLayers(Cut):
    """Whole layers left out, those first that turn the stream least (ShortGPT; Men et al., 2024).

    Args:
        tokens: (B, N), on which that is seen.
    """

    name = "layers dropped (ShortGPT)"

    def __init__(self, parent: Submodel, tokens: Tensor) -> None:
        super().__init__(parent)
        self._least_first = sorted(
            range(parent.architecture.depth), key=_block_influence(parent, tokens).__getitem__
        )

    @property
    def most(self) -> int:
        """All but one."""
        return self.parent.architecture.depth - 1

    def architecture(self, strength: int) -> Architecture:
        """See `Cut.architecture`."""
        whole = self.parent.architecture
        return replace(whole, layers=tuple(whole.layers[number] for number in self._kept(strength)))

    def layers(self, strength: int) -> Sequence[Mapping[str, Tensor]]:
        """Of those that are left."""
        return [self.parent.weights.layers[number] for number in self._kept(strength)]

    def _kept(self, strength: int) -> list[int]:
        return sorted(self._least_first[strength:])


def _block_influence(parent: Submodel, tokens: Tensor) -> list[float]:
    """Of each layer 1 − the mean cosine of the stream before and behind it."""
    import torch
    from torch.nn.functional import cosine_similarity

    from nas.pretrained.streams import passages
    from searchspaces.blocks import forward_layer

    turned = [0.0] * parent.architecture.depth
    with torch.inference_mode():
        for row in tokens.split(1):
            for number, passage in enumerate(passages(row, parent.architecture, parent.weights)):
                behind = forward_layer(passage.before, passage.layer, passage.weights, passage.turns)
                turned[number] += 1 - cosine_similarity(passage.before, behind, dim=-1).mean().item()
    return turned


def nearest_below(cut: Cut, limit_ms: float, latency_ms: Callable[[Architecture], float]) -> int | None:
    """The strength of the slowest member within a latency, of those that are looked at: both ends, and a few
    between them by interpolation. None where even the strongest cut is slower."""
    weak, strong = 0, cut.most
    known = {at: latency_ms(cut.architecture(at)) for at in (weak, strong)}
    within = limit_ms * OVER
    if known[strong] > within:
        return None
    if known[weak] <= within:
        return weak
    for _ in range(TRIES):
        share = (known[weak] - limit_ms) / (known[weak] - known[strong])
        between = min(max(round(weak + share * (strong - weak)), weak + 1), strong)
        if between in known:
            break
        known[between] = latency_ms(cut.architecture(between))
        if known[between] > within:
            weak = between
        else:
            strong = between
    return strong
