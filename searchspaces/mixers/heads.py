"""Mixers of projected heads, by which tokens see which: one is written as arithmetic on q, k and v."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from searchspaces.mixers.convolution import convolve, kept_for
from searchspaces.mixers.mixer import CausalMixer, Position, Shape, State, Weights
from searchspaces.mixers.projected import ProjectedHeads, for_every_head
from searchspaces.operations import Operation
from searchspaces.part import Sight, Sizes

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns

__all__ = ["BidirectionalHeadMixer", "HeadMixer", "OnAllKept", "TwoSightedHeadMixer"]


class OnAllKept(Protocol):
    """See `HeadMixer.on_all_kept`."""

    def __call__(self, q: Tensor, kept: State, position: Position) -> Tensor:
        """q and the result: (B, G, H/G, K); ``k`` and ``v`` of `kept`: (B, G, n, K), the token's own at
        `position`. What stands behind that, where n is larger, counts for nothing."""


class HeadMixer(ProjectedHeads, CausalMixer):
    """Mixes heads of tokens that see earlier ones alone: whole sequences by `mix`, and by `mix_step` and
    `mix_extend` from a state.

    Attributes:
        attends_to_all_kept: whether `on_all_kept` is softmax of q·k/√K over all of them: what engines have
            an operator for.
    """

    attends_to_all_kept: ClassVar[bool] = False

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

    def on_all_kept(self) -> OnAllKept | None:
        """How one token is mixed once its key and value stand behind those of all tokens before, where these
        are the state, ``k`` and ``v``: engines that append to them in place then copy nothing. None where a
        mixer keeps something else."""
        return None

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

        kept, groups = {name: state[name] for name in self.mix_state_shapes(1, 1, 1, 0)}, sizes.groups
        many = values
        if groups != sizes.heads:
            many = {name: y if name == "q" else for_every_head(y, sizes) for name, y in values.items()}
        if self._keeps_every_head:
            values, groups = many, sizes.heads
        if values["q"].shape[2] == 1:
            one = {name: y.squeeze(2) for name, y in values.items()} | {"q": _grouped(values["q"], groups)}
            mixed, following = self.mix_step(state=kept, position=position, **one)
            return _apart(mixed, sizes), following
        if groups == sizes.heads:
            return self.mix_extend(state=kept, position=position, **values)
        repeats = sizes.heads // groups
        # Not as the others: a state may be empty, which a reshape in ONNX does not take.
        group = torch.arange(sizes.heads, device=values["q"].device) // repeats
        every = {name: y.index_select(1, group) for name, y in kept.items()}
        mixed, following = self.mix_extend(state=every, position=position, **many)
        return mixed, {name: y[:, ::repeats] for name, y in following.items()}

    @property
    def _keeps_every_head(self) -> bool:
        """Whether what is carried is each head's own, though a projection shares keys and values: so it is
        where what becomes of them depends on the queries, and a mixer does not obey `kv_heads`."""
        return "kv_heads" not in self.genes

    def mix_on_all_kept(
        self, mixing: OnAllKept, q: Tensor, sizes: Sizes, kept: State, position: Position
    ) -> Tensor:
        """The same of one token, q and the result (B, H, 1, K), whose key and value are kept already."""
        return _apart(mixing(_grouped(q, sizes.groups), kept, position), sizes)

    def state_shapes(self, batch: int, sizes: Sizes, tokens: int) -> dict[str, Shape]:
        """What the mixing carries, and the tokens that the convolutions reach back to."""
        groups = sizes.heads if self._keeps_every_head else sizes.groups
        shapes = self.mix_state_shapes(batch, groups, sizes.head_size, tokens)
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


def _grouped(q: Tensor, groups: int) -> Tensor:
    """One token's queries (B, H, 1, K) as those of each head of keys and values, (B, G, H/G, K)."""
    return q.reshape(-1, groups, int(q.shape[1]) // groups, int(q.shape[-1]))


def _apart(mixed: Tensor, sizes: Sizes) -> Tensor:
    """And back."""
    return mixed.reshape(-1, sizes.heads, 1, sizes.head_size)
