"""Mixers of projected heads: what all of them share, so that one is written as arithmetic on q, k and v."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from searchspaces.mixers.convolution import convolution_operations, convolve, kept_for, taps_of
from searchspaces.mixers.mixer import GENES, CausalMixer, Mixer, Position, Shape, State, Weights
from searchspaces.mixers.padding import of_tokens
from searchspaces.norms import rms_norm
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Sight, Sizes, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns

__all__ = [
    "ATTENTION",
    "DELTA",
    "LINEAR",
    "BidirectionalHeadMixer",
    "HeadMixer",
    "ProjectedHeads",
    "TwoSightedHeadMixer",
]

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
            shapes |= {f"{name}_norm": _vector(sizes.head_size, Initial.ONES) for name in list(rows)[:2]}
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
            k, v, *rest = (_for_every_head(y, sizes) for y in (k, v, *signals.values()))
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


class HeadMixer(ProjectedHeads, CausalMixer):
    """Mixes heads of tokens that see earlier ones alone: whole sequences by `mix`, and by `mix_step` and
    `mix_extend` from a state."""

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
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position, *args: Any, **signals: Any
    ) -> tuple[Tensor, State]:
        """Mix one token at `position`. q and the result: (B, G, H/G, K); k and v: (B, G, K); signals:
        (B, G)."""

    def mix_extend(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position, *args: Any, **signals: Any
    ) -> tuple[Tensor, State]:
        """Mix S tokens from `position` on. q, k, v and the result: (B, H, S, K); the state is of H heads,
        too.

        By `mix_step`, token by token, unless a mixer says it better: only then can it be exported for
        prompts of any length.
        """
        import torch

        rows = []
        for i in range(q.shape[2]):
            one = {name: y[:, :, i] for name, y in signals.items()}
            row, state = self.mix_step(
                q[:, :, i : i + 1], k[:, :, i], v[:, :, i], state, position + i, *args, **one
            )
            rows.append(row)
        return torch.cat(rows, dim=2), state

    @abstractmethod
    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """What `mix_step` carries after `tokens` tokens: see `Mixer.state_shapes`."""

    @abstractmethod
    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Counted operations of `mix` on one sequence, its signals included."""

    @abstractmethod
    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """Counted operations of one `mix_step` after `context` tokens, its signals included."""

    def mixing(self, weights: Weights, sizes: Sizes) -> Callable[..., Tensor]:
        """See `ProjectedHeads.mixing`."""
        return self.mix

    def mixing_reference(self, weights: Weights, sizes: Sizes) -> Callable[..., Tensor]:
        """See `ProjectedHeads.mixing_reference`."""
        return self.mix_reference

    def mixing_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """See `ProjectedHeads.mixing_operations`."""
        return self.mix_operations(sizes, tokens)

    def extend(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        state: State,
        position: Position,
    ) -> tuple[Tensor, State]:
        """See `Mixer.extend`."""
        values, convolved = self.before_mixing(x, weights, sizes, turns, state)
        mixed, kept = self.mix_heads(values, sizes, state, position)
        return self.after_mixing(mixed, weights, sizes), {**kept, **convolved}

    def before_mixing(
        self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None, state: State
    ) -> tuple[dict[str, Tensor], State]:
        """The first part of `extend`: ``q`` (B, H, S, K), ``k``, ``v`` (B, G, S, K) and the signals
        (B, G, S) by name, and what the convolutions keep."""
        kept = {}
        projected = self._project(x, weights, sizes)
        for name in projected if sizes.conv else ():
            before, tokens = state[f"{name}_conv"], projected[name]
            projected[name] = convolve(tokens, weights[f"{name}_conv"], before)
            kept[f"{name}_conv"] = kept_for(tokens, before)
        q, k, v = self._heads(projected, weights, sizes, turns)
        return {"q": q, "k": k, "v": v, **self.signals(x, weights, sizes)}, kept

    def mix_heads(
        self, values: Mapping[str, Tensor], sizes: Sizes, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """The second part: what `before_mixing` gives → mixed heads (B, H, S, K) and the next state of the
        mixing. One token takes `mix_step`, more take `mix_extend`."""
        import torch

        kept = {name: state[name] for name in self.mix_state_shapes(1, 1, 1, 0)}
        if values["q"].shape[2] == 1:
            one = {name: y.squeeze(2) for name, y in values.items()}
            size = int(values["q"].shape[-1])
            one["q"] = one["q"].reshape(-1, sizes.groups, sizes.heads // sizes.groups, size)
            mixed, following = self.mix_step(state=kept, position=position, **one)
            return mixed.reshape(-1, sizes.heads, 1, sizes.head_size), following
        if sizes.groups == sizes.heads:
            return self.mix_extend(state=kept, position=position, **values)
        many = {name: y if name == "q" else _for_every_head(y, sizes) for name, y in values.items()}
        repeats = sizes.heads // sizes.groups
        # Not as the others: a state may be empty, which a reshape in ONNX does not take.
        group = torch.arange(sizes.heads, device=values["q"].device) // repeats
        every = {name: y.index_select(1, group) for name, y in kept.items()}
        mixed, following = self.mix_extend(state=every, position=position, **many)
        return mixed, {name: y[:, ::repeats] for name, y in following.items()}

    def state_shapes(self, batch: int, sizes: Sizes, tokens: int) -> dict[str, Shape]:
        """What the mixing carries, and the tokens that the convolutions reach back to."""
        shapes = self.mix_state_shapes(batch, sizes.groups, sizes.head_size, tokens)
        if sizes.conv:
            rows = self._projected(sizes)
            shapes |= {f"{name}_conv": (batch, sizes.conv - 1, size) for name, size in rows.items()}
        return shapes

    def step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """The same for one token."""
        return *self._shared_operations(sizes, 1), *self.mix_step_operations(sizes, context)


class BidirectionalHeadMixer(ProjectedHeads):
    """Mixes heads of tokens that all see each other, by `mix_bidirectional`."""

    sights = frozenset({Sight.BIDIRECTIONAL})

    @abstractmethod
    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """Mix tokens that all see each other. q, k, v and the result: (B, H, N, K).

        Args:
            weights: of the layer, the mixer's own among them, under `own_name`.
            sizes: whose view says how the N tokens lie.
            present: where that view is padded, which of them are there, (B, N) of bool; k and v of the others
                are zeros.
        """

    @abstractmethod
    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """The same by the plain formula."""

    @abstractmethod
    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Counted operations of `mix_bidirectional`."""

    def mixing(self, weights: Weights, sizes: Sizes) -> Callable[..., Tensor]:
        """See `ProjectedHeads.mixing`."""
        return partial(self.mix_bidirectional, weights=weights, sizes=sizes)

    def mixing_reference(self, weights: Weights, sizes: Sizes) -> Callable[..., Tensor]:
        """See `ProjectedHeads.mixing_reference`."""
        return partial(self.mix_bidirectional_reference, weights=weights, sizes=sizes)

    def mixing_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """See `ProjectedHeads.mixing_operations`."""
        return self.mix_bidirectional_operations(sizes, tokens)


class TwoSightedHeadMixer(HeadMixer, BidirectionalHeadMixer):
    """Does as one or as the other, as the view says."""

    sights = frozenset(Sight)

    def mixing(self, weights: Weights, sizes: Sizes) -> Callable[..., Tensor]:
        """See `ProjectedHeads.mixing`."""
        return _in(sizes).mixing(self, weights, sizes)

    def mixing_reference(self, weights: Weights, sizes: Sizes) -> Callable[..., Tensor]:
        """See `ProjectedHeads.mixing_reference`."""
        return _in(sizes).mixing_reference(self, weights, sizes)

    def mixing_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """See `ProjectedHeads.mixing_operations`."""
        return _in(sizes).mixing_operations(self, sizes, tokens)


def _in(sizes: Sizes) -> type[ProjectedHeads]:
    """Whose mixing it is in a view."""
    return HeadMixer if sizes.view.causal else BidirectionalHeadMixer


def _vector(size: int, initial: Initial) -> Weight:
    return Weight((size,), ("width",), initial)


def _for_every_head(x: Tensor, sizes: Sizes) -> Tensor:
    """(B, G, …) → (B, H, …), each group's repeated for its heads."""
    repeats = sizes.heads // sizes.groups
    rest = [-1] * (x.ndim - 2)
    return x.unsqueeze(2).expand(-1, -1, repeats, *rest).flatten(1, 2)
