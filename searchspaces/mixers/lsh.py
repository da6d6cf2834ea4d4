"""Attention within hash buckets (Reformer; Kitaev et al., 2020)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks
from searchspaces.mixers.heads import BidirectionalHeadMixer
from searchspaces.mixers.mixer import Kind, Weights, register_mixer
from searchspaces.mixers.padding import hiding, of_tokens
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns

ITSELF, NOTHING = -1e5, -1e9
"""Scores of a token for itself, which counts where it meets no other alone, and of what fills a chunk."""
EPSILON = 1e-6
MOST_BUCKETS = 64


@register_mixer("lsh")
@dataclass(frozen=True)
class Lsh(BidirectionalHeadMixer):
    """Queries are the keys, divided by their norm. Tokens are hashed by the direction, of random ones and
    their opposites, that is nearest to them, sorted by bucket and then by position, and cut into chunks of C;
    a token sees its own chunk and the one before, the first one the last. What several rounds find is weighed
    by their sums of weights.

    Directions are drawn once: constants, no weights. There is no causal form: later tokens move the cuts.

    Args:
        chunk: C.
        rounds: of hashing.
    """

    chunk: int = 64
    rounds: int = 1

    glyph = "#"
    example = "lsh:16,2"
    kind = Kind.ATTENTION
    kernel = "exp(q·q'/|q'|), normalised"
    sparsity = "hash buckets"
    source = "Reformer: Kitaev et al., 2020"
    family = "hash"
    genes = frozenset({"heads"})
    limits: ClassVar[Mapping[str, tuple[int, int]]] = {"chunk": (2, 1024), "rounds": (1, 8)}

    def _projected(self, sizes: Sizes) -> dict[str, int]:
        """Queries that are keys, and values."""
        return {"hash_query": sizes.inner, "value": sizes.inner}

    def _heads(
        self, projected: dict[str, Tensor], weights: Weights, sizes: Sizes, turns: Turns | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        from searchspaces.rotary import turn

        batch, tokens = next(iter(projected.values())).shape[:2]
        q, v = (
            y.reshape(batch, tokens, sizes.heads, sizes.head_size).transpose(1, 2) for y in projected.values()
        )
        if turns is not None:
            q = turn(q, turns)
        return q, q, v

    def mix_bidirectional(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        weights: Weights,
        sizes: Sizes,
        present: Tensor | None = None,
    ) -> Tensor:
        """Round by round."""
        import torch

        tokens = int(q.shape[2])
        position = torch.arange(tokens, device=q.device)
        outs, levels = [], []
        for bucket in self._buckets(q).unbind(-1):
            if present is not None:  # those that are absent come last
                bucket = torch.where(present.unsqueeze(1), bucket, MOST_BUCKETS)
            # Numbers that are all different: a sort is then stable wherever it runs.
            order = (bucket * tokens + position).argsort(-1)
            out, level = self._within(q, v, order, present)
            undone = order.argsort(-1).unsqueeze(-1)
            outs.append(_taken(out, undone))
            levels.append(_taken(level, undone))
        if self.rounds == 1:
            return outs[0]
        shares = torch.stack(levels).softmax(0)
        mixed: Tensor = (torch.stack(outs) * shares).sum(0)
        return mixed

    def _within(self, q: Tensor, v: Tensor, order: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
        """What sorted tokens get, (B, H, N, K), and the logarithms of their sums of weights, (B, H, N, 1)."""
        import torch

        tokens, chunk = int(q.shape[2]), min(self.chunk, int(q.shape[2]))
        q, v = (_taken(x, order.unsqueeze(-1)) for x in (q, v))
        queries, values = into_chunks(q, chunk), into_chunks(v, chunk)
        keys = into_chunks(_unit(q), chunk)
        keys, values = (torch.cat([x.roll(1, 2), x], dim=3) for x in (keys, values))

        place = torch.arange(chunk_count(tokens, chunk) * chunk, device=q.device).reshape(-1, chunk)
        met = torch.cat([place.roll(1, 0), place], dim=1)
        itself = place.unsqueeze(2) == met.unsqueeze(1)
        scores = torch.where(itself, ITSELF, queries @ keys.transpose(-1, -2))
        scores = scores + q.new_zeros(1).masked_fill(met >= tokens, NOTHING).unsqueeze(1)
        if present is not None:
            there = _taken(of_tokens(present, q).expand(*order.shape, 1), order.unsqueeze(-1))
            there = into_chunks(there, chunk)
            scores = scores + hiding(torch.cat([there.roll(1, 2), there], dim=3))
        level = scores.logsumexp(-1, keepdim=True)
        mixed = (scores - level).exp() @ values
        return out_of_chunks(mixed, tokens), out_of_chunks(level, tokens)

    def _buckets(self, q: Tensor) -> Tensor:
        """(B, H, N, rounds) of whole numbers."""
        import torch

        count = self._count(int(q.shape[2]))
        directions = q.new_tensor(_directions(int(q.shape[3]), self.rounds, count // 2))
        batch, heads, tokens = q.shape[:3]
        across = (q.detach() @ directions).reshape(batch, int(heads), tokens, self.rounds, count // 2)
        return torch.cat([across, -across], dim=-1).argmax(-1)

    def _count(self, tokens: int) -> int:
        """Buckets, a power of 2: twice as many as chunks, or fewer."""
        chunks = max(1, tokens // self.chunk)
        return int(min(MOST_BUCKETS, 1 << (2 * chunks).bit_length() - 1))

    def mix_bidirectional_reference(
        self, q: Tensor, k: Tensor, v: Tensor, weights: Weights, sizes: Sizes
    ) -> Tensor:
        """Token by token, of each sequence and head."""
        import torch

        tokens, chunk = q.shape[2], min(self.chunk, q.shape[2])
        chunks, buckets = chunk_count(tokens, chunk), self._buckets(q).tolist()
        rows = []
        for b in range(q.shape[0]):
            for h in range(q.shape[1]):
                keys = _unit(q[b, h])
                for i in range(tokens):
                    outs, sums = [], []
                    for r in range(self.rounds):
                        order = sorted(range(tokens), key=lambda j: (buckets[b][h][j][r], j))
                        own = order.index(i) // chunk
                        # A chunk that is alone is met twice, as any other pair is: quotients are the same.
                        met = [j for part in (own - 1, own) for j in _part(order, part % chunks, chunk)]
                        scores = torch.stack(
                            [q.new_tensor(ITSELF) if j == i else (q[b, h, i] * keys[j]).sum() for j in met]
                        )
                        outs.append(scores.softmax(0) @ v[b, h, met])
                        sums.append(scores.logsumexp(0))
                    rows.append((torch.stack(sums).softmax(0).unsqueeze(1) * torch.stack(outs)).sum(0))
        return torch.stack(rows).reshape(v.shape)

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Two projections in, one out, the turns, and the mixing."""
        written = tokens * sizes.inner
        return (
            Operation(
                OperationKind.MATMUL,
                macs=3 * written * sizes.width,
                elements=2 * written + tokens * sizes.width,
                calls=3,
            ),
            Operation(OperationKind.GATHER, elements=3 * written, calls=3),
            Operation(OperationKind.ELEMENTWISE, elements=3 * written, calls=4),
            *self.mix_bidirectional_operations(sizes, tokens),
        )

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Of each round: hashing, sorting, copies, scores, softmax, weighted sum."""
        chunk, buckets = min(self.chunk, tokens), self._count(tokens)
        padded, written = chunk_count(tokens, chunk) * chunk, tokens * sizes.inner
        pairs = 2 * padded * chunk
        rounds, heads = self.rounds, sizes.heads
        sorting = 2 * tokens * heads * max(1, math.ceil(math.log2(tokens)))
        return (
            Operation(
                OperationKind.ATTENTION,
                macs=rounds * written * (buckets // 2),
                elements=rounds * tokens * heads * buckets,
            ),
            Operation(
                OperationKind.GATHER,
                elements=rounds * (sorting + 3 * written + 6 * padded * sizes.inner),
                calls=12 * rounds,
            ),
            Operation(
                OperationKind.ATTENTION,
                macs=rounds * 2 * pairs * sizes.inner,
                elements=rounds * (pairs * heads + padded * sizes.inner),
                calls=2 * rounds,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=rounds * 4 * pairs * heads, calls=6 * rounds),
        )


def _taken(x: Tensor, order: Tensor) -> Tensor:
    """(B, H, N, K) in another order, (B, H, N, 1)."""
    return x.gather(2, order.expand(-1, -1, -1, int(x.shape[3])))


def _unit(x: Tensor) -> Tensor:
    """Over its norm."""
    size = int(x.shape[-1])
    unit: Tensor = x * (x.square().mean(-1, keepdim=True) + EPSILON).rsqrt() * size**-0.5
    return unit


def _part(order: list[int], number: int, chunk: int) -> list[int]:
    return order[number * chunk : (number + 1) * chunk]


@cache
def _directions(size: int, rounds: int, count: int) -> NDArray[np.float64]:
    """(K, rounds × count)."""
    seed = hashlib.sha256(f"lsh:{rounds}/{size}/{count}".encode()).digest()
    drawn: NDArray[np.float64] = np.random.default_rng(np.frombuffer(seed, np.uint32)).normal(
        size=(size, rounds * count)
    )
    return drawn
