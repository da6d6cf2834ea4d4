"""Attention within hash buckets (Reformer; Kitaev et al., 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from searchspaces.mixers.chunks import chunk_count, into_chunks, out_of_chunks, with_earlier
from searchspaces.mixers.drawn import constant, generator
from searchspaces.mixers.heads import TwoSightedHeadMixer
from searchspaces.mixers.mixer import Kind, Position, Shape, State, Weights, register_mixer
from searchspaces.mixers.padding import hiding, of_tokens
from searchspaces.norms import rms_norm
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Sizes

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.rotary import Turns

ITSELF, NOTHING = -1e4, -3e4
"""Scores of a token for itself, which counts where it meets no other alone, and of what counts never. Numbers
of half precision, too."""
EPSILON = 1e-6
MOST_BUCKETS = 64
CAUSAL_BUCKETS = 16
"""Where earlier tokens alone are seen: as many at any length, for more tokens may follow."""


@register_mixer("lsh")
@dataclass(frozen=True)
class Lsh(TwoSightedHeadMixer):
    """Queries are the keys, divided by their norm. Tokens are hashed by the direction, of random ones and
    their opposites, that is nearest to them, sorted by bucket and then by position, and cut into chunks of C;
    a token sees its own chunk and the one before, the first one the last. What several rounds find is weighed
    by their sums of weights.

    Directions are drawn once: constants, no weights.

    The paper's causal form hides later tokens of these chunks. But they move the cuts: what a token sees
    changes with what comes after it, so that no step can say what a whole sequence does. Here, where earlier
    tokens alone are seen, a token sees the last C of its own bucket, itself included, which the order by
    bucket and position puts next to each other. Buckets are 16 at any length. The state is the last C keys
    and values of every bucket and round.

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
    sparsity = "hash buckets; where causal, the last of the own one"
    source = "Reformer: Kitaev et al., 2020"
    family = "hash"
    genes = frozenset({"heads"})
    shares = False  # each head's queries are its keys
    continuous = False
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
        if sizes.norms:
            q = rms_norm(q, weights["hash_query_norm"])
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

        outs, levels = [], []
        for bucket in self._buckets(q, self._count(int(q.shape[2]))).unbind(-1):
            if present is not None:  # those that are absent come last
                bucket = torch.where(present.unsqueeze(1), bucket, MOST_BUCKETS)
            order = _by_bucket(bucket)
            out, level = self._within(q, v, order, present)
            undone = _ascending(order)
            outs.append(_taken(out, undone))
            levels.append(_taken(level, undone))
        return _joined(outs, levels)

    def _within(self, q: Tensor, v: Tensor, order: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
        """What sorted tokens get, (B, H, N, K), and the logarithms of their sums of weights, (B, H, N, 1)."""
        import torch

        tokens, chunk = int(q.shape[2]), min(self.chunk, int(q.shape[2]))
        q, v = (_taken(x, order) for x in (q, v))
        queries, values = into_chunks(q, chunk), into_chunks(v, chunk)
        keys = into_chunks(_unit(q), chunk)
        keys, values = (torch.cat([x.roll(1, 2), x], dim=3) for x in (keys, values))

        place = torch.arange(chunk_count(tokens, chunk) * chunk, device=q.device).reshape(-1, chunk)
        met = torch.cat([place.roll(1, 0), place], dim=1)
        itself = place.unsqueeze(2) == met.unsqueeze(1)
        scores = torch.where(itself, ITSELF, queries @ keys.transpose(-1, -2))
        scores = scores + q.new_zeros(1).masked_fill(met >= tokens, NOTHING).unsqueeze(1)
        if present is not None:
            there = _taken(of_tokens(present, q).expand(*order.shape, 1), order)
            there = into_chunks(there, chunk)
            scores = scores + hiding(torch.cat([there.roll(1, 2), there], dim=3))
        level = scores.logsumexp(-1, keepdim=True)
        mixed = (scores - level).exp() @ values
        return out_of_chunks(mixed, tokens), out_of_chunks(level, tokens)

    def _buckets(self, q: Tensor, count: int) -> Tensor:
        """(B, H, N, rounds) of whole numbers."""
        import torch

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
        """Token by token."""
        tokens, chunk = q.shape[2], min(self.chunk, q.shape[2])
        chunks = chunk_count(tokens, chunk)

        def met(buckets: list[int], i: int) -> list[int]:
            order = sorted(range(tokens), key=lambda j: (buckets[j], j))
            own = order.index(i) // chunk
            # A chunk that is alone is met twice, as any other pair is: quotients are the same.
            return [j for part in (own - 1, own) for j in _part(order, part % chunks, chunk)]

        return self._one_by_one(q, v, self._count(tokens), met)

    def _one_by_one(
        self, q: Tensor, v: Tensor, count: int, met: Callable[[list[int], int], list[int]]
    ) -> Tensor:
        """Token by token, of each sequence and head; `met` says which tokens one meets, of all buckets."""
        import torch

        buckets, rows = self._buckets(q, count), []
        for b, h, i in product(*map(range, q.shape[:3])):
            keys, outs, sums = _unit(q[b, h]), [], []
            for r in range(self.rounds):
                seen = met(buckets[b, h, :, r].tolist(), i)
                scores = torch.stack(
                    [q.new_tensor(ITSELF) if j == i else (q[b, h, i] * keys[j]).sum() for j in seen]
                )
                outs.append(scores.softmax(0) @ v[b, h, seen])
                sums.append(scores.logsumexp(0))
            rows.append((torch.stack(sums).softmax(0).unsqueeze(1) * torch.stack(outs)).sum(0))
        return torch.stack(rows).reshape(v.shape)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Round by round, each in the order of its buckets."""
        from torch.nn.functional import pad

        keys, values = _unit(k), pad(v, (0, 1), value=1.0)
        outs, levels = [], []
        for bucket in self._buckets(q, CAUSAL_BUCKETS).unbind(-1):
            order = _by_bucket(bucket)
            rows = (_taken(x, order) for x in (q, keys, values))
            out, level = self._latest(bucket.gather(2, order), *rows)
            undone = _ascending(order)
            outs.append(_taken(out, undone))
            levels.append(_taken(level, undone))
        return _joined(outs, levels)

    def _latest(self, bucket: Tensor, q: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """What tokens in the order of their buckets (B, H, N) get of the last C of these, (B, H, N, K), and
        the logarithms of their sums of weights, (B, H, N, 1).

        Args:
            values: (B, H, N, K + 1), 1 beside those of tokens that are there, 0 beside the others'.
        """
        import torch

        tokens, chunk = q.shape[2], self.chunk
        own = (bucket + 1).to(q.dtype).unsqueeze(-1)
        there = with_earlier(own * values[..., -1:], chunk, 1).transpose(-1, -2)
        query = torch.arange(chunk, device=q.device).unsqueeze(1)
        key = torch.arange(-chunk, chunk, device=q.device)
        beyond = (key > query) | (key <= query - chunk)
        scores = into_chunks(q, chunk) @ with_earlier(keys, chunk, 1).transpose(-1, -2)
        scores = torch.where(key == query, ITSELF, scores)
        scores = torch.where(beyond | (into_chunks(own, chunk) != there), NOTHING, scores)
        level = scores.logsumexp(-1, keepdim=True)
        mixed = (scores - level).exp() @ with_earlier(values[..., :-1], chunk, 1)
        return out_of_chunks(mixed, tokens), out_of_chunks(level, tokens)

    def mix_reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Token by token."""

        def met(buckets: list[int], i: int) -> list[int]:
            return [j for j in range(i + 1) if buckets[j] == buckets[i]][-self.chunk :]

        return self._one_by_one(q, v, CAUSAL_BUCKETS, met)

    def mix_extend(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """As a whole sequence that begins with what every bucket keeps."""
        import torch
        from torch.nn.functional import pad

        chunk, number = self.chunk, torch.arange(CAUSAL_BUCKETS, device=q.device)
        keys, values, before = _unit(k), pad(v, (0, 1), value=1.0), CAUSAL_BUCKETS * chunk
        held = number.unsqueeze(1).expand(-1, chunk).flatten()
        queries = torch.cat([q.new_zeros(before, 1).expand(*q.shape[:2], -1, int(q.shape[3])), q], dim=2)
        kept: dict[str, list[Tensor]] = {"k": [], "v": []}
        outs, levels = [], []
        for r, bucket in enumerate(self._buckets(q, CAUSAL_BUCKETS).unbind(-1)):
            rows = slice(r * before, (r + 1) * before)
            every = torch.cat([held.expand(*q.shape[:2], -1), bucket], dim=2)
            order = _by_bucket(every)
            k, v = (
                _taken(torch.cat([state[name][:, :, rows], x], dim=2), order)
                for name, x in {"k": keys, "v": values}.items()
            )
            out, level = self._latest(every.gather(2, order), _taken(queries, order), k, v)
            undone = _ascending(order)[:, :, before:]
            outs.append(_taken(out, undone))
            levels.append(_taken(level, undone))
            # What a bucket keeps are the last C of the tokens up to its end in that order.
            ends = (every.unsqueeze(-1) <= number).sum(2)
            last = (ends.unsqueeze(-1) + torch.arange(-chunk, 0, device=q.device)).flatten(2)
            kept["k"].append(_taken(k, last))
            kept["v"].append(_taken(v, last))
        return _joined(outs, levels), {name: torch.cat(parts, dim=2) for name, parts in kept.items()}

    def mix_step(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, position: Position
    ) -> tuple[Tensor, State]:
        """What the own bucket keeps, and the token itself."""
        import torch
        from torch.nn.functional import pad

        chunk, number = self.chunk, torch.arange(CAUSAL_BUCKETS, device=q.device)
        batch, heads = q.shape[0], int(q.shape[1])
        new = {"k": _unit(k).unsqueeze(2), "v": pad(v, (0, 1), value=1.0).unsqueeze(2)}
        itself = torch.arange(chunk, device=q.device) == chunk - 1
        kept: dict[str, list[Tensor]] = {"k": [], "v": []}
        outs, levels = [], []
        for r, bucket in enumerate(self._buckets(q, CAUSAL_BUCKETS).unbind(-1)):
            seen, own = {}, (bucket == number).unsqueeze(-1)
            rows = slice(r * CAUSAL_BUCKETS * chunk, (r + 1) * CAUSAL_BUCKETS * chunk)
            for name, x in new.items():
                size = int(x.shape[3])
                held = state[name][:, :, rows].reshape(batch, heads, CAUSAL_BUCKETS, chunk * size)
                before = _taken(held, bucket).reshape(batch, heads, chunk, size)
                seen[name] = torch.cat([before[:, :, 1:], x], dim=2)
                held = torch.where(own, seen[name].reshape(batch, heads, 1, chunk * size), held)
                kept[name].append(held.reshape(batch, heads, -1, size))
            scores = torch.where(itself, ITSELF, q @ seen["k"].transpose(-1, -2))
            scores = torch.where(seen["v"][..., -1:].transpose(-1, -2) > 0, scores, NOTHING)
            levels.append(scores.logsumexp(-1, keepdim=True))
            outs.append((scores - levels[-1]).exp() @ seen["v"][..., :-1])
        return _joined(outs, levels), {name: torch.cat(parts, dim=2) for name, parts in kept.items()}

    def mix_state_shapes(self, batch: int, groups: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """C keys of every bucket and round, and as many values with a one beside those that are there."""
        rows = self.rounds * CAUSAL_BUCKETS * self.chunk
        return {"k": (batch, groups, rows, head_size), "v": (batch, groups, rows, head_size + 1)}

    def mix_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """As `mix_bidirectional_operations`."""
        return self._operations(sizes, tokens, self.chunk, CAUSAL_BUCKETS)

    def mix_step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """Of each round: hashing, a copy of the state, one row of C."""
        rounds, inner, seen = self.rounds, sizes.inner, self.chunk
        state = rounds * CAUSAL_BUCKETS * seen * (2 * inner + sizes.heads)
        return (
            Operation(OperationKind.ATTENTION, macs=rounds * inner * CAUSAL_BUCKETS // 2, elements=inner),
            Operation(OperationKind.GATHER, elements=2 * state, calls=8 * rounds),
            Operation(
                OperationKind.ATTENTION,
                macs=rounds * 2 * seen * inner,
                elements=rounds * (seen * sizes.heads + inner),
                calls=2 * rounds,
            ),
            Operation(OperationKind.ELEMENTWISE, elements=rounds * 5 * seen * sizes.heads, calls=7 * rounds),
        )

    def mix_bidirectional_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Of each round: hashing, sorting, copies, scores, softmax, weighted sum."""
        return self._operations(sizes, tokens, min(self.chunk, tokens), self._count(tokens))

    def _operations(self, sizes: Sizes, tokens: int, chunk: int, buckets: int) -> tuple[Operation, ...]:
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


def _by_bucket(bucket: Tensor) -> Tensor:
    """The order (B, H, N) of tokens by their buckets, and then by position."""
    import torch

    tokens = bucket.shape[2]
    # Numbers that are all different: a sort is then stable wherever it runs.
    return _ascending(bucket * tokens + torch.arange(tokens, device=bucket.device))


def _ascending(numbers: Tensor) -> Tensor:
    """Where the smallest of them (B, H, N) stand, the next, and so on."""
    # As fast as a sort, which ExecuTorch does not have.
    places: Tensor = numbers.topk(numbers.shape[-1], largest=False).indices
    return places


def _taken(x: Tensor, order: Tensor) -> Tensor:
    """(B, H, N, K) in another order, (B, H, M)."""
    import torch

    # By whole rows, which takes onnxruntime a third of what gathering along an axis does.
    batch, heads, tokens, size = x.shape
    head = torch.arange(int(heads), device=x.device).unsqueeze(1)
    sequence = torch.arange(batch, device=x.device).reshape(-1, 1, 1) * int(heads) + head
    rows = x.reshape(-1, int(size)).index_select(0, (order + sequence * tokens).flatten())
    return rows.reshape(batch, int(heads), -1, int(size))


def _joined(outs: list[Tensor], levels: list[Tensor]) -> Tensor:
    """What each round found (B, H, N, K), by its sum of weights, whose logarithm (B, H, N, 1) it told."""
    import torch

    if len(outs) == 1:
        return outs[0]
    mixed: Tensor = (torch.stack(outs) * torch.stack(levels).softmax(0)).sum(0)
    return mixed


def _unit(x: Tensor) -> Tensor:
    """Over its norm."""
    size = int(x.shape[-1])
    unit: Tensor = x * (x.square().mean(-1, keepdim=True) + EPSILON).rsqrt() * size**-0.5
    return unit


def _part(order: list[int], number: int, chunk: int) -> list[int]:
    return order[number * chunk : (number + 1) * chunk]


@constant
def _directions(size: int, rounds: int, count: int) -> NDArray[np.float64]:
    """(K, rounds × count)."""
    return generator(f"lsh:{rounds}/{size}/{count}").normal(size=(size, rounds * count))
