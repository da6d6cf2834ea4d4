"""From tokens to heads and back: what all mixers of projected heads share, whichever tokens see which."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from searchspaces.mixers.convolution import convolution_operations, convolve, taps_of
from searchspaces.mixers.mixer import GENES, Mixer, Weights
from searchspaces.mixers.padding import of_tokens
from searchspaces.norms import rms_norm
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns

__all__ = ["ATTENTION", "DELTA", "LINEAR", "ProjectedHeads", "for_every_head"]

ATTENTION, LINEAR, DELTA = "attention", "linear", "delta"
"""Families: softmax over some span; a kernel of positive features; fast weights by the delta rule. What makes
good queries and keys for one makes poor ones for another."""


class ProjectedHeads(Mixer):
    """Projects to heads, mixes them, and projects back.

    Its weights are the layer's ``query`` (H·K, D) and ``key`` (G·K, D), or the family's own of these
    names, and ``value`` (G·K, D) and ``out`` (D, H·K), which all mixers of a layer share; with short
    convolutions their taps ``query_conv`` and so on, and ``query_bias`` or ``query_norm`` where a pretrained
    model has them. `own_shapes` adds to them.

    What mixes them in a view is said by a `HeadMixer`, a `BidirectionalHeadMixer`, or a mixer that is both, a
    `TwoSightedHeadMixer`.
    """

    family: ClassVar[str] = ATTENTION
    genes: ClassVar[frozenset[str]] = frozenset(GENES)
    positioned: ClassVar[bool] = True

    @abstractmethod
    def mixing(self, weights: Weights, sizes: Sizes) -> Callable[..., Tensor]:
        """What mixes q, k and v (B, H, N, K), and the signals by name, in the sizes' view."""

    @abstractmethod
    def mixing_reference(self, weights: Weights, sizes: Sizes) -> Callable[..., Tensor]:
        """The same by the plain formula."""

    @abstractmethod
    def mixing_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Counted operations of `mixing` on one sequence, its signals included."""

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """Weights beside the projections; the layer has them under `own_name`."""
        return {}

    def own_name(self, name: str) -> str:
        """What the layer calls one of `own_shapes`."""
        return f"{self.name}_{name}"

    def prepared(self, q: Tensor, k: Tensor, weights: Weights, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Queries (B, H, N, K) and keys (B, G, N, K) as `mix` takes them, each token by itself: of another
        size than K where it says more of each."""
        return q, k

    def signals(self, x: Tensor, weights: Weights, sizes: Sizes) -> dict[str, Tensor]:
        """What `mix` takes besides, from the normed tokens (B, N, D): numbers (B, G, N) by name."""
        return {}

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """See the class."""
        width = sizes.width
        rows = self._projected(sizes)
        shapes = {name: Weight((size, width), ("width", "width")) for name, size in rows.items()}
        shapes["out"] = Weight((width, sizes.inner), ("width", "width"), Initial.RESIDUAL)
        if sizes.conv:
            shapes |= {f"{name}_conv": taps_of(size, sizes.conv) for name, size in rows.items()}
        if sizes.bias:
            shapes |= {f"{name}_bias": _vector(size, Initial.ZEROS) for name, size in rows.items()}
        if sizes.out_bias:
            shapes["out_bias"] = _vector(width, Initial.ZEROS)
        if sizes.norms:
            shapes |= {f"{name}_norm": _vector(sizes.head_size, Initial.ONES) for name in list(rows)[:-1]}
        return shapes | {self.own_name(name): weight for name, weight in self.own_shapes(sizes).items()}

    def _projected(self, sizes: Sizes) -> dict[str, int]:
        """Rows of the projections of queries, keys and values, in that order."""
        prefix = "" if self.family == ATTENTION else f"{self.family}_"
        return {f"{prefix}query": sizes.inner, f"{prefix}key": sizes.shared, "value": sizes.shared}

    def forward(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        present: Tensor | None = None,
    ) -> Tensor:
        """See `Mixer.forward`."""
        return self._run(self.mixing(weights, sizes), x, weights, sizes, turns, present)

    def reference(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """See `Mixer.reference`."""
        return self._run(self.mixing_reference(weights, sizes), x, weights, sizes, turns)

    def _run(
        self,
        mix: Callable[..., Tensor],
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        present: Tensor | None = None,
    ) -> Tensor:
        projected = self._project(x, weights, sizes)
        if sizes.conv:
            projected = {name: convolve(y, weights[f"{name}_conv"]) for name, y in projected.items()}
        q, k, v = self._heads(projected, weights, sizes, turns)
        signals = self.signals(x, weights, sizes)
        if sizes.groups != sizes.heads:
            k, v, *rest = (for_every_head(y, sizes) for y in (k, v, *signals.values()))
            signals = dict(zip(signals, rest, strict=True))
        if present is not None:
            there = of_tokens(present, x)
            k, v, signals = k * there, v * there, {**signals, "present": present}
        return self.after_mixing(mix(q, k, v, **signals), weights, sizes)

    def after_mixing(self, mixed: Tensor, weights: Weights, sizes: Sizes) -> Tensor:
        """The third part: mixed heads (B, H, S, K) → (B, S, D)."""
        from torch.nn.functional import linear

        batch, tokens = mixed.shape[0], mixed.shape[2]
        rows = mixed.transpose(1, 2).reshape(batch, tokens, sizes.inner)
        return linear(rows, weights["out"], weights.get("out_bias"))

    def _project(self, x: Tensor, weights: Weights, sizes: Sizes) -> dict[str, Tensor]:
        """(B, N, D) → (B, N, H·K), and twice (B, N, G·K), by the names of the projections."""
        from torch.nn.functional import linear

        # Three products: onnxruntime would copy all of one product's result to split it.
        return {
            name: linear(x, weights[name], weights[f"{name}_bias"] if sizes.bias else None)
            for name in self._projected(sizes)
        }

    def _heads(
        self, projected: dict[str, Tensor], weights: Weights, sizes: Sizes, turns: Turns | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """q (B, H, N, K), k and v (B, G, N, K) of what was projected."""
        from searchspaces.rotary import turn

        batch, tokens = next(iter(projected.values())).shape[:2]
        q, k, v = (
            y.reshape(batch, tokens, size // sizes.head_size, sizes.head_size).transpose(1, 2)
            for y, size in zip(projected.values(), self._projected(sizes).values(), strict=True)
        )
        if sizes.norms:
            of_query, of_key, _ = (f"{name}_norm" for name in projected)
            q, k = rms_norm(q, weights[of_query]), rms_norm(k, weights[of_key])
        if turns is not None:
            q, k = turn(q, turns), turn(k, turns)
        q, k = self.prepared(q, k, weights, sizes)
        return q, k, v

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """The projections, the turns and the mixing."""
        return *self._shared_operations(sizes, tokens), *self.mixing_operations(sizes, tokens)

    def _shared_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        rows = self._projected(sizes)
        projected = sum(rows.values())
        turned = projected - rows["value"]
        operations = [
            Operation(
                OperationKind.MATMUL,
                macs=tokens * sizes.width * (projected + sizes.inner),
                elements=tokens * (projected + sizes.width),
                calls=2,
            ),
            Operation(OperationKind.GATHER, elements=tokens * (projected + sizes.inner), calls=4),
        ]
        if self.positioned:
            operations.append(Operation(OperationKind.ELEMENTWISE, elements=3 * tokens * turned, calls=8))
        if sizes.norms:
            operations.append(Operation(OperationKind.ELEMENTWISE, elements=2 * tokens * turned, calls=8))
        if sizes.conv:
            operations += convolution_operations(projected, sizes.conv, tokens, calls=3)
        return tuple(operations)


def _vector(size: int, initial: Initial) -> Weight:
    return Weight((size,), ("width",), initial)


def for_every_head(x: Tensor, sizes: Sizes) -> Tensor:
    """(B, G, …) → (B, H, …), each group's repeated for its heads."""
    repeats = sizes.heads // sizes.groups
    rest = [-1] * (x.ndim - 2)
    return x.unsqueeze(2).expand(-1, -1, repeats, *rest).flatten(1, 2)
