"""Mixers of projected heads: what all of them share, so that one is written as arithmetic on q, k and v."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from searchspaces.mixers.convolution import convolution_operations, convolve, kept_for, taps_of
from searchspaces.mixers.mixer import GENES, Mixer, Shape, State, Weights
from searchspaces.norms import rms_norm
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns

__all__ = ["ATTENTION", "DELTA", "LINEAR", "HeadMixer"]

ATTENTION, LINEAR, DELTA = "attention", "linear", "delta"
"""Families: softmax over some span; a kernel of positive features; fast weights by the delta rule. What makes
good queries and keys for one makes poor ones for another."""


class HeadMixer(Mixer):
    """Projects to heads, mixes them, and projects back.

    Its weights are the layer's ``query`` (H·K, D) and ``key`` (G·K, D), or the family's own of these
    names, and ``value`` (G·K, D) and ``out`` (D, H·K), which all mixers of a layer share; with short
    convolutions their taps ``query_conv`` and so on, and ``query_bias`` or ``query_norm`` where a pretrained
    model has them. `own_shapes` adds to them.
    """

    family: ClassVar[str] = ATTENTION
    genes: ClassVar[frozenset[str]] = frozenset(GENES)
    positioned: ClassVar[bool] = True

    @abstractmethod
    def mix(self, q: Tensor, k: Tensor, v: Tensor, *args: Any, **signals: Any) -> Tensor:
        """Mix a whole sequence. q, k, v and the result: (B, H, N, K), position i sees only j ≤ i.

        Here and below a mixer with `signals` takes these too, by name, (B, H, N) each.
        """

    @abstractmethod
    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor, *args: Any, **signals: Any) -> Tensor:
        """The same by the plain formula."""

    @abstractmethod
    def mix_step(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *args: Any, **signals: Any
    ) -> tuple[Tensor, State]:
        """Mix one token. q and the result: (B, G, H/G, K); k and v: (B, G, K); signals: (B, G)."""

    @abstractmethod
    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """What `mix_step` carries after `tokens` tokens: exact shapes by name, B first."""

    @abstractmethod
    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Counted operations of `mix` on one sequence, its signals included."""

    @abstractmethod
    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """Counted operations of one `mix_step` after `context` tokens, its signals included."""

    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """Weights beside the projections; the layer has them under `own_name`."""
        return {}

    def own_name(self, name: str) -> str:
        """What the layer calls one of `own_shapes`."""
        return f"{self.name}_{name}"

    def prepared(self, q: Tensor, k: Tensor, weights: Weights, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Queries (B, H, N, K) and keys (B, G, N, K) as `mix` takes them, each token by itself."""
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
            shapes |= {f"{name}_norm": _vector(sizes.head_size, Initial.ONES) for name in list(rows)[:2]}
        return shapes | {self.own_name(name): weight for name, weight in self.own_shapes(sizes).items()}

    def _projected(self, sizes: Sizes) -> dict[str, int]:
        """Rows of the projections of queries, keys and values, in that order."""
        prefix = "" if self.family == ATTENTION else f"{self.family}_"
        return {f"{prefix}query": sizes.inner, f"{prefix}key": sizes.shared, "value": sizes.shared}

    def forward(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """See `Mixer.forward`."""
        return self._run(self.mix, x, weights, sizes, turns)

    def reference(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """See `Mixer.reference`."""
        return self._run(self.mix_reference, x, weights, sizes, turns)

    def _run(
        self,
        mix: Callable[..., Tensor],
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
    ) -> Tensor:
        from torch.nn.functional import linear

        projected = self._project(x, weights, sizes)
        if sizes.conv:
            projected = {name: convolve(y, weights[f"{name}_conv"]) for name, y in projected.items()}
        q, k, v = self._heads(projected, weights, sizes, turns)
        signals = self.signals(x, weights, sizes)
        if sizes.groups != sizes.heads:
            k, v, *rest = (_for_every_head(y, sizes) for y in (k, v, *signals.values()))
            signals = dict(zip(signals, rest, strict=True))
        mixed = mix(q, k, v, **signals).transpose(1, 2)
        return linear(mixed.reshape(*x.shape[:2], sizes.inner), weights["out"], weights.get("out_bias"))

    def step(
        self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None, state: State
    ) -> tuple[Tensor, State]:
        """See `Mixer.step`."""
        from torch.nn.functional import linear

        x, following = x.unsqueeze(1), {}
        projected = self._project(x, weights, sizes)
        if sizes.conv:
            following = {f"{name}_conv": kept_for(y, state[f"{name}_conv"]) for name, y in projected.items()}
            projected = {
                name: convolve(y, weights[f"{name}_conv"], state[f"{name}_conv"])
                for name, y in projected.items()
            }
        q, k, v = (y.squeeze(2) for y in self._heads(projected, weights, sizes, turns))
        q = q.reshape(q.shape[0], sizes.groups, -1, sizes.head_size)
        signals = {name: y.squeeze(2) for name, y in self.signals(x, weights, sizes).items()}
        mixed, kept = self.mix_step(q, k, v, state, **signals)
        mixed = linear(mixed.reshape(x.shape[0], sizes.inner), weights["out"], weights.get("out_bias"))
        return mixed, {**kept, **following}

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

    def state_shapes(self, batch: int, sizes: Sizes, tokens: int) -> dict[str, Shape]:
        """What the mixing carries, and the tokens that the convolutions reach back to."""
        shapes = self.mix_state_shapes(batch, sizes.groups, sizes.head_size, tokens)
        if sizes.conv:
            rows = self._projected(sizes)
            shapes |= {f"{name}_conv": (batch, sizes.conv - 1, size) for name, size in rows.items()}
        return shapes

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """The projections, the turns and the mixing."""
        return *self._shared_operations(sizes, tokens), *self.mix_operations(sizes, tokens)

    def step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """The same for one token."""
        return *self._shared_operations(sizes, 1), *self.mix_step_operations(sizes, context)

    def _shared_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        projected = sizes.inner + 2 * sizes.shared
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
            turned = sizes.inner + sizes.shared
            operations.append(Operation(OperationKind.ELEMENTWISE, elements=3 * tokens * turned, calls=8))
        if sizes.norms:
            normed = sizes.inner + sizes.shared
            operations.append(Operation(OperationKind.ELEMENTWISE, elements=2 * tokens * normed, calls=8))
        if sizes.conv:
            operations += convolution_operations(projected, sizes.conv, tokens, calls=3)
        return tuple(operations)


def _vector(size: int, initial: Initial) -> Weight:
    return Weight((size,), ("width",), initial)


def _for_every_head(x: Tensor, sizes: Sizes) -> Tensor:
    """(B, G, …) → (B, H, …), each group's repeated for its heads."""
    repeats = sizes.heads // sizes.groups
    rest = [-1] * (x.ndim - 2)
    return x.unsqueeze(2).expand(-1, -1, repeats, *rest).flatten(1, 2)
