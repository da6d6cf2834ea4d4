"""What the mixers with a feature map have in common: everything but the map."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from searchspaces.mixers.chunked import CHUNK, chunked, one_step, plain
from searchspaces.mixers.mixer import Mixer, State
from searchspaces.operations import Operation, OperationKind

if TYPE_CHECKING:
    from torch import Tensor, dtype

__all__ = ["FeaturedMixer"]


class FeaturedMixer(Mixer):
    """Causal linear attention: weights are products of features, so a sum over the past is one matrix."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """(…, K) → (…, M)."""

    @abstractmethod
    def feature_size(self, head_size: int) -> int:
        """M."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """In chunks."""
        return chunked(self.features(q), self.features(k), v)

    def reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""
        return plain(self.features(q), self.features(k), v)

    def init_state(self, batch: int, heads: int, head_size: int, dtype: dtype) -> State:
        """Sums over nothing."""
        import torch

        size = self.feature_size(head_size)
        return {
            "sums": torch.zeros(batch, heads, size, head_size, dtype=dtype),
            "weights": torch.zeros(batch, heads, size, dtype=dtype),
        }

    def step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one token to the sums."""
        out, sums, weights = one_step(self.features(q), self.features(k), v, state["sums"], state["weights"])
        return out, {"sums": sums, "weights": weights}

    def state_bytes(self, width: int, heads: int, tokens: int, itemsize: int = 4) -> int:
        """M × (K + 1) a head, however many tokens."""
        head_size = width // heads
        return heads * self.feature_size(head_size) * (head_size + 1) * itemsize

    def operations(self, width: int, heads: int, tokens: int) -> tuple[Operation, ...]:
        """Features, the product within chunks, a state a chunk and its use."""
        head_size = width // heads
        size = self.feature_size(head_size)
        padded = -(-tokens // CHUNK) * CHUNK
        inside = padded * CHUNK * heads * (size + head_size + 1)
        across = 2 * padded * heads * size * (head_size + 1)
        states = padded // CHUNK * heads * size * (head_size + 1)
        return (
            Operation(OperationKind.ELEMENTWISE, elements=2 * tokens * heads * size, calls=4),
            Operation(
                OperationKind.ATTENTION, macs=inside + across, elements=padded * CHUNK * heads, calls=4
            ),
            Operation(OperationKind.ELEMENTWISE, elements=padded * CHUNK * heads + 2 * states, calls=4),
            Operation(OperationKind.GATHER, elements=tokens * heads * (2 * size + 2 * head_size), calls=4),
        )

    def step_operations(self, width: int, heads: int, context: int) -> tuple[Operation, ...]:
        """One update and one product with the sums."""
        head_size = width // heads
        size = self.feature_size(head_size)
        return (
            Operation(OperationKind.ELEMENTWISE, elements=2 * heads * size * (head_size + 2), calls=6),
            Operation(OperationKind.ATTENTION, macs=2 * heads * size * head_size, elements=width, calls=2),
        )
