"""What stands in the place of a pretrained model's part writes to the stream by a projection of its own: the
one by which it comes nearest to what the part wrote, in closed form.

For inputs x of that projection and what is wanted of it, y, over all calibration tokens,

    W = argmin Σ ‖W x − y‖² + λ ‖W − W₀‖²,

where W₀ is the part's own: where few tokens tell little, it stays as it was. So narrower feed-forwards make
up for the units that they lost, and windows for tokens that they do not see, as far as what is left tells of
these. It needs sums over tokens alone, Σ x xᵀ and Σ y xᵀ. For units that are pruned this is the Optimal Brain
Surgeon's update (Hassibi & Stork, 1993; over groups: Kurtic et al., "ZipLM", 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.pretrained.streams import Passage
from searchspaces.architecture import Layer
from searchspaces.blocks import mix_tokens
from searchspaces.part import Initial
from searchspaces.rotary import Turns
from searchspaces.submodel import mixing_shapes

__all__ = [
    "Moments",
    "before_projection",
    "fitted",
    "fitted_mixer",
    "narrowed",
    "order_of_removal",
    "projection_of",
]

RIDGE = 0.1
"""λ, over the mean of Σ x² and over inputs a token: what few tokens tell of many inputs is chance."""

ROUNDS = 96
"""In so many steps all units are removed."""


@dataclass(frozen=True, slots=True)
class Moments:
    """What a projection's inputs x are on calibration tokens.

    Attributes:
        sums: (K, K), Σ x xᵀ.
        tokens: over how many.
    """

    sums: Tensor
    tokens: int

    @classmethod
    def of(cls, x: Tensor) -> Moments:
        """Of (…, K)."""
        rows = x.flatten(0, -2)
        return cls(rows.T @ rows, len(rows))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.sums + other.sums, self.tokens + other.tokens)

    def ordered(self, inputs: Tensor) -> Moments:
        """Of these inputs, by their numbers."""
        return Moments(self.sums[inputs][:, inputs], self.tokens)

    def with_ridge(self) -> Tensor:
        """Σ x xᵀ + λ, in double precision."""
        sums = self.sums.double()
        mean = sums.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
        return sums + RIDGE * len(sums) / self.tokens * mean * torch.eye(len(sums), dtype=sums.dtype)


def fitted(weight: Tensor, inputs: Moments, wanted: Tensor) -> Tensor:
    """A projection (D, K) fitted.

    Args:
        weight: (D, K), which it stays near to.
        wanted: (D, K), Σ y xᵀ.
    """
    before = weight.double()
    missing = wanted.double() - before @ inputs.sums.double()
    return (before + torch.linalg.solve(inputs.with_ridge(), missing.T).T).to(weight.dtype)


def narrowed(down: Tensor, units: Moments, kept: int) -> Tensor:
    """(D, kept), the projection of a feed-forward's first units, fitted to what all wrote.

    Args:
        down: (D, F), of all.
        units: their activations.
    """
    return fitted(
        down[:, :kept], units.ordered(torch.arange(kept)), down.double() @ units.sums[:, :kept].double()
    )


def order_of_removal(down: Tensor, units: Moments) -> Tensor:
    """(F,) feed-forward units, those last that are missed least once the others make up for them: a share of
    them is removed at a time, and the others are fitted again before the next.

    Args:
        down, units: as of `narrowed`.
    """
    weight, inverse = down.double(), torch.linalg.inv(units.with_ridge())
    left, removed = torch.arange(len(inverse)), list[Tensor]()
    share = max(1, len(inverse) // ROUNDS)
    while len(left) > share:
        rising = _missed(weight, inverse).argsort(stable=True)
        out, kept = rising[:share], rising[share:].sort().values
        makes_up = torch.linalg.solve(inverse[out][:, out], inverse[out][:, kept])
        weight = weight[:, kept] - weight[:, out] @ makes_up
        inverse = inverse[kept][:, kept] - inverse[kept][:, out] @ makes_up
        removed.append(left[out.flip(0)])
        left = left[kept]
    falling = _missed(weight, inverse).argsort(descending=True, stable=True)
    return torch.cat([left[falling], *reversed(removed)])


def _missed(weight: Tensor, inverse: Tensor) -> Tensor:
    """Of each input the least error without it, squared and summed."""
    return weight.square().sum(0) / inverse.diagonal()


def fitted_mixer(rows: Sequence[Passage], layer: Layer, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a token mixer in the place of a layer's own the projection back to the stream, fitted, by its name;
    nothing where it has none.

    Args:
        rows: passages of the layer that it replaces, of all calibration tokens.
        layer: with the mixer in it.
        weights: of that.
    """
    name = projection_of(layer, rows[0].before.shape[-1])
    if name is None:
        return {}
    weight, bias = weights[name], weights.get(f"{name}_bias")
    inputs, wanted = Moments(torch.zeros(()), 0), torch.zeros_like(weight)
    for row in rows:
        x = before_projection(row.before, layer, weights, row.turns)
        y = row.between - row.before if bias is None else row.between - row.before - bias
        inputs, wanted = inputs + Moments.of(x), wanted + y.flatten(0, 1).T @ x.flatten(0, 1)
    return {name: fitted(weight, inputs, wanted)}


def before_projection(x: Tensor, layer: Layer, weights: Mapping[str, Tensor], turns: Turns | None) -> Tensor:
    """(B, N, D) → (B, N, K), what a layer's token mixer projects back to the stream."""
    name = projection_of(layer, x.shape[-1])
    assert name is not None
    # With an identity in place of the projection, a mixer answers with what it projects.
    beside = {key: value for key, value in weights.items() if key != f"{name}_bias"}
    return mix_tokens(x, layer, {**beside, name: torch.eye(weights[name].shape[1])}, turns)


def projection_of(layer: Layer, width: int) -> str | None:
    """Name of a token mixer's projection back to the stream, its last step; None where it has none."""
    shapes = mixing_shapes(layer, width).items()
    return next((name for name, weight in shapes if weight.initial is Initial.RESIDUAL), None)
