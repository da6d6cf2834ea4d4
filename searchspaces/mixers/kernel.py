"""Causal attention whose weights are a kernel with finitely many features: cost linear in N.

Katharopoulos et al. (2020) write it as a running sum of φ(k) vᵀ. Taken token by token that is slow and
large; in chunks (Hua et al., 2022; Yang et al., 2024) it is a small masked product within each chunk plus
one state a chunk.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks
from searchspaces.mixers.mixer import Mixer, Shape, State
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor, dtype

__all__ = ["CHUNK", "KernelMixer"]

CHUNK = 64
"""C, tokens a chunk: where the two products cost about the same at the head sizes of the spaces here."""


class KernelMixer(Mixer):
    """out_i = Σ_{j≤i} w_ij v_j / Σ_{j≤i} w_ij with w_ij = weight(base(q_i) · base(k_j)) = φ(q_i) · φ(k_j).

    Weights are above 0, so their sum needs no epsilon. The state is Σ φ(k) [v, 1]: F × (K + 1) a head,
    however many tokens. d is the size of a base, F the number of features.
    """

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

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """In chunks."""
        from torch.nn.functional import pad

        queries = self.base(into_chunks(q, CHUNK))
        keys = self.base(into_chunks(k, CHUNK)).transpose(-1, -2)
        # A column of ones beside v carries the sum of weights through the same products.
        values = pad(into_chunks(v, CHUNK), (0, 1), value=1.0)
        states = self.features(keys) @ values
        # The sums before each chunk: shifted, for subtracting would let later tokens round earlier ones.
        before = pad(states.cumsum(dim=2)[:, :, :-1], (0, 0, 0, 0, 1, 0))
        within = self.weight(queries @ keys).tril() @ values
        sums = within + self.features(queries.transpose(-1, -2)).transpose(-1, -2) @ before
        return out_of_chunks(sums[..., :-1] / sums[..., -1:], q.shape[2])

    def reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        import torch

        q, k = self.base(q), self.base(k)
        rows = []
        for i in range(q.shape[-2]):
            weights = self.weight((q[..., i : i + 1, :] * k[..., : i + 1, :]).sum(-1, keepdim=True))
            rows.append((weights * v[..., : i + 1, :]).sum(-2) / weights.sum(-2))
        return torch.stack(rows, dim=-2)

    def init_state(self, batch: int, heads: int, head_size: int, dtype: dtype) -> State:
        """Sums over nothing."""
        import torch

        return {"sums": torch.zeros(batch, heads, self.feature_size(head_size), head_size + 1, dtype=dtype)}

    def step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one token to the sums, and look it up in them."""
        from torch.nn.functional import pad

        keys = self.features(self.base(k).unsqueeze(-1))
        queries = self.features(self.base(q).unsqueeze(-1))
        sums = state["sums"] + keys * pad(v, (0, 1), value=1.0).unsqueeze(-2)
        mixed = (queries.transpose(-1, -2) @ sums).squeeze(-2)
        return mixed[..., :-1] / mixed[..., -1:], {"sums": sums}

    def state_shapes(self, batch: int, heads: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """F × (K + 1) a head, however many tokens."""
        return {"sums": (batch, heads, self.feature_size(head_size), head_size + 1)}

    def operations(self, width: int, heads: int, tokens: int) -> tuple[Operation, ...]:
        """Bases and features, the products within chunks, a state a chunk and its use."""
        base, features = heads * self.base_size(width // heads), heads * self.feature_size(width // heads)
        count, values = chunk_count(tokens, CHUNK), width + heads
        padded = count * CHUNK
        scores = padded * CHUNK * heads
        states = count * self.feature_size(width // heads) * values
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

    def step_operations(self, width: int, heads: int, context: int) -> tuple[Operation, ...]:
        """Features, one update of the sums and one product with them."""
        features = heads * self.feature_size(width // heads)
        state = self.feature_size(width // heads) * (width + heads)
        return (
            Operation(OperationKind.ELEMENTWISE, elements=2 * features + 2 * state + width, calls=6),
            Operation(OperationKind.ATTENTION, macs=state, elements=width + heads),
        )
