"""Attention whose weights are a kernel with finitely many features: cost linear in N.

Katharopoulos et al. (2020) write it as a running sum of φ(k) vᵀ. Taken token by token that is slow and
large; in chunks (Hua et al., 2022; Yang et al., 2024) it is a small masked product within each chunk plus
one state a chunk.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks
from searchspaces.mixers.heads import TwoSightedHeadMixer
from searchspaces.mixers.mixer import Position, Shape, State, Weights
from searchspaces.mixers.padding import counted
from searchspaces.mixers.projected import LINEAR
from searchspaces.mixers.recurrence import Decayed, Remembered, Undecayed
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CHUNK", "KernelMixer"]

CHUNK = 64
"""C, tokens a chunk: where the two products cost about the same at the head sizes of the spaces here."""


class KernelMixer(TwoSightedHeadMixer):
    """out_i = Σ_{j≤i} w_ij v_j / Σ_{j≤i} w_ij with w_ij = weight(base(q_i) · base(k_j)) = φ(q_i) · φ(k_j).

    Weights are above 0, so their sum needs no epsilon. The state is Σ φ(k) [v, 1]: F × (K + 1) a head,
    however many tokens. d is the size of a base, F the number of features.

    Where tokens all see each other, sums are over all j, and one state serves every query.

    A subclass whose `signals` give `log_decay` multiplies w_ij by what is left of token j at token i.
    """

    family = LINEAR

    @abstractmethod
    def base(self, x: Tensor) -> Tensor:
        """q or k (…, K) → (…, d)."""

    @abstractmethod
    def weight(self, product: Tensor) -> Tensor:
        """Products of bases → weights; element by element."""

    @abstractmethod
    def features(self, base: Tensor) -> Tensor:
        """Bases as columns (…, d, n) → their features (…, F, n), whose products are the weights."""

    @abstractmethod
    def base_size(self, head_size: int) -> int:
        """d."""

    @abstractmethod
    def feature_size(self, head_size: int) -> int:
        """F."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None = None) -> Tensor:
        """In chunks."""
        queries, keys = self.base(into_chunks(q, CHUNK)), self.base(into_chunks(k, CHUNK))
        return self._mixed(queries, keys, v, log_decay)

    def _mixed(self, queries: Tensor, keys: Tensor, v: Tensor, log_decay: Tensor | None = None) -> Tensor:
        """Of bases in chunks."""
        from torch.nn.functional import pad

        # A column of ones beside v carries the sum of weights through the same products.
        sums = self.sums(queries, keys, pad(into_chunks(v, CHUNK), (0, 1), value=1.0), log_decay)
        sums = out_of_chunks(sums, v.shape[2])
        return sums[..., :-1] / sums[..., -1:]

    def sums(self, queries: Tensor, keys: Tensor, values: Tensor, log_decay: Tensor | None = None) -> Tensor:
        """Σ_{j≤i} w_ij of values (B, H, M, C, V), all in chunks."""
        left: Remembered = Undecayed() if log_decay is None else Decayed(log_decay, CHUNK)
        keys = keys.transpose(-1, -2)
        before = left.before(self.features(keys) @ left.at_end(values))
        within = left.within(self.weight(queries @ keys)) @ values
        return within + left.since_start(self.features(queries.transpose(-1, -2)).transpose(-1, -2) @ before)

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None = None) -> Tensor:
        """Token by token."""
        return self._mixed_one_by_one(self.base(q), self.base(k), v, log_decay)

    def _mixed_one_by_one(self, q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None = None) -> Tensor:
        import torch

        rows = []
        for i in range(q.shape[-2]):
            weights = self.weight((q[..., i : i + 1, :] * k[..., : i + 1, :]).sum(-1, keepdim=True))
            if log_decay is not None:
                decays = log_decay.expand(*q.shape[:3])
                later = torch.stack([decays[..., j + 1 : i + 1].sum(-1) for j in range(i + 1)], dim=-1)
                weights = weights * later.exp().unsqueeze(-1)
            rows.append((weights * v[..., : i + 1, :]).sum(-2) / weights.sum(-2))
        return torch.stack(rows, dim=-2)

    def mix_extend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        state: State,
        position: Position,
        log_decay: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """In chunks, on top of the sums so far."""
        queries, keys = self.base(into_chunks(q, CHUNK)), self.base(into_chunks(k, CHUNK))
        mixed, sums = self._mixed_after(state["sums"], queries, keys, v, log_decay)
        return mixed, {"sums": sums}

    def _mixed_after(
        self, start: Tensor, queries: Tensor, keys: Tensor, v: Tensor, log_decay: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """`_mixed` on top of the sums of earlier tokens, and the sums after these."""
        from torch.nn.functional import pad

        sums, end = self.sums_after(start, queries, keys, pad(v, (0, 1), value=1.0), log_decay)
        return sums[..., :-1] / sums[..., -1:], end

    def sums_after(
        self, start: Tensor, queries: Tensor, keys: Tensor, values: Tensor, log_decay: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`sums` of values (B, H, S, V) on top of those of earlier tokens, and those after these."""
        # A number a token, for what fills the last chunk must not decay anything.
        left: Remembered = (
            Undecayed() if log_decay is None else Decayed(log_decay.expand(-1, -1, values.shape[2]), CHUNK)
        )
        tokens, keys = values.shape[2], keys.transpose(-1, -2)
        # Zeros fill the last chunk, for it must not add to the sums.
        values = into_chunks(values, CHUNK)
        before, end = left.after(start, self.features(keys) @ left.at_end(values))
        within = left.within(self.weight(queries @ keys)) @ values
        sums = within + left.since_start(self.features(queries.transpose(-1, -2)).transpose(-1, -2) @ before)
        return out_of_chunks(sums, tokens), end

    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """One state of all tokens."""
        queries, keys = self.placed(q, sizes), self.placed(k, sizes).transpose(-1, -2)
        sums = self.features(keys) @ counted(v, present)
        mixed = self.features(queries.transpose(-1, -2)).transpose(-1, -2) @ sums
        return mixed[..., :-1] / mixed[..., -1:]

    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """Every pair's weight."""
        shares = self.weight(self.placed(q, sizes) @ self.placed(k, sizes).transpose(-1, -2))
        return shares @ v / shares.sum(-1, keepdim=True)

    def placed(self, x: Tensor, sizes: Sizes) -> Tensor:
        """The bases of all tokens, where they all see each other."""
        return self.base(x)

    def placed_sizes(self, sizes: Sizes) -> tuple[int, int]:
        """d and F of what is `placed`."""
        return self.base_size(sizes.head_size), self.feature_size(sizes.head_size)

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Bases and features, one state and its use."""
        heads, values = sizes.heads, sizes.inner + sizes.heads
        base, features = self.placed_sizes(sizes)
        states = features * values
        return (
            Operation(OperationKind.GATHER, elements=tokens * values, calls=1),
            Operation(OperationKind.ELEMENTWISE, elements=2 * tokens * heads * (base + features), calls=8),
            Operation(
                OperationKind.ATTENTION, macs=2 * tokens * states, elements=states + tokens * values, calls=2
            ),
            Operation(OperationKind.ELEMENTWISE, elements=tokens * sizes.inner, calls=1),
        )

    def mix_step(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        state: State,
        position: Position,
        log_decay: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Add one token to the sums, and look it up in them."""
        return self._looked_up(self.base(q), self.base(k), v, self._left(state, log_decay))

    def _left(self, state: State, log_decay: Tensor | None) -> Tensor:
        """The sums of a state, less what a token's decay takes of them."""
        return state["sums"] if log_decay is None else state["sums"] * log_decay.exp()[..., None, None]

    def _looked_up(self, q: Tensor, k: Tensor, v: Tensor, sums: Tensor) -> tuple[Tensor, State]:
        """Of bases."""
        from torch.nn.functional import pad

        queries = self.features(q.transpose(-1, -2)).transpose(-1, -2)
        keys = self.features(k.unsqueeze(-1))
        sums = sums + keys * pad(v, (0, 1), value=1.0).unsqueeze(-2)
        mixed = queries @ sums
        return mixed[..., :-1] / mixed[..., -1:], {"sums": sums}

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """F × (K + 1) a head, however many tokens."""
        return {"sums": (batch, groups, self.feature_size(head_size), head_size + 1)}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Bases and features, the products within chunks, a state a chunk and its use."""
        heads, width = sizes.heads, sizes.inner
        base, features = heads * self.base_size(sizes.head_size), heads * self.feature_size(sizes.head_size)
        count, values = chunk_count(tokens, CHUNK), width + heads
        padded = count * CHUNK
        scores = padded * CHUNK * heads
        states = count * self.feature_size(sizes.head_size) * values
        macs = padded * CHUNK * (base + values) + 2 * CHUNK * states
        return (
            Operation(OperationKind.GATHER, elements=padded * (3 * width + values), calls=4),
            Operation(OperationKind.ELEMENTWISE, elements=2 * padded * (base + features), calls=8),
            Operation(
                OperationKind.ATTENTION, macs=macs, elements=scores + states + 2 * padded * values, calls=4
            ),
            Operation(
                OperationKind.ELEMENTWISE, elements=scores + 2 * states + padded * (values + width), calls=5
            ),
        )

    def decay_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """What decays add to `mix_operations`."""
        heads, count = sizes.heads, chunk_count(tokens, CHUNK)
        values, states = sizes.inner + heads, self.feature_size(sizes.head_size) * (sizes.inner + heads)
        padded = count * CHUNK
        return (
            Operation(OperationKind.ATTENTION, macs=count * count * states, elements=count * states),
            Operation(
                OperationKind.ELEMENTWISE,
                elements=2 * padded * values + padded * CHUNK * heads + 4 * count * count * heads,
                calls=8,
            ),
        )

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """Features, one update of the sums and one product with them."""
        heads, width = sizes.heads, sizes.inner
        size = self.feature_size(sizes.head_size)
        kept = size * (sizes.shared + sizes.groups)
        features = (heads + sizes.groups) * size
        return (
            Operation(OperationKind.ELEMENTWISE, elements=features + 2 * kept + width, calls=6),
            Operation(OperationKind.ATTENTION, macs=size * (width + heads), elements=width + heads),
        )
